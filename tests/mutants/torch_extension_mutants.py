"""PyTorch mutants of the extensions: compositions, and Functions that keep what they should not."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from mutants.mutant import Registry

mutant = Registry("torch")
MUTANTS = mutant.mutants

cross_entropy = functional.cross_entropy


def capped(logits: Any, softcap: float | None) -> Any:
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def reduced(rows: Any, reduction: str, count: Any) -> Any:
    if reduction == "none":
        return rows
    return rows.sum() if reduction == "sum" else rows.sum() / count


# --- the soft cap ------------------------------------------------------------------------------


@mutant("softcap.value", "the loss of a row is capped, and not the logits", targets=("index",))
def the_loss_is_capped(
    logits: Any, targets: Any, *, softcap: float | None = None, reduction: str = "mean"
) -> Any:
    rows = capped(cross_entropy(logits, targets, reduction="none"), softcap)
    return reduced(rows, reduction, len(rows))


class CapOnce(torch.autograd.Function):
    """The cap, whose backward multiplies by 1 − tanh² as by a constant."""

    @staticmethod
    def forward(ctx: Any, logits: Any, cap: float) -> Any:
        bent = torch.tanh(logits / cap)
        ctx.slope = 1 - bent * bent
        return cap * bent

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        return u * ctx.slope, None


@mutant(
    "softcap.derivatives",
    "the cap's backward keeps 1 − tanh² outside of the graph: it has no second derivative",
    targets=("index",),
)
def cap_without_curvature(
    logits: Any, targets: Any, *, softcap: float | None = None, reduction: str = "mean"
) -> Any:
    z = logits if softcap is None else CapOnce.apply(logits, softcap)
    return cross_entropy(z, targets, reduction=reduction)


class Fused(torch.autograd.Function):
    """(p − t)(1 − tanh²), computed in forward; the target's element is written by itself."""

    @staticmethod
    def forward(ctx: Any, logits: Any, targets: Any, cap: float | None) -> Any:
        z = capped(logits, cap)
        log_p = z.log_softmax(-1)
        row = torch.arange(len(targets))
        gradient = log_p.exp()
        at_target = gradient[row, targets] - 1
        if cap is not None:
            gradient = gradient * (1 - (z / cap) ** 2)
        gradient[row, targets] = at_target
        ctx.save_for_backward(gradient)
        return -log_p[row, targets]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, u: Any) -> Any:
        return ctx.saved_tensors[0] * u[:, None], None, None


@mutant(
    "softcap.gradient",
    "the target's element is rewritten after the loop over the classes, without 1 − tanh²",
    targets=("index",),
)
def target_element_uncapped(logits: Any, targets: Any, *, softcap: float | None = None) -> Any:
    return Fused.apply(logits, targets, softcap)


# --- the scale ---------------------------------------------------------------------------------


@mutant("scale.value", "the logit scale is taken for a temperature: the logits are divided by it")
def divides_by_the_scale(
    logits: Any, targets: Any, *, logit_scale: float = 1.0, reduction: str = "mean"
) -> Any:
    return cross_entropy(logits / logit_scale, targets, reduction=reduction)


@mutant("scale.value", "the scale is stored as its logarithm, and the logits multiplied by exp(s)")
def scale_is_a_logarithm(
    logits: Any, targets: Any, *, logit_scale: float = 1.0, reduction: str = "mean"
) -> Any:
    factor = 1.0 if logit_scale == 1.0 else float(torch.tensor(logit_scale).exp())
    return cross_entropy(logits * factor, targets, reduction=reduction)


@mutant(
    "scale.combined",
    "the smoothing term is the mean of −log softmax of the logits before they were scaled",
    targets=("index",),
)
def smoothing_of_the_unscaled(
    logits: Any,
    targets: Any,
    *,
    label_smoothing: float = 0.0,
    logit_scale: float = 1.0,
    reduction: str = "mean",
) -> Any:
    hard = cross_entropy(logits * logit_scale, targets, reduction="none")
    rows = (1 - label_smoothing) * hard - label_smoothing * logits.log_softmax(-1).mean(-1)
    return reduced(rows, reduction, len(rows))


# --- the z-loss --------------------------------------------------------------------------------


def with_z_loss(
    logits: Any, targets: Any, ignore_index: int, weight: float, lse: Any, reduction: str
) -> Any:
    """Rows of index targets and λ·lse², over the valid ones."""
    valid = targets != ignore_index
    rows = cross_entropy(logits, targets, ignore_index=ignore_index, reduction="none")
    rows = rows + weight * torch.where(valid, lse**2, 0.0)
    return reduced(rows, reduction, valid.sum())


@mutant("z-loss.off", "λ = 0 is falsy: the default of 1e-4 stands in for it", targets=("index",))
def z_loss_is_never_off(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    z_loss: float | None = None,
    reduction: str = "mean",
) -> Any:
    weight = 0.0 if z_loss is None else z_loss or 1e-4
    return with_z_loss(logits, targets, ignore_index, weight, logits.logsumexp(-1), reduction)


@mutant(
    "z-loss.gradient",
    "the z-loss is a figure for the log: computed without gradient tracking, and then added",
    targets=("index",),
)
def z_loss_without_gradient(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    z_loss: float = 0.0,
    reduction: str = "mean",
) -> Any:
    lse = logits.detach().logsumexp(-1)
    return with_z_loss(logits, targets, ignore_index, z_loss, lse, reduction)


@mutant(
    "z-loss.combined",
    "the z-loss is that of the logits before the cap",
    targets=("index",),
)
def z_loss_of_the_uncapped(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    softcap: float | None = None,
    z_loss: float = 0.0,
    reduction: str = "mean",
) -> Any:
    lse = logits.logsumexp(-1)
    z = capped(logits, softcap)
    return with_z_loss(z, targets, ignore_index, z_loss, lse, reduction)


class SquareOnce(torch.autograd.Function):
    """lse², whose backward has kept lse as a number."""

    @staticmethod
    def forward(ctx: Any, logits: Any) -> Any:
        lse = logits.logsumexp(-1)
        ctx.lse = lse
        ctx.save_for_backward(logits)
        return lse**2

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        (logits,) = ctx.saved_tensors
        return (2 * u * ctx.lse)[:, None] * logits.softmax(-1)


@mutant(
    "z-loss.derivatives",
    "the z-loss keeps lse as a number: its Hessian lacks p pᵀ",
    targets=("index",),
)
def z_loss_of_a_kept_lse(logits: Any, targets: Any, *, z_loss: float = 0.0) -> Any:
    rows = cross_entropy(logits, targets, reduction="none")
    return rows + z_loss * SquareOnce.apply(logits)


# --- masks over classes ------------------------------------------------------------------------


@mutant("mask.value", "the mask multiplies the logits: a masked class has the logit 0")
def mask_times_logits(
    logits: Any, targets: Any, *, class_mask: Any = None, reduction: str = "mean"
) -> Any:
    if class_mask is not None:
        logits = logits * class_mask
    return cross_entropy(logits, targets, reduction=reduction)


@mutant(
    "mask.value",
    "probabilities are masked after the softmax, and not normalised again",
    targets=("index",),
)
def mask_times_probabilities(
    logits: Any, targets: Any, *, class_mask: Any = None, reduction: str = "mean"
) -> Any:
    log_p = logits.log_softmax(-1)
    if class_mask is not None:
        log_p = log_p.masked_fill(~class_mask, -torch.inf)
    return functional.nll_loss(log_p, targets, reduction=reduction)


@mutant(
    "mask.combined",
    "the mask is −inf before the cap, so −cap after it",
    targets=("index",),
)
def mask_before_the_cap(
    logits: Any,
    targets: Any,
    *,
    softcap: float | None = None,
    class_mask: Any = None,
    reduction: str = "mean",
) -> Any:
    if class_mask is not None:
        logits = logits.masked_fill(~class_mask, -torch.inf)
    return cross_entropy(capped(logits, softcap), targets, reduction=reduction)


@mutant(
    "mask.non-finite",
    "−inf is added to masked logits, and NaN or +inf plus that is NaN",
    targets=("index",),
)
def mask_is_added(
    logits: Any, targets: Any, *, class_mask: Any = None, reduction: str = "mean"
) -> Any:
    if class_mask is not None:
        logits = logits + torch.where(class_mask, 0.0, -torch.inf).to(logits.dtype)
    return cross_entropy(logits, targets, reduction=reduction)


# --- the axis of the classes -------------------------------------------------------------------


@mutant(
    "axis.middle",
    "logits are reshaped to rows before their classes are moved behind",
    targets=("index",),
    options=("axis",),
    ranks=(2, 3),
)
def reshaped_and_not_moved(logits: Any, targets: Any, *, axis: int = -1) -> Any:
    if logits.ndim == 2:
        logits = logits.movedim(axis, -1)
    rows = logits.reshape(-1, logits.shape[axis] if logits.ndim > 2 else logits.shape[-1])
    return cross_entropy(rows, targets.reshape(-1), reduction="none").reshape(targets.shape)


@mutant(
    "axis.first",
    "the softmax is over the last axis, and the target is looked up along the given one",
    targets=("index",),
    options=("axis",),
)
def target_along_the_axis_alone(
    logits: Any, targets: Any, *, axis: int = -1, reduction: str = "mean"
) -> Any:
    log_p = logits.log_softmax(-1)
    rows = -log_p.gather(axis, targets.unsqueeze(axis)).squeeze(axis)
    return reduced(rows, reduction, len(rows))
