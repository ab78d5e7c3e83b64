"""PyTorch losses as users write them: compositions, modules, Functions, wrappers."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from gradcheck_suite.implementation import Implementation


def plain(logits: Any, targets: Any) -> Any:
    """Rows, without a keyword."""
    return logits.logsumexp(-1) - logits.gather(-1, targets[:, None])[:, 0]


def with_reduction(logits: Any, targets: Any, reduction: str = "mean") -> Any:
    """``reduction`` alone, both kinds of targets."""
    if targets.ndim == 1:
        targets = functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)
    masked = logits.isneginf() & (targets == 0)
    picked = targets * torch.where(masked, 0, logits)
    rows = targets.sum(-1) * logits.logsumexp(-1) - picked.sum(-1)
    return {"none": rows, "sum": rows.sum(), "mean": rows.mean()}[reduction]


class Once(torch.autograd.Function):
    """p − t computed in forward and kept, as fused kernels do; honest about second order."""

    @staticmethod
    def forward(ctx: Any, logits: Any, targets: Any) -> Any:
        log_p = logits.log_softmax(-1)
        gradient = log_p.exp()
        gradient[torch.arange(len(targets)), targets] -= 1
        ctx.save_for_backward(gradient)
        return -log_p.gather(-1, targets[:, None])[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return u[:, None] * gradient, None


def once(logits: Any, targets: Any) -> Any:
    return Once.apply(logits, targets)


class Twice(torch.autograd.Function):
    """A backward that can be differentiated again, and a jvp."""

    @staticmethod
    def forward(ctx: Any, logits: Any, t: Any) -> Any:
        ctx.save_for_backward(logits, t)
        ctx.save_for_forward(logits, t)
        return -torch.where(t == 0, 0, t * logits.log_softmax(-1)).sum(-1)

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        logits, t = ctx.saved_tensors
        in_logits = t.sum(-1, keepdim=True) * logits.softmax(-1) - t
        return u[:, None] * in_logits, -u[:, None] * logits.log_softmax(-1)

    @staticmethod
    def jvp(ctx: Any, tangent: Any, in_targets: Any) -> Any:
        logits, t = ctx.saved_tensors
        in_logits = t.sum(-1, keepdim=True) * logits.softmax(-1) - t
        pushed = (in_logits * tangent).sum(-1)
        if in_targets is not None:
            pushed = pushed - (in_targets * logits.log_softmax(-1)).sum(-1)
        return pushed


def twice(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 1:
        targets = functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)
    rows = Twice.apply(logits, targets)
    return {"none": rows, "sum": rows.sum(), "mean": rows.mean()}[reduction]


def renamed(
    logits: Any, targets: Any, *, smoothing: float = 0.0, agg: str = "mean", padding: int = -1
) -> Any:
    """The same options under other names."""
    return functional.cross_entropy(
        logits, targets, reduction=agg, label_smoothing=smoothing, ignore_index=padding
    )


def with_z_loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """(loss, z-loss): the first is meant."""
    z_loss = 1e-4 * logits.logsumexp(-1).square().mean()
    return functional.cross_entropy(logits, targets, reduction=reduction), z_loss


class Smoothed:
    """An object with its options inside, called like a function."""

    def __init__(self, reduction: str) -> None:
        self.reduction = reduction

    def __call__(self, logits: Any, targets: Any, *, weight: Any = None) -> Any:
        return functional.cross_entropy(logits, targets, weight=weight, reduction=self.reduction)


def shifted_by_target(logits: Any, targets: Any) -> Any:
    """log Σ exp(f − f_c): the target's own derivatives are minus the sum of the others'."""
    return torch.logsumexp(logits - logits.gather(1, targets[:, None]), 1)


class Borrowed(torch.autograd.Function):
    """PyTorch's forward, which takes probabilities too; a backward for indices alone."""

    @staticmethod
    def forward(ctx: Any, logits: Any, targets: Any) -> Any:
        ctx.save_for_backward(logits, targets)
        return functional.cross_entropy(logits, targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Any) -> Any:
        logits, targets = ctx.saved_tensors
        one_hot = functional.one_hot(targets, logits.shape[1])
        return u * (logits.softmax(1) - one_hot) / len(targets), None


def borrowed(logits: Any, targets: Any) -> Any:
    return Borrowed.apply(logits, targets)


def every_option(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """Every option by hand: the mask is a selection, so nothing leaks and 0/0 has gradient 0."""
    classes = logits.shape[-1]
    w = logits.new_ones(classes) if weight is None else weight
    if targets.ndim == 1:
        valid = targets != ignore_index
        t = functional.one_hot(torch.where(valid, targets, 0), classes).to(logits.dtype)
        denominator = (t * w).sum(-1)[valid].sum()
    else:
        valid = torch.ones(len(targets), dtype=torch.bool)
        t, denominator = targets, len(targets)
    tau = w * ((1 - label_smoothing) * t + label_smoothing / classes)
    log_p = torch.where(valid[:, None], logits, 0).log_softmax(-1)
    # A masked logit is −inf. Selected by itself: where τ alone is 0, t and w have a gradient.
    log_p = torch.where((tau == 0) & log_p.isneginf(), 0, log_p)
    rows = torch.where(valid, -(tau * log_p).sum(-1), 0)
    if reduction == "none":
        return rows
    return rows.sum() if reduction == "sum" else rows.sum() / denominator


def zero_where_nothing_counts(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """As fused kernels have it: divided by at least 1, and over all rows for their mean."""
    valid = targets != ignore_index
    index = torch.where(valid, targets, 0)
    rows = logits.logsumexp(-1) - logits.gather(-1, index[:, None])[:, 0]
    rows = torch.where(valid, rows, 0)
    if reduction == "none":
        return rows
    return rows.sum() if reduction == "sum" else rows.sum() / valid.sum().clamp(min=1)


class Destructive(torch.autograd.Function):
    """Liger's way, declared: forward leaves the gradient in the logits; backward is once."""

    @staticmethod
    def forward(ctx: Any, logits: Any, targets: Any) -> Any:
        log_p = logits.log_softmax(-1)
        loss = -log_p.gather(-1, targets[:, None])[:, 0]
        if ctx.needs_input_grad[0]:
            log_p.exp_()
            log_p[torch.arange(len(targets)), targets] -= 1
            logits.data.copy_(log_p)
        ctx.save_for_backward(logits.detach())
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Any) -> Any:
        return ctx.saved_tensors[0].mul_(u[:, None]), None


def destructive(logits: Any, targets: Any) -> Any:
    return Destructive.apply(logits, targets)


def extended(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    temperature_inverse: float = 1.0,
    lse_square_scale: float = 0.0,
    allowed: Any = None,
    reduction: str = "mean",
) -> Any:
    """cross_entropy of capped, scaled, masked logits; its z-loss is a mean over the valid rows."""
    z = logits * temperature_inverse
    if softcap is not None:
        z = softcap * torch.tanh(z / softcap)
    if allowed is not None:
        z = z.masked_fill(~allowed, -torch.inf)
    rows = functional.cross_entropy(
        z,
        targets,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )
    if not lse_square_scale:
        return rows
    valid = targets != ignore_index
    squares = lse_square_scale * torch.where(valid, z.logsumexp(-1) ** 2, 0.0)
    if reduction == "none":
        return rows + squares
    return rows + (squares.sum() if reduction == "sum" else squares.sum() / valid.sum())


def along(logits: Any, targets: Any, *, dim: int = -1, label_smoothing: float = 0.0) -> Any:
    """Rows, with the classes on ``dim``; either kind of target."""
    log_p = logits.log_softmax(dim)
    if not targets.is_floating_point():
        classes = logits.shape[dim]
        targets = functional.one_hot(targets, classes).to(logits.dtype).movedim(-1, dim)
    smoothed = (1 - label_smoothing) * targets + label_smoothing / logits.shape[dim]
    absent = logits.isneginf() & (smoothed == 0)
    return -(smoothed * torch.where(absent, 0, log_p)).sum(dim)


def z_loss_by_default(
    logits: Any, targets: Any, *, z_loss: float = 1e-4, logit_scale: float = 2.0
) -> Any:
    """Rows; the extensions are on unless they are turned off."""
    z = logits * logit_scale
    return functional.cross_entropy(z, targets, reduction="none") + z_loss * z.logsumexp(-1) ** 2


IMPLEMENTATIONS = (
    Implementation("torch-z-loss-by-default", z_loss_by_default, backend="torch"),
    Implementation(
        "torch-along",
        along,
        backend="torch",
        options=("axis", "label_smoothing"),
        rename={"axis": "dim"},
        ranks=(2, 3),
    ),
    Implementation(
        "torch-extended",
        extended,
        backend="torch",
        targets=("index",),
        rename={
            "logit_scale": "temperature_inverse",
            "z_loss": "lse_square_scale",
            "class_mask": "allowed",
        },
        dialect={"z_loss_mean": "valid"},
    ),
    Implementation(
        "torch-every-option",
        every_option,
        backend="torch",
        dialect={"class_weights": "differentiable"},
    ),
    Implementation(
        "torch-zero-where-nothing-counts",
        zero_where_nothing_counts,
        backend="torch",
        targets=("index",),
        dialect={"all_ignored_mean": "zero", "empty_mean": "zero"},
    ),
    Implementation(
        "torch-destructive",
        destructive,
        backend="torch",
        dialect={"inputs": "destroyed", "repeat_backward": "raises"},
    ),
    Implementation(
        "torch-compiled",
        torch.compile(functional.cross_entropy, backend="aot_eager"),
        backend="torch",
        targets=("index",),
        options=("ignore_index",),
        reductions=("mean",),
    ),
    Implementation("torch-plain", plain, backend="torch"),
    Implementation("torch-shifted-by-target", shifted_by_target, backend="torch"),
    Implementation("torch-borrowed-forward", borrowed, backend="torch"),
    Implementation("torch-bare-module", nn.CrossEntropyLoss(reduction="none"), backend="torch"),
    Implementation("torch-with-reduction", with_reduction, backend="torch"),
    Implementation("torch-once-differentiable", once, backend="torch"),
    Implementation("torch-twice-differentiable", twice, backend="torch"),
    Implementation("torch-module", factory=nn.CrossEntropyLoss, backend="torch"),
    Implementation(
        "torch-renamed",
        renamed,
        backend="torch",
        rename={"label_smoothing": "smoothing", "reduction": "agg", "ignore_index": "padding"},
    ),
    Implementation(
        "torch-with-z-loss", with_z_loss, backend="torch", value=lambda result: result[0]
    ),
    Implementation(
        "torch-partial",
        functools.partial(functional.cross_entropy, reduction="sum"),
        backend="torch",
        reductions=("sum",),
    ),
    Implementation("torch-instance", Smoothed("sum"), backend="torch", reductions=("sum",)),
)
