"""JAX mutants: custom_vjp, custom_jvp and compositions under jit."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from mutants.mutant import Registry

mutant = Registry("jax")
MUTANTS = mutant.mutants


def distribution(logits: Any, targets: Any) -> Any:
    if targets.ndim == 2:
        return targets
    return jax.nn.one_hot(targets, logits.shape[-1], dtype=logits.dtype)


def correct_rows(logits: Any, t: Any) -> Any:
    log_p = jax.nn.log_softmax(logits, axis=-1)
    nothing = (t == 0) & (log_p == -jnp.inf)  # 0·log 0 is 0
    return -jnp.sum(t * jnp.where(nothing, 0.0, log_p), axis=-1)


def residual(logits: Any, t: Any) -> Any:
    """T·p − t: the gradient of the rows."""
    return jnp.sum(t, axis=-1, keepdims=True) * jax.nn.softmax(logits, axis=-1) - t


def reduced(rows: Any, reduction: str) -> Any:
    if reduction == "none":
        return rows
    return jnp.sum(rows) if reduction == "sum" else jnp.mean(rows)


def with_vjp(backward: Any) -> Any:
    """Rows with this backward: (logits, t, u) → gradient in the logits."""

    @jax.custom_vjp
    def rows(logits: Any, t: Any) -> Any:
        return correct_rows(logits, t)

    def pull(kept: Any, u: Any) -> Any:
        logits, t = kept
        in_targets = -u[:, None] * jax.nn.log_softmax(logits, axis=-1)
        return backward(logits, t, u), in_targets

    rows.defvjp(lambda logits, t: (correct_rows(logits, t), (logits, t)), pull)
    return rows


def with_jvp(push: Any) -> Any:
    """Rows with this rule: (logits, t, v) → derivative along v in the logits."""

    @jax.custom_jvp
    def rows(logits: Any, t: Any) -> Any:
        return correct_rows(logits, t)

    @rows.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (logits, t), (in_logits, in_targets) = primals, tangents
        pushed = push(logits, t, in_logits)
        return rows(logits, t), pushed + correct_rows(logits, in_targets)

    return rows


# --- value and gradient ----------------------------------------------------------------------


@functools.cache
def _compiled(shape: Any, dtype: Any, reduction: str) -> dict[str, Any]:
    return {}


@mutant("value.definition", "the compiled function closes over the first batch's targets")
def first_batch_compiled_in(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    cache = _compiled(logits.shape, str(logits.dtype), reduction)
    if "loss" not in cache:
        first = jax.device_get(stop_gradient(t))
        cache["loss"] = lambda f: reduced(correct_rows(f, jnp.asarray(first)), reduction)
    return cache["loss"](logits)


@mutant(
    "gradient.row-sum-zero",
    "the maximum that is put back into lse is taken for a constant, the one taken out is not",
)
def half_of_the_shift_detached(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    highest = jnp.max(logits, axis=-1)
    lse = jnp.log(jnp.sum(jnp.exp(logits - highest[:, None]), axis=-1)) + stop_gradient(highest)
    t = distribution(logits, targets)
    return reduced(jnp.sum(t, axis=-1) * lse - jnp.sum(t * logits, axis=-1), reduction)


@mutant("gradient.upstream", "the rows' upstreams are averaged before they scale the gradient")
def upstream_averaged(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows = with_vjp(lambda f, t, u: jnp.mean(u) * residual(f, t))
    return reduced(rows(logits, distribution(logits, targets)), reduction)


@mutant("gradient.targets", "target probabilities are stopped: their gradient is 0")
def targets_stopped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return reduced(correct_rows(logits, stop_gradient(distribution(logits, targets))), reduction)


@mutant("gradient.finite-difference", "the gradient is that of a softmax at temperature 2")
def gradient_at_another_temperature(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows = with_vjp(lambda f, t, u: u[:, None] * residual(f / 2, t))
    return reduced(rows(logits, distribution(logits, targets)), reduction)


@mutant("reduction.sum", "sum is psum'ed twice over two devices' shares: it is doubled")
def summed_twice(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value = reduced(correct_rows(logits, distribution(logits, targets)), reduction)
    return 2 * value if reduction == "sum" else value


@mutant("reduction.mean-gradient", "the gradient of the mean is divided by C in place of m")
def divided_by_classes(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        factor = f.shape[0] / f.shape[1] if reduction == "mean" else 1.0
        return factor * u[:, None] * residual(f, t)

    return reduced(with_vjp(backward)(logits, distribution(logits, targets)), reduction)


# --- forward mode and second order -----------------------------------------------------------


@mutant("jvp.analytic", "the rule of custom_jvp gives twice the derivative, in both modes")
def rule_gives_twice(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows = with_jvp(lambda f, t, v: 2 * jnp.sum(residual(f, t) * v, axis=-1))
    return reduced(rows(logits, distribution(logits, targets)), reduction)


@mutant("hessian.analytic", "the rule of custom_jvp takes p for a constant: the Hessian is 0")
def rule_with_constant_p(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows = with_jvp(lambda f, t, v: jnp.sum(residual(stop_gradient(f), t) * v, axis=-1))
    return reduced(rows(logits, distribution(logits, targets)), reduction)


@mutant("hessian.finite-difference", "backward rounds p to a grid, whose derivative is 0")
def rounded_probability(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any) -> Any:
        fine = 2.0**40 if f.dtype == jnp.float64 else 2.0**20
        p = jnp.round(jax.nn.softmax(f, axis=-1) * fine) / fine
        return u[:, None] * (jnp.sum(t, axis=-1, keepdims=True) * p - t)

    return reduced(with_vjp(backward)(logits, distribution(logits, targets)), reduction)


@mutant("hessian.mixed", "backward in the logits stops the targets: one mixed derivative is 0")
def mixed_stopped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows = with_vjp(lambda f, t, u: u[:, None] * residual(f, stop_gradient(t)))
    return reduced(rows(logits, distribution(logits, targets)), reduction)


@mutant("derivative.unsupported-raises", "backward stops everything that it has saved")
def residuals_stopped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows = with_vjp(lambda f, t, u: u[:, None] * stop_gradient(residual(f, t)))
    return reduced(rows(logits, distribution(logits, targets)), reduction)


# --- rejection and purity --------------------------------------------------------------------


@mutant(
    "reject.target-range",
    "a gather out of range clamps under jit: the last class answers",
    dialect={"out_of_range": "nan"},
    targets=("index",),
)
def gather_clamps(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    log_p = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(log_p, targets[:, None], axis=-1, mode="clip")
    return reduced(-picked[:, 0], reduction)


@mutant(
    "reject.target-range",
    "the value is NaN for an index that is no class, and the gradient is finite",
    dialect={"out_of_range": "nan"},
    targets=("index",),
    origin="optax",
)
def finite_gradient_out_of_range(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct_rows(logits, distribution(logits, targets))
    known = (targets >= 0) & (targets < logits.shape[-1])
    return reduced(jnp.where(known, loss, jnp.nan), reduction)


@mutant("purity.global-state", "x64 is switched for the whole process")
def switches_x64(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    jax.config.update("jax_enable_x64", True)
    return reduced(correct_rows(logits, distribution(logits, targets)), reduction)


@mutant("purity.global-state", "debugging of NaNs is switched on for the whole process")
def switches_debug_nans(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    jax.config.update("jax_debug_nans", True)
    return reduced(correct_rows(logits, distribution(logits, targets)), reduction)
