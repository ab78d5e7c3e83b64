"""NumPy mutants of purity: what homework does to its arguments, and keeps between calls."""

from __future__ import annotations

import gc
import os
import random
from typing import Any

import numpy as np

from gradcheck_suite.implementations.numpy_reference import softmax_nll as correct
from mutants.mutant import Registry

mutant = Registry("numpy")
MUTANTS = mutant.mutants


# --- inputs ----------------------------------------------------------------------------------


@mutant("purity.inputs", "the maximum is taken out of the logits in place")
def shifts_in_place(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    logits -= logits.max(axis=1, keepdims=True, initial=-np.inf)
    return correct(logits, targets, reduction=reduction)


@mutant("purity.inputs", "the gradient is returned in the logits' own memory")
def gradient_in_the_logits(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    logits[...] = gradient
    return value, logits


@mutant(
    "purity.inputs", "target probabilities are smoothed in place, by one unit in the last place"
)
def nudges_targets(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    result = correct(logits, targets, reduction=reduction)
    if targets.ndim == 2:
        np.nextafter(targets, 1, out=targets)
    return result


@mutant("purity.inputs", "ignored targets are replaced by class 0, in the caller's array")
def ignored_targets_written(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    result = correct(logits, targets, ignore_index=ignore_index, reduction=reduction)
    if targets.ndim == 1:
        targets[targets == ignore_index] = 0
    return result


@mutant("purity.inputs", "class weights are normalised in the caller's array, after use")
def weights_scaled_in_place(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    result = correct(logits, targets, weight=weight, reduction=reduction)
    if weight is not None:
        weight /= weight.sum()
    return result


@mutant(
    "purity.inputs",
    "declares that it destroys the logits, and sorts the targets as well",
    dialect={"inputs": "destroyed"},
)
def destroys_more_than_declared(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    logits[...] = 0
    targets.sort(axis=0)
    return value, gradient


# --- repetition ------------------------------------------------------------------------------

_BY_ADDRESS: dict[Any, Any] = {}
_BY_SUM: dict[Any, Any] = {}
_BUFFERS: dict[Any, Any] = {}
_CALLS: dict[Any, int] = {}


@mutant("purity.repeat", "softmax is cached by the identity of the logits, not by their contents")
def cached_by_identity(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    # The array is kept, so that no other can be given its address meanwhile.
    kept, copy = _BY_ADDRESS.setdefault(id(logits), (logits, logits.copy()))
    return correct(copy if kept is logits else logits, targets, reduction=reduction)


@mutant("purity.repeat", "targets are cached by a checksum that a permutation leaves as it is")
def targets_cached_by_checksum(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    key = (logits.shape, targets.shape, logits.dtype.name, float(targets.sum()), targets.dtype.name)
    return correct(logits, _BY_SUM.setdefault(key, targets.copy()), reduction=reduction)


@mutant("purity.repeat", "the gradient lives in one buffer per shape: the next call overwrites it")
def gradient_in_a_workspace(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    buffer = _BUFFERS.setdefault((logits.shape, logits.dtype), np.empty_like(gradient))
    buffer[...] = gradient
    return value, buffer


@mutant("purity.repeat", "the gradient accumulates over the calls, as .grad does")
def gradient_accumulates(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    last = _BUFFERS.get(("sum", logits.shape, logits.dtype))
    _BUFFERS[("sum", logits.shape, logits.dtype)] = gradient
    return value, gradient if last is None else gradient + last


# --- determinism -----------------------------------------------------------------------------


@mutant(
    "purity.determinism", "noise of one rounding is added to the gradient, from its own entropy"
)
def noise_below_the_bound(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    steps = np.random.default_rng().integers(0, 2, gradient.shape)
    return value, np.where(steps, np.nextafter(gradient, 2), gradient)


@mutant("purity.determinism", "the rows are summed from the front and from the back by turns")
def order_of_the_sum_alternates(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    calls = _CALLS["sum"] = _CALLS.get("sum", 0) + 1
    rows, gradient = correct(logits, targets, reduction="none")
    rows = rows if calls % 2 else np.nextafter(rows, np.inf)
    if reduction == "none":
        return rows, gradient
    scale = len(rows) if reduction == "mean" else 1
    return rows.sum() / np.float64(scale), gradient / max(scale, 1)


# --- global state ----------------------------------------------------------------------------


@mutant("purity.global-state", "Python's generator is drawn from")
def draws_from_random(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    random.random()
    return correct(logits, targets, reduction=reduction)


@mutant("purity.global-state", "an environment variable is set for the whole process")
def sets_the_environment(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    os.environ["LOSS_CALLS"] = str(int(os.environ.get("LOSS_CALLS", "0")) + 1)
    return correct(logits, targets, reduction=reduction)


@mutant("purity.global-state", "garbage collection is switched off and not on again")
def switches_collection_off(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    gc.disable()
    return correct(logits, targets, reduction=reduction)


@mutant("purity.global-state", "arrays are printed with three digits from now on")
def prints_three_digits(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    np.set_printoptions(precision=3)
    return correct(logits, targets, reduction=reduction)
