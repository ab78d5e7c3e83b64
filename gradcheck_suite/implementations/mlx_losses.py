"""MLX on its CPU: ``mlx.nn.losses.cross_entropy``, differentiated by ``mx.value_and_grad``."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck_suite.implementation import Deviation, Implementation


def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    label_smoothing: float = 0.0,
    axis: int = -1,
    reduction: str = "none",
) -> tuple[Any, Any]:
    """Value and gradient; under ``none`` the gradient of the sum, whose row i is ∂L_i/∂f_i.

    MLX's ``weights`` are one per row and not one per class, so they are no option here.
    """
    import mlx.core as mx
    from mlx.nn.losses import cross_entropy as loss

    with mx.stream(mx.cpu):  # a GPU has no float64, and a kernel of its own
        labels = _array(mx, targets)

        def summed(f: Any) -> tuple[Any, Any]:
            value = loss(f, labels, axis=axis, label_smoothing=label_smoothing, reduction=reduction)
            return value.sum(), value

        (_, value), gradient = mx.value_and_grad(summed)(_array(mx, logits))
        mx.eval(value, gradient)  # raises what NumPy's buffer protocol would lose
        return np.asarray(value)[()], np.asarray(gradient)


def _array(mx: Any, values: Any) -> Any:
    return mx.array(values, dtype=getattr(mx, str(values.dtype)))


_SINGLE = "mx.exp of float64 errs by 2e-6, and is not within float64's bounds, nor what it enters"
_WITH_EXP = (
    "value",
    "gradient",
    "precision",
    "reduction",
    "batch",
    "layout",
    "smoothing",
    "stability",
    "purity",
    "axis",
)

# MLX checks no index: its documentation calls one that is out of bounds undefined behaviour.
_DIALECT = {
    "mean_index": "batch",
    "unnormalised_targets": "assumes-one",
    "out_of_range": "undefined",
}

IMPLEMENTATIONS = (
    Implementation(
        "mlx-cross-entropy",
        cross_entropy,
        backend="numpy",
        gradient="returned",
        dtypes=("float32",),
        options=("label_smoothing", "axis"),
        ranks=(1, 2, 3),
        dialect=_DIALECT,
        deviations=(
            Deviation(
                "batch.degenerate",
                case="rows0-*",
                reason="raises on a batch of no rows (logsumexp: received empty array)",
            ),
            Deviation(
                "value.zero-times-log-zero",
                reason="a target probability of 0 at a logit of −inf gives NaN (0·−inf)",
            ),
            Deviation(
                "stability.saturated",
                reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
            ),
        ),
        requires=("mlx",),
        description="mlx.nn.losses.cross_entropy, on the CPU in float32",
    ),
    Implementation(
        "mlx-cross-entropy-float64",
        cross_entropy,
        backend="numpy",
        gradient="returned",
        dtypes=("float64",),
        options=("label_smoothing", "axis"),
        ranks=(1, 2, 3),
        dialect=_DIALECT,
        deviations=tuple(Deviation(f"{family}.*", reason=_SINGLE) for family in _WITH_EXP),
        requires=("mlx",),
        description="mlx.nn.losses.cross_entropy, on the CPU in float64",
    ),
)
