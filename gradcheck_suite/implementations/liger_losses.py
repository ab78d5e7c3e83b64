"""Liger-Kernel's cross-entropies: on CUDA, and anywhere else in Triton's interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from gradcheck_suite.implementation import Deviation, Implementation
from gradcheck_suite.implementations import triton_interpreter


def _first_upstream_for_every_row(before: str, link: str) -> Iterator[Deviation]:
    reason = "under none every row's gradient is multiplied by the first row's upstream"
    for clause in _WITH_AN_UPSTREAM_PER_ROW:
        case = "*" if clause == "layout.sizes" else "*-upstream-signed*"
        yield Deviation(clause, reason, case=case, link=link, when=f"liger-kernel<{before}")


def _second_order(since: str) -> Iterator[Deviation]:
    reason = (
        "under none backward is a product that autograd records: its derivative in the upstream "
        "alone is returned as the second derivative"
    )
    for clause in ("derivative.unsupported-raises", "softcap.derivatives", "z-loss.derivatives"):
        yield Deviation(clause, reason, when=f"liger-kernel>={since}")


def _transposed() -> Iterator[Deviation]:
    reason = (
        "logits whose last stride is not 1 are copied; no gradient is written over the copy, "
        "and the logits themselves are returned as theirs"
    )
    for clause, case in (("layout.strided", "*"), ("layout.targets-strided", "everything-strided")):
        yield Deviation(clause, reason, case=case, when="liger-kernel>=0.6.3")


def _transposed_features() -> Iterator[Deviation]:
    reason = (
        "the gradient in transposed features is multiplied by the upstream as if its rows lay one "
        "after another"
    )
    for clause, case in (("layout.strided", "*"), ("layout.targets-strided", "everything-strided")):
        yield Deviation(clause, reason, case=case, when="liger-kernel<0.8.5")


def _padding_under_a_softcap() -> Iterator[Deviation]:
    reason = "the lanes past the last class are capped as well: each counts as a class at −cap"
    for clause in ("softcap.*", "z-loss.combined"):
        yield Deviation(clause, reason, case="*softcap2*", when="liger-kernel<0.8.4")


_WITH_AN_UPSTREAM_PER_ROW = (
    "gradient.*",
    "head.*",
    "ignore.*",
    "layout.sizes",
    "mode.partial-gradients",
    "options.combined",
    "purity.composition",
    "purity.repeat",
    "reduction.none",
    "smoothing.*",
    "weight.index",
    "z-loss.*",
)
_MULTIPLIED_IN_PLACE = (
    "backward multiplies the saved gradient in place: a second one has both upstreams"
)
_OF_BOTH = (
    *_padding_under_a_softcap(),
    Deviation("purity.repeat", reason=_MULTIPLIED_IN_PLACE),
    Deviation("batch.degenerate", case="rows0-*", reason="raises on a batch of no rows"),
    Deviation(
        "stability.offset",
        reason="lse is formed at the logits' own magnitude and the target's logit is subtracted "
        "from it",
    ),
    Deviation(
        "stability.saturated",
        reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
    ),
    Deviation("reject.shape", reason="reads beyond targets that are fewer than the rows"),
)


def cross_entropy(**options: Any) -> Callable[..., Any]:
    """``LigerCrossEntropyLoss(**options)``."""
    loss: Callable[..., Any] = _liger().LigerCrossEntropyLoss(**options)
    return loss


def fused_linear_cross_entropy(**options: Any) -> Callable[..., Any]:
    """``LigerFusedLinearCrossEntropyLoss(**options)``, whose first argument is the weight."""
    loss = _liger().LigerFusedLinearCrossEntropyLoss(**options)

    def fused(hidden: Any, linear_weight: Any, targets: Any, *, linear_bias: Any = None) -> Any:
        return loss(linear_weight, hidden, targets, linear_bias)

    return fused


@cache
def _liger() -> Any:
    interprets = triton_interpreter.interprets()
    import liger_kernel.ops.cross_entropy as kernels
    import liger_kernel.transformers

    if interprets:
        triton_interpreter.take_floats()
        kernels.tanh = triton_interpreter.elementwise(np.tanh)
    return liger_kernel.transformers


IMPLEMENTATIONS = (
    Implementation(
        "liger-cross-entropy",
        factory=cross_entropy,
        backend="torch",
        options=("weight", "ignore_index", "label_smoothing", "softcap", "z_loss"),
        rename={"z_loss": "lse_square_scale"},
        reductions=("none", "sum", "mean"),
        targets=("index",),
        # Computed in float32, so float64 is not; and the interpreter truncates to bfloat16.
        dtypes=("float32", "float16"),
        dialect={"inputs": "destroyed", "all_ignored_mean": "zero", "z_loss_mean": "valid"},
        deviations=(
            *_transposed(),
            *_first_upstream_for_every_row("0.5.9", "linkedin/Liger-Kernel#678"),
            *_second_order("0.5.9"),
            *_OF_BOTH,
        ),
        requires=("liger-kernel", "torch"),
        description="liger_kernel.transformers.LigerCrossEntropyLoss",
    ),
    Implementation(
        "liger-fused-linear-cross-entropy",
        factory=fused_linear_cross_entropy,
        backend="torch",
        head="linear",
        options=(
            "weight",
            "ignore_index",
            "label_smoothing",
            "softcap",
            "z_loss",
            "linear_bias",
        ),
        rename={"weight": "ce_weight", "z_loss": "lse_square_scale"},
        reductions=("none", "sum", "mean"),
        targets=("index",),
        dtypes=("float32", "float16"),
        dialect={
            "all_ignored_mean": "zero",
            "z_loss_mean": "valid",
            "out_of_range": "undefined",
        },
        deviations=(
            *_first_upstream_for_every_row("0.8.2", "linkedin/Liger-Kernel#968"),
            *_second_order("0.8.2"),
            *_transposed_features(),
            Deviation(
                "head.frozen",
                reason="where the hidden features are frozen the weight and the bias are left "
                "without a gradient",
                when="liger-kernel>=0.6.3",
            ),
            Deviation("head.repeat", reason=_MULTIPLIED_IN_PLACE),
            *_OF_BOTH,
        ),
        requires=("liger-kernel", "torch"),
        description="liger_kernel.transformers.LigerFusedLinearCrossEntropyLoss",
    ),
)
