"""PyTorch's own losses."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation

ZERO_TIMES_INFINITY = Deviation(
    "value.zero-times-log-zero",
    reason="a target probability of 0 at a logit of −inf gives NaN (0·−inf)",
)
ROUNDED_COMPLEMENT = Deviation(
    "stability.saturated",
    reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
    link="pytorch/pytorch#195678",
)
LEAKS = Deviation(
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
    """``nll_loss(log_softmax(logits))``: the two halves of ``cross_entropy`` one by one.

    With classes on axis 1: of (N, C, d1, d2) it is ``nll_loss2d``.
    """
    from torch.nn import functional

    return functional.nll_loss(
        functional.log_softmax(logits, dim=min(1, logits.ndim - 1)),
        targets,
        weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def module(**options: Any) -> Any:
    """``torch.nn.CrossEntropyLoss(**options)``."""
    import torch

    return torch.nn.CrossEntropyLoss(**options)


def vmapped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """``torch.func.vmap`` over the rows of a loss of one row."""
    import torch

    rows = torch.func.vmap(torch.nn.functional.cross_entropy)(logits, targets)
    return rows if reduction == "none" else getattr(rows, reduction)()


IMPLEMENTATIONS = (
    Implementation(
        "torch-cross-entropy",
        "torch.nn.functional:cross_entropy",
        backend="torch",
        ranks=(1, 2, 3, 4),
        class_axis=1,
        dialect="pytorch",
        deviations=(ZERO_TIMES_INFINITY, LEAKS, ROUNDED_COMPLEMENT),
        requires=("torch",),
        description="torch.nn.functional.cross_entropy",
    ),
    Implementation(
        "torch-nll-log-softmax",
        nll_of_log_softmax,
        backend="torch",
        ranks=(1, 2, 3, 4),
        class_axis=1,
        targets=("index",),
        dialect="pytorch",
        deviations=(LEAKS, ROUNDED_COMPLEMENT),
        requires=("torch",),
        description="nll_loss ∘ log_softmax",
    ),
    Implementation(
        "torch-cross-entropy-module",
        factory=module,
        backend="torch",
        options=("weight", "ignore_index", "label_smoothing"),
        ranks=(1, 2, 3, 4),
        class_axis=1,
        dialect="pytorch",
        deviations=(ZERO_TIMES_INFINITY, LEAKS, ROUNDED_COMPLEMENT),
        requires=("torch",),
        description="torch.nn.CrossEntropyLoss",
    ),
    Implementation(
        "torch-cross-entropy-vmap",
        vmapped,
        backend="torch",
        dialect={"mean_index": "batch"},
        deviations=(ZERO_TIMES_INFINITY, ROUNDED_COMPLEMENT),
        requires=("torch",),
        description="torch.func.vmap of cross_entropy over rows",
    ),
)
