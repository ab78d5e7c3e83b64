"""Reference quantities of each row, and the errors that all bounds are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray
from gradcheck_suite.numerics.forward_error.roundings import (
    DIVISION,
    ELEMENTARY,
    HEADROOM,
    stored_roundoff,
    summation_error,
)
from gradcheck_suite.numerics.forward_error.targets import EffectiveTargets, effective_targets
from gradcheck_suite.numerics.tolerance import Arithmetic, vanishing_product


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Reference quantities of each row, and the errors that all bounds are made of.

    The maximum is left out *before* any sum: taking it away from a finished sum cancels.

    Attributes:
        probability: p (N, C).
        rest: q = 1 − max p, formed without cancellation (N, 1).
        distance: |f − max f| (N, C); 0 where p is exactly 0 for a logit of −inf.
        loss: −log p (N, C); 0 in the same places.
        at_maximum: the logits that tie for the maximum (N, C).
        first_maximum: one of them (N, 1).
        log_sum_exp: lse = log Σ exp f (N, 1).
        exponentials, summation, logarithm, explicit: the terms of the absolute error of
            log Σ exp(f − max f), and that of adding the maximum back (N, 1).
    """

    probability: FloatArray
    rest: FloatArray
    distance: FloatArray
    loss: FloatArray
    at_maximum: npt.NDArray[np.bool_]
    first_maximum: npt.NDArray[np.intp]
    log_sum_exp: FloatArray
    exponentials: FloatArray
    summation: FloatArray
    logarithm: FloatArray
    explicit: FloatArray

    @property
    def log_sum(self) -> FloatArray:
        """Λ, error of log Σ exp(f − max f) (N, 1)."""
        return self.exponentials + self.summation + self.logarithm


def rows_of(logits: FloatArray, arithmetic: Arithmetic, *, explicit_lse: bool) -> Rows:
    """The reference quantities of each row; a row that is NaN, +inf or all −inf counts as 0."""
    u = arithmetic.unit_roundoff
    logits = np.asarray(logits, np.float64)
    classes = logits.shape[1]
    maximum = np.max(logits, axis=1, keepdims=True, initial=-np.inf)
    logits = np.where(np.isfinite(maximum), logits, 0.0)
    maximum = np.where(np.isfinite(maximum), maximum, 0.0)
    first = np.argmax(logits, axis=1)[:, None]

    shifted = logits - maximum
    power = np.exp(shifted)
    others = power.copy()
    np.put_along_axis(others, first, 0.0, axis=1)
    excess = np.sum(others, axis=1, keepdims=True)
    log_sum = np.log1p(excess)
    probability = power / (1.0 + excess)
    rest = excess / (1.0 + excess)
    present = np.isfinite(shifted)
    distance = np.where(present, -shifted, 0.0)
    loss = np.where(present, log_sum + distance, 0.0)

    spread = np.sum(probability * distance, axis=1, keepdims=True)
    # Equal logits: exp(0) = 1, and whole numbers up to 1/u add up exactly in any order.
    ones = np.all((shifted == 0.0) | ~present, axis=1, keepdims=True)
    counting = ones & (classes * arithmetic.summation_roundoff <= 1.0)
    exponentials = np.where(ones, 0.0, u * (spread + ELEMENTARY * rest))
    counted = 0.0 if classes * u <= 1.0 else u  # the count itself has to be stored
    summed = summation_error(others / (1.0 + excess), arithmetic)
    summation = np.where(counting, counted, summed)
    exponentials, summation = _through_logarithm(exponentials, summation)
    logarithm = ELEMENTARY * u * log_sum + classes * arithmetic.smallest_normal
    bound = exponentials + summation + logarithm
    # max + log s is rounded to a neighbour, and max itself is one candidate: hence the cap.
    explicit = np.minimum(u * np.abs(maximum + log_sum), log_sum + bound)
    return Rows(
        probability=probability,
        rest=rest,
        distance=distance,
        loss=loss,
        at_maximum=shifted == 0.0,
        first_maximum=first,
        log_sum_exp=maximum + log_sum,
        exponentials=exponentials,
        summation=summation,
        logarithm=logarithm,
        explicit=explicit if explicit_lse else np.zeros_like(explicit),
    )


def _through_logarithm(
    exponentials: FloatArray, summation: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """−log1p(−E) of a relative error E of the sum, shared out in proportion.

    First order is exceeded by a tenth of a percent where E is large; from E = 1 on the sum may
    have been lost altogether, and nothing is said.
    """
    relative = exponentials + summation
    lost = relative >= 1.0
    inside = np.where(lost, 0.0, relative)
    stretch = np.divide(-np.log1p(-inside), inside, out=np.ones_like(inside), where=inside > 0.0)
    return exponentials * stretch, np.where(lost, np.inf, summation * stretch)


def _relative_error(row: Rows, arithmetic: Arithmetic) -> tuple[FloatArray, FloatArray]:
    """ρ of p in two parts (N, C): from the logits' shift and from the elementary functions."""
    u, stored = arithmetic.unit_roundoff, stored_roundoff(arithmetic)
    shift = u * row.distance + (u + stored) * row.loss
    elementary = np.full_like(shift, DIVISION * u)
    # At the maximum exp(0) = 1 and x/1 = x are exact, and what a rounding of 1/s can lose is at
    # most its distance from 1.
    cap = np.minimum(DIVISION * u, 2.0 * row.rest)
    np.put_along_axis(elementary, row.first_maximum, cap, axis=1)
    return shift, elementary


def growth_of(row: Rows, arithmetic: Arithmetic) -> tuple[FloatArray, FloatArray]:
    """expm1(κρ)/κ (N, C), and its ratio to ρ, by which ρ's parts are stretched."""
    shift, elementary = _relative_error(row, arithmetic)
    rho = shift + elementary + row.log_sum + row.explicit
    finite = np.where(np.isfinite(rho), rho, 0.0)
    growth = np.where(np.isfinite(rho), np.expm1(HEADROOM * finite) / HEADROOM, np.inf)
    growth = np.where(row.probability > 0.0, growth, 0.0)
    stretch = np.divide(growth, finite, out=np.ones_like(finite), where=finite > 0.0)
    return growth, stretch


def shifted_by_target(row: Rows, target: EffectiveTargets, u: float) -> Rows:
    """The row where the logits may have been shifted by their target, log Σ exp(f − f_c).

    f_j − f_c is rounded to u|f_j − f_c| ≤ u(|d_j| + |d_c|), and the lse of what was so shifted,
    |d_c| + L, is rounded at that magnitude in its turn: beyond a shift by the maximum, 2u times
    the target's distance from it, averaged over the targets of a distribution. Where u times
    that distance is 1 or more the form has no correct digit left, and is not covered.
    """
    away = np.sum(vanishing_product(target.size, row.distance), axis=1, keepdims=True)
    mean = np.divide(away, target.mass, out=np.zeros_like(away), where=target.mass > 0.0)
    error = np.where(u * mean < 1.0, 2.0 * u * mean, 0.0)
    return replace(row, explicit=row.explicit + error)


def placed(
    logits: FloatArray, tau: FloatArray, arithmetic: Arithmetic, *, explicit_lse: bool
) -> tuple[Rows, EffectiveTargets]:
    """Rows and their targets, as every bound on a derivative starts.

    With ``explicit_lse`` the rows may also have been shifted by their target.
    """
    target = effective_targets(tau, arithmetic)
    row = rows_of(logits, arithmetic, explicit_lse=explicit_lse)
    if explicit_lse:
        row = shifted_by_target(row, target, arithmetic.unit_roundoff)
    return row, target


def log_sum_terms(row: Rows, mass: FloatArray) -> list[tuple[str, FloatArray]]:
    """The terms of mass·Λ."""
    return [
        ("exponentials", mass * row.exponentials),
        ("sum of exponentials", vanishing_product(mass, row.summation)),
        ("logarithm", mass * row.logarithm),
    ]


def probability_terms(
    row: Rows, target: EffectiveTargets, arithmetic: Arithmetic
) -> list[tuple[str, FloatArray]]:
    """The terms of T·p·expm1(κρ)/κ, shared out in proportion to those of ρ."""
    shift, elementary = _relative_error(row, arithmetic)
    _, stretch = growth_of(row, arithmetic)
    weight = vanishing_product(target.mass * row.probability, stretch)
    terms = [
        ("shift and subtraction", weight * shift),
        ("exponentials", weight * row.exponentials),
        ("sum of exponentials", vanishing_product(weight, row.summation)),
        ("logarithm", weight * row.logarithm),
        ("division", weight * elementary),
    ]
    if np.any(row.explicit):
        terms.append(("explicit lse", vanishing_product(weight, row.explicit)))
    return terms


def exact_gradient(row: Rows, tau: FloatArray, target: EffectiveTargets) -> FloatArray:
    """T·p − τ; with a single target τ_c(p_c − 1) is formed without cancellation."""
    signed = np.sum(tau, axis=1, keepdims=True)
    others = 1.0 - row.probability
    np.put_along_axis(others, row.first_maximum, row.rest, axis=1)
    exact = signed * row.probability - tau
    return np.where(target.single & (target.size > 0.0), -tau * others, exact)
