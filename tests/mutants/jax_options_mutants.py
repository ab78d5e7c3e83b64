"""JAX mutants of the options: out-of-range gathers, masks, and what a tracer makes of them."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from mutants.mutant import Registry

mutant = Registry("jax")
MUTANTS = mutant.mutants


def rows(logits: Any, targets: Any, valid: Any, weight: Any = None) -> Any:
    """Rows of index targets and their weights; ignored rows are 0."""
    index = jnp.where(valid, targets, 0)
    log_p = jax.nn.log_softmax(jnp.where(valid[:, None], logits, 0), axis=-1)
    w = jnp.ones(logits.shape[1:], logits.dtype) if weight is None else weight
    scale = jnp.where(valid, w[index], 0)
    return -scale * jnp.take_along_axis(log_p, index[:, None], axis=-1)[:, 0], scale


def reduced(values: Any, denominator: Any, reduction: str) -> Any:
    if reduction == "none":
        return values
    return jnp.sum(values) if reduction == "sum" else jnp.sum(values) / denominator


@mutant(
    "weight.index",
    "class weights are exponents: log-weights are added to the logits (balanced softmax)",
    targets=("index",),
)
def balanced_softmax(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    if weight is not None:
        logits = logits + jnp.log(jnp.maximum(weight, 1e-3))
    valid = jnp.ones(targets.shape, bool)
    values, scale = rows(logits, targets, valid)
    return reduced(values, scale.sum(), reduction)


@mutant(
    "ignore.any-index",
    "the gather of an index past the last class is NaN, and NaN times the mask's 0 is NaN",
    targets=("index",),
)
def gather_past_the_end(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    valid = targets != ignore_index
    index = jnp.maximum(targets, 0)
    log_p = jax.nn.log_softmax(logits, axis=-1)
    mask = valid.astype(logits.dtype)
    values = -jnp.take_along_axis(log_p, index[:, None], axis=-1, mode="fill")[:, 0] * mask
    return reduced(values, mask.sum(), reduction)


@mutant(
    "ignore.any-index",
    "the weight of an ignored index past the last class is that of the last class, and is counted",
    targets=("index",),
)
def weight_gather_clamps(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    valid = targets != ignore_index
    values, scale = rows(logits, targets, valid, weight)
    if weight is None or ignore_index < logits.shape[1]:
        return reduced(values, scale.sum(), reduction)
    return reduced(values, jnp.take(weight, targets, mode="clip").sum(), reduction)


@functools.cache
def _first_ignored() -> dict[str, int]:
    return {}


@mutant(
    "ignore.any-index",
    "ignore_index is a constant of the first trace: later ones are not looked at",
    targets=("index",),
)
def ignore_index_of_the_first_trace(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    first = _first_ignored().setdefault("ignore_index", ignore_index)
    values, scale = rows(logits, targets, targets != first)
    return reduced(values, scale.sum(), reduction)


@mutant(
    "ignore.gradient",
    "the loss of an ignored row is subtracted again under stop_gradient: its gradient stays",
    targets=("index",),
)
def ignored_value_subtracted(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    valid = targets != ignore_index
    every, _ = rows(logits, jnp.where(valid, targets, 0), jnp.ones_like(valid))
    values = every - jax.lax.stop_gradient(jnp.where(valid, 0, every))
    return reduced(values, valid.sum(), reduction)


@mutant(
    "ignore.count",
    "the valid rows are counted once for a size of batch, and later batches borrow the count",
    targets=("index",),
)
def count_of_an_earlier_batch(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    valid = targets != ignore_index
    values, _ = rows(logits, targets, valid)
    counts = _counts_by_size()
    count = counts.setdefault(len(targets), int(valid.sum()) or 1)
    return reduced(values, count, reduction)


@functools.cache
def _counts_by_size() -> dict[int, int]:
    return {}


@mutant(
    "smoothing.ignore",
    "with smoothing an in-range ignored class is left out of the uniform distribution",
    origin="fairseq's padding_idx",
    targets=("index",),
)
def ignored_class_gets_no_smoothing(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    valid = targets != ignore_index
    values, _ = rows(logits, targets, valid)
    log_p = jax.nn.log_softmax(logits, axis=-1)
    spread = jnp.arange(logits.shape[1]) != ignore_index
    flat = jnp.where(valid, -jnp.where(spread, log_p, 0).sum(-1) / logits.shape[1], 0)
    values = (1 - label_smoothing) * values + label_smoothing * flat
    return reduced(values, valid.sum(), reduction)


@mutant(
    "options.combined",
    "under sum the options are taken for mean's: weights are normalised by their sum",
    origin="Megatron#737",
    targets=("index",),
)
def sum_of_normalised_weights(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    valid = targets != ignore_index
    values, scale = rows(logits, targets, valid, weight)
    if reduction == "sum" and weight is not None and not bool(valid.all()):
        return jnp.sum(values) * valid.sum() / scale.sum()
    return reduced(values, scale.sum(), reduction)
