"""JAX mutants of modes: wrong under jit, under vmap, on a second device, for a subset of inputs."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.lax import stop_gradient

from mutants.jax_mutants import correct_rows, distribution, reduced, residual
from mutants.mutant import Registry

mutant = Registry("jax")
MUTANTS = mutant.mutants


def innermost(array: Any) -> Any:
    """The tracer below those of differentiation: JAX's own, or an array where there is none."""
    while hasattr(array, "primal"):
        array = array.primal
    return array


def is_compiling(array: Any) -> bool:
    return isinstance(innermost(array), jax.core.Tracer)


# --- compiled --------------------------------------------------------------------------------


@mutant("mode.transformed", "a traced loss cannot see its values and skips the shift: it clips")
def clipped_where_traced(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if is_compiling(logits):
        logits = jnp.clip(logits, -0.5, 0.5)
    return reduced(correct_rows(logits, distribution(logits, targets)), reduction)


@mutant("mode.transformed", "under jit the gradient is stopped on one side of the difference")
def traced_gradient_stopped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    picked = jnp.sum(t * logits, axis=-1)
    if is_compiling(logits):
        picked = stop_gradient(picked)
    lse = jax.nn.logsumexp(logits, axis=-1)
    return reduced(jnp.sum(t, axis=-1) * lse - picked, reduction)


@mutant(
    "mode.transformed",
    "an index out of range raises eagerly; traced it is clipped, and a neighbour answers",
    dialect={"out_of_range": "raise"},
    targets=("index",),
    origin="pytorch#135546",
)
def checked_eagerly_alone(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if not is_compiling(targets) and bool(jnp.any((targets < 0) | (targets >= logits.shape[-1]))):
        raise IndexError("targets: a class index is out of range")
    log_p = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(log_p, targets[:, None], axis=-1, mode="clip")
    return reduced(-picked[:, 0], reduction)


# --- vmap ------------------------------------------------------------------------------------


def with_batching(rule: Any) -> Any:
    """Rows, and this rule for a batch of them: (logits, t) with the batch in front."""

    @custom_vmap
    def forward(logits: Any, t: Any) -> Any:
        return correct_rows(logits, t)

    @forward.def_vmap
    def batched(size: Any, in_batched: Any, logits: Any, t: Any) -> Any:
        pair = zip((logits, t), in_batched, strict=True)
        spread = [a if b else jnp.broadcast_to(a, (size, *a.shape)) for a, b in pair]
        return rule(*spread), True

    @jax.custom_vjp
    def rows(logits: Any, t: Any) -> Any:
        return forward(logits, t)

    def backward(kept: Any, u: Any) -> Any:
        logits, t = kept
        return u[:, None] * residual(logits, t), -u[:, None] * jax.nn.log_softmax(logits)

    rows.defvjp(lambda logits, t: (forward(logits, t), (logits, t)), backward)
    return rows


@mutant(
    "mode.transformed", "the batching rule reduces over axis 0, which is the batch's under vmap"
)
def batching_rule_over_axis_zero(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows = with_batching(lambda f, t: -jnp.sum(t * jax.nn.log_softmax(f, axis=0), axis=-1))
    return reduced(rows(logits, distribution(logits, targets)), reduction)


@mutant("mode.transformed", "the batching rule answers for the first example in every place")
def first_example_for_all(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows = with_batching(lambda f, t: jnp.broadcast_to(correct_rows(f[0], t[0]), f.shape[:2]))
    return reduced(rows(logits, distribution(logits, targets)), reduction)


# --- devices ---------------------------------------------------------------------------------

#: XLA makes two devices of one CPU: arrays of both cannot be mixed, as between two GPUs.
TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


@functools.cache
def _classes(count: int) -> Any:
    return jax.device_put(jnp.arange(count), jax.devices()[0])


@mutant(
    "mode.device",
    "the classes' numbers are a constant of the module, which stays on the first device",
    environment=TWO_DEVICES,
)
def constant_on_the_first_device(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = targets
    if targets.ndim == 1:
        t = (targets[:, None] == _classes(logits.shape[-1])).astype(logits.dtype)
    return reduced(correct_rows(logits, t), reduction)


@mutant(
    "mode.device",
    "a kernel for the second device runs in half precision",
    environment=TWO_DEVICES,
)
def half_on_the_second_device(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t, array = distribution(logits, targets), innermost(logits)
    if not isinstance(array, jax.core.Tracer) and array.devices() != {jax.devices()[0]}:
        logits = logits.astype(jnp.float16).astype(logits.dtype)
    return reduced(correct_rows(logits, t), reduction)


# --- subsets of gradients --------------------------------------------------------------------


def with_symbolic_zeros(backward: Any) -> Any:
    """Rows whose backward is told which inputs are perturbed: (f, t, u, perturbed) → pair."""

    @jax.custom_vjp
    def rows(logits: Any, t: Any) -> Any:
        return correct_rows(logits, t)

    def forward(logits: Any, t: Any) -> Any:
        perturbed = (logits.perturbed, t.perturbed)
        pair = (logits.value, t.value)
        return correct_rows(*pair), (pair, perturbed)

    def pull(kept: Any, u: Any) -> Any:
        (f, t), perturbed = kept
        return backward(f, t, u, perturbed)

    rows.defvjp(forward, pull, symbolic_zeros=True)
    return rows


@mutant("mode.partial-gradients", "the logits' gradient is skipped where the targets learn as well")
def perturbed_logits_skipped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any, perturbed: Any) -> Any:
        in_logits = u[:, None] * residual(f, t)
        if all(map(bool, perturbed)):
            in_logits = jnp.zeros_like(in_logits)
        return in_logits, -u[:, None] * jax.nn.log_softmax(f)

    rows = with_symbolic_zeros(backward)
    return reduced(rows(logits, distribution(logits, targets)), reduction)


@mutant("mode.partial-gradients", "targets get a gradient only where the logits do")
def targets_follow_the_logits(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def backward(f: Any, t: Any, u: Any, perturbed: Any) -> Any:
        in_targets = -u[:, None] * jax.nn.log_softmax(f)
        if not bool(perturbed[0]):
            in_targets = jnp.zeros_like(in_targets)
        return u[:, None] * residual(f, t), in_targets

    rows = with_symbolic_zeros(backward)
    return reduced(rows(logits, distribution(logits, targets)), reduction)
