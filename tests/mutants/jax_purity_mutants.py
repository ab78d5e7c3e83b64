"""JAX mutants of purity: donated buffers, callbacks with a memory, rules that disagree."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mutants.jax_mutants import correct_rows, distribution, reduced, residual
from mutants.mutant import Registry

mutant = Registry("jax")
MUTANTS = mutant.mutants


def with_rules(primal: Any, forward: Any, backward: Any) -> Any:
    """A custom_vjp of (logits, t): primal, forward → (value, kept), backward(kept, u)."""
    rows = jax.custom_vjp(primal)
    rows.defvjp(forward, backward)
    return rows


# --- inputs ----------------------------------------------------------------------------------


@functools.partial(jax.jit, donate_argnums=0)
def _donated_residual(logits: Any, t: Any) -> Any:
    return residual(logits, t)


@mutant(
    "purity.inputs",
    "the logits' buffer is donated to the gradient: it is deleted under the caller's hands",
    gradient=lambda logits, targets, reduction="mean": _donated_gradient(
        logits, targets, reduction
    ),
)
def logits_donated(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return reduced(correct_rows(logits, distribution(logits, targets)), reduction)


def _donated_gradient(logits: Any, targets: Any, reduction: str) -> Any:
    scale = len(logits) if reduction == "mean" else 1
    return _donated_residual(logits, distribution(logits, targets)) / scale


# --- repetition ------------------------------------------------------------------------------

_LAST: dict[str, Any] = {}


@mutant("purity.repeat", "backward asks the host for the softmax of the last forward")
def softmax_of_the_last_forward(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def keep(p: Any) -> Any:
        _LAST["p"] = np.array(p)
        return np.zeros((), p.dtype)

    def forward(f: Any, t: Any) -> Any:
        token = jax.pure_callback(keep, jax.ShapeDtypeStruct((), f.dtype), jax.nn.softmax(f))
        return correct_rows(f, t) + token, (f, t)

    def backward(kept: Any, u: Any) -> Any:
        f, t = kept
        p = jax.pure_callback(lambda f: _LAST["p"], jax.ShapeDtypeStruct(f.shape, f.dtype), f)
        in_targets = -u[:, None] * jax.nn.log_softmax(f)
        return u[:, None] * (jnp.sum(t, axis=-1, keepdims=True) * p - t), in_targets

    rows = with_rules(correct_rows, forward, backward)
    return reduced(rows(logits, distribution(logits, targets)), reduction)


_SCALES: dict[Any, Any] = {}


@mutant("purity.repeat", "the scale of the first backward is kept for all later ones")
def first_upstream_kept(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    scales: list[Any] = []

    def host(u: Any) -> Any:
        scales.append(np.array(u))
        return scales[0]

    def backward(kept: Any, u: Any) -> Any:
        f, t = kept
        u = jax.pure_callback(host, jax.ShapeDtypeStruct(u.shape, u.dtype), u)
        return u[:, None] * residual(f, t), -u[:, None] * jax.nn.log_softmax(f)

    rows = with_rules(correct_rows, lambda f, t: (correct_rows(f, t), (f, t)), backward)
    return reduced(rows(logits, distribution(logits, targets)), reduction)


# --- without gradients -----------------------------------------------------------------------


@mutant(
    "purity.no-grad", "the forward rule of the custom_vjp adds a z-loss that the primal has not"
)
def forward_rule_has_a_z_loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def forward(f: Any, t: Any) -> Any:
        return correct_rows(f, t) + 1e-4 * jax.nn.logsumexp(f, axis=-1) ** 2, (f, t)

    def backward(kept: Any, u: Any) -> Any:
        f, t = kept
        return u[:, None] * residual(f, t), -u[:, None] * jax.nn.log_softmax(f)

    rows = with_rules(correct_rows, forward, backward)
    return reduced(rows(logits, distribution(logits, targets)), reduction)


@mutant(
    "purity.no-grad", "the primal of the custom_vjp, which evaluation runs, smooths the targets"
)
def primal_smooths(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def primal(f: Any, t: Any) -> Any:
        return correct_rows(f, 0.99 * t + 0.01 / f.shape[-1])

    def backward(kept: Any, u: Any) -> Any:
        f, t = kept
        return u[:, None] * residual(f, t), -u[:, None] * jax.nn.log_softmax(f)

    rows = with_rules(primal, lambda f, t: (correct_rows(f, t), (f, t)), backward)
    return reduced(rows(logits, distribution(logits, targets)), reduction)


# --- determinism and composition -------------------------------------------------------------


@mutant("purity.determinism", "a key of the process's own entropy feeds noise below the tolerance")
def noise_from_the_host(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    seed = int(np.random.default_rng().integers(2**31))
    noise = jax.random.bernoulli(jax.random.key(seed), 0.5, logits.shape)
    epsilon = jnp.finfo(logits.dtype).eps
    logits = logits * jnp.where(noise, 1.0, 1.0 + epsilon).astype(logits.dtype)
    return reduced(correct_rows(logits, distribution(logits, targets)), reduction)


@mutant("purity.global-state", "the default precision of matrix products is raised for the process")
def raises_matmul_precision(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    jax.config.update("jax_default_matmul_precision", "float32")
    return reduced(correct_rows(logits, distribution(logits, targets)), reduction)


@mutant("purity.global-state", "keys are made by another generator from now on")
def switches_the_generator(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    jax.config.update("jax_default_prng_impl", "rbg")
    return reduced(correct_rows(logits, distribution(logits, targets)), reduction)
