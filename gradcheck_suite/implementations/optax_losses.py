"""optax's softmax cross-entropies. They return rows; the reductions are the caller's."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.errors import Unsupported
from gradcheck_suite.implementation import Deviation, Implementation

_BROADCASTS = Deviation(
    "reject.shape",
    reason="labels are broadcast against the logits: one row of them serves every row",
)
_OUT_OF_RANGE = Deviation(
    "reject.target-range",
    reason="an out-of-range label gives NaN with a finite gradient, and −1 wraps to the last class",
)
_LSE_AT_THE_OFFSET = Deviation(
    "stability.offset",
    reason="lse is formed at the logits' own magnitude and the label's logit is subtracted from it",
    link="google-deepmind/optax#1792",
)
_ZERO_TIMES_INFINITY = Deviation(
    "value.zero-times-log-zero",
    reason="a target probability of 0 at a logit of −inf gives NaN (0·−inf)",
    link="google-deepmind/optax#896",
)
_NO_ROWS = Deviation(
    "batch.degenerate",
    case="rows0-*",
    reason="raises on a batch of no rows (a gather out of range)",
    when="optax<=0.2.4",
)
_MASKED_OVERFLOW = Deviation(
    "mask.range",
    reason="the exponential of a masked class overflows, and its gradient is 0·∞",
    when="jax<=0.4.34",
)
_ROUNDED_COMPLEMENT = Deviation(
    "stability.saturated",
    reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
)


def of_smoothed_labels(
    logits: Any, targets: Any, *, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """``softmax_cross_entropy`` of ``optax.smooth_labels``: how optax smooths."""
    import inspect

    import optax

    if axis == -1:
        smoothed = optax.smooth_labels(targets, label_smoothing)
    elif "axis" in inspect.signature(optax.smooth_labels).parameters:
        smoothed = optax.smooth_labels(targets, label_smoothing, axis=axis)
    else:
        raise Unsupported("optax.smooth_labels of this release has no axis")
    return optax.softmax_cross_entropy(logits, smoothed, axis=axis)


def fenchel_young(logits: Any, targets: Any) -> Any:
    """The Fenchel-Young loss of log Σ exp, which is lse(f) − ⟨t, f⟩."""
    import jax
    import optax

    return optax.losses.make_fenchel_young_loss(jax.nn.logsumexp)(logits, targets)


IMPLEMENTATIONS = (
    Implementation(
        "optax-softmax-cross-entropy",
        "optax:softmax_cross_entropy",
        backend="jax",
        reductions=("none",),
        ranks=(1, 2, 3),
        targets=("probabilities",),
        options=("class_mask", "axis"),
        rename={"class_mask": "where"},
        dialect="optax",
        deviations=(
            _ZERO_TIMES_INFINITY,
            _BROADCASTS,
        ),
        requires=("optax",),
        description="optax.softmax_cross_entropy",
    ),
    Implementation(
        "optax-safe-softmax-cross-entropy",
        "optax:safe_softmax_cross_entropy",
        backend="jax",
        reductions=("none",),
        ranks=(1, 2, 3),
        targets=("probabilities",),
        options=(),
        dialect="optax",
        deviations=(_BROADCASTS,),
        requires=("optax",),
        description="optax.safe_softmax_cross_entropy",
    ),
    Implementation(
        "optax-integer-labels",
        "optax:softmax_cross_entropy_with_integer_labels",
        backend="jax",
        reductions=("none",),
        ranks=(1, 2, 3),
        targets=("index",),
        options=("class_mask", "axis"),
        rename={"class_mask": "where"},
        dialect="optax",
        deviations=(
            _OUT_OF_RANGE,
            _LSE_AT_THE_OFFSET,
            _ROUNDED_COMPLEMENT,
            _NO_ROWS,
            _MASKED_OVERFLOW,
        ),
        requires=("optax",),
        description="optax.softmax_cross_entropy_with_integer_labels",
    ),
    Implementation(
        "optax-smooth-labels",
        of_smoothed_labels,
        backend="jax",
        reductions=("none",),
        ranks=(1, 2, 3),
        targets=("probabilities",),
        options=("label_smoothing", "axis"),
        dialect="optax",
        deviations=(_ZERO_TIMES_INFINITY, _BROADCASTS),
        requires=("optax",),
        description="optax.softmax_cross_entropy of optax.smooth_labels",
    ),
    Implementation(
        "optax-fenchel-young",
        fenchel_young,
        backend="jax",
        reductions=("none",),
        ranks=(1, 2, 3),
        targets=("probabilities",),
        options=(),
        # In the targets its gradient is −f: −log p but for lse, a constant of the row.
        dialect={"unnormalised_targets": "assumes-one", "target_gradient": "absent"},
        deviations=(_ZERO_TIMES_INFINITY, _BROADCASTS),
        requires=("optax",),
        description="optax.losses.make_fenchel_young_loss(logsumexp)",
    ),
)
