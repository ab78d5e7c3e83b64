"""NumPy mutants: they return (loss, gradient).

Most take the correct reference and do one thing wrong to what goes in or comes out; ``correct``
under ``none`` has the rows, and row i of its gradient is ∂L_i/∂f_i.
"""

from __future__ import annotations

import functools
import sys
import warnings
from typing import Any

import numpy as np

from gradcheck_suite.implementations.numpy_reference import softmax_nll as correct
from mutants.mutant import Registry

mutant = Registry("numpy")
MUTANTS = mutant.mutants

REFUSES = {"out_of_range": "raise"}


def softmax(logits: Any, axis: int = 1) -> Any:
    exponentials = np.exp(logits - logits.max(axis=axis, keepdims=True, initial=-np.inf))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def distribution(logits: Any, targets: Any) -> Any:
    """Target probabilities as they are, class indices as one-hot rows.

    Raises:
        IndexError: a class index is not in [0, C).
    """
    if targets.ndim == 2:
        return targets
    if np.any((targets < 0) | (targets >= logits.shape[1])):
        raise IndexError(f"targets: class indices must lie in [0, {logits.shape[1]})")
    return one_hot(logits, targets)


def one_hot(logits: Any, targets: Any) -> Any:
    """One-hot rows; an index that is no class gives a row of zeros."""
    return (targets[:, None] == np.arange(logits.shape[1])).astype(logits.dtype)


def residual(p: Any, t: Any) -> Any:
    """T·p − t: the gradient of the rows."""
    return t.sum(axis=1, keepdims=True) * p - t


def cross(t: Any, log_p: Any) -> Any:
    """−Σ t log p, where a class without mass contributes 0."""
    return -np.where(t == 0, 0, t * log_p).sum(axis=1)


def reduced(rows: Any, gradient: Any, reduction: str) -> Any:
    if reduction == "none":
        return rows, gradient
    if reduction == "sum":
        return rows.sum(), gradient
    with np.errstate(invalid="ignore"):
        return rows.sum() / np.float64(len(rows)), gradient / max(len(rows), 1)


# --- value -----------------------------------------------------------------------------------


@mutant("value.definition", "a float64 loss is computed in float32")
def through_float32(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits.astype(np.float32), targets, reduction=reduction)
    return value.astype(logits.dtype), gradient.astype(logits.dtype)


@mutant("value.definition", "p is clipped to [1e-7, 1 − 1e-7] before the logarithm", origin="Keras")
def clipped_probability(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    p, t = softmax(logits), distribution(logits, targets)
    return reduced(cross(t, np.log(np.clip(p, 1e-7, 1 - 1e-7))), residual(p, t), reduction)


@mutant("value.definition", "softmax is applied to what is already a softmax")
def softmax_twice(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    p = softmax(logits)
    value, by_p = correct(p, targets, reduction=reduction)
    return value, p * (by_p - np.sum(p * by_p, axis=1, keepdims=True))


@mutant("value.definition", "log_p[targets] picks whole rows instead of one entry of each row")
def picks_rows(logits: Any, targets: Any) -> Any:
    p, t = softmax(logits), one_hot(logits, targets)
    return -np.log(p)[targets % len(p)].mean(), (p - t) / len(p)


@mutant("value.definition", "target probabilities are hardened to their most probable class")
def hardened_targets(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    index = targets.argmax(axis=1) if targets.ndim == 2 else targets
    return correct(logits, index, reduction=reduction)


@mutant("value.definition", "class weights are normalised to mean 1 before they are used")
def normalised_weights(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    weight = None if weight is None else weight / weight.mean()
    return correct(logits, targets, weight=weight, reduction=reduction)


@mutant(
    "value.definition",
    "ε goes to the other classes, ε/(C−1), and this is not declared",
    origin="aprender#2199",
)
def smoothing_over_others(
    logits: Any, targets: Any, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Any:
    t = distribution(logits, targets)
    if label_smoothing:
        others = (1 - t) / (logits.shape[1] - 1)
        t = (1 - label_smoothing) * t + label_smoothing * others
    return correct(logits, t, reduction=reduction)


@mutant(
    "value.definition",
    "declares that ε goes to the other classes and spreads it over all",
    dialect={"smoothing_mass": "over-others"},
)
def declares_another_smoothing(
    logits: Any, targets: Any, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Any:
    return correct(logits, targets, label_smoothing=label_smoothing, reduction=reduction)


@mutant(
    "value.definition",
    "the smoothing term does not carry the class weights",
    origin="pytorch#73205",
    reductions=("none",),
)
def smoothing_without_weights(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    label_smoothing: float = 0.0,
    reduction: str = "none",
) -> Any:
    hard, by_hard = correct(logits, targets, weight=weight, reduction="none")
    uniform = np.full_like(logits, 1 / logits.shape[1])
    flat, by_flat = correct(logits, uniform, reduction="none")
    share = label_smoothing
    return (1 - share) * hard + share * flat, (1 - share) * by_hard + share * by_flat


@mutant(
    "value.definition",
    "an ignored row pays the smoothing term",
    origin="pytorch#72056",
    reductions=("none",),
)
def smoothing_paid_by_ignored_rows(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "none",
) -> Any:
    valid = targets != ignore_index
    t = distribution(logits, targets) if valid.all() else one_hot(logits, targets)
    return correct(logits, t, weight=weight, label_smoothing=label_smoothing, reduction="none")


@mutant(
    "value.likelihood",
    "the sum is −log of the product of the probabilities, which underflows",
    reductions=("sum",),
)
def logarithm_of_a_product(logits: Any, targets: Any, *, reduction: str = "sum") -> Any:
    p, t = softmax(logits), distribution(logits, targets)
    return -np.log(np.prod(p**t)), residual(p, t)


@mutant("value.likelihood", "the rows are counted in bits: log2 in place of log")
def logarithm_to_base_two(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value / np.log(2), gradient / np.log(2)


@mutant("value.non-negative", "log(p + 1e-8): a saturated row has a negative loss")
def logarithm_of_p_plus_epsilon(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    p, t = softmax(logits), distribution(logits, targets)
    return reduced(cross(t, np.log(p + 1e-8)), residual(p, t), reduction)


@mutant("value.non-negative", "p is clipped on the high side alone: no row's loss comes below 1e-7")
def clipped_on_the_high_side(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows, gradient = correct(logits, targets, reduction="none")
    return reduced(np.maximum(rows, 1e-7), gradient, reduction)


@mutant("value.non-negative", "log C is subtracted, so that chance level is 0")
def centred_on_chance(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows, gradient = correct(logits, targets, reduction="none")
    return reduced(rows - np.log(logits.shape[1]), gradient, reduction)


@mutant(
    "value.one-hot-equals-index",
    "class weights reach index targets and not target probabilities",
    origin="pytorch#107680",
    reductions=("none",),
)
def weights_for_indices_alone(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "none"
) -> Any:
    weight = weight if targets.ndim == 1 else None
    return correct(logits, targets, weight=weight, reduction=reduction)


@mutant("value.one-hot-equals-index", "the path for probabilities averages over the classes")
def averages_over_classes(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    classes = logits.shape[1] if targets.ndim == 2 else 1
    return value / classes, gradient / classes


@mutant("value.shift-invariance", "exp is taken of the logits as they are, without their maximum")
def no_shift(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, exponentials = distribution(logits, targets), np.exp(logits)
    totals = exponentials.sum(axis=1, keepdims=True)
    rows = cross(t, logits - np.log(totals))
    return reduced(rows, residual(exponentials / totals, t), reduction)


@mutant("value.shift-invariance", "the maximum is taken out of lse and not put back")
def maximum_not_put_back(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction="none")
    total = distribution(logits, targets).sum(axis=1)
    return reduced(value - total * logits.max(axis=1, initial=-np.inf), gradient, reduction)


@mutant("value.permutation", "the last class is left out of V(f)", origin="a loop to C − 1")
def last_class_dropped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, kept = distribution(logits, targets), logits[:, :-1] if logits.shape[1] > 1 else logits
    log_p = logits - np.log(np.exp(kept).sum(axis=1, keepdims=True))
    return reduced(cross(t, log_p), residual(np.exp(log_p), t), reduction)


@mutant(
    "value.permutation",
    "classes are read in blocks of 64, and the tail of the last block is masked out",
    origin="unsloth#10616, FlagGems#5025",
)
def block_tail_lost(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    whole = max(logits.shape[1] // 64 * 64, min(logits.shape[1], 64))
    t, kept = distribution(logits, targets), logits[:, :whole]
    log_p = logits - np.log(np.exp(kept).sum(axis=1, keepdims=True))
    return reduced(cross(t, log_p), residual(np.exp(log_p), t), reduction)


@mutant(
    "value.zero-times-log-zero",
    "−Σ t log p: 0·(−inf) is NaN for a masked class",
    origin="optax#896",
)
def zero_times_infinity(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    p, t = softmax(logits), distribution(logits, targets)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = -np.sum(t * np.log(p), axis=1)
    return reduced(rows, residual(p, t), reduction)


@mutant(
    "value.zero-times-log-zero",
    "a NaN is replaced after the sum over the classes: the whole row becomes 0",
)
def infinity_mended_too_late(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction="none")
    poisoned = np.isinf(logits).any(axis=1)
    return reduced(np.where(poisoned, 0, value), gradient, reduction)


# --- gradient --------------------------------------------------------------------------------


@mutant("gradient.sign", "the gradient is t − p: it climbs")
def sign_flipped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value, -gradient


@mutant("gradient.sign", "the gradient is p: the 1 is never subtracted at the target")
def target_not_subtracted(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction="none")
    return reduced(value, gradient + distribution(logits, targets), reduction)


@mutant("gradient.chain-rule", "∂p_j/∂f_i is taken for its diagonal p_i(1 − p_i) alone")
def jacobian_diagonal_alone(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, _ = correct(logits, targets, reduction="none")
    p, t = softmax(logits), distribution(logits, targets)
    return reduced(value, -t * (1 - p), reduction)


@mutant("gradient.chain-rule", "∂L/∂p_c is taken for −1 instead of −1/p_c")
def inverse_probability_forgotten(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction="none")
    p, t = softmax(logits), distribution(logits, targets)
    return reduced(value, gradient * np.sum(t * p, axis=1, keepdims=True), reduction)


@mutant("gradient.row-sum-zero", "the gradient of the last class is never written")
def last_column_not_written(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    gradient[:, -1] = 0
    return value, gradient


@mutant("gradient.row-sum-zero", "every entry of the gradient is clipped to ±0.5")
def clipped_gradient(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction="none")
    return reduced(value, np.clip(gradient, -0.5, 0.5), reduction)


@mutant("gradient.analytic", "the gradient of the last row is never written")
def last_row_not_written(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    gradient[-1:] = 0
    return value, gradient


@mutant(
    "gradient.analytic",
    "entries of the gradient below 1e-4 are filtered to 0, and this is not declared",
    origin="cut-cross-entropy's gradient filter (which declares it)",
)
def filtered_gradient(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction="none")
    return reduced(value, np.where(np.abs(gradient) < 1e-4, 0, gradient), reduction)


@mutant("gradient.analytic", "the gradient alone is rounded to half precision on its way")
def gradient_in_half_precision(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value, gradient.astype(np.float16).astype(logits.dtype)


@mutant("gradient.analytic", "an ignored row still has the gradient p", origin="flash-attn")
def ignored_row_leaks_p(
    logits: Any, targets: Any, *, ignore_index: int = -100, **options: Any
) -> Any:
    value, gradient = correct(logits, targets, ignore_index=ignore_index, **options)
    ignored = targets == ignore_index if targets.ndim == 1 else np.zeros(len(targets), bool)
    return value, np.where(ignored[:, None], softmax(logits), gradient)


@functools.cache
def _scratch(shape: tuple[int, int], dtype: Any) -> dict[str, Any]:
    return {}


@mutant("gradient.analytic", "the gradient is cached by shape and comes from an earlier call")
def stale_gradient(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value, _scratch(logits.shape, logits.dtype).setdefault(reduction, gradient)


@mutant("gradient.finite-difference", "the gradient is off by one part in ten thousand")
def slightly_too_long(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value, gradient * logits.dtype.type(1.0001)


@mutant("gradient.finite-difference", "class weights reach the value and not the gradient")
def gradient_without_weights(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    smoothing: dict[str, Any] = {"label_smoothing": label_smoothing, "reduction": reduction}
    value, _ = correct(logits, targets, weight=weight, **smoothing)
    return value, correct(logits, targets, **smoothing)[1]


@mutant("gradient.finite-difference", "label smoothing reaches the value and not the gradient")
def gradient_without_smoothing(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    weighted: dict[str, Any] = {"weight": weight, "reduction": reduction}
    value, _ = correct(logits, targets, label_smoothing=label_smoothing, **weighted)
    return value, correct(logits, targets, **weighted)[1]


@mutant(
    "gradient.unnormalised-targets",
    "the gradient is p − t where Σt ≠ 1, and the value is T·lse − Σ t f",
    origin="meganeura#102, sklearn#24515",
)
def gradient_assumes_one(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, _ = correct(logits, targets, reduction="none")
    return reduced(value, softmax(logits) - distribution(logits, targets), reduction)


@mutant(
    "gradient.unnormalised-targets",
    "the value is lse − Σ t f where Σt ≠ 1, and the gradient is T·p − t",
)
def value_assumes_one(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction="none")
    if targets.ndim == 2:
        highest = logits.max(axis=1, initial=-np.inf)
        lse = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
        value = value - (targets.sum(axis=1) - 1) * lse
    return reduced(value, gradient, reduction)


@mutant("gradient.unnormalised-targets", "targets are normalised to sum 1 before they are used")
def normalises_targets(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 2:
        targets = targets / targets.sum(axis=1, keepdims=True)
    return correct(logits, targets, reduction=reduction)


# --- reductions ------------------------------------------------------------------------------


@mutant("reduction.none", "none returns rows that are divided by their number")
def rows_already_averaged(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    rows = max(len(logits), 1) if reduction == "none" else 1
    return value / rows, gradient / rows


@mutant("reduction.none", "under none the gradient is that of the mean", origin="Liger#680")
def rows_with_the_gradient_of_the_mean(
    logits: Any, targets: Any, *, reduction: str = "mean"
) -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value, gradient / (max(len(logits), 1) if reduction == "none" else 1)


@mutant("reduction.none", "the rows keep an axis: (N, 1) in place of (N,)")
def rows_keep_an_axis(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return (value[:, None] if reduction == "none" else value), gradient


@mutant("reduction.sum", "sum returns the mean")
def sum_is_a_mean(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(logits, targets, reduction="mean" if reduction == "sum" else reduction)


@mutant("reduction.sum", "sum leaves the class weights out, none and mean do not")
def sum_without_weights(
    logits: Any, targets: Any, *, weight: Any = None, ignore_index: int = -100, reduction: str
) -> Any:
    weight = None if reduction == "sum" else weight
    return correct(logits, targets, weight=weight, ignore_index=ignore_index, reduction=reduction)


@mutant("reduction.mean", "the mean's denominator counts ignored rows", origin="TE#2476")
def ignored_rows_count(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    rows, gradient = correct(logits, targets, ignore_index=ignore_index, reduction="none")
    return reduced(rows, gradient, reduction)


@mutant(
    "reduction.mean",
    "the mean of weighted rows is divided by their number, not by their weights",
    origin="burn#5568",
)
def weights_missing_from_denominator(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    rows, gradient = correct(logits, targets, weight=weight, reduction="none")
    return reduced(rows, gradient, reduction)


@mutant(
    "reduction.mean",
    "with target probabilities the mean is divided by Σ w t, and this is not declared",
    origin="iree#24228",
)
def probabilities_divided_by_weights(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    value, gradient = correct(logits, targets, weight=weight, reduction=reduction)
    if reduction == "mean" and targets.ndim == 2 and weight is not None and len(logits):
        share = len(logits) / np.sum(targets * weight)
        return value * share, gradient * share
    return value, gradient


@mutant("reduction.mean", "the denominator is the sum of all class weights", origin="Paddle#48663")
def divided_by_all_class_weights(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    rows, gradient = correct(logits, targets, weight=weight, reduction="none")
    if reduction == "mean" and weight is not None:
        return rows.sum() / weight.sum(), gradient / weight.sum()
    return reduced(rows, gradient, reduction)


@mutant("reduction.mean", "the mean is taken over rows and classes: divided by N·C")
def divided_by_classes_too(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    entries = logits.shape[1] if reduction == "mean" else 1
    return value / entries, gradient / entries


@mutant("reduction.mean", "the mean has shape (1,) in place of ()")
def mean_keeps_an_axis(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return (np.reshape(value, 1) if reduction == "mean" else value), gradient


@mutant("reduction.mean-gradient", "the gradient of the mean lacks its 1/m", origin="TE#1879")
def missing_one_over_m(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, _ = correct(logits, targets, reduction=reduction)
    return value, correct(logits, targets, reduction="sum")[1]


@mutant("reduction.mean-gradient", "the gradient of the mean is divided by m twice")
def one_over_m_squared(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value, gradient / (max(len(logits), 1) if reduction == "mean" else 1)


# --- batches ---------------------------------------------------------------------------------


@mutant("batch.shared-bias", "the last row's gradient is overwritten by the row before it")
def last_row_overwritten(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    if len(gradient) > 1:
        gradient[-1] = gradient[-2]
    return value, gradient


@mutant("batch.independence", "the maximum of the whole batch is taken out of every row")
def shift_of_the_batch(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    shifted = logits - logits.max(initial=-np.inf)
    t, exponentials = distribution(logits, targets), np.exp(shifted)
    totals = exponentials.sum(axis=1, keepdims=True)
    rows = cross(t, shifted - np.log(totals))
    return reduced(rows, residual(exponentials / totals, t), reduction)


@mutant("batch.independence", "softmax normalises over the rows instead of the classes")
def softmax_over_rows(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    p, t = softmax(logits, axis=0), distribution(logits, targets)
    return reduced(cross(t, np.log(p)), residual(p, t), reduction)


@mutant(
    "batch.concatenation",
    "the mean over chunks of two rows is the mean of the chunks' means",
    origin="transformers#34191, torchtune#1875",
)
def mean_of_means(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    options: dict[str, Any] = {"ignore_index": ignore_index, "reduction": reduction}
    if reduction != "mean" or len(logits) <= 2:
        return correct(logits, targets, **options)
    starts = range(0, len(logits), 2)
    parts = [correct(logits[i : i + 2], targets[i : i + 2], **options) for i in starts]
    values, gradients = zip(*parts, strict=True)
    return np.mean(values), np.concatenate(gradients) / len(parts)


@mutant("batch.concatenation", "rows past the third belong to a second block that is never run")
def second_block_not_run(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows, gradient = correct(logits, targets, reduction="none")
    rows[3:], gradient[3:] = 0, 0
    return reduced(rows, gradient, reduction)


@mutant("batch.degenerate", "squeeze() takes the axis of a batch of one")
def squeezed(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return np.squeeze(value), gradient


@mutant("batch.degenerate", "a batch of no rows raises: its maximum does not exist")
def empty_batch_raises(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    assert logits.max() < np.inf
    return correct(logits, targets, reduction=reduction)


@mutant("batch.degenerate", "the mean of no rows is 0, and this is not declared")
def empty_mean_is_zero(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return (value if len(logits) else np.nan_to_num(value)), gradient


@mutant(
    "batch.degenerate",
    "declares that the mean of no rows is 0 and returns NaN",
    dialect={"empty_mean": "zero"},
)
def declares_another_empty_mean(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(logits, targets, reduction=reduction)


@mutant("batch.degenerate", "one class is taken for a sigmoid's logit")
def one_class_is_binary(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if logits.shape[1] > 1:
        return correct(logits, targets, reduction=reduction)
    p = 1 / (1 + np.exp(-logits))
    return reduced(-np.log(p)[:, 0], p - 1, reduction)


# --- rejection and purity --------------------------------------------------------------------


@mutant("reject.target-range", "an index of −1 counts from the end", dialect=REFUSES)
def negative_index_wraps(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 1:
        targets = np.where(targets == -1, logits.shape[1] - 1, targets)
    return correct(logits, targets, reduction=reduction)


@mutant(
    "reject.target-range",
    "an index that is no class is a row of zeros, and its loss is 0",
    origin="tinygrad, Keras",
    dialect=REFUSES,
)
def no_class_no_loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = one_hot(logits, targets) if targets.ndim == 1 else targets
    return correct(logits, t, reduction=reduction)


@mutant("purity.global-state", "NumPy's floating-point warnings are switched off for good")
def switches_warnings_off(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    np.seterr(all="ignore")
    return correct(logits, targets, reduction=reduction)


@mutant("purity.global-state", "NumPy's global generator is seeded")
def seeds_numpy(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    np.random.seed(0)
    return correct(logits, targets, reduction=reduction)


@mutant("purity.global-state", "a warnings filter is added and stays")
def filters_warnings(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    warnings.filterwarnings("ignore", message="overflow")
    return correct(logits, targets, reduction=reduction)


@mutant("purity.global-state", "the recursion limit is raised for the whole process")
def raises_recursion_limit(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    sys.setrecursionlimit(sys.getrecursionlimit() + 100)
    return correct(logits, targets, reduction=reduction)
