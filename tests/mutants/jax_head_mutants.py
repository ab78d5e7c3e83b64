"""JAX mutants of a linear head: a custom_vjp over chunks with one of its rules wrong."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from correct.jax_head_correct import CHUNK, fused, gradients, logits_of, over_rows, rows_of

from mutants.mutant import Registry

mutant = Registry("jax")
MUTANTS = mutant.mutants


def head_mutant(clause: str, mechanism: str, *, origin: str = "") -> Any:
    """Registers a loss with a linear head, for class indices."""
    return mutant(clause, mechanism, origin=origin, head="linear", targets=("index",))


@head_mutant("head.hidden-gradient", "X is multiplied by W once more: W is not transposed back")
def features_weighted_twice(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, *rest: Any) -> Any:
        in_hidden, *others = gradients(hidden, weight, *rest)
        return in_hidden @ (weight.T @ weight), *others

    return fused(backward)(*arguments, **options)


@head_mutant("head.weight-gradient", "the scan carries the weight's sum of the last chunk alone")
def last_chunk_alone(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, bias: Any, targets: Any, u: Any) -> Any:
        in_hidden, _, in_bias = gradients(hidden, weight, bias, targets, u)
        first = (hidden.shape[0] - 1) // CHUNK * CHUNK
        kept = jnp.where(jnp.arange(hidden.shape[0]) >= first, u, 0)
        return in_hidden, gradients(hidden, weight, bias, targets, kept)[1], in_bias

    return fused(backward)(*arguments, **options)


@head_mutant("head.bias-gradient", "the bias's gradient is forgotten: zeros")
def bias_forgotten(*arguments: Any, **options: Any) -> Any:
    def backward(*given: Any) -> Any:
        *others, in_bias = gradients(*given)
        return *others, jnp.zeros_like(in_bias)

    return fused(backward)(*arguments, **options)


@head_mutant("head.upstream", "the weight's gradient is formed with u = 1/den and no upstream")
def weight_without_upstream(*arguments: Any, **options: Any) -> Any:
    def backward(*given: Any) -> Any:
        *rest, u = given
        size = jnp.where(u == 0, 1, jnp.abs(u))
        in_hidden, _, in_bias = gradients(*given)
        return in_hidden, gradients(*rest, jnp.sign(u) * size.mean())[1], in_bias

    return fused(backward)(*arguments, **options)


@head_mutant("head.ignored", "the rule of the bias sums the cotangents of all rows, ignored or not")
def bias_gradient_of_all_rows(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, bias: Any, targets: Any, u: Any) -> Any:
        in_hidden, in_weight, in_bias = gradients(hidden, weight, bias, targets, u)
        p = jax.nn.softmax(logits_of(hidden, weight, bias))
        leaked = jnp.where((targets == -100)[:, None], u[:, None] * p, 0).sum(axis=0)
        return in_hidden, in_weight, in_bias + leaked

    return fused(backward)(*arguments, **options)


@head_mutant("head.sizes", "rows that do not fill a chunk of 4 are cut off in backward")
def remainder_cut_off(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, bias: Any, targets: Any, u: Any) -> Any:
        whole = hidden.shape[0] // 4 * 4 or hidden.shape[0]
        kept = jnp.where(jnp.arange(hidden.shape[0]) < whole, u, 0)
        return gradients(hidden, weight, bias, targets, kept)

    return fused(backward)(*arguments, **options)


@head_mutant("head.jvp", "the rule for tangents leaves out that of W")
def tangent_without_weight(*arguments: Any, **options: Any) -> Any:
    @jax.custom_jvp
    def rows(hidden: Any, weight: Any, bias: Any, targets: Any) -> Any:
        return rows_of(hidden, weight, bias, targets)

    @rows.defjvp
    def pushed(primals: Any, tangents: Any) -> Any:
        hidden, weight, bias, targets = primals

        def of_features(hidden: Any, bias: Any) -> Any:
            return rows_of(hidden, weight, bias, targets)

        return jax.jvp(of_features, (hidden, bias), (tangents[0], tangents[2]))

    return over_rows(rows)(*arguments, **options)
