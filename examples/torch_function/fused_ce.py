"""Cross-entropy whose forward computes the gradient too."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable


class FusedCrossEntropy(torch.autograd.Function):
    """Rows of the loss, shape (N,), for class indices; ignored rows are 0."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor, ignore_index: int) -> Any:
        valid = targets != ignore_index
        index = torch.where(valid, targets, 0)[:, None]
        log_p = logits.log_softmax(dim=1)
        gradient = log_p.exp()
        gradient.scatter_add_(1, index, -torch.ones_like(gradient[:, :1]))
        ctx.save_for_backward(gradient, valid)
        return torch.where(valid, -log_p.gather(1, index)[:, 0], 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> Any:
        gradient, valid = ctx.saved_tensors
        # Masked last: where every row is ignored, the mean's upstream is infinite.
        return torch.where(valid[:, None], gradient * upstream[:, None], 0), None, None


def fused_ce(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    """The loss as people call it."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"reduction: {reduction!r}; use none, sum or mean")
    if targets.shape != logits.shape[:1]:
        raise ValueError(f"targets: shape {tuple(targets.shape)}; expected ({len(logits)},)")
    if targets.is_floating_point():
        raise TypeError("targets: class indices are integers")
    if bool(((targets != ignore_index) & ((targets < 0) | (targets >= logits.shape[1]))).any()):
        raise IndexError("targets: a class index is out of range")
    rows = FusedCrossEntropy.apply(logits, targets, ignore_index)
    if reduction == "none":
        return rows
    total = rows.sum()
    return total if reduction == "sum" else total / (targets != ignore_index).sum()
