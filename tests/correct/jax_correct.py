"""JAX losses as users write them: custom rules, jit, partial evaluation."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from gradcheck_suite.implementation import Implementation


def composed(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """Probability targets, T·lse − Σ t f."""
    lse = jax.nn.logsumexp(logits, axis=-1)
    rows = jnp.sum(targets, axis=-1) * lse - jnp.sum(targets * logits, axis=-1)
    return _reduced(rows, reduction)


@jax.custom_vjp
def _rows(logits: Any, t: Any) -> Any:
    return -jnp.sum(t * jax.nn.log_softmax(logits, axis=-1), axis=-1)


def _forward(logits: Any, t: Any) -> Any:
    return _rows(logits, t), (logits, t)


def _backward(kept: Any, u: Any) -> Any:
    logits, t = kept
    in_logits = jnp.sum(t, axis=-1, keepdims=True) * jax.nn.softmax(logits, axis=-1) - t
    return u[:, None] * in_logits, -u[:, None] * jax.nn.log_softmax(logits, axis=-1)


_rows.defvjp(_forward, _backward)


def custom_vjp(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """A reverse rule of its own: no forward mode."""
    return _reduced(_rows(logits, targets), reduction)


@functools.partial(jax.jit, static_argnames="reduction")
def compiled(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """Index targets under jit; an index that is no class gives NaN."""
    log_p = jax.nn.log_softmax(logits, axis=-1)
    known = (targets >= 0) & (targets < logits.shape[-1])
    weight = jnp.where(known, 1.0, jnp.nan).astype(logits.dtype)
    picked = jnp.take_along_axis(log_p, jnp.where(known, targets, 0)[:, None], axis=-1)
    return _reduced(-picked[:, 0] * weight, reduction)


def every_option(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """Index targets, every option; class weights are variables like any other."""
    valid = targets != ignore_index
    index = jnp.where(valid, targets, 0)
    w = jnp.ones(logits.shape[1:], logits.dtype) if weight is None else weight
    log_p = jax.nn.log_softmax(jnp.where(valid[:, None], logits, 0), axis=-1)
    hard = w[index] * jnp.take_along_axis(log_p, index[:, None], axis=-1)[:, 0]
    flat = jnp.mean(w * log_p, axis=-1) if label_smoothing else 0.0  # a masked logit is −inf
    rows = jnp.where(valid, -((1 - label_smoothing) * hard + label_smoothing * flat), 0)
    if reduction != "mean":
        return _reduced(rows, reduction)
    return jnp.sum(rows) / jnp.sum(jnp.where(valid, w[index], 0))


def extended(
    logits: Any,
    targets: Any,
    *,
    softcap: float | None = None,
    logit_scale: float = 1.0,
    z_loss: float = 0.0,
    where: Any = None,
    reduction: str = "mean",
) -> Any:
    """Every extension over jax.nn, either kind of target; the z-loss is a mean over the rows."""
    z = logits * logit_scale
    z = z if softcap is None else softcap * jnp.tanh(z / softcap)
    # Before anything is computed: in older JAX a masked class that overflows has the gradient 0·∞.
    z = z if where is None else jnp.where(where, z, 0)
    log_p = jax.nn.log_softmax(z, axis=-1, where=where)
    lse = jax.nn.logsumexp(z, axis=-1, where=where)
    if targets.ndim == 1:
        rows = -jnp.take_along_axis(log_p, targets[:, None], axis=-1, mode="fill")[:, 0]
    else:
        rows = -jnp.sum(targets * log_p, axis=-1, where=where)
    return _reduced(rows + z_loss * lse**2, reduction)


def _reduced(rows: Any, reduction: str) -> Any:
    if reduction == "none":
        return rows
    return jnp.sum(rows) if reduction == "sum" else jnp.mean(rows)


IMPLEMENTATIONS = (
    Implementation("jax-extended", extended, backend="jax", rename={"class_mask": "where"}),
    Implementation(
        "jax-every-option",
        every_option,
        backend="jax",
        targets=("index",),
        dialect={"class_weights": "differentiable"},
    ),
    Implementation("jax-composed", composed, backend="jax", targets=("probabilities",)),
    Implementation("jax-custom-vjp", custom_vjp, backend="jax", targets=("probabilities",)),
    Implementation(
        "jax-compiled",
        compiled,
        backend="jax",
        targets=("index",),
        dialect={"out_of_range": "nan"},
    ),
)
