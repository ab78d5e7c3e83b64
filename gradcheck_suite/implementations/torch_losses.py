"""PyTorch's own losses."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation

_ZERO_TIMES_INFINITY = Deviation(
    "value.zero-times-log-zero",
    reason="a target probability of 0 at a logit of −inf gives NaN (0·−inf)",
)
_ROUNDED_COMPLEMENT = Deviation(
    "stability.saturated",
    reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
    link="pytorch/pytorch#195678",
)

_LEAKS = Deviation(
    "ignore.non-finite-row",
    reason="an ignored row that is not finite has a NaN gradient (0·NaN in log_softmax's backward)",
    link="pytorch/pytorch#11551",
)


def nll_of_log_softmax(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """``nll_loss(log_softmax(logits))``: the two halves of ``cross_entropy`` one by one."""
    from torch.nn import functional

    return functional.nll_loss(
        functional.log_softmax(logits, dim=-1),
        targets,
        weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
    )


IMPLEMENTATIONS = (
    Implementation(
        "torch-cross-entropy",
        "torch.nn.functional:cross_entropy",
        backend="torch",
        ranks=(1, 2, 3, 4),
        class_axis=1,
        dialect="pytorch",
        deviations=(_ZERO_TIMES_INFINITY, _LEAKS, _ROUNDED_COMPLEMENT),
        requires=("torch",),
        description="torch.nn.functional.cross_entropy",
    ),
    Implementation(
        "torch-nll-log-softmax",
        nll_of_log_softmax,
        backend="torch",
        targets=("index",),
        dialect="pytorch",
        deviations=(_LEAKS, _ROUNDED_COMPLEMENT),
        requires=("torch",),
        description="nll_loss ∘ log_softmax",
    ),
)
