"""PyTorch mutants: compositions that autograd differentiates, and Functions with planted rules.

``Rows`` is a correct custom Function: rows of the loss for class indices or probabilities, with
a backward that can be differentiated again and a jvp. A mutant overrides one of its rules.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.nn import functional

from mutants.mutant import Registry

mutant = Registry("torch")
MUTANTS = mutant.mutants

correct = functional.cross_entropy
REFUSES = {"out_of_range": "raise"}


def distribution(logits: Any, targets: Any) -> Any:
    if targets.ndim == 2:
        return targets
    return functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)


def residual(logits: Any, t: Any) -> Any:
    """T·p − t: the gradient of the rows."""
    return t.sum(-1, keepdim=True) * logits.softmax(-1) - t


def reduced(rows: Any, reduction: str) -> Any:
    return {"none": rows, "sum": rows.sum(), "mean": rows.mean()}[reduction]


class Rows(torch.autograd.Function):
    """Correct: rows of the loss as a function of logits and target probabilities."""

    @staticmethod
    def forward(ctx: Any, logits: Any, t: Any) -> Any:
        ctx.save_for_backward(logits, t)
        ctx.save_for_forward(logits, t)
        return -(t * logits.log_softmax(-1)).sum(-1)

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        logits, t = ctx.saved_tensors
        return u[:, None] * residual(logits, t), -u[:, None] * logits.log_softmax(-1)

    @staticmethod
    def jvp(ctx: Any, tangent: Any, in_targets: Any) -> Any:
        logits, t = ctx.saved_tensors
        pushed = (residual(logits, t) * tangent).sum(-1)
        if in_targets is not None:
            pushed = pushed - (in_targets * logits.log_softmax(-1)).sum(-1)
        return pushed


def rows(function: Any, logits: Any, targets: Any, reduction: str) -> Any:
    return reduced(function.apply(logits, distribution(logits, targets)), reduction)


# --- value -----------------------------------------------------------------------------------


@mutant("value.definition", "the logits are soft-capped at 30, and this is not declared")
def soft_cap_left_on(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(30 * torch.tanh(logits / 30), targets, reduction=reduction)


@mutant("value.definition", "the maximum is taken over the rows, and differs along a row")
def maximum_of_the_column(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    shifted = logits - logits.detach().amax(0, keepdim=True)
    return correct(shifted, targets, reduction=reduction)


@mutant("value.shift-invariance", "a z-loss of 1e-4·lse² is left on")
def z_loss_left_on(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction="none") + 1e-4 * logits.logsumexp(-1) ** 2
    return reduced(loss, reduction)


@mutant(
    "value.one-hot-equals-index",
    "class 0 is padding, hard-wired, for index targets",
    origin="language models whose pad id is 0",
)
def class_zero_is_padding(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction="none")
    return reduced(loss * (targets != 0) if targets.ndim == 1 else loss, reduction)


@mutant("value.permutation", "class weights are applied in the reverse order")
def weights_reversed(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    weight = None if weight is None else weight.flip(0)
    return correct(logits, targets, weight=weight, reduction=reduction)


# --- gradient --------------------------------------------------------------------------------


@mutant("gradient.finite-difference", "lse is detached: the gradient is −t")
def lse_detached(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    lse = logits.logsumexp(-1).detach()
    return reduced(t.sum(-1) * lse - (t * logits).sum(-1), reduction)


@mutant("gradient.upstream", "backward returns the gradient of forward, whatever u is")
def upstream_ignored(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return Rows.backward(ctx, torch.ones_like(u))

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "gradient.upstream",
    "the first row's upstream scales every row",
    origin="TE#2139, Liger#968",
)
def first_upstream_for_all(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return Rows.backward(ctx, u[:1].expand_as(u))

    return rows(Mutated, logits, targets, reduction)


@mutant("gradient.upstream", "the gradient is scaled by |u|")
def sign_of_upstream_lost(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return Rows.backward(ctx, u.abs())

    return rows(Mutated, logits, targets, reduction)


@mutant("gradient.upstream", "the gradient is normalised by u and scaled again: 0/0 at u = 0")
def divides_by_upstream(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return Rows.backward(ctx, u * (u / u))

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "gradient.upstream",
    "the upstream is read with stride 1 where it is expanded with stride 0",
    origin="TE#2402",
)
def expanded_upstream_misread(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            if u.stride(0) == 0:  # a kernel would read what lies behind it
                u = torch.cat([u[:1], torch.zeros_like(u[1:])])
            return Rows.backward(ctx, u)

    return rows(Mutated, logits, targets, reduction)


@mutant("gradient.targets", "target probabilities are detached")
def targets_detached(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(logits, targets.detach(), reduction=reduction)


@mutant("gradient.targets", "backward returns None for target probabilities")
def targets_get_none(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return Rows.backward(ctx, u)[0], None

    return rows(Mutated, logits, targets, reduction)


@mutant("gradient.targets", "classes with t_j = 0 are skipped, and their gradient in t is 0")
def absent_targets_skipped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    terms = torch.where(t > 0, t * logits.log_softmax(-1), torch.zeros_like(t))
    return reduced(-terms.sum(-1), reduction)


@mutant("gradient.targets", "the gradient in the targets is that of KL: log t + 1 is added")
def targets_get_the_gradient_of_kl(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            in_logits, in_targets = Rows.backward(ctx, u)
            t = ctx.saved_tensors[1]
            return in_logits, in_targets + u[:, None] * (t.clamp(1e-12).log() + 1)

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "gradient.ties",
    "lse is folded with where(a ≥ b, a, b) + log1p(exp(−|a − b|)): at a tie one class takes all",
)
def tie_takes_all(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def fold(a: Any, b: Any) -> Any:
        return torch.where(a >= b, a, b) + torch.log1p(torch.exp(-(a - b).abs()))

    lse = functools.reduce(fold, logits.unbind(-1))
    t = distribution(logits, targets)
    return reduced(t.sum(-1) * lse - (t * logits).sum(-1), reduction)


@mutant("gradient.ties", "tied maxima are counted once in V(f)")
def tied_maxima_counted_once(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    highest = logits.amax(-1, keepdim=True)
    below = torch.where(logits < highest, (logits - highest).exp(), torch.zeros_like(logits))
    lse = highest[:, 0] + torch.log1p(below.sum(-1))
    t = distribution(logits, targets)
    return reduced(t.sum(-1) * lse - (t * logits).sum(-1), reduction)


# --- forward mode ----------------------------------------------------------------------------


@mutant("jvp.analytic", "jvp returns zeros", origin="torch 2.13 linear_cross_entropy, chunked")
def jvp_is_zero(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def jvp(ctx: Any, tangent: Any, in_targets: Any) -> Any:
            return torch.zeros_like(tangent[:, 0])

    return rows(Mutated, logits, targets, reduction)


@mutant("jvp.analytic", "jvp is −v_c: the term p·v of lse is forgotten")
def jvp_without_lse(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def jvp(ctx: Any, tangent: Any, in_targets: Any) -> Any:
            return -(ctx.saved_tensors[1] * tangent).sum(-1)

    return rows(Mutated, logits, targets, reduction)


@mutant("jvp.pairing", "jvp of the mean lacks its 1/m")
def jvp_without_one_over_m(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def jvp(ctx: Any, tangent: Any, in_targets: Any) -> Any:
            factor = len(tangent) if reduction == "mean" else 1
            return factor * Rows.jvp(ctx, tangent, in_targets)

    return rows(Mutated, logits, targets, reduction)


@mutant("jvp.pairing", "jvp sums the tangents of all rows into every row")
def jvp_mixes_rows(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def jvp(ctx: Any, tangent: Any, in_targets: Any) -> Any:
            pushed = Rows.jvp(ctx, tangent, in_targets)
            return pushed.mean().expand_as(pushed).clone()

    return rows(Mutated, logits, targets, reduction)


# --- second order ----------------------------------------------------------------------------


@mutant(
    "derivative.unsupported-raises",
    "the gradient is computed in forward and is a constant in backward: l² loses its second half",
    origin="torch 2.13 linear_cross_entropy, Liger 0.8.5",
)
def gradient_is_a_constant(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Any, t: Any) -> Any:
            ctx.save_for_backward(residual(logits, t))
            return -(t * logits.log_softmax(-1)).sum(-1)

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return u[:, None] * ctx.saved_tensors[0], None

    return rows(Mutated, logits, targets, reduction)


@mutant("derivative.unsupported-raises", "double backward reaches the upstream and not the logits")
def second_order_through_upstream_alone(
    logits: Any, targets: Any, *, reduction: str = "mean"
) -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            in_targets = -u[:, None] * logits.log_softmax(-1)
            return u[:, None] * residual(logits.detach(), t), in_targets

    return rows(Mutated, logits, targets, reduction)


class Softmax(torch.autograd.Function):
    """Correct: p, with its backward p∘(v − p·v); its mutants have a wrong Hessian."""

    @staticmethod
    def forward(ctx: Any, logits: Any) -> Any:
        p = logits.softmax(-1)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx: Any, v: Any) -> Any:
        (p,) = ctx.saved_tensors
        return p * (v - (p * v).sum(-1, keepdim=True))


def rows_with_softmax(softmax: Any, logits: Any, targets: Any, reduction: str) -> Any:
    """Rows whose first derivative uses this softmax, so that the second one uses its backward."""

    class WithSoftmax(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Any, t: Any) -> Any:
            ctx.save_for_backward(logits, t)
            return -(t * logits.log_softmax(-1)).sum(-1)

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            in_logits = t.sum(-1, keepdim=True) * softmax.apply(logits) - t
            return u[:, None] * in_logits, -u[:, None] * logits.log_softmax(-1)

    return rows(WithSoftmax, logits, targets, reduction)


@mutant("hessian.analytic", "the Hessian is diag p: the term −p pᵀ is missing")
def hessian_without_outer_product(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Softmax):
        @staticmethod
        def backward(ctx: Any, v: Any) -> Any:
            return ctx.saved_tensors[0] * v

    return rows_with_softmax(Mutated, logits, targets, reduction)


@mutant("hessian.analytic", "the Hessian is its diagonal p(1 − p): its null vector is lost")
def hessian_diagonal_alone(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Softmax):
        @staticmethod
        def backward(ctx: Any, v: Any) -> Any:
            (p,) = ctx.saved_tensors
            return p * (1 - p) * v

    return rows_with_softmax(Mutated, logits, targets, reduction)


@mutant("hessian.analytic", "p·v is taken for the mean of v: the Hessian is not symmetric")
def hessian_not_symmetric(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Softmax):
        @staticmethod
        def backward(ctx: Any, v: Any) -> Any:
            (p,) = ctx.saved_tensors
            return p * (v - v.mean(-1, keepdim=True))

    return rows_with_softmax(Mutated, logits, targets, reduction)


@mutant("hessian.finite-difference", "the Hessian has the wrong sign: curvature is negative")
def hessian_negated(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Softmax):
        @staticmethod
        def backward(ctx: Any, v: Any) -> Any:
            return -Softmax.backward(ctx, v)

    return rows_with_softmax(Mutated, logits, targets, reduction)


@mutant("hessian.finite-difference", "the second derivative of the mean is divided by m twice")
def hessian_divided_twice(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Softmax):
        @staticmethod
        def backward(ctx: Any, v: Any) -> Any:
            return Softmax.backward(ctx, v) / (len(v) if reduction == "mean" else 1)

    return rows_with_softmax(Mutated, logits, targets, reduction)


@mutant("hessian.mixed", "the gradient in the logits takes t for a constant: ∂²L/∂t∂f = 0")
def mixed_is_zero_from_the_logits(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            in_logits = u[:, None] * residual(logits, t.detach())
            return in_logits, -u[:, None] * logits.log_softmax(-1)

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "hessian.mixed",
    "the gradient in the targets takes log p for a constant: ∂²L/∂f∂t = 0",
    origin="tensorflow#26495",
)
def mixed_is_zero_from_the_targets(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            in_targets = -u[:, None] * logits.detach().log_softmax(-1)
            return u[:, None] * residual(logits, t), in_targets

    return rows(Mutated, logits, targets, reduction)


# --- reductions, batches, purity -------------------------------------------------------------


@mutant("batch.independence", "backward writes every row's gradient one row further")
def gradient_one_row_further(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            in_logits, in_targets = Rows.backward(ctx, u)
            return in_logits.roll(1, 0), in_targets

    return rows(Mutated, logits, targets, reduction)


@mutant("batch.independence", "backward normalises p over the rows")
def backward_over_the_wrong_axis(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            return u[:, None] * (logits.softmax(0) - t), None

    return rows(Mutated, logits, targets, reduction)


@mutant("batch.independence", "logits are centred on the batch's mean of each class")
def batch_normalised(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(logits - logits.mean(0, keepdim=True), targets, reduction=reduction)


@mutant("batch.shared-bias", "the gradient of the rows is centred: what they share is lost")
def shared_part_lost(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            in_logits, in_targets = Rows.backward(ctx, u)
            return in_logits - in_logits.mean(0, keepdim=True), in_targets

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "reduction.mean",
    "backward counts ignored rows in 1/m, forward does not",
    origin="TE#2476",
    targets=("index",),
)
def backward_counts_ignored_rows(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    class Mutated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, loss: Any) -> Any:
            return loss.clone()

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return u * (targets != ignore_index).to(u.dtype).mean()

    loss = correct(logits, targets, ignore_index=ignore_index, reduction=reduction)
    return Mutated.apply(loss) if reduction == "mean" else loss


@mutant("purity.global-state", "the default dtype is switched for the whole process")
def switches_default_dtype(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    torch.set_default_dtype(torch.float16)
    return correct(logits, targets, reduction=reduction)


@mutant("purity.global-state", "the global generator is drawn from")
def draws_random_numbers(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    torch.rand(1)
    return correct(logits, targets, reduction=reduction)


_THREADS = torch.get_num_threads() + 1


@mutant("purity.global-state", "the number of threads is set for the whole process")
def sets_threads(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    torch.set_num_threads(_THREADS)
    return correct(logits, targets, reduction=reduction)


@mutant(
    "reject.target-range", "an index past the end is clamped to the last class", dialect=REFUSES
)
def index_clamped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 1:
        targets = targets.clamp(0, logits.shape[1] - 1)
    return correct(logits, targets, reduction=reduction)
