"""What an evaluation should give, in NumPy's longdouble, its bounds, and error over bound."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from evaluations.problem import EXACT, Problem
from gradcheck_suite.numerics.forward_error import (
    denominator_error,
    gradient_bound,
    hvp_bound,
    jvp_bound,
    reduced_value_bound,
    row_value_bound,
    target_gradient_bound,
)
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound


@dataclass(frozen=True)
class Results:
    """What an evaluation gives, or its exact value, or its bound; None where not offered."""

    value: np.ndarray | None = None
    gradient: np.ndarray | None = None
    target_gradient: np.ndarray | None = None
    jvp: np.ndarray | None = None
    hvp: np.ndarray | None = None


QUANTITIES = ("value", "gradient", "target_gradient", "jvp", "hvp")


def finite_product(factor: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.where(factor == 0, EXACT(0), factor * np.where(factor == 0, EXACT(0), value))


def exact_rows(given: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p, −log p and T·p − τ in longdouble, the last without cancellation for a single target."""
    f = given.logits.astype(EXACT)
    shifted = f - np.max(f, axis=1, keepdims=True)
    power = np.exp(shifted)
    others = power.copy()
    others[np.arange(len(f)), np.argmax(f, axis=1)] = 0
    p = power / (1 + np.sum(others, axis=1, keepdims=True))
    loss = np.log1p(np.sum(others, axis=1, keepdims=True)) - shifted
    tau = given.tau
    gradient = np.sum(tau, axis=1, keepdims=True) * p - tau
    for row in np.flatnonzero(np.count_nonzero(tau, axis=1) == 1):
        c = int(np.flatnonzero(tau[row])[0])
        gradient[row, c] = -tau[row, c] * np.sum(np.delete(p[row], c))
    return p, loss, gradient


def reduced(given: Problem, rows: np.ndarray) -> np.ndarray:
    if given.reduction == "none":
        return rows
    return np.sum(rows) / EXACT(given.denominator)


def exact_results(given: Problem) -> Results:
    p, loss, gradient = exact_rows(given)
    tau, v = given.tau, given.tangent.astype(EXACT)
    scale = given.scale.astype(EXACT)[:, None]
    curvature = np.sum(tau, axis=1, keepdims=True) * p * (v - np.sum(p * v, axis=1, keepdims=True))
    coefficient = np.where(given.valid[:, None], given.coefficient.astype(EXACT), EXACT(0))
    return Results(
        value=reduced(given, np.sum(finite_product(tau, loss), axis=1)),
        gradient=scale * gradient,
        target_gradient=scale * finite_product(coefficient, loss),
        jvp=reduced(given, np.sum(gradient * v, axis=1)),
        hvp=scale * curvature,
    )


def bounds(given: Problem, arithmetic: Arithmetic, *, explicit_lse: bool = True) -> Results:
    """The bound of each quantity, called as a check would."""
    tau = given.tau.astype(np.float64)
    exact = exact_results(replace(given, reduction="none"))
    denominators = denominator_error(given.row_weights, arithmetic)
    scale_error = denominators if given.reduction == "mean" else 0.0
    options = {"scale_error": scale_error, "explicit_lse": explicit_lse}

    def total(rows: np.ndarray, bound: Bound) -> np.ndarray:
        if given.reduction == "none":
            return bound.total
        values = rows.astype(np.float64)
        return reduced_value_bound(
            values, bound, given.denominator, arithmetic, scale_error=scale_error
        ).total

    row_bound = row_value_bound(given.logits, tau, arithmetic, explicit_lse=explicit_lse)
    along = jvp_bound(given.logits, tau, given.tangent, arithmetic, explicit_lse=explicit_lse)
    coefficient = np.where(given.valid[:, None], given.coefficient, 0.0)
    return Results(
        value=total(exact.value, row_bound),
        gradient=gradient_bound(given.logits, tau, arithmetic, given.scale, **options).total,
        target_gradient=target_gradient_bound(
            given.logits, coefficient, arithmetic, given.scale, **options
        ).total,
        jvp=total(exact.jvp, along),
        hvp=hvp_bound(given.logits, tau, given.tangent, arithmetic, given.scale, **options).total,
    )


def ratios(computed: Results, exact: Results, bound: Results) -> dict[str, float]:
    """max error / bound by quantity; infinite where a finite number was due and none came."""
    found = {}
    for name in QUANTITIES:
        got, want, allowed = (getattr(part, name) for part in (computed, exact, bound))
        if got is None or np.size(got) == 0:
            continue
        got = np.asarray(got, EXACT)
        assert got.shape == want.shape, (name, got.shape, want.shape)
        wanted = np.isfinite(want)
        error = np.where(np.isfinite(got), np.abs(got - np.where(wanted, want, 0)), np.inf)
        error = np.where(wanted, error, 0)
        found[name] = float(np.max(error / allowed))
    return found
