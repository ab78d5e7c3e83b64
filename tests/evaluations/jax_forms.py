"""Correct evaluations in JAX and optax, with and without jit."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax

from evaluations.exact import Results
from evaluations.problem import IGNORED, Problem
from evaluations.torch_forms import Evaluation, Loss


def jax_tau(given: Problem, targets: Any) -> Any:
    np_ = jax.numpy
    classes = given.logits.shape[1]
    if targets.ndim == 2:
        dense, valid = targets, np_.ones(len(targets), bool)
    else:
        valid = targets != IGNORED
        dense = jax.nn.one_hot(np_.where(valid, targets, 0), classes, dtype=given.dtype)
    mixed = dense
    if given.smoothing:
        mixed = (1.0 - given.smoothing) * dense + given.smoothing / classes
    if given.weight is not None:
        mixed = mixed * np_.asarray(given.weight, given.dtype)
    return np_.where(valid[:, None], mixed, 0)


def jax_reduce(given: Problem, rows: Any) -> Any:
    if given.reduction == "none":
        return rows
    if given.reduction == "sum":
        return rows.sum()
    return rows.sum() / jax.numpy.asarray(given.row_weights, rows.dtype).sum()


def jax_log_softmax(given: Problem, f: Any, targets: Any) -> Any:
    return jax_reduce(given, -(jax_tau(given, targets) * jax.nn.log_softmax(f)).sum(-1))


def jax_shifted(given: Problem, f: Any, targets: Any) -> Any:
    np_ = jax.numpy
    z = f - np_.max(f, axis=-1, keepdims=True)
    log_p = z - np_.log(np_.sum(np_.exp(z), axis=-1, keepdims=True))
    return jax_reduce(given, -(jax_tau(given, targets) * log_p).sum(-1))


def jax_explicit(given: Problem, f: Any, targets: Any) -> Any:
    tau = jax_tau(given, targets)
    lse = jax.nn.logsumexp(f, axis=-1)
    return jax_reduce(given, tau.sum(-1) * lse - (tau * f).sum(-1))


def optax_dense(given: Problem, f: Any, targets: Any) -> Any:
    return jax_reduce(given, optax.softmax_cross_entropy(f, jax_tau(given, targets)))


def optax_safe(given: Problem, f: Any, targets: Any) -> Any:
    return jax_reduce(given, optax.safe_softmax_cross_entropy(f, jax_tau(given, targets)))


def optax_index(given: Problem, f: Any, targets: Any) -> Any:
    np_ = jax.numpy
    valid = targets != IGNORED
    index = np_.where(valid, targets, 0)
    rows = optax.softmax_cross_entropy_with_integer_labels(f, index)
    if given.weight is not None:
        rows = rows * np_.asarray(given.weight, given.dtype)[index]
    return jax_reduce(given, np_.where(valid, rows, 0))


def jax_evaluation(loss: Loss, *, jit: bool = False) -> Evaluation:
    def evaluate(given: Problem) -> Results:
        with jax.enable_x64(given.dtype == "float64"):
            f, u, v = (
                jax.numpy.asarray(part, given.dtype)
                for part in (given.logits, given.upstream, given.tangent)
            )
            floating = given.targets.ndim == 2
            targets = jax.numpy.asarray(given.targets, given.dtype if floating else "int32")

            def gradient(f: Any) -> Any:
                return jax.vjp(lambda f: loss(given, f, targets), f)[1](u)[0]

            def everything(f: Any, targets: Any) -> Any:
                value, along = jax.jvp(lambda f: loss(given, f, targets), (f,), (v,))
                first, second = jax.jvp(gradient, (f,), (v,))
                pull = jax.vjp(lambda t: loss(given, f, t), targets)[1] if floating else None
                return value, first, second, along, pull(u)[0] if pull else ()

            parts = (jax.jit(everything) if jit else everything)(f, targets)
            value, first, second, along = (np.asarray(part, np.float64) for part in parts[:4])
            last = np.asarray(parts[4], np.float64) if floating else None
        return Results(value=value, gradient=first, target_gradient=last, jvp=along, hvp=second)

    return evaluate
