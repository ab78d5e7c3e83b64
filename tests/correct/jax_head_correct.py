"""JAX losses over a linear head: composed, and a custom_vjp that scans chunks of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradcheck_suite.implementation import Implementation

CHUNK = 3


def logits_of(hidden: Any, weight: Any, bias: Any) -> Any:
    return hidden @ weight.T + bias


def rows_of(hidden: Any, weight: Any, bias: Any, targets: Any) -> Any:
    """The rows of the loss; 0 where the target is −100."""
    log_p = jax.nn.log_softmax(logits_of(hidden, weight, bias))
    t = jax.nn.one_hot(targets, weight.shape[0], dtype=hidden.dtype)
    return -jnp.sum(t * log_p, axis=-1)


def residual(hidden: Any, weight: Any, bias: Any, targets: Any) -> Any:
    """p − t, 0 where the target is −100."""
    t = jax.nn.one_hot(targets, weight.shape[0], dtype=hidden.dtype)
    return jnp.where(
        (targets != -100)[:, None], jax.nn.softmax(logits_of(hidden, weight, bias)) - t, 0
    )


def gradients(hidden: Any, weight: Any, bias: Any, targets: Any, u: Any) -> Any:
    """(∂/∂X, ∂/∂W, ∂/∂b) of Σ u_n L_n, scanned over chunks; rows that fill the last one count 0."""
    rows = hidden.shape[0]
    short = -rows % CHUNK
    blocks = (
        jnp.pad(hidden, ((0, short), (0, 0))).reshape(-1, CHUNK, hidden.shape[1]),
        jnp.pad(targets, (0, short)).reshape(-1, CHUNK),
        jnp.pad(u, (0, short)).reshape(-1, CHUNK),
    )

    def chunk(sums: Any, block: Any) -> Any:
        x, c, v = block
        given = v[:, None] * residual(x, weight, bias, c)
        return (sums[0] + given.T @ x, sums[1] + given.sum(axis=0)), given @ weight

    start = (jnp.zeros_like(weight), jnp.zeros_like(bias))
    (in_weight, in_bias), in_hidden = jax.lax.scan(chunk, start, blocks)
    return in_hidden.reshape(-1, hidden.shape[1])[:rows], in_weight, in_bias


def fused(backward: Callable[..., Any] = gradients) -> Callable[..., Any]:
    """A loss whose custom_vjp has this backward (see ``gradients``)."""

    @jax.custom_vjp
    def rows(hidden: Any, weight: Any, bias: Any, targets: Any) -> Any:
        return rows_of(hidden, weight, bias, targets)

    def forward(*given: Any) -> Any:
        return rows(*given), given

    def pulled(given: Any, u: Any) -> Any:
        return *backward(*given, u), None

    rows.defvjp(forward, pulled)
    return over_rows(rows)


def over_rows(rows: Callable[..., Any]) -> Callable[..., Any]:
    """``rows(hidden, weight, bias, targets)`` with ignored rows and the reductions around it."""

    def loss(
        hidden: Any,
        linear_weight: Any,
        targets: Any,
        *,
        linear_bias: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> Any:
        bias = jnp.zeros_like(linear_weight[:, 0]) if linear_bias is None else linear_bias
        valid = targets != ignore_index
        found = rows(hidden, linear_weight, bias, jnp.where(valid, targets, -100))
        if reduction == "none":
            return found
        total, counted = jnp.sum(found), jnp.sum(valid)
        if reduction == "sum":
            return total
        return jnp.where(counted > 0, total / jnp.maximum(counted, 1), jnp.nan)

    return loss


DECLARED = {"targets": ("index",), "reductions": ("none", "sum", "mean")}

IMPLEMENTATIONS = (
    Implementation("jax-head-composed", over_rows(rows_of), backend="jax", **DECLARED),
    Implementation("jax-head-scanned", fused(), backend="jax", **DECLARED),
)
