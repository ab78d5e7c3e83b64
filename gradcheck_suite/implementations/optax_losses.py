"""optax's three softmax cross-entropies. They return rows; the reductions are the caller's."""

from __future__ import annotations

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
_NO_ROWS = Deviation(
    "batch.degenerate",
    case="rows0-*",
    reason="raises on a batch of no rows (a gather out of range)",
    when="optax<=0.2.4",
)
_ROUNDED_COMPLEMENT = Deviation(
    "stability.saturated",
    reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
)


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
            Deviation(
                "value.zero-times-log-zero",
                reason="a target probability of 0 at a logit of −inf gives NaN (0·−inf)",
                link="google-deepmind/optax#896",
            ),
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
        deviations=(_OUT_OF_RANGE, _LSE_AT_THE_OFFSET, _ROUNDED_COMPLEMENT, _NO_ROWS),
        requires=("optax",),
        description="optax.softmax_cross_entropy_with_integer_labels",
    ),
)
