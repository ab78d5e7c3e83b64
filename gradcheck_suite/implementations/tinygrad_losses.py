"""tinygrad's two cross-entropies, differentiated by ``Tensor.gradient``.

They run on the device that ``DEV`` names; without it on the one that needs no compiler, in Python.
"""

from __future__ import annotations

import os
from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation

_ROUNDED_COMPLEMENT = Deviation(
    "stability.saturated",
    reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
)
_ZERO_ROW = Deviation(
    "reject.target-range",
    reason="an index that is no class has a one-hot row of zeros: loss 0",
)
_ZERO_TIMES_INFINITY = Deviation(
    "value.zero-times-log-zero",
    reason="a target probability of 0 at a logit of −inf gives NaN (0·−inf)",
)
_LEAKS = Deviation(
    "ignore.non-finite-row",
    reason="an ignored row that is not finite has a NaN gradient (0·NaN)",
)
_NOTHING_OVER_NOTHING = Deviation(
    "ignore.all",
    case="*-mean-*",
    reason="the gradient of the mean is NaN where every row is ignored (0·NaN)",
)
_MINUS_ONE_IS_NONE = Deviation(
    "ignore.any-index",
    case="*-index-1",
    reason="ignore_index=−1 means that nothing is ignored: rows of −1 count in the mean",
)


def sparse_categorical_crossentropy(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -1,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Any, Any]:
    """Value and gradient of ``Tensor.sparse_categorical_crossentropy``, for class indices."""
    options = {"ignore_index": ignore_index, "label_smoothing": label_smoothing}
    return _differentiated(
        "sparse_categorical_crossentropy", logits, targets, **options, reduction=reduction
    )


def cross_entropy(
    logits: Any, targets: Any, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> tuple[Any, Any]:
    """Value and gradient of ``Tensor.cross_entropy``, for class indices or probabilities."""
    return _differentiated(
        "cross_entropy", logits, targets, label_smoothing=label_smoothing, reduction=reduction
    )


def _differentiated(loss: str, logits: Any, targets: Any, **options: Any) -> tuple[Any, Any]:
    """Under ``none`` the gradient of the sum, whose row i is ∂L_i/∂f_i."""
    from tinygrad import Context, Tensor

    with Context(DEV=os.environ.get("DEV", "PYTHON")):
        primal = Tensor(logits)
        value = getattr(primal, loss)(Tensor(targets), **options)
        (gradient,) = value.sum().gradient(primal)
        return value.numpy()[()], gradient.numpy()


IMPLEMENTATIONS = (
    Implementation(
        "tinygrad-sparse-categorical-crossentropy",
        sparse_categorical_crossentropy,
        backend="numpy",
        gradient="returned",
        targets=("index",),
        ranks=(1, 2, 3),
        dialect={"mean_index": "valid"},
        deviations=(
            _MINUS_ONE_IS_NONE,
            _NOTHING_OVER_NOTHING,
            _LEAKS,
            _ROUNDED_COMPLEMENT,
            _ZERO_ROW,
            Deviation(
                "reject.shape",
                reason="a column of targets is broadcast against the rows",
            ),
        ),
        requires=("tinygrad",),
        description="tinygrad.Tensor.sparse_categorical_crossentropy",
    ),
    Implementation(
        "tinygrad-cross-entropy",
        cross_entropy,
        backend="numpy",
        gradient="returned",
        ranks=(1, 2, 3),
        class_axis=1,
        dialect={"mean_index": "batch"},
        deviations=(_ZERO_TIMES_INFINITY, _ROUNDED_COMPLEMENT, _ZERO_ROW),
        requires=("tinygrad",),
        description="tinygrad.Tensor.cross_entropy",
    ),
)
