"""Keras 3 from logits, on its JAX, PyTorch and NumPy backends.

A process has one Keras backend, chosen where Keras is imported. So each is an implementation of its
own, and a command judges each in a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

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
_SMOOTHED_OVER_THE_LAST = Deviation(
    "axis.combined",
    case="*-smoothing*",
    reason="label smoothing divides by the length of the last axis, whatever axis= says",
    link="keras-team/keras#23451",
    when="keras<=3.15.1",
)
_MASK_TIMES_ZERO = Deviation(
    "stability.minus-inf",
    reason="a product with one-hot rows: a masked class, whose logit is −inf, gives NaN (0·−inf)",
)
_ROUNDED_COMPLEMENT = Deviation(
    "stability.saturated",
    reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
)
_CAST = Deviation(
    "reject.dtype",
    reason="indices that are no integers are cast: 0.5 is class 0",
)


def sparse_categorical_crossentropy(
    backend: str,
    logits: Any,
    targets: Any,
    *,
    ignore_index: int | None = None,
    axis: int = -1,
    reduction: str = "mean",
) -> Any:
    """``SparseCategoricalCrossentropy``, for class indices; see ``_loss`` for the rest."""
    loss = _loss(backend, "SparseCategoricalCrossentropy", logits, reduction, axis)
    return loss(ignore_class=ignore_index)(targets, logits)


def categorical_crossentropy(
    backend: str,
    logits: Any,
    targets: Any,
    *,
    label_smoothing: float = 0.0,
    axis: int = -1,
    reduction: str = "mean",
) -> Any:
    """``CategoricalCrossentropy``, for probabilities; see ``_loss`` for the rest."""
    loss = _loss(backend, "CategoricalCrossentropy", logits, reduction, axis)
    return loss(label_smoothing=label_smoothing)(targets, logits)


def _loss(
    backend: str, name: str, logits: Any, reduction: str, axis: int
) -> Callable[..., Callable[..., Any]]:
    """A class of ``keras.losses``, told what both have in common.

    Raises:
        RuntimeError: Keras runs on another backend in this process.
        KeyError: there is no such reduction.
    """
    keras = _imported(backend)
    return partial(
        getattr(keras.losses, name),
        from_logits=True,
        axis=axis,
        reduction=_REDUCTIONS[reduction],
        dtype=keras.backend.standardize_dtype(logits.dtype),
    )


def _imported(backend: str) -> Any:
    """Keras, on this backend if nobody has imported it on another."""
    with patch.dict(os.environ, KERAS_BACKEND=backend):
        import keras

    if keras.backend.backend() != backend:
        raise RuntimeError(
            f"keras runs on {keras.backend.backend()} in this process; ask its {backend} backend "
            "in another"
        )
    return keras


def _dense(backend: str, **declared: Any) -> Implementation:
    return Implementation(
        f"keras-categorical-crossentropy-{backend}",
        partial(categorical_crossentropy, backend),
        backend=backend,
        targets=("probabilities",),
        options=("label_smoothing", "axis"),
        ranks=(1, 2, 3),
        dialect="keras",
        deviations=(_SMOOTHED_OVER_THE_LAST, _ZERO_TIMES_INFINITY),
        description=f"keras.losses.CategoricalCrossentropy(from_logits=True), on {backend}",
        **declared,
    )


def _sparse(
    backend: str, *deviations: Deviation, options: tuple[str, ...], **declared: Any
) -> Implementation:
    return Implementation(
        f"keras-sparse-categorical-crossentropy-{backend}",
        partial(sparse_categorical_crossentropy, backend),
        backend=backend,
        targets=("index",),
        options=options,
        ranks=(1, 2, 3),
        dialect="keras",
        deviations=(_EMPTY, _CAST, *deviations),
        description=f"keras.losses.SparseCategoricalCrossentropy(from_logits=True), on {backend}",
        **declared,
    )


# Keras imports JAX for its NumPy backend too.
_JAX = {"requires": ("keras", "jax")}
# A mean in float64 comes back in float32, Keras' default, but on JAX: docs/findings.md.
_TORCH = {"requires": ("keras", "torch"), "dtypes": ("float32",)}
_NUMPY = {"requires": ("keras", "jax"), "dtypes": ("float32",), "gradient": None}
# The sparse loss has the keyword axis everywhere, and refuses all but the last but on PyTorch.
IMPLEMENTATIONS = (
    _dense("jax", **_JAX),
    _dense("torch", **_TORCH),
    _dense("numpy", **_NUMPY),
    _sparse(
        "jax",
        _MASK_TIMES_ZERO,
        _OUT_OF_RANGE,
        _ROUNDED_COMPLEMENT,
        options=("ignore_index",),
        **_JAX,
    ),
    _sparse("torch", _ROUNDED_COMPLEMENT, options=("ignore_index", "axis"), **_TORCH),
    _sparse("numpy", _MASK_TIMES_ZERO, _OUT_OF_RANGE, options=("ignore_index",), **_NUMPY),
)
