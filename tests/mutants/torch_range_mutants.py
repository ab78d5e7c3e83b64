"""PyTorch mutants of range and precision: masks, clamps, filters, lower precisions on the way."""

from __future__ import annotations

from typing import Any

import torch

from mutants.mutant import Registry
from mutants.torch_mutants import Rows, correct, distribution, reduced, residual, rows

mutant = Registry("torch")
MUTANTS = mutant.mutants


# --- large logits and gaps -------------------------------------------------------------------


@mutant("stability.large-logits", "the exponentials are divided by their sum without a shift")
def softmax_without_a_shift(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    lse = logits.exp().sum(-1).log()
    return reduced(t.sum(-1) * lse - torch.where(t == 0, 0, t * logits).sum(-1), reduction)


@mutant("stability.large-logits", "logits are clamped at 1e4, where the gradient is 0")
def clamped_from_above(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(logits.clamp(max=1e4), targets, reduction=reduction)


@mutant(
    "stability.offset",
    "the target's logit is subtracted from torch.logsumexp at the logits' own magnitude",
    targets=("index",),
)
def logsumexp_minus_target(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    picked = logits.gather(-1, targets[:, None])[:, 0]
    return reduced(logits.logsumexp(-1) - picked, reduction)


@mutant("stability.gap", "nll of a logarithm of a softmax, with the infinite rows set to 0")
def infinite_rows_set_to_zero(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, p = distribution(logits, targets), logits.softmax(-1)
    log_p = torch.where(t == 0, 0, p.log())
    loss = -(t * log_p).sum(-1)
    return reduced(torch.where(loss.isinf(), 0, loss), reduction)


@mutant("stability.gap", "the loss is Huber-ised: beyond 60 it grows as a logarithm")
def huberised(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction="none")
    tail = 60 + torch.log1p((loss - 60).clamp(min=0))
    return reduced(torch.where(loss > 60, tail, loss), reduction)


@mutant("stability.per-row-shift", "the shift is a running maximum over the rows so far")
def running_maximum_over_rows(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    highest = logits.detach().amax(-1)
    highest = torch.cummax(highest, 0).values if len(highest) else highest
    shifted = logits - highest[:, None]
    lse = shifted.exp().sum(-1).log()
    return reduced(t.sum(-1) * lse - torch.where(t == 0, 0, t * shifted).sum(-1), reduction)


# --- rare and saturated classes --------------------------------------------------------------


@mutant(
    "stability.rare-class",
    "blocks of two classes whose entries are all below 2^-12 are skipped, and this is not declared",
    origin="cut-cross-entropy (which declares it)",
)
def skipped_blocks(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            gradient = residual(logits, t)
            for start in range(0, gradient.shape[-1], 2):
                block = gradient[:, start : start + 2]
                kept = block.abs().amax(-1, keepdim=True) >= 2.0**-12
                gradient[:, start : start + 2] = block * kept
            return u[:, None] * gradient, -u[:, None] * logits.log_softmax(-1)

    return rows(Mutated, logits, targets, reduction)


@mutant("stability.rare-class", "log-probabilities are floored at −60 before backward takes exp")
def floored_log_probability(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            p = torch.where(logits.isneginf(), 0, logits.log_softmax(-1).clamp(min=-60).exp())
            gradient = t.sum(-1, keepdim=True) * p - t
            return u[:, None] * gradient, -u[:, None] * logits.log_softmax(-1)

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "stability.saturated",
    "forward stores 1 − p_c as rounded, and backward scales the others by it",
)
def scaled_by_a_rounded_complement(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            p = logits.softmax(-1)
            hard = t == t.amax(-1, keepdim=True)
            others = torch.where(hard, 0, p)
            share = others / others.sum(-1, keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)
            p_c = torch.where(hard, p, 0).sum(-1, keepdim=True)
            gradient = torch.where(hard, p - t, t.sum(-1, keepdim=True) * share * (1 - p_c) - t)
            return u[:, None] * gradient, -u[:, None] * logits.log_softmax(-1)

    return rows(Mutated, logits, targets, reduction)


# --- masks and non-numbers -------------------------------------------------------------------


@mutant(
    "stability.minus-inf",
    "torch.where after log(softmax): the value is finite, the branch not taken has a NaN gradient",
    origin="the double-where trick, forgotten",
)
def where_after_the_logarithm(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    product = t * logits.softmax(-1).log()
    return reduced(-torch.where(t == 0, 0, product).sum(-1), reduction)


@mutant("stability.minus-inf", "a smoothing of ε = 0 is added as 0 times the average of log p")
def smoothing_of_zero(
    logits: Any, targets: Any, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Any:
    hard = correct(logits, targets, reduction="none")
    flat = -logits.log_softmax(-1).mean(-1)
    return reduced((1 - label_smoothing) * hard + label_smoothing * flat, reduction)


@mutant("stability.minus-inf-target", "a masked target is taken for an ignored row: value 0")
def masked_target_is_ignored(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction="none")
    return reduced(torch.where(loss.isposinf(), 0, loss), reduction)


@mutant(
    "stability.minus-inf-target",
    "declares NaN in the gradient of a masked target's row and gives numbers",
    dialect={"minus_inf_target": "nan"},
)
def declares_nan_at_a_masked_target(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(logits, targets, reduction=reduction)


@mutant("stability.non-finite", "a clamp to the largest finite number makes +inf plausible")
def infinity_clamped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    finite = logits.clamp(max=torch.finfo(logits.dtype).max / 8)
    return correct(finite, targets, reduction=reduction)


@mutant("stability.non-finite", "the mean over rows is a nanmean", reductions=("mean",))
def nanmean_over_rows(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(logits, targets, reduction="none").nanmean()


@mutant("stability.non-finite", "the gradient is clipped by the norm of the whole batch, a NaN")
def clipped_by_the_norm_of_the_batch(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            in_logits, in_targets = Rows.backward(ctx, u)
            return in_logits * (1e30 / in_logits.norm().clamp(min=1e30)), in_targets

    return rows(Mutated, logits, targets, reduction)


# --- precision -------------------------------------------------------------------------------


@mutant(
    "precision.value",
    "the target's logit is gathered from a bfloat16 copy of the logits",
    targets=("index",),
)
def target_from_a_narrow_copy(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    narrow = logits + (logits.bfloat16().to(logits.dtype) - logits).detach().nan_to_num()
    shift = logits.detach().amax(-1)
    picked = narrow.gather(-1, targets[:, None])[:, 0] - shift
    return reduced((logits - shift[:, None]).logsumexp(-1) - picked, reduction)


@mutant("precision.gradient", "p is saved for backward in bfloat16", origin="TE#3193")
def probabilities_saved_in_bfloat16(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            p = logits.softmax(-1).bfloat16().to(logits.dtype)
            gradient = t.sum(-1, keepdim=True) * p - t
            return u[:, None] * gradient, -u[:, None] * logits.log_softmax(-1)

    return rows(Mutated, logits, targets, reduction)


@mutant("precision.accumulation", "the sum over classes runs under autocast, in bfloat16")
def sum_under_autocast(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    shifted = logits - logits.detach().amax(-1, keepdim=True)
    ones = torch.ones(logits.shape[-1], 1, dtype=torch.bfloat16)
    total = (shifted.exp().bfloat16() @ ones)[:, 0].to(logits.dtype)
    exact = shifted.exp().sum(-1)
    lse = (exact + (total - exact).detach()).log()
    return reduced(t.sum(-1) * lse - torch.where(t == 0, 0, t * shifted).sum(-1), reduction)


@mutant("precision.accumulation", "a grid has 4096 programs: later rows have no gradient")
def rows_past_a_backward_grid(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            in_logits, in_targets = Rows.backward(ctx, u)
            in_logits[4096:] = 0
            return in_logits, in_targets

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "precision.accumulation",
    "bfloat16 rows are added up one by one in bfloat16, and this is not declared",
    dtypes=("bfloat16",),
    origin="pytorch#85791",
)
def rows_summed_in_their_own_dtype(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction="none")
    if reduction == "none":
        return loss
    total = loss.new_zeros(())
    for row in loss.unbind():
        total = total + row
    return total if reduction == "sum" else total / len(loss)
