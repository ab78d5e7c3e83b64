"""PyTorch mutants of the options: compositions and Functions that combine them wrongly."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from mutants.mutant import Registry

mutant = Registry("torch")
MUTANTS = mutant.mutants

correct = functional.cross_entropy


def parts(logits: Any, targets: Any, weight: Any, ignore_index: int) -> Any:
    """Log-probabilities, valid rows, legal indices and the weights at the targets."""
    valid = targets != ignore_index
    index = torch.where(valid, targets, 0)
    w = logits.new_ones(logits.shape[1]) if weight is None else weight
    return logits.log_softmax(-1), valid, index, w


def reduced(rows: Any, denominator: Any, reduction: str) -> Any:
    if reduction == "none":
        return rows
    return rows.sum() if reduction == "sum" else rows.sum() / denominator


# --- class weights -----------------------------------------------------------------------------


@mutant("weight.index", "class weights multiply the logits before the softmax")
def weights_on_the_logits(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    scaled = logits if weight is None else logits * weight
    return correct(scaled, targets, reduction=reduction)


@mutant("weight.index", "class weights are looked up by the number of the row, not by the class")
def weights_by_row(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    if weight is None:
        return correct(logits, targets, reduction=reduction)
    per_row = weight[torch.arange(len(logits)) % len(weight)]
    rows = per_row * correct(logits, targets, reduction="none")
    return reduced(rows, per_row.sum(), reduction)


@mutant("weight.index", "class weights are cut to integers on their way")
def weights_cut_to_integers(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    whole = None if weight is None else weight.long().to(weight.dtype)
    return correct(logits, targets, weight=whole, reduction=reduction)


@mutant("weight.probabilities", "class weights apply to index targets only")
def weights_apply_to_indices_alone(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    weight = weight if targets.ndim == 1 else None
    return correct(logits, targets, weight=weight, reduction=reduction)


@mutant(
    "weight.probabilities",
    "declares that class weights are differentiable, and detaches them",
    dialect={"class_weights": "differentiable"},
    targets=("probabilities",),
)
def declared_weights_detached(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    weight = None if weight is None else weight.detach()
    return correct(logits, targets, weight=weight, reduction=reduction) + 0 * (
        0 if weight is None else weight.sum()
    )


@mutant(
    "weight.index",
    "declares that class weights are differentiable, and holds the denominator for a constant",
    dialect={"class_weights": "differentiable"},
    targets=("index",),
)
def declared_weights_through_the_numerator_alone(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    log_p, _, index, w = parts(logits, targets, weight, -100)
    rows = -w[index] * log_p.gather(1, index[:, None])[:, 0]
    return reduced(rows, w[index].sum().detach(), reduction)


class WeightForgottenInBackward(torch.autograd.Function):
    """Rows of weighted index targets; the backward is p − t."""

    @staticmethod
    def forward(ctx: Any, logits: Any, index: Any, w: Any) -> Any:
        ctx.save_for_backward(logits, index)
        return -w[index] * logits.log_softmax(-1).gather(1, index[:, None])[:, 0]

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        logits, index = ctx.saved_tensors
        one_hot = functional.one_hot(index, logits.shape[1])
        return u[:, None] * (logits.softmax(-1) - one_hot), None, None


@mutant("weight.index", "the backward kernel knows no class weights, the forward does")
def weights_forgotten_in_backward(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    _, _, index, w = parts(logits, targets, weight, -100)
    rows = WeightForgottenInBackward.apply(logits, index, w)
    return reduced(rows, w[index].sum(), reduction)


# --- smoothing ---------------------------------------------------------------------------------


@mutant(
    "smoothing.weight",
    "the mean of the smoothing term divides by rows, that of the other term by weights",
    origin="pytorch#73205",
)
def smoothing_divides_by_rows(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    if reduction != "mean" or weight is None or targets.ndim == 2:
        return correct(
            logits, targets, weight=weight, label_smoothing=label_smoothing, reduction=reduction
        )
    smooth = -(logits.log_softmax(-1) * weight).sum() / logits.numel()
    return (1 - label_smoothing) * correct(logits, targets, weight=weight) + (
        label_smoothing * smooth
    )


class SmoothingInForward(torch.autograd.Function):
    """Rows with label smoothing; the backward is that of hard targets."""

    @staticmethod
    def forward(ctx: Any, logits: Any, index: Any, epsilon: float) -> Any:
        ctx.save_for_backward(logits, index)
        return correct(logits, index, label_smoothing=epsilon, reduction="none")

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        logits, index = ctx.saved_tensors
        one_hot = functional.one_hot(index, logits.shape[1])
        return u[:, None] * (logits.softmax(-1) - one_hot), None, None


@mutant("smoothing.definition", "ε is in the value and not in the backward rule")
def smoothing_in_the_value_alone(
    logits: Any, targets: Any, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Any:
    rows = SmoothingInForward.apply(logits, targets, label_smoothing)
    return reduced(rows, len(logits), reduction)


@mutant(
    "smoothing.ignore",
    "the smoothing term is masked in the value and flows back into ignored rows",
    origin="pytorch#72056",
)
def smoothing_flows_into_ignored_rows(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    options = {"ignore_index": ignore_index, "label_smoothing": label_smoothing}
    value = correct(logits, targets, reduction=reduction, **options)
    if targets.ndim == 2 or not label_smoothing:
        return value
    valid = targets != ignore_index
    stray = -(label_smoothing * logits.log_softmax(-1).mean(-1)) * ~valid
    return value + reduced(stray - stray.detach(), valid.sum(), reduction)


# --- ignored rows ------------------------------------------------------------------------------


class MaskInForward(torch.autograd.Function):
    """The rows × mask, and a backward that passes u on."""

    @staticmethod
    def forward(ctx: Any, rows: Any, valid: Any) -> Any:
        return rows * valid

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        return u, None


@mutant(
    "ignore.gradient",
    "ignored rows are masked in forward; backward sends them the gradient of class 0",
    origin="TE#2476",
)
def mask_in_forward_alone(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    log_p, valid, index, _ = parts(logits, targets, None, ignore_index)
    rows = MaskInForward.apply(-log_p.gather(1, index[:, None])[:, 0], valid)
    return reduced(rows, valid.sum(), reduction)


@mutant(
    "ignore.value",
    "an ignored row counts as a row of uniform targets: label smoothing with ε = 1",
)
def ignored_row_is_uniform(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    log_p, valid, index, _ = parts(logits, targets, None, ignore_index)
    rows = torch.where(valid, -log_p.gather(1, index[:, None])[:, 0], -log_p.mean(-1))
    return reduced(rows, valid.sum(), reduction)


@mutant(
    "ignore.count",
    "the denominator is the number of distinct targets that are valid",
)
def counts_distinct_targets(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    rows = correct(logits, targets, ignore_index=ignore_index, reduction="none")
    valid = targets[targets != ignore_index]
    distinct = len(valid) if (targets != ignore_index).all() else len(valid.unique()) - 1
    return reduced(rows, distinct or torch.nan, reduction)


@mutant(
    "ignore.any-index",
    "targets are clamped to [0, C) before they are compared with ignore_index",
    origin="FlagGems#5025",
)
def clamped_before_compared(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    last = logits.shape[1] - 1
    if ignore_index > last:
        targets, ignore_index = targets.clamp(0, last), ignore_index
    return correct(logits, targets, ignore_index=ignore_index, reduction=reduction)


@mutant("ignore.any-index", "an ignored class leaves the softmax of every other row as well")
def ignored_class_leaves_the_softmax(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    if 0 <= ignore_index < logits.shape[1]:
        gone = torch.arange(logits.shape[1]) == ignore_index
        logits = logits.masked_fill(gone, -1e4)
    return correct(logits, targets, ignore_index=ignore_index, reduction=reduction)


@mutant(
    "ignore.non-finite-row",
    "ignored rows are multiplied by 0: NaN stays NaN",
    origin="pytorch#11551",
)
def mask_by_multiplication(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    log_p, valid, index, _ = parts(logits, targets, None, ignore_index)
    rows = -log_p.gather(1, index[:, None])[:, 0] * valid
    return reduced(rows, valid.sum(), reduction)


@mutant("options.combined", "none drops the class weights where smoothing is on")
def weights_dropped_without_reduction(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    if label_smoothing and reduction == "none":
        weight = None
    options = {"ignore_index": ignore_index, "label_smoothing": label_smoothing}
    return correct(logits, targets, weight=weight, reduction=reduction, **options)
