"""NumPy mutants of the options: class weights, smoothing, ignored rows.

They return (loss, gradient). ``loss`` is written out step by step, and every step can be
replaced: a mutant replaces one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mutants.mutant import Registry

mutant = Registry("numpy")
MUTANTS = mutant.mutants

REFUSES = {"out_of_range": "raise"}


def one_hot(targets: Any, classes: int, dtype: Any) -> Any:
    """One-hot rows; an index that is no class gives a row of zeros."""
    return (targets[:, None] == np.arange(classes)).astype(dtype)


def smoothed(t: Any, epsilon: float) -> Any:
    return (1 - epsilon) * t + epsilon / t.shape[1]


def of_class(t: Any, weight: Any) -> Any:
    """The weights as they multiply τ: one per class, for every row."""
    return np.broadcast_to(weight, t.shape)


def weights_or_rows(t: Any, weight: Any, valid: Any, index: bool) -> Any:
    """The mean's denominator: Σ w_c of the valid rows; the number of rows for probabilities."""
    return (t * weight)[valid].sum() if index else t.dtype.type(len(t))


def is_not(targets: Any, ignore_index: int, classes: int) -> Any:
    return targets != ignore_index


def kept(gradient: Any, p: Any, valid: Any) -> Any:
    """What is left of the gradient: nothing in an ignored row."""
    return np.where(valid[:, None], gradient, 0)


def loss(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    smooth: Callable[..., Any] = smoothed,
    spread: Callable[..., Any] = of_class,
    denominator: Callable[..., Any] = weights_or_rows,
    counts: Callable[..., Any] = is_not,
    keep: Callable[..., Any] = kept,
    gradient_denominator: Callable[..., Any] | None = None,
) -> Any:
    """Correct unless a step is replaced."""
    rows, classes = logits.shape
    index = targets.ndim == 1
    valid = counts(targets, ignore_index, classes) if index else np.ones(rows, bool)
    if index and np.any(valid & ((targets < 0) | (targets >= classes))):
        raise IndexError(f"targets: class indices must lie in [0, {classes})")
    logits = np.where(valid[:, None], logits, 0)
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    p = np.exp(shifted)
    log_p = shifted - np.log(p.sum(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    t = one_hot(targets, classes, logits.dtype) if index else targets
    weights = np.ones(classes, logits.dtype) if weight is None else weight
    tau = spread(t, weights) * (smooth(t, label_smoothing) if label_smoothing else t)
    tau = np.where(valid[:, None], tau, 0).astype(logits.dtype)
    losses = -np.where(tau == 0, 0, tau * log_p).sum(axis=1)
    gradient = keep(tau.sum(axis=1, keepdims=True) * p - tau, p, valid)
    if reduction == "none":
        return losses, gradient
    if reduction == "sum":
        return losses.sum(), gradient
    den = denominator(t, weights, valid, index)
    other = den if gradient_denominator is None else gradient_denominator(t, weights, valid, index)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(gradient == 0, 0, gradient / other)
        return losses.sum() / den, scaled


def plant(clause: str, mechanism: str, name: str, *, origin: str = "", **steps: Any) -> None:
    """A mutant: ``loss`` with other steps; what is declared goes beside them."""
    declared = {key: steps.pop(key) for key in ("dialect", "reductions") if key in steps}

    def planted(
        logits: Any,
        targets: Any,
        *,
        weight: Any = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> Any:
        return loss(
            logits,
            targets,
            weight=weight,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            reduction=reduction,
            **steps,
        )

    planted.__name__ = name
    mutant(clause, mechanism, origin=origin, **declared)(planted)


# --- class weights -----------------------------------------------------------------------------

plant(
    "weight.index",
    "a weight of 0 is falsy: it is taken for no weight, which is 1",
    "zero_weight_is_no_weight",
    spread=lambda t, w: np.where(w == 0, 1, w),
)
plant(
    "weight.index",
    "the weighted mean divides by the sum of all class weights, whatever the targets are",
    "divides_by_all_class_weights",
    origin="burn#5568",
    denominator=lambda t, w, valid, index: w.sum() if index else t.dtype.type(len(t)),
)
plant(
    "weight.index",
    "the denominator is never below 1: a mean without weight is 0, and this is not declared",
    "denominator_at_least_one",
    denominator=lambda *parts: np.maximum(weights_or_rows(*parts), 1),
)
plant(
    "weight.probabilities",
    "a row of probabilities is weighted by its most probable class alone",
    "weight_of_the_likeliest_class",
    origin="pytorch#107680",
    spread=lambda t, w: w[t.argmax(axis=1)][:, None],
)
plant(
    "weight.probabilities",
    "the mean over probability targets divides by Σ w_j t_j, and this is not declared",
    "weighted_denominator_for_probabilities",
    origin="pytorch#107680",
    denominator=lambda t, w, valid, index: (t * w)[valid].sum(),
)
plant(
    "weight.probabilities",
    "weighted target probabilities are normalised again: w only shifts mass between classes",
    "weighted_targets_normalised",
    spread=lambda t, w: w / (t * w).sum(axis=1, keepdims=True) if t.max() < 1 else of_class(t, w),
)


# --- smoothing ---------------------------------------------------------------------------------

plant(
    "smoothing.definition",
    "ε/C is added, and nothing is taken away from the target",
    "smoothing_adds_mass",
    smooth=lambda t, epsilon: t + epsilon / t.shape[1],
)
plant(
    "smoothing.definition",
    "the target keeps 1−ε and only the other classes get ε/C: ε/C of the mass is lost",
    "smoothing_loses_mass",
    smooth=lambda t, epsilon: (1 - epsilon) * t + (1 - t) * epsilon / t.shape[1],
)
plant(
    "smoothing.definition",
    "ε is applied twice: by the data's collation and by the loss",
    "smoothed_twice",
    smooth=lambda t, epsilon: smoothed(smoothed(t, epsilon), epsilon),
)
plant(
    "smoothing.definition",
    "probability targets count as smooth already: ε is left out for them",
    "only_indices_are_smoothed",
    smooth=lambda t, epsilon: smoothed(t, epsilon) if np.all((t == 0) | (t == 1)) else t,
)
plant(
    "smoothing.definition",
    "declares ε/(C−1) and leaves ε/(C−1) on the target as well",
    "declared_smoothing_over_others_and_target",
    dialect={"smoothing_mass": "over-others"},
    smooth=lambda t, epsilon: (1 - epsilon) * t + epsilon / (t.shape[1] - 1),
)


@mutant(
    "smoothing.weight",
    "the smoothing term carries the weight of the target's class, not that of every class",
    origin="pytorch#73205",
)
def smoothing_weighted_by_the_target(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    def spread(t: Any, w: Any) -> Any:
        return (t * w).sum(axis=1, keepdims=True) if label_smoothing else of_class(t, w)

    return loss(
        logits,
        targets,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        spread=spread,
    )


@mutant(
    "smoothing.weight",
    "the smoothing term is weighted by the average class weight",
    origin="pytorch#69339",
)
def smoothing_weighted_by_the_average(
    logits: Any, targets: Any, *, weight: Any = None, label_smoothing: float = 0.0
) -> Any:
    hard, by_hard = loss(logits, targets, weight=weight)
    if not label_smoothing:
        return hard, by_hard
    uniform = np.full_like(logits, 1 / logits.shape[1])
    flat, by_flat = loss(logits, uniform, reduction="sum")
    index = targets.ndim == 1
    w = np.ones(logits.shape[1], logits.dtype) if weight is None else weight
    den = (one_hot(targets, logits.shape[1], logits.dtype) * w).sum() if index else len(logits)
    share = (label_smoothing * w.mean() / den).astype(logits.dtype)
    keep = 1 - label_smoothing
    return keep * hard + share * flat, keep * by_hard + share * by_flat


@mutant(
    "smoothing.ignore",
    "the smoothing term is averaged over all rows, the other over the valid ones",
    origin="pytorch#72056",
)
def smoothing_averaged_over_all_rows(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    if reduction != "mean" or targets.ndim == 2 or not label_smoothing:
        options = {"label_smoothing": label_smoothing, "reduction": reduction}
        return loss(logits, targets, ignore_index=ignore_index, **options)
    whole, by_whole = loss(
        logits, targets, ignore_index=ignore_index, label_smoothing=1.0, reduction="sum"
    )
    hard, by_hard = loss(logits, targets, ignore_index=ignore_index)
    share = logits.dtype.type(label_smoothing / max(len(targets), 1))
    keep = 1 - label_smoothing
    return keep * hard + share * whole, keep * by_hard + share * by_whole


# --- ignored rows ------------------------------------------------------------------------------


@mutant(
    "ignore.value",
    "the target of an ignored row is clamped to class 0 for the gather, and stays there",
    origin="TE#2476",
)
def ignored_row_has_the_loss_of_class_zero(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    value, gradient = loss(logits, targets, ignore_index=ignore_index, reduction=reduction)
    if targets.ndim == 2 or reduction == "mean" or not (targets == ignore_index).any():
        return value, gradient
    there = np.where(targets == ignore_index, 0, targets)
    return loss(logits, there, reduction=reduction)[0], gradient


plant(
    "ignore.gradient",
    "the one-hot row of an ignored target is all zeros, so its gradient is p",
    "ignored_row_keeps_p",
    reductions=("none", "sum"),
    keep=lambda gradient, p, valid: np.where(valid[:, None], gradient, p),
)
plant(
    "ignore.gradient",
    "ignored rows are weighted by 1e-8 in the gradient, in place of 0",
    "ignored_row_is_nearly_zero",
    keep=lambda gradient, p, valid: np.where(valid[:, None], gradient, 1e-8 * p),
)
plant(
    "ignore.count",
    "the gradient divides by all rows, the value by the valid ones",
    "gradient_counts_ignored_rows",
    origin="Paddle#48663",
    gradient_denominator=lambda t, w, valid, index: t.dtype.type(len(t)),
)
plant(
    "ignore.count",
    "one ignored row too few is left out of the count",
    "one_ignored_row_is_counted",
    denominator=lambda t, w, valid, index: (
        weights_or_rows(t, w, valid, index) + (not valid.all() and valid.any())
    ),
)
plant(
    "ignore.count",
    "the denominator sums the class weights of ignored rows whose index is a class",
    "weight_of_an_ignored_class_is_counted",
    denominator=lambda t, w, valid, index: (
        (t * w).sum() if index and t.sum() else weights_or_rows(t, w, valid, index)
    ),
)
plant(
    "ignore.any-index",
    "`if ignore_index:` — class 0 is falsy, and is never ignored",
    "class_zero_cannot_be_ignored",
    counts=lambda targets, ignored, classes: targets != ignored if ignored else targets >= 0,
)
plant(
    "ignore.any-index",
    "negative targets are ignored, whatever ignore_index is, and nothing else",
    "negative_targets_are_ignored",
    origin="chainer#2715",
    counts=lambda targets, ignored, classes: (
        targets >= 0 if ignored < classes else targets != ignored
    ),
)
plant(
    "ignore.all",
    "where no row is valid the mean divides by 1: 0, and this is not declared",
    "nothing_valid_is_zero",
    origin="Liger, Keras",
    denominator=lambda t, w, valid, index: (
        weights_or_rows(t, w, valid, index) if valid.any() or not len(t) else t.dtype.type(1)
    ),
)
plant(
    "ignore.all",
    "declares 0 for a batch without a valid row, and gives NaN",
    "declares_zero_and_gives_nan",
    dialect={"all_ignored_mean": "zero"},
)
plant(
    "ignore.all",
    "the gradient of a batch without a valid row is 0/0",
    "gradient_of_nothing_is_nan",
    keep=lambda gradient, p, valid: gradient if valid.any() else gradient * np.nan,
)


# --- all together ------------------------------------------------------------------------------


@mutant(
    "options.combined",
    "with smoothing, ignored rows and class weights together the mean divides by the valid rows",
    origin="pytorch#69339",
)
def divides_by_rows_where_all_meet(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    def rows(t: Any, w: Any, valid: Any, index: bool) -> Any:
        meet = index and label_smoothing and weight is not None and not valid.all()
        return t.dtype.type(valid.sum()) if meet else weights_or_rows(t, w, valid, index)

    return loss(
        logits,
        targets,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        denominator=rows,
    )


@mutant(
    "options.combined",
    "class weights and smoothing together go through a path that knows no in-range ignore_index",
    origin="Megatron#737",
)
def combined_path_ignores_only_negative_targets(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    def counts(targets: Any, ignored: int, classes: int) -> Any:
        together = weight is not None and label_smoothing and 0 <= ignored < classes
        return targets >= 0 if together else targets != ignored

    return loss(
        logits,
        targets,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        counts=counts,
    )
