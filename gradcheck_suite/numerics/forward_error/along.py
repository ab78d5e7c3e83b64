"""Derivatives along a tangent: Jacobian-vector and Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray
from gradcheck_suite.numerics.forward_error.blocks import by_rows
from gradcheck_suite.numerics.forward_error.gradient import maximum_error
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
    placed,
)
from gradcheck_suite.numerics.forward_error.targets import EffectiveTargets
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound, vanishing_product


@dataclass(frozen=True, slots=True, eq=False)
class Tangent:
    """Sizes and errors of p·v, the tangent of log-sum-exp.

    Attributes:
        size: V_j = |v_j|, or |v_j − v_max| where that is larger (N, C): the tangent of a
            shifted logit, if the shift is differentiated too.
        mean: R = Σ p_j V_j (N, 1).
        growth: expm1(κρ)/κ of p (N, C).
        error: of the computed p·v (N, 1).
    """

    size: FloatArray
    mean: FloatArray
    growth: FloatArray
    error: FloatArray


def tangent_of(
    row: Rows, tangent: FloatArray, arithmetic: Arithmetic, *, through_maximum: bool
) -> Tangent:
    """What an implementation makes of a tangent v (N, C)."""
    u = arithmetic.unit_roundoff
    size = np.abs(tangent)
    if through_maximum:  # of tied logits any, or their average, may have been subtracted
        low = np.min(tangent, axis=1, keepdims=True, where=row.at_maximum, initial=np.inf)
        high = np.max(tangent, axis=1, keepdims=True, where=row.at_maximum, initial=-np.inf)
        size = np.maximum(size, np.maximum(tangent - low, high - tangent))
    growth, _ = growth_of(row, arithmetic)
    parts = row.probability * size
    mean = np.sum(parts, axis=1, keepdims=True)
    rounded = np.sum(vanishing_product(parts, growth + 2.0 * u), axis=1, keepdims=True)
    return Tangent(size, mean, growth, rounded + summation_error(parts, arithmetic.backward, mean))


def _along(
    bound_of: Callable[..., Bound],
    logits: FloatArray,
    tau: FloatArray,
    tangent: npt.ArrayLike,
    arithmetic: Arithmetic,
    scale: npt.ArrayLike,
    **options: Any,
) -> Bound:
    """A bound along a tangent, in blocks of rows."""
    values = np.broadcast_to(np.asarray(tangent, np.float64), logits.shape)
    factor = column(scale, len(logits))

    def bound(rows: slice) -> Bound:
        return bound_of(logits[rows], tau[rows], values[rows], arithmetic, factor[rows], **options)

    return by_rows(bound, *logits.shape)


def jvp_bound(
    logits: FloatArray,
    tau: FloatArray,
    tangent: npt.ArrayLike,
    arithmetic: Arithmetic,
    scale: npt.ArrayLike = 1.0,
    *,
    scale_error: float = 0.0,
    explicit_lse: bool = True,
    through_maximum: bool = True,
) -> Bound:
    """Bound (N,) on the error of scale·Σ_i (T·p − τ)_i v_i, the directional derivative of a row.

    Covers forward mode, −Σ_j τ_j(v_j − p·v), and the inner product with a computed gradient. It
    is a bound on what is *computed*: an inner product taken exactly (or in a wider dtype)
    with a computed gradient errs by at most Σ_i gradient_bound_i·|v_i|.

    Args:
        tangent: v (N, C).
        logits, tau, arithmetic, scale, scale_error, explicit_lse, through_maximum: as for
            ``gradient_bound``.
    """
    return _along(
        _jvp_bound,
        logits,
        tau,
        tangent,
        arithmetic,
        scale,
        scale_error=scale_error,
        explicit_lse=explicit_lse,
        through_maximum=through_maximum,
    )


@quiet
def _jvp_bound(
    logits: FloatArray,
    tau: FloatArray,
    tangent: FloatArray,
    arithmetic: Arithmetic,
    scale: FloatArray,
    *,
    scale_error: float,
    explicit_lse: bool,
    through_maximum: bool,
) -> Bound:
    u, stored = arithmetic.unit_roundoff, stored_roundoff(arithmetic)
    row, target = placed(logits, tau, arithmetic, explicit_lse=explicit_lse)
    along = tangent_of(row, tangent, arithmetic, through_maximum=through_maximum)
    exact = np.sum(exact_gradient(row, tau, target) * tangent, axis=1, keepdims=True)
    parts = target.size * (along.size + along.mean)
    size = np.sum(parts, axis=1, keepdims=True)
    summed = (
        summation_error(without_largest(parts), arithmetic, size) + target.summation * along.mean
    )
    roundings = 2.0 + np.where(target.plain, 0.0, TARGET)
    products = roundings * (u + stored) * size
    terms = [
        ("p·v", vanishing_product(target.mass, along.error)),
        ("products", products),
        ("sum over classes", summed),
    ]
    if scale_error:
        terms.append(("denominator", scale_error * np.abs(exact)))
    columns = [(label, part[:, 0]) for label, part in terms]
    factor = scale[:, 0]
    flushed = (target.mass * (1.0 + np.max(along.size, axis=1, keepdims=True, initial=0.0)))[:, 0]
    return finish((len(logits),), columns, exact[:, 0], factor, flushed, arithmetic)


def hvp_bound(
    logits: FloatArray,
    tau: FloatArray,
    tangent: npt.ArrayLike,
    arithmetic: Arithmetic,
    scale: npt.ArrayLike = 1.0,
    *,
    scale_error: float = 0.0,
    explicit_lse: bool = True,
    through_maximum: bool = True,
) -> Bound:
    """Bound (N, C) on the error of scale·T·(p∘v − p (p·v)), the Hessian-vector product of a row.

        κ|scale|[T p_i((V_i + R)(expm1(κρ_i)/κ + 8u) + error of p·v) + error of T
                 + |τ_i|((V_i + R)·8u + 2·error of p·v)] + U(…) + ω

    Args:
        tangent: v (N, C).
        logits, tau, arithmetic, scale, scale_error, explicit_lse, through_maximum: as for
            ``gradient_bound``.
    """
    return _along(
        _hvp_bound,
        logits,
        tau,
        tangent,
        arithmetic,
        scale,
        scale_error=scale_error,
        explicit_lse=explicit_lse,
        through_maximum=through_maximum,
    )


@quiet
def _hvp_bound(
    logits: FloatArray,
    tau: FloatArray,
    tangent: FloatArray,
    arithmetic: Arithmetic,
    scale: FloatArray,
    *,
    scale_error: float,
    explicit_lse: bool,
    through_maximum: bool,
) -> Bound:
    u, stored = arithmetic.unit_roundoff, stored_roundoff(arithmetic)
    row, target = placed(logits, tau, arithmetic, explicit_lse=explicit_lse)
    along = tangent_of(row, tangent, arithmetic, through_maximum=through_maximum)
    signed = np.sum(tau, axis=1, keepdims=True)
    mean = np.sum(row.probability * tangent, axis=1, keepdims=True)
    exact = signed * row.probability * (tangent - mean)
    parts = row.probability * (along.size + along.mean)
    mass_error = target.summation + TARGET * (u + stored) * target.mass
    terms = [
        ("p", target.mass * vanishing_product(parts, along.growth)),
        ("p·v", vanishing_product(target.mass * row.probability, along.error)),
        ("products", target.mass * parts * (2.0 * SCALE * u + 3.0 * stored)),
        ("targets", parts * mass_error),
        ("sum of the others", _second_complement_error(row, target, along, arithmetic)),
    ]
    if through_maximum:
        terms.append(("maximum", maximum_error(row, terms, exact, arithmetic)))
    if scale_error:
        terms.append(("denominator", scale_error * np.abs(exact)))
    flushed = target.mass * (1.0 + np.max(along.size, axis=1, keepdims=True, initial=0.0))
    return finish(logits.shape, terms, exact, scale, flushed, arithmetic)


def _second_complement_error(
    row: Rows, target: EffectiveTargets, along: Tangent, arithmetic: Arithmetic
) -> FloatArray:
    """What a target's element errs by where it is not formed as a multiple of p_i (N, C).

    The row of H·v sums to 0. A loss that is shifted by its target, log Σ exp(f − f_c), forms
    the element at c as minus the sum of the others; one that takes log of a softmax forms it
    as a difference of two τ_i(v_i − p·v). Both err absolutely, by roundings of τ_i(V_i + R)
    and by τ_i times the error of a sum over p_j(V_j + R), and not relatively to p_i.
    """
    u, stored = arithmetic.unit_roundoff, stored_roundoff(arithmetic)
    roundings = 2.0 * SCALE * u + 3.0 * stored
    difference = vanishing_product(target.size, roundings * (along.size + along.mean))
    return difference + vanishing_product(target.size, 2.0 * along.error)
