"""PyTorch mutants of layout and rejection: Functions that trust strides, sizes or ranks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from mutants.mutant import Registry
from mutants.torch_mutants import (
    REFUSES,
    Rows,
    correct,
    distribution,
    reduced,
    residual,
    rows,
)

mutant = Registry("torch")
MUTANTS = mutant.mutants


def read(tensor: Any, strides: tuple[int, ...], offset: int | None = None) -> Any:
    """What a kernel with these strides reads; past the end of the storage it starts again."""
    flat = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
    places = torch.tensor(tensor.storage_offset() if offset is None else offset)
    for axis, stride in enumerate(strides):
        along = torch.arange(tensor.shape[axis]) * stride
        places = places[..., None] + along
    return flat[places % max(len(flat), 1)]


def with_backward(backward: Any) -> Any:
    """Rows with this backward: (logits, t, u) → gradient in the logits."""

    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            return backward(logits, t, u), -u[:, None] * logits.log_softmax(-1)

    return Mutated


# --- layout.strided --------------------------------------------------------------------------


@mutant(
    "layout.strided",
    "the gradient is written into a contiguous copy, and the logits are returned for it",
    origin="Liger 0.8.5 (transposed logits)",
)
def logits_returned_for_the_gradient(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Any, t: Any) -> Any:
            work = logits if logits.is_contiguous() else logits.contiguous()
            ctx.save_for_backward(residual(work, t) if work is logits else logits)
            return -(t * logits.log_softmax(-1)).sum(-1)

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return u[:, None] * ctx.saved_tensors[0], None

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "layout.strided",
    "an upstream other than 1 is multiplied into the saved gradient as if its rows were adjacent",
    origin="Liger 0.8.4 (fused linear cross-entropy, transposed features)",
)
def upstream_multiplied_in_order(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if reduction == "none" or targets.ndim == 2:
        return correct(logits, targets, reduction=reduction)

    class Mutated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Any) -> Any:
            rows = len(logits) if reduction == "mean" else 1
            gradient = residual(logits, distribution(logits, targets)) / rows
            ctx.save_for_backward(torch.empty_like(logits).copy_(gradient))
            return correct(logits, targets, reduction=reduction)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, u: Any) -> Any:
            gradient = ctx.saved_tensors[0].clone(memory_format=torch.preserve_format)
            if u != 1 and gradient.numel():
                memory = gradient.as_strided((gradient.numel(),), (1,))
                for start in range(0, len(gradient) * gradient.stride(0), gradient.stride(0)):
                    memory[start : start + gradient.shape[1]] *= u
            return gradient

    return Mutated.apply(logits)


@mutant("layout.strided", "backward reads the saved logits as if they were contiguous")
def saved_logits_read_in_order(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        return u[:, None] * residual(read(f, (f.shape[1], 1)), t)

    return rows(with_backward(backward), logits, targets, reduction)


@mutant("layout.strided", "a kernel is handed stride(0), and takes the classes to be adjacent")
def stride_of_the_rows_alone(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def forward(ctx: Any, logits: Any, t: Any) -> Any:
            return Rows.forward(ctx, read(logits, (logits.stride(0), 1)), t)

    return rows(Mutated, logits, targets, reduction)


@mutant("layout.strided", "data_ptr of the storage is taken, without the offset of the view")
def storage_offset_ignored(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def forward(ctx: Any, logits: Any, t: Any) -> Any:
            return Rows.forward(ctx, read(logits, logits.stride(), 0), t)

    return rows(Mutated, logits, targets, reduction)


@mutant("layout.strided", "the rows of expanded logits are turned into probabilities in place")
def expanded_rows_in_place(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Any, t: Any) -> Any:
            work = logits if logits.stride(0) == 0 else logits.clone()
            p = torch.stack([row.copy_(row.softmax(-1)).clone() for row in work.unbind(0)])
            ctx.save_for_backward(t.sum(-1, keepdim=True) * p - t)
            return -(t * p.log()).sum(-1)

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return u[:, None] * ctx.saved_tensors[0], None

    return rows(Mutated, logits, targets, reduction)


@mutant("layout.strided", "the gradient is in C order, and its strides are those of the logits")
def gradient_with_foreign_strides(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        gradient = (u[:, None] * residual(f, t)).contiguous()
        dense = f.numel() == 1 + sum((n - 1) * s for n, s in zip(f.shape, f.stride(), strict=True))
        return gradient.as_strided(f.shape, f.stride()) if dense else gradient

    return rows(with_backward(backward), logits, targets, reduction)


@mutant("layout.strided", "logits that are a view have their gradient accumulated twice")
def gradient_of_a_view_twice(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if logits.grad_fn is not None:
        logits.register_hook(lambda gradient: gradient + gradient)
    return correct(logits, targets, reduction=reduction)


# --- layout.targets-strided ------------------------------------------------------------------


@mutant("layout.targets-strided", "the upstream is read from its storage with stride 1")
def upstream_read_in_order(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        return read(u, (1,))[:, None] * residual(f, t)

    return rows(with_backward(backward), logits, targets, reduction)


@mutant("layout.targets-strided", "class weights are taken from the start of their storage")
def weights_from_the_start(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    weight = None if weight is None else read(weight, (1,), 0)
    return correct(logits, targets, weight=weight, reduction=reduction)


@mutant("layout.targets-strided", "the gradient in transposed targets comes back untransposed")
def gradient_in_targets_untransposed(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            in_logits, in_targets = Rows.backward(ctx, u)
            t = ctx.saved_tensors[1]
            if not t.is_contiguous():
                in_targets = in_targets.t().reshape(t.shape)
            return in_logits, in_targets

    return rows(Mutated, logits, targets, reduction)


@mutant("layout.targets-strided", "rows of target probabilities are taken to be C apart")
def targets_taken_to_be_dense(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 2:
        targets = read(targets.detach(), (targets.shape[1], targets.stride(1)))
    return correct(logits, targets, reduction=reduction)


# --- layout.sizes ----------------------------------------------------------------------------


@mutant("layout.sizes", "partial sums of blocks of 1024 are added without being rescaled")
def blocks_not_rescaled(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    blocks = [block.detach().amax(-1, keepdim=True) for block in logits.split(1024, -1)]
    shifted = [b - top for b, top in zip(logits.split(1024, -1), blocks, strict=True)]
    total = sum(block.exp().sum(-1) for block in shifted)
    lse = blocks[0][:, 0] + torch.log(total)
    if targets.ndim == 1:
        targets = functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)
    return reduced(targets.sum(-1) * lse - (targets * logits).sum(-1), reduction)


@mutant("layout.sizes", "backward leaves out what remains after warps of 32 classes")
def tail_without_gradient(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        gradient = u[:, None] * residual(f, t)
        if f.shape[1] > 32:
            gradient[:, f.shape[1] // 32 * 32 :] = 0
        return gradient

    return rows(with_backward(backward), logits, targets, reduction)


@mutant("layout.sizes", "a grid of 1024 programs: rows past them keep the loss 0")
def rows_past_the_grid(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction="none")
    inside = torch.arange(len(loss), device=loss.device) < 1024
    return reduced(torch.where(inside, loss, torch.zeros_like(loss)), reduction)


@mutant("layout.sizes", "beyond 1024 classes the last one takes part in the maximum only")
def last_class_of_many(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if logits.shape[-1] <= 1024:
        return correct(logits, targets, reduction=reduction)
    if targets.ndim == 1:
        targets = functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)
    lse = logits[:, :-1].logsumexp(-1)
    return reduced(targets.sum(-1) * lse - (targets * logits).sum(-1), reduction)


@mutant("layout.sizes", "the mean of the logits, which ε is for, is over whole blocks of 128")
def smoothing_over_whole_blocks(
    logits: Any, targets: Any, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Any:
    whole = logits.shape[-1] // 128 * 128
    if not label_smoothing or not whole:
        return correct(logits, targets, label_smoothing=label_smoothing, reduction=reduction)
    log_p = logits.log_softmax(-1)
    uniform = -log_p[:, :whole].sum(-1) / logits.shape[-1]
    plain = correct(logits, targets, reduction="none")
    return reduced((1 - label_smoothing) * plain + label_smoothing * uniform, reduction)


# --- layout.rank -----------------------------------------------------------------------------

DEEP = {"ranks": (1, 2, 3), "class_axis": 1}


@mutant("layout.rank", "log_softmax runs over the last axis, whatever is there", **DEEP)
def softmax_over_the_last_axis(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    log_p = logits.log_softmax(-1)
    if targets.ndim == logits.ndim:
        return reduced(-(targets * log_p).sum(min(1, logits.ndim - 1)), reduction)
    return functional.nll_loss(log_p, targets, reduction=reduction)


@mutant("layout.rank", "(N, C, d) is reshaped to (−1, C) with its axes as they were", **DEEP)
def reshaped_without_a_swap(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if logits.ndim < 3:
        return correct(logits, targets, reduction=reduction)
    flat = logits.reshape(-1, logits.shape[1])
    kind = flat.shape if targets.ndim == logits.ndim else flat.shape[:1]
    loss = correct(flat, targets.reshape(kind), reduction=reduction)
    return loss.reshape(len(logits), *logits.shape[2:]) if reduction == "none" else loss


@mutant(
    "layout.rank",
    "ε is spread over the positions in the place of the classes",
    origin="Keras 3.15.1",
    **DEEP,
)
def smoothing_over_positions(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    keywords: dict[str, Any] = {"ignore_index": ignore_index, "reduction": reduction}
    plain = correct(logits, targets, **keywords)
    if not label_smoothing:
        return plain
    smoothed = correct(logits, targets, label_smoothing=label_smoothing, **keywords)
    if logits.ndim < 3:
        return smoothed
    uniform = (smoothed - (1 - label_smoothing) * plain) * logits.shape[1]
    return (1 - label_smoothing) * plain + uniform / logits.shape[-1]


@mutant("layout.rank", "class weights are left out where there are positions", **DEEP)
def weights_of_two_axes_alone(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    weight = weight if logits.ndim < 3 else None
    keywords: dict[str, Any] = {"ignore_index": ignore_index, "reduction": reduction}
    return correct(logits, targets, weight=weight, **keywords)


@mutant("layout.rank", "ignored positions count in the mean of (N, d)", targets=("index",), **DEEP)
def ignored_positions_count(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    if reduction != "mean" or logits.ndim < 3:
        return correct(logits, targets, ignore_index=ignore_index, reduction=reduction)
    total = correct(logits, targets, ignore_index=ignore_index, reduction="sum")
    return total / math.prod(targets.shape)


@mutant("layout.rank", "the gradient in (N, C, d) targets is summed over the positions", **DEEP)
def gradient_in_targets_summed(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 3 and targets.requires_grad:
        targets.register_hook(lambda u: u.sum(-1, keepdim=True).expand_as(u))
    return correct(logits, targets, reduction=reduction)


@mutant("layout.rank", "logits of one observation are given a batch axis, and keep it", **DEEP)
def batch_axis_kept(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if logits.ndim == 1:
        logits, targets = logits[None], targets[None]
    return correct(logits, targets, reduction=reduction)


# --- layout.dtypes ---------------------------------------------------------------------------


@mutant("layout.dtypes", "the loss is accumulated in float64, and returned so")
def returned_in_float64(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 2:
        targets = targets.double()
    return correct(logits.double(), targets, reduction=reduction)


# --- rejection -------------------------------------------------------------------------------


@mutant("reject.shape", "targets are flattened, and gather takes fewer of them than rows")
def fewer_targets_gathered(logits: Any, targets: Any) -> Any:
    index = targets.reshape(-1)[: len(logits)]
    return -logits.log_softmax(-1).gather(-1, index[:, None]).mean()


@mutant("reject.dtype", "targets.long() rounds class indices down", dialect=REFUSES)
def indices_made_long(logits: Any, targets: Any) -> Any:
    return correct(logits, targets.long())


@mutant("reject.reduction", "an unknown reduction gives the sum")
def unknown_reduction_sums(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction="none")
    return {"none": loss, "mean": loss.mean()}.get(reduction, loss.sum())
