"""Error over bound of every correct evaluation, over a product of problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from evaluations.exact import bounds, exact_results, exact_rows, ratios
from evaluations.jax_forms import (
    jax_evaluation,
    jax_explicit,
    jax_log_softmax,
    jax_shifted,
    optax_dense,
    optax_index,
    optax_safe,
)
from evaluations.numpy_forms import backwards, closed_form, pairwise, scipy_forms, sequential
from evaluations.problem import FAMILIES, OPTIONS, Problem, problem
from evaluations.torch_forms import (
    Evaluation,
    quietly,
    stored_log_probabilities,
    torch_amax,
    torch_cross_entropy,
    torch_evaluation,
    torch_explicit,
    torch_gathered,
    torch_log_softmax,
    torch_nll,
    torch_shifted,
)
from gradcheck_suite.numerics.tolerance import Arithmetic

ARITHMETICS = (
    ("float64", None),
    ("float32", None),
    ("bfloat16", "float32"),
    ("float16", "float32"),
    ("bfloat16", None),
    ("float16", None),
    ("bfloat16", "bfloat16"),
    ("float16", "float16"),
)
"""Dtype and declared accumulation."""

WIDE = (torch_cross_entropy, torch_log_softmax, torch_explicit, torch_shifted)


def wide_evaluations(given: Problem) -> Iterator[tuple[str, Evaluation]]:
    """Half precision in and out, float32 within."""
    if np.all(np.isfinite(given.logits)):
        yield "stored", stored_log_probabilities
        for loss in WIDE:
            yield f"wide.{loss.__name__}", torch_evaluation(loss, wide=True)


def evaluations(
    given: Problem, arithmetic: Arithmetic, *, compiled: bool = False
) -> Iterator[tuple[str, Evaluation]]:
    """The evaluations that are defined for a problem, in its own dtype."""
    index = given.targets.ndim == 1
    masked = not np.all(np.isfinite(given.logits))
    if not masked or (index and not given.smoothing):
        yield "torch.cross_entropy", torch_evaluation(torch_cross_entropy)
    if index and not given.smoothing:
        yield "torch.nll_loss", torch_evaluation(torch_nll)
        yield "torch.gathered", torch_evaluation(torch_gathered)
        yield "optax.index", jax_evaluation(optax_index)
    in_numpy = given.dtype in ("float64", "float32", "float16")
    if in_numpy and arithmetic.summation_roundoff == arithmetic.unit_roundoff:
        yield "numpy.sequential", closed_form(sequential, "division")
        yield "numpy.backwards", closed_form(backwards, "reciprocal")
        yield "numpy.pairwise", closed_form(pairwise, "exponential")
    if given.dtype in ("float64", "float32"):
        yield "scipy", scipy_forms
    if masked:
        return
    yield "torch.log_softmax", torch_evaluation(torch_log_softmax)
    yield "torch.explicit", torch_evaluation(torch_explicit)
    yield "torch.shifted", torch_evaluation(torch_shifted)
    yield "torch.amax", torch_evaluation(torch_amax)
    yield "jax.log_softmax", jax_evaluation(jax_log_softmax)
    yield "jax.shifted", jax_evaluation(jax_shifted)
    yield "jax.explicit", jax_evaluation(jax_explicit)
    yield "optax.dense", jax_evaluation(optax_dense)
    yield "optax.safe", jax_evaluation(optax_safe)
    if compiled:
        yield "jax.log_softmax.jit", jax_evaluation(jax_log_softmax, jit=True)
        yield "jax.shifted.jit", jax_evaluation(jax_shifted, jit=True)
        yield "optax.dense.jit", jax_evaluation(optax_dense, jit=True)


@dataclass(frozen=True)
class Scored:
    """One ratio error / bound, and where it was found."""

    ratio: float
    evaluation: str
    quantity: str
    family: str
    options: str
    reduction: str
    shape: tuple[int, ...]
    seed: int


def beyond_range(given: Problem) -> bool:
    """Whether −Σ_j log p_j, which smoothing sums over the rows before it scales, overflows."""
    losses = exact_rows(given)[1]
    total = float(np.sum(np.where(np.isfinite(losses), losses, 0)))
    return total * float(np.max(given.weights)) > 65504.0


def sweep(
    dtype: str,
    arithmetic: Arithmetic,
    *,
    families: tuple[str, ...] = FAMILIES,
    options: tuple[str, ...] = OPTIONS,
    reductions: tuple[str, ...] = ("none", "mean"),
    shapes: tuple[tuple[int, int], ...] = ((6, 5),),
    seeds: Iterable[int] = (0,),
    chosen: str | tuple[str, ...] = "",
    compiled: bool = False,
) -> list[Scored]:
    """error / bound of the evaluations whose name begins with ``chosen``, over a product."""
    scored = []
    for family, option, reduction, shape, seed in product(
        families, options, reductions, shapes, seeds
    ):
        if family == "masked" and option in ("smoothing", "all", "unnormalised"):
            continue  # −inf × a positive target is +inf
        if family == "large-offset" and dtype == "float16":
            continue  # beyond its range
        given = problem(
            dtype, family, option, reduction, rows=shape[0], classes=shape[1], seed=seed
        )
        if dtype == "float16" and beyond_range(given):
            continue
        exact, allowed = exact_results(given), bounds(given, arithmetic)
        forms = (
            wide_evaluations(given)
            if arithmetic.storage_roundoff
            else evaluations(given, arithmetic, compiled=compiled)
        )
        for name, evaluate in forms:
            if name.startswith(chosen):
                found = ratios(quietly(evaluate, given), exact, allowed)
                scored += [
                    Scored(ratio, name, quantity, family, option, reduction, shape, seed)
                    for quantity, ratio in found.items()
                ]
    return scored


def worst(scored: list[Scored]) -> Scored:
    return max(scored, key=lambda each: each.ratio)
