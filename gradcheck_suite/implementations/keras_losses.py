"""Keras 3 from logits, on its JAX backend."""

from __future__ import annotations

import os
from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation

_REDUCTIONS = {"none": "none", "sum": "sum", "mean": "sum_over_batch_size"}
_EMPTY = Deviation(
    "batch.degenerate",
    case="rows0-*",
    reason="sum and mean of no rows have the shape (0,) instead of ()",
)
_ZERO_TIMES_INFINITY = Deviation(
    "value.zero-times-log-zero",
    reason="a target probability of 0 at a logit of −inf gives NaN (0·−inf)",
)
_OUT_OF_RANGE = Deviation(
    "reject.target-range",
    reason="an index that is no class has a one-hot row of zeros: loss 0",
)


def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """``SparseCategoricalCrossentropy`` for indices, ``CategoricalCrossentropy`` for probabilities.

    Raises:
        RuntimeError: Keras runs on another backend than JAX in this process.
        ValueError: smoothing with indices, or an ignored class with probabilities: Keras has
            neither.
    """
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    if keras.backend.backend() != "jax":
        raise RuntimeError(f"keras runs on {keras.backend.backend()}; set KERAS_BACKEND=jax")
    shared = {
        "from_logits": True,
        "reduction": _REDUCTIONS[reduction],
        "dtype": str(logits.dtype),
    }
    if targets.ndim == 1:
        if label_smoothing:
            raise ValueError("label_smoothing: SparseCategoricalCrossentropy has no such option")
        sparse = keras.losses.SparseCategoricalCrossentropy(ignore_class=ignore_index, **shared)
        return sparse(targets, logits)
    if ignore_index is not None:
        raise ValueError("ignore_index: CategoricalCrossentropy has no such option")
    dense = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing, **shared)
    return dense(targets, logits)


IMPLEMENTATIONS = (
    Implementation(
        "keras-crossentropy",
        cross_entropy,
        backend="jax",
        dialect="keras",
        deviations=(_EMPTY, _ZERO_TIMES_INFINITY, _OUT_OF_RANGE),
        requires=("keras", "jax"),
        description="keras.losses, Sparse- and CategoricalCrossentropy(from_logits=True)",
    ),
)
