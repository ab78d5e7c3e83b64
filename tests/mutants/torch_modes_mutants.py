"""PyTorch mutants of modes: wrong under a compiler, under vmap, or for a subset of gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from mutants.mutant import Registry
from mutants.torch_mutants import Rows, distribution, reduced, residual, rows

mutant = Registry("torch")
MUTANTS = mutant.mutants

correct = functional.cross_entropy


# --- compiled --------------------------------------------------------------------------------


@mutant("mode.transformed", "compiled, the logits go through half precision")
def compiled_in_half(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if torch.compiler.is_compiling():
        return correct(logits.half().to(logits.dtype), targets, reduction=reduction)
    return correct(logits, targets, reduction=reduction)


@mutant(
    "mode.transformed",
    "the check of the targets is left out where Dynamo compiles, and the index wraps round",
    origin="pytorch#135546",
    dialect={"out_of_range": "raise"},
    targets=("index",),
)
def unchecked_when_compiled(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if torch.compiler.is_dynamo_compiling():
        targets = targets % logits.shape[-1]
    return correct(logits, targets, reduction=reduction)


@mutant("mode.transformed", "the compiled gradient lacks the target's −t: a graph break loses it")
def compiled_gradient_cut(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    picked = (t * logits).sum(-1)
    if torch.compiler.is_compiling():
        picked = picked.detach()
    return reduced(t.sum(-1) * logits.logsumexp(-1) - picked, reduction)


@mutant("mode.transformed", "a compiled call counts ignored rows in the mean")
def compiled_counts_ignored_rows(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    if torch.compiler.is_compiling() and reduction == "mean" and targets.ndim == 1:
        total = correct(logits, targets, ignore_index=ignore_index, reduction="sum")
        return total / len(targets)
    return correct(logits, targets, ignore_index=ignore_index, reduction=reduction)


# --- vmap ------------------------------------------------------------------------------------


def batch_first(array: Any, dim: int | None, size: int) -> Any:
    return array.unsqueeze(0).expand(size, *array.shape) if dim is None else array.movedim(dim, 0)


def vmapped(rule: Any, backward_rule: Any = None) -> Any:
    """A Function whose forward under vmap is ``rule(logits, t)``, both with the batch in front."""

    class Mutated(torch.autograd.Function):
        @staticmethod
        def forward(logits: Any, t: Any) -> Any:
            return -(t * logits.log_softmax(-1)).sum(-1)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            return u[:, None] * residual(logits, t), -u[:, None] * logits.log_softmax(-1)

        @staticmethod
        def vmap(info: Any, in_dims: Any, logits: Any, t: Any) -> Any:
            size = info.batch_size
            pair = (batch_first(logits, in_dims[0], size), batch_first(t, in_dims[1], size))
            return rule(*pair), 0

    return Mutated


def correct_rows(logits: Any, t: Any) -> Any:
    return -(t * logits.log_softmax(-1)).sum(-1)


@mutant("mode.transformed", "the batching rule uses the first example's targets for all")
def first_targets_under_vmap(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    function = vmapped(lambda logits, t: correct_rows(logits, t[:1].expand_as(t)))
    return rows(function, logits, targets, reduction)


@mutant("mode.transformed", "the batching rule normalises over the rows, an axis too early")
def wrong_axis_under_vmap(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    function = vmapped(lambda logits, t: -(t * logits.log_softmax(1)).sum(-1))
    return rows(function, logits, targets, reduction)


@mutant(
    "mode.transformed",
    "under vmap the keyword is lost, and an ignored row pays for class 0",
    targets=("index",),
)
def keyword_lost_under_vmap(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    if torch._C._functorch.is_batchedtensor(targets):
        return correct(logits, targets.clamp(min=0), reduction=reduction)
    return correct(logits, targets, ignore_index=ignore_index, reduction=reduction)


@mutant(
    "mode.transformed",
    "under vmap the keyword is lost, and −100 is an index out of range",
    origin="pytorch#105736",
    targets=("index",),
)
def ignored_row_raises_under_vmap(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    if torch._C._functorch.is_batchedtensor(targets):
        picked = logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0]
        return reduced(-picked, reduction)
    return correct(logits, targets, ignore_index=ignore_index, reduction=reduction)


@mutant("mode.transformed", "the mean under vmap is taken over the examples as well")
def mean_over_the_batch_under_vmap(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    function = vmapped(
        lambda logits, t: correct_rows(logits, t).mean(0, keepdim=True).expand(logits.shape[:2])
    )
    return rows(function, logits, targets, reduction)


# --- subsets of gradients --------------------------------------------------------------------


@mutant(
    "mode.partial-gradients", "the gradient in the logits is lost where the targets want one too"
)
def logits_lost_beside_targets(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            in_logits, in_targets = Rows.backward(ctx, u)
            return (None if all(ctx.needs_input_grad) else in_logits), in_targets

    return rows(Mutated, logits, targets, reduction)


@mutant("mode.partial-gradients", "needs_input_grad is read in the wrong order")
def flags_in_the_wrong_order(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            in_logits, in_targets = Rows.backward(ctx, u)
            targets_want = ctx.needs_input_grad[0]
            return in_logits, (in_targets if targets_want else torch.zeros_like(in_targets))

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "mode.partial-gradients", "targets alone get no gradient: forward saves it with the logits'"
)
def targets_alone_get_none(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.requires_grad and not logits.requires_grad:
        targets = targets.detach()
    return correct(logits, targets, reduction=reduction)


@mutant("mode.partial-gradients", "a loss that nothing is trained through is computed in half")
def half_where_nothing_learns(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if torch.is_grad_enabled() and not (logits.requires_grad or targets.requires_grad):
        logits = logits.half().to(logits.dtype)
    return correct(logits, targets, reduction=reduction)


@mutant("mode.partial-gradients", "where the targets require a gradient they are smoothed as well")
def smoothed_where_targets_learn(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    learns = targets.is_floating_point() and targets.requires_grad and logits.requires_grad
    smoothing = 0.01 if learns else 0.0
    return correct(logits, targets, label_smoothing=smoothing, reduction=reduction)
