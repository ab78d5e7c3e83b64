"""The gradient: in the logits, at a saturated target, and in target probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray
from gradcheck_suite.numerics.forward_error.blocks import by_rows
from gradcheck_suite.numerics.forward_error.roundings import (
    SCALE,
    TARGET,
    column,
    finish,
    quiet,
    stored_roundoff,
    summation_error,
    without_largest,
)
from gradcheck_suite.numerics.forward_error.rows import (
    Rows,
    exact_gradient,
    growth_of,
    log_sum_terms,
    placed,
    probability_terms,
    rows_of,
)
from gradcheck_suite.numerics.forward_error.targets import EffectiveTargets
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound, vanishing_product


def gradient_bound(
    logits: FloatArray,
    tau: FloatArray,
    arithmetic: Arithmetic,
    scale: npt.ArrayLike = 1.0,
    *,
    scale_error: float = 0.0,
    explicit_lse: bool = True,
    through_maximum: bool = True,
) -> Bound:
    """Bound (N, C) on the error of scale·(T·p − τ).

        |scale|[T p_i expm1(κρ_i) + κ·targets_i] + U(|scale·g_i| + …) + ω
        ρ_i = u|d_i| + (u + U_s/κ)v_i + Λ + X + 6u,   6u capped by 2q at the maximum

    Args:
        logits: f (N, C).
        tau: effective targets τ (N, C); may be signed.
        arithmetic: the arithmetic of the implementation.
        scale: upstream / denominator, (N,) or a scalar.
        scale_error: relative error of ``scale`` beyond a few roundings, such as that of
            a denominator that is a sum of weights (``denominator_error``).
        explicit_lse: also covers p = exp(f − lse) with lse at the logits' magnitude.
        through_maximum: also covers automatic differentiation through ``f − max f``, whose
            maximum receives minus the row sum of the gradient: 0 but for rounding.
    """
    factor = column(scale, len(logits))

    def bound(rows: slice) -> Bound:
        return _gradient_bound(
            logits[rows],
            tau[rows],
            arithmetic,
            factor[rows],
            scale_error=scale_error,
            explicit_lse=explicit_lse,
            through_maximum=through_maximum,
        )

    return by_rows(bound, *logits.shape)


@quiet
def _gradient_bound(
    logits: FloatArray,
    tau: FloatArray,
    arithmetic: Arithmetic,
    scale: FloatArray,
    *,
    scale_error: float,
    explicit_lse: bool,
    through_maximum: bool,
) -> Bound:
    row, target = placed(logits, tau, arithmetic, explicit_lse=explicit_lse)
    exact = exact_gradient(row, tau, target)
    terms = [
        *probability_terms(row, target, arithmetic),
        ("targets", _target_gradient_error(row, target, exact, arithmetic)),
        ("sum of the others", _complement_error(row, target, arithmetic)),
    ]
    if through_maximum:
        terms.append(("maximum", maximum_error(row, terms, exact, arithmetic)))
    if scale_error:
        terms.append(("denominator", scale_error * np.abs(exact)))
    return finish(logits.shape, terms, exact, scale, target.mass, arithmetic)


def _target_gradient_error(
    row: Rows, target: EffectiveTargets, exact: FloatArray, arithmetic: Arithmetic
) -> FloatArray:
    """Error (N, C) of the target's part of the gradient, and of scaling the result.

    A single target is exact up to factors common to the row. Several are rounded one by one,
    and T is a sum.
    """
    u, stored = arithmetic.unit_roundoff, stored_roundoff(arithmetic)
    scaling = (SCALE * u + 2.0 * stored) * np.abs(exact)
    total = target.summation + TARGET * (u + stored) * target.mass
    several = row.probability * total + TARGET * (u + stored) * target.size
    return scaling + np.where(target.single, 0.0, several)


def saturated_bound(
    logits: FloatArray,
    tau: FloatArray,
    arithmetic: Arithmetic,
    scale: npt.ArrayLike = 1.0,
    *,
    scale_error: float = 0.0,
    explicit_lse: bool = True,
) -> Bound:
    """Bound (N, C) on the gradient where the target's element is formed without cancellation.

    −τ_c Σ_{j≠c} p_j has as many correct digits as the p_j have, however close to 1 p_c is; so has
    τ_c expm1(log p_c) with log p_c = −log1p(Σ_{j≠c} e^{f_j − f_c}). At a single target c:

        κ|scale| τ_c [Σ_{j≠c} p_j expm1(κρ_j)/κ + Σ′_{j≠c} min(uq, p_j) + 8uq] + U(…) + ω,
        q = Σ_{j≠c} p_j

    and ``gradient_bound`` elsewhere, without what goes through the maximum. p_c − 1 exceeds it
    where q is of the size of u.

    Args:
        logits, tau, arithmetic, scale, scale_error, explicit_lse: as for ``gradient_bound``.
    """
    factor = column(scale, len(logits))

    def bound(rows: slice) -> Bound:
        return _saturated_bound(
            logits[rows],
            tau[rows],
            arithmetic,
            factor[rows],
            scale_error=scale_error,
            explicit_lse=explicit_lse,
        )

    return by_rows(bound, *logits.shape)


@quiet
def _saturated_bound(
    logits: FloatArray,
    tau: FloatArray,
    arithmetic: Arithmetic,
    scale: FloatArray,
    *,
    scale_error: float,
    explicit_lse: bool,
) -> Bound:
    u, stored = arithmetic.unit_roundoff, stored_roundoff(arithmetic)
    row, target = placed(logits, tau, arithmetic, explicit_lse=explicit_lse)
    exact = exact_gradient(row, tau, target)
    here = target.single & (target.size > 0.0)
    products = (2.0 * SCALE * u + 2.0 * stored) * np.abs(exact)
    errors = _probability_errors(row, arithmetic)
    complement = target.mass * _complement(row, here, errors, arithmetic)
    usual = [
        *probability_terms(row, target, arithmetic),
        ("targets", _target_gradient_error(row, target, exact, arithmetic)),
    ]
    terms = [(label, np.where(here, 0.0, term)) for label, term in usual]
    terms.append(("sum of the others", np.where(here, complement, 0.0)))
    terms.append(("products", np.where(here, products, 0.0)))
    if scale_error:
        terms.append(("denominator", scale_error * np.abs(exact)))
    # What is flushed is flushed before it is scaled, or after: never a unit next to p_c = 1.
    return finish(logits.shape, terms, exact, scale, target.mass, arithmetic)


def _complement_error(row: Rows, target: EffectiveTargets, arithmetic: Arithmetic) -> FloatArray:
    """What T·Σ_{j≠c} p_j at a single target c errs by beyond T(1 − p_c) (N, C); 0 elsewhere.

    An implementation forms one or the other: the larger error bounds both.
    """
    here = target.single & (target.size > 0.0)
    errors = _probability_errors(row, arithmetic)
    complement = _complement(row, here, errors, arithmetic)
    return np.where(here, target.mass * np.maximum(complement - errors, 0.0), 0.0)


def _probability_errors(row: Rows, arithmetic: Arithmetic) -> FloatArray:
    """p_j expm1(κρ_j)/κ (N, C): the error of each p_j; 0 where the bound says nothing of it."""
    growth, _ = growth_of(row, arithmetic)
    return vanishing_product(row.probability, np.where(np.isfinite(growth), growth, 0.0))


def _complement(
    row: Rows, here: npt.NDArray[np.bool_], errors: FloatArray, arithmetic: Arithmetic
) -> FloatArray:
    """Error (N, 1) of Σ p_j over all classes but those that are ``here``."""
    others = np.where(here, 0.0, row.probability)
    size = np.sum(others, axis=1, keepdims=True)
    summed = summation_error(without_largest(others), arithmetic, size)
    return np.asarray(np.sum(np.where(here, 0.0, errors), axis=1, keepdims=True) + summed)


def maximum_error(
    row: Rows,
    terms: list[tuple[str, FloatArray]],
    exact: FloatArray,
    arithmetic: Arithmetic,
) -> FloatArray:
    """What the maximum receives (N, C): the row sum of the computed elements.

    Of tied maxima the first receives all of it (torch.max, by its documentation) or each an
    equal part (amax, jax.numpy.max).
    """
    errors = np.sum([np.sum(term, axis=1, keepdims=True) for _, term in terms], axis=0)
    size = np.sum(np.abs(exact), axis=1, keepdims=True)
    summed = summation_error(without_largest(exact), arithmetic.backward, size)
    ties = np.count_nonzero(row.at_maximum, axis=1, keepdims=True)
    received = np.where(row.at_maximum, (errors + summed) / ties, 0.0)
    np.put_along_axis(received, row.first_maximum, errors + summed, axis=1)
    return received


def target_gradient_bound(
    logits: FloatArray,
    coefficient: npt.ArrayLike,
    arithmetic: Arithmetic,
    scale: npt.ArrayLike = 1.0,
    *,
    scale_error: float = 0.0,
    explicit_lse: bool = True,
) -> Bound:
    """Bound (N, C) on the error of −scale·k_j·log p_j, the gradient in target probabilities.

        κ|scale| k_j [Λ + u|d_j| + 6u·v_j, explicit: + 3u(|lse| + |f_j|)] + U(…) + ω

    Args:
        logits: f (N, C).
        coefficient: k_j = (1−ε)w_j, (C,) or (N, C); 0 in ignored rows.
        arithmetic, scale, scale_error, explicit_lse: as for ``gradient_bound``.
    """
    factor = column(scale, len(logits))
    size = np.broadcast_to(np.abs(np.asarray(coefficient, np.float64)), logits.shape)

    def bound(rows: slice) -> Bound:
        return _target_gradient_bound(
            logits[rows],
            size[rows],
            arithmetic,
            factor[rows],
            scale_error=scale_error,
            explicit_lse=explicit_lse,
        )

    return by_rows(bound, *logits.shape)


@quiet
def _target_gradient_bound(
    logits: FloatArray,
    size: FloatArray,
    arithmetic: Arithmetic,
    scale: FloatArray,
    *,
    scale_error: float,
    explicit_lse: bool,
) -> Bound:
    u, stored = arithmetic.unit_roundoff, stored_roundoff(arithmetic)
    row = rows_of(logits, arithmetic, explicit_lse=explicit_lse)
    exact = np.asarray(size * row.loss)
    rounding = u * row.distance + (u * (1.0 + SCALE) + 2.0 * stored) * row.loss
    terms = [*log_sum_terms(row, size), ("shift and subtraction", size * rounding)]
    if explicit_lse:
        position = np.abs(np.where(np.isfinite(logits), logits, 0.0)) + np.abs(row.log_sum_exp)
        terms.append(("explicit lse", size * (TARGET - 1.0) * u * position))
    if scale_error:
        terms.append(("denominator", scale_error * exact))
    return finish(logits.shape, terms, exact, scale, size, arithmetic)
