"""NumPy mutants of range and precision: wrong where the numbers are large, tiny, masked or many."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck_suite.implementations.numpy_reference import softmax_nll as correct
from mutants.mutant import Registry
from mutants.numpy_mutants import cross, distribution, reduced, residual, softmax

mutant = Registry("numpy")
MUTANTS = mutant.mutants


def shifted_by(shift: Any, logits: Any, targets: Any, reduction: str) -> Any:
    """The loss with ``shift`` (N, 1) or () in the place of each row's maximum."""
    t, shifted = distribution(logits, targets), logits - shift
    with np.errstate(all="ignore"):
        exponentials = np.exp(shifted)
        totals = exponentials.sum(axis=1, keepdims=True)
        value = cross(t, shifted - np.log(totals))
        return reduced(value, residual(exponentials / totals, t), reduction)


# --- large logits ----------------------------------------------------------------------------


@mutant("stability.large-logits", "the row's mean is subtracted instead of its maximum")
def shifted_by_the_mean(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return shifted_by(logits.mean(axis=1, keepdims=True), logits, targets, reduction)


@mutant("stability.large-logits", "logits are clipped to ±1e5 for safety")
def clipped_logits(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(np.clip(logits, -1e5, 1e5), targets, reduction=reduction)


@mutant("stability.large-logits", "the maximum is kept as a 32-bit integer, which wraps at 2^31")
def maximum_as_an_integer(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    with np.errstate(invalid="ignore"):
        highest = logits.max(axis=1, keepdims=True, initial=-np.inf).astype(np.int32)
    return shifted_by(highest.astype(logits.dtype), logits, targets, reduction)


@mutant("stability.large-logits", "the maximum passes through half precision, which ends at 65504")
def maximum_in_half_precision(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    with np.errstate(over="ignore"):
        highest = logits.max(axis=1, keepdims=True, initial=-np.inf).astype(np.float16)
    return shifted_by(highest.astype(logits.dtype), logits, targets, reduction)


@mutant(
    "stability.offset",
    "lse is formed at the logits' own magnitude and the target is subtracted from it",
    origin="mlx#4169",
)
def lse_at_the_offset(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, highest = distribution(logits, targets), logits.max(axis=1, initial=-np.inf)
    lse = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    rows = t.sum(axis=1) * lse - np.where(t == 0, 0, t * logits).sum(axis=1)
    return reduced(rows, residual(softmax(logits), t), reduction)


# --- the shift of a row ----------------------------------------------------------------------


@mutant("stability.per-row-shift", "the first column is taken for the maximum")
def first_column_for_the_maximum(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return shifted_by(logits[:, :1], logits, targets, reduction)


@mutant("stability.per-row-shift", "the maximum of the first row is taken out of every row")
def maximum_of_the_first_row(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return shifted_by(logits[:1].max(axis=1, initial=-np.inf), logits, targets, reduction)


@mutant("stability.per-row-shift", "the maximum is looked for among all classes but the last")
def last_class_not_in_the_maximum(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    among = logits[:, : max(1, logits.shape[1] - 1)]
    return shifted_by(among.max(axis=1, keepdims=True), logits, targets, reduction)


@mutant("stability.per-row-shift", "the largest absolute value is taken for the maximum")
def largest_absolute_value(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    highest = np.abs(logits).max(axis=1, keepdims=True, initial=0)
    return shifted_by(highest, logits, targets, reduction)


@mutant(
    "stability.per-row-shift",
    "a running sum over blocks of classes is not rescaled when the maximum rises",
    origin="online softmax",
)
def running_sum_not_rescaled(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, highest = distribution(logits, targets), np.full(len(logits), -np.inf, logits.dtype)
    total = np.zeros(len(logits), logits.dtype)
    for start in range(0, logits.shape[1], 64):
        block = logits[:, start : start + 64]
        highest = np.maximum(highest, block.max(axis=1))
        total = total + np.exp(block - highest[:, None]).sum(axis=1)
    log_p = logits - highest[:, None] - np.log(total)[:, None]
    return reduced(cross(t, log_p), residual(softmax(logits), t), reduction)


# --- gaps ------------------------------------------------------------------------------------


@mutant("stability.gap", "the logarithm of a finished softmax: −inf where p underflows")
def logarithm_of_a_softmax(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    p, t = softmax(logits), distribution(logits, targets)
    with np.errstate(divide="ignore"):
        return reduced(cross(t, np.log(p)), residual(p, t), reduction)


@mutant("stability.gap", "p is floored at the smallest normal number: the loss stops at 87 or 708")
def floored_probability(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    p, t = softmax(logits), distribution(logits, targets)
    floor = np.finfo(logits.dtype).tiny
    return reduced(cross(t, np.log(np.maximum(p, floor))), residual(p, t), reduction)


@mutant("stability.gap", "logits are shifted by their target and not by their maximum")
def shifted_by_the_target(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    aim = np.take_along_axis(logits, t.argmax(axis=1)[:, None], axis=1)
    return shifted_by(aim, logits, targets, reduction)


@mutant("stability.gap", "a row's loss is capped at 50, so that outliers do not dominate")
def capped_loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows, gradient = correct(logits, targets, reduction="none")
    return reduced(np.minimum(rows, 50), gradient, reduction)


@mutant("stability.gap", "backward goes through p_c, and −1/p_c is infinite", targets=("index",))
def through_the_target_probability(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows, _ = correct(logits, targets, reduction="none")
    p, t = softmax(logits), distribution(logits, targets)
    p_c = (p * t).sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return reduced(rows, -1 / p_c * (p_c * (t - p)), reduction)


# --- rare and saturated classes --------------------------------------------------------------


@mutant("stability.rare-class", "p_i is formed as 1 minus the sum of the others")
def complement_of_the_others(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, _ = correct(logits, targets, reduction="none")
    p, t = softmax(logits), distribution(logits, targets)
    others = p @ (1 - np.eye(p.shape[1], dtype=p.dtype))
    return reduced(value, residual(1 - others, t), reduction)


@mutant("stability.rare-class", "the gradient is stored in fixed point, in units of 2^-40")
def fixed_point_gradient(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value, np.rint(gradient * 2.0**40).astype(logits.dtype) / logits.dtype.type(2.0**40)


@mutant("stability.rare-class", "the gradient is sparse: only the three largest entries of a row")
def three_largest_entries(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    order = np.argsort(np.abs(gradient), axis=1)[:, :-3]
    np.put_along_axis(gradient, order, 0, axis=1)
    return value, gradient


@mutant(
    "stability.rare-class",
    "declares a filter at machine epsilon/32 and filters at 1e-3",
    dialect={"gradient_filter": "eps/32"},
    origin="cut-cross-entropy's gradient filter",
)
def filters_more_than_declared(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction="none")
    return reduced(value, np.where(np.abs(gradient) < 1e-3, 0, gradient), reduction)


@mutant(
    "stability.saturated",
    "p is rounded before 1 is subtracted: the target's gradient is lost where p_c is near 1",
    origin="Liger#1268",
)
def rounded_before_one_is_subtracted(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, _ = correct(logits, targets, reduction="none")
    p, t = softmax(logits), distribution(logits, targets)
    return reduced(value, residual(p.astype(np.float16).astype(p.dtype), t), reduction)


@mutant("stability.saturated", "a row with p_c above 0.9999 is learned and has no gradient")
def learned_rows_skipped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    sure = (softmax(logits) * distribution(logits, targets)).sum(axis=1) > 0.9999
    return value, np.where(sure[:, None], 0, gradient)


# --- masks -----------------------------------------------------------------------------------


@mutant(
    "stability.minus-inf",
    "the target is picked by a product with one-hot rows: 0·(−inf) is NaN",
    targets=("index",),
)
def picked_by_a_product(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    with np.errstate(invalid="ignore"):
        rows = -(t * log_p).sum(axis=1)
    return reduced(rows, residual(softmax(logits), t), reduction)


@mutant(
    "stability.minus-inf",
    "a block whose maximum is −inf is rescaled by exp((−inf) − (−inf))",
    origin="flash-attn#1930",
)
def running_maximum_of_a_masked_block(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, highest = distribution(logits, targets), np.full(len(logits), -np.inf, logits.dtype)
    total = np.zeros(len(logits), logits.dtype)
    with np.errstate(invalid="ignore"):
        for start in range(0, logits.shape[1], 32):
            block = logits[:, start : start + 32]
            higher = np.maximum(highest, block.max(axis=1))
            total = total * np.exp(highest - higher) + np.exp(block - higher[:, None]).sum(axis=1)
            highest = higher
    log_p = logits - highest[:, None] - np.log(total)[:, None]
    return reduced(cross(t, log_p), residual(softmax(logits), t), reduction)


@mutant("stability.minus-inf", "a logit of −inf is replaced by −30: the masked class is not masked")
def mask_of_thirty(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(np.where(np.isneginf(logits), -30, logits), targets, reduction=reduction)


@mutant("stability.minus-inf", "a row that holds a masked class is left out")
def masked_rows_left_out(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows, gradient = correct(logits, targets, reduction="none")
    masked = np.isneginf(logits).any(axis=1)
    rows, gradient = np.where(masked, 0, rows), np.where(masked[:, None], 0, gradient)
    return reduced(rows, gradient, reduction)


@mutant("stability.minus-inf", "backward divides t by p for every class: 0/0 where one is masked")
def backward_divides_by_p(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows, _ = correct(logits, targets, reduction="none")
    p, t = softmax(logits), distribution(logits, targets)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_p = -t / p
        gradient = p * (by_p - np.sum(p * by_p, axis=1, keepdims=True))
    return reduced(rows, gradient, reduction)


@mutant("stability.minus-inf-target", "an infinite loss is replaced by the largest finite number")
def infinite_loss_made_finite(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows, gradient = correct(logits, targets, reduction="none")
    rows = np.where(np.isposinf(rows), np.finfo(logits.dtype).max / (4 * len(rows)), rows)
    return reduced(rows, gradient, reduction)


@mutant(
    "stability.minus-inf-target",
    "declares a gradient of 0 for a masked target and gives p − t",
    dialect={"minus_inf_target": "zero"},
)
def declares_no_gradient_at_a_masked_target(
    logits: Any, targets: Any, *, reduction: str = "mean"
) -> Any:
    return correct(logits, targets, reduction=reduction)


@mutant("stability.minus-inf-target", "the gradient of every row is divided by the batch's loss")
def scaled_by_the_loss_of_the_batch(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    total = correct(logits, targets, reduction="sum")[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return value, gradient * (total / total)


# --- no numbers ------------------------------------------------------------------------------


@mutant("stability.non-finite", "nan_to_num makes numbers of the logits")
def numbers_made_of_logits(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    finite = np.where(np.isneginf(logits), logits, np.nan_to_num(logits))
    return correct(finite, targets, reduction=reduction)


@mutant(
    "stability.non-finite",
    "fmax and nansum pass over a NaN: its class does not exist",
    origin="Liger#259",
)
def nan_passed_over(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, highest = distribution(logits, targets), np.fmax.reduce(logits, axis=1, initial=-np.inf)
    exponentials = np.exp(logits - highest[:, None])
    totals = np.nansum(exponentials, axis=1, keepdims=True)
    log_p = logits - highest[:, None] - np.log(totals)
    return reduced(cross(t, log_p), np.nan_to_num(residual(exponentials / totals, t)), reduction)


@mutant("stability.non-finite", "the batch's mean is subtracted first and carries a NaN everywhere")
def centred_over_the_batch(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    with np.errstate(invalid="ignore"):
        centred = logits - logits.sum() / np.float64(logits.size).astype(logits.dtype)
        return correct(centred, targets, reduction=reduction)


@mutant("stability.non-finite", "rows whose loss is NaN are left out of value and gradient")
def nan_rows_left_out(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    with np.errstate(invalid="ignore"):
        rows, gradient = correct(logits, targets, reduction="none")
    lost = np.isnan(rows)
    return reduced(np.where(lost, 0, rows), np.where(lost[:, None], 0, gradient), reduction)


@mutant("stability.non-finite", "the value is NaN and the gradient's NaN is written over by 0")
def nan_gradient_zeroed(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    with np.errstate(invalid="ignore"):
        value, gradient = correct(logits, targets, reduction=reduction)
    return value, np.nan_to_num(gradient)


# --- precision -------------------------------------------------------------------------------


@mutant("precision.value", "ln 2 has four digits in a logarithm to base 2")
def four_digits_of_ln_two(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, shifted = distribution(logits, targets), logits
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    log_sum = logits.dtype.type(0.6931) * np.log2(np.exp(shifted).sum(axis=1, keepdims=True))
    return reduced(cross(t, shifted - log_sum), residual(softmax(logits), t), reduction)


@mutant("precision.value", "the logarithm alone is taken in the next lower precision")
def logarithm_one_precision_lower(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    lower = np.float32 if logits.dtype == np.float64 else np.float16
    t, shifted = distribution(logits, targets), logits
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    totals = np.exp(shifted).sum(axis=1, keepdims=True)
    log_sum = np.log(totals.astype(lower)).astype(logits.dtype)
    return reduced(cross(t, shifted - log_sum), residual(softmax(logits), t), reduction)


@mutant("precision.gradient", "exp is a polynomial of degree 3 times a power of 2")
def polynomial_exponential(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, _ = correct(logits, targets, reduction="none")
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        power = np.maximum(shifted, -700) / np.log(2)
        whole = np.floor(power)
        x = (power - whole) * np.log(2)
        exponentials = np.ldexp(1 + x + x**2 / 2 + x**3 / 6, whole.astype(np.int32))
    p = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(logits.dtype)
    return reduced(value, residual(p, distribution(logits, targets)), reduction)


@mutant("precision.gradient", "1/Σ is a half-precision estimate without a Newton step")
def reciprocal_estimate(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, _ = correct(logits, targets, reduction="none")
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    totals = exponentials.sum(axis=1, keepdims=True)
    estimate = (1 / totals).astype(np.float16).astype(logits.dtype)
    return reduced(
        value, residual(exponentials * estimate, distribution(logits, targets)), reduction
    )


@mutant("precision.accumulation", "the exponentials are added up in half precision, one by one")
def sum_in_half_precision(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    totals = np.cumsum(np.exp(shifted).astype(np.float16), axis=1, dtype=np.float16)[:, -1:]
    log_p = shifted - np.log(totals).astype(logits.dtype)
    return reduced(cross(t, log_p), residual(softmax(logits), t), reduction)


@mutant(
    "precision.accumulation",
    "float16 classes are added up one by one in float16, and this is not declared",
    dtypes=("float16",),
)
def classes_summed_in_their_own_dtype(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    totals = np.cumsum(np.exp(shifted), axis=1, dtype=logits.dtype)[:, -1:]
    return reduced(cross(t, shifted - np.log(totals)), residual(softmax(logits), t), reduction)


@mutant("precision.accumulation", "blocks of 1024 classes overlap by one, which is counted twice")
def overlapping_blocks(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    exponentials = np.exp(shifted)
    starts = range(0, logits.shape[1], 1024)
    totals = sum(exponentials[:, i : i + 1025].sum(axis=1, keepdims=True) for i in starts)
    return reduced(cross(t, shifted - np.log(totals)), residual(softmax(logits), t), reduction)


@mutant("precision.accumulation", "the rows are counted in half precision, which stops at 2048")
def rows_counted_in_half_precision(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction="sum")
    if reduction != "mean":
        return correct(logits, targets, reduction=reduction)
    count = logits.dtype.type(np.cumsum(np.ones(len(logits), np.float16), dtype=np.float16)[-1])
    return value / count, gradient / count
