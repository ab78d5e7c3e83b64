"""JAX mutants of layout and rejection: sizes, ranks and dtypes; an array has no strides here."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mutants.jax_mutants import correct_rows, distribution, reduced, residual, with_vjp
from mutants.mutant import Registry

mutant = Registry("jax")
MUTANTS = mutant.mutants


@mutant("layout.sizes", "blocks of 64 rows are mapped: what remains of the last block is lost")
def last_block_of_rows_lost(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct_rows(logits, distribution(logits, targets))
    whole = len(loss) if len(loss) <= 64 else len(loss) // 64 * 64
    return reduced(jnp.where(jnp.arange(len(loss)) < whole, loss, 0), reduction)


@mutant("layout.sizes", "backward scatters to class 1023 whatever lies past it")
def scatter_clamped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        inside = t.at[:, 1023].add(jnp.sum(t[:, 1024:], axis=1)) if t.shape[1] > 1024 else t
        inside = inside.at[:, 1024:].set(0)
        return u[:, None] * (residual(f, t) + t - inside)

    return reduced(with_vjp(backward)(logits, distribution(logits, targets)), reduction)


@mutant("layout.sizes", "the padded classes of a block of 128 are masked with 0 and not with −inf")
def padding_masked_with_zero(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    padding = -logits.shape[1] % 128 if logits.shape[1] > 128 else 0
    padded = jnp.pad(logits, ((0, 0), (0, padding)))
    t = distribution(logits, targets)
    lse = jax.nn.logsumexp(padded, axis=-1)
    return reduced(jnp.sum(t, axis=-1) * lse - jnp.sum(t * logits, axis=-1), reduction)


@mutant(
    "layout.rank",
    "(N, d, C) is normalised over axis 1, as if it were (N, C, d)",
    ranks=(2, 3),
    targets=("index",),
)
def normalised_over_positions(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    log_p = jax.nn.log_softmax(logits, axis=1)
    loss = -jnp.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
    return reduced(loss, reduction)


@mutant("layout.rank", "a reduction goes over the last axis of the rows alone", ranks=(2, 3))
def reduced_over_one_axis(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = targets
    if t.ndim < logits.ndim:
        t = jax.nn.one_hot(t, logits.shape[-1], dtype=logits.dtype)
    loss = correct_rows(logits, t)
    if reduction == "none":
        return loss
    return jnp.sum(loss, axis=-1) if reduction == "sum" else jnp.mean(loss, axis=-1)


@mutant("layout.dtypes", "the loss is returned in float32, whatever the logits are")
def returned_in_float32(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = reduced(correct_rows(logits, distribution(logits, targets)), reduction)
    return loss.astype(jnp.float32)


@mutant("reject.shape", "targets of two axes are squeezed, broadcast, and averaged")
def broadcast_against_the_rows(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    return reduced(correct_rows(logits, jnp.broadcast_to(t, logits.shape)), reduction)


@mutant("reject.dtype", "one_hot casts the class indices to integers")
def one_hot_casts(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    index = targets.astype(jnp.int32) if targets.ndim == 1 else targets
    return reduced(correct_rows(logits, distribution(logits, index)), reduction)


@mutant("reject.reduction", "an unknown reduction gives the rows")
def unknown_reduction_gives_rows(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct_rows(logits, distribution(logits, targets))
    return {"sum": jnp.sum, "mean": jnp.mean}.get(reduction, lambda rows: rows)(loss)
