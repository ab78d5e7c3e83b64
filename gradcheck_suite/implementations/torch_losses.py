"""PyTorch's own losses."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation

_ZERO_TIMES_INFINITY = Deviation(
    "value.zero-times-log-zero",
    reason="a target probability of 0 at a logit of −inf gives NaN (0·−inf)",
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
        dialect={"out_of_range": "raise"},
        deviations=(_ZERO_TIMES_INFINITY,),
        requires=("torch",),
        description="torch.nn.functional.cross_entropy",
    ),
    Implementation(
        "torch-nll-log-softmax",
        nll_of_log_softmax,
        backend="torch",
        targets=("index",),
        dialect={"out_of_range": "raise"},
        requires=("torch",),
        description="nll_loss ∘ log_softmax",
    ),
)
