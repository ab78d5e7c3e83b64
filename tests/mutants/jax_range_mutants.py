"""JAX mutants of range and precision: branches not taken, NaN-aware sums, rules through p."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from mutants.jax_mutants import correct_rows, distribution, reduced, residual, with_vjp
from mutants.mutant import Registry

mutant = Registry("jax")
MUTANTS = mutant.mutants


def picked(values: Any, targets: Any) -> Any:
    return jnp.take_along_axis(values, targets[:, None], axis=-1)[:, 0]


@mutant("stability.large-logits", "the row's minimum is subtracted in the place of its maximum")
def shifted_by_the_minimum(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, shifted = distribution(logits, targets), logits - jnp.min(logits, axis=-1, keepdims=True)
    lse = jnp.log(jnp.sum(jnp.exp(shifted), axis=-1))
    return reduced(jnp.sum(t, axis=-1) * lse - jnp.sum(t * shifted, axis=-1), reduction)


@mutant(
    "stability.offset",
    "jax.nn.logsumexp at the logits' own magnitude minus the target's logit",
    targets=("index",),
    origin="optax's integer labels",
)
def logsumexp_at_the_offset(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return reduced(jax.nn.logsumexp(logits, axis=-1) - picked(logits, targets), reduction)


@mutant("stability.per-row-shift", "one maximum for the device's whole shard is taken out")
def maximum_of_the_shard(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, shifted = distribution(logits, targets), logits - stop_gradient(jnp.max(logits, initial=0))
    lse = jnp.log(jnp.sum(jnp.exp(shifted), axis=-1))
    return reduced(jnp.sum(t, axis=-1) * lse - jnp.sum(t * shifted, axis=-1), reduction)


@mutant(
    "stability.gap",
    "the rule of custom_vjp takes p_c from exp(−loss) and scales by loss/−log p_c",
    targets=("index",),
)
def probability_from_the_loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        p_c = jnp.exp(-correct_rows(f, t))
        return (u * correct_rows(f, t) / -jnp.log(p_c))[:, None] * residual(f, t)

    rows = with_vjp(backward)(logits, distribution(logits, targets))
    return reduced(rows, reduction)


@mutant("stability.rare-class", "backward flushes what is below 1e-12 of its row's largest entry")
def flushed_against_the_largest(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        gradient = residual(f, t)
        largest = jnp.max(jnp.abs(gradient), axis=-1, keepdims=True)
        return u[:, None] * jnp.where(jnp.abs(gradient) < 1e-12 * largest, 0, gradient)

    return reduced(with_vjp(backward)(logits, distribution(logits, targets)), reduction)


@mutant("stability.saturated", "softmax and one-hot are subtracted after a rounding to bfloat16")
def subtracted_in_bfloat16(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        p = jax.nn.softmax(f, axis=-1).astype(jnp.bfloat16)
        return u[:, None] * (p - t.astype(jnp.bfloat16)).astype(f.dtype)

    return reduced(with_vjp(backward)(logits, distribution(logits, targets)), reduction)


@mutant(
    "stability.minus-inf",
    "jnp.where mends the value alone: the other branch's gradient is 0·inf",
    targets=("index",),
)
def gradient_of_the_other_branch(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    log_p = jnp.log(jax.nn.softmax(logits, axis=-1))
    return reduced(-jnp.sum(jnp.where(t > 0, log_p, 0), axis=-1), reduction)


@mutant(
    "stability.minus-inf-target",
    "a target that is masked is answered with the loss of the best class",
    targets=("index",),
)
def best_class_for_a_masked_target(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    log_p = jax.nn.log_softmax(logits, axis=-1)
    chosen = picked(log_p, targets)
    best = jnp.max(log_p, axis=-1, initial=-jnp.inf)
    return reduced(-jnp.where(jnp.isneginf(chosen), best, chosen), reduction)


@mutant("stability.non-finite", "a loss that is not finite is multiplied by 0 in a finite-guard")
def guarded_loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows = correct_rows(logits, distribution(logits, targets))
    return reduced(jnp.where(jnp.isfinite(rows), rows, 0), reduction)


@mutant("stability.non-finite", "nanmax and nansum over the classes", targets=("index",))
def nan_aware_sums(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    shifted = logits - stop_gradient(jnp.nanmax(logits, axis=-1, keepdims=True))
    log_sum = jnp.log(jnp.nansum(jnp.exp(shifted), axis=-1))
    return reduced(log_sum - picked(shifted, targets), reduction)


@mutant("precision.value", "the rows are cast to bfloat16 before they are reduced")
def rows_in_bfloat16(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows = correct_rows(logits, distribution(logits, targets))
    return reduced(rows.astype(jnp.bfloat16).astype(logits.dtype), reduction)


@mutant("precision.gradient", "the cotangent is multiplied in as float16")
def cotangent_in_half_precision(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        scaled = u.astype(jnp.float16)[:, None] * residual(f, t).astype(jnp.float16)
        return scaled.astype(f.dtype)

    return reduced(with_vjp(backward)(logits, distribution(logits, targets)), reduction)


@mutant("precision.accumulation", "classes are padded to a multiple of 128 with logits of 0")
def padded_with_zeros(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, lanes = distribution(logits, targets), -logits.shape[-1] % 128
    wide = jnp.pad(logits, ((0, 0), (0, lanes if logits.shape[-1] > 128 else 0)))
    log_p = logits - jax.nn.logsumexp(wide, axis=-1, keepdims=True)
    return reduced(-jnp.sum(jnp.where(t == 0, 0, t * log_p), axis=-1), reduction)


@mutant(
    "precision.accumulation",
    "bfloat16 classes are added up in a scan whose carry is bfloat16, and this is not declared",
    dtypes=("bfloat16",),
)
def scan_with_a_narrow_carry(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    shifted = logits - stop_gradient(jnp.max(logits, axis=-1, keepdims=True, initial=-jnp.inf))
    total, _ = jax.lax.scan(
        lambda carry, column: (carry + column, None),
        jnp.zeros(logits.shape[:1], logits.dtype),
        jnp.exp(shifted).T,
    )
    picked_shifts = jnp.sum(jnp.where(t == 0, 0, t * shifted), axis=-1)
    return reduced(jnp.sum(t, axis=-1) * jnp.log(total) - picked_shifts, reduction)
