"""Forward-error bounds of softmax-NLL: what rounding alone may do to a correct implementation.

Every function takes float64 arrays whose values are those the implementation saw, and
bounds |computed − exact| element by element for *any* stable implementation in the given
arithmetic: any order of summation, softmax by division or by exponentiating
log-probabilities, closed-form or automatic derivatives.

    logits f (N, C);  effective targets τ (N, C), τ_j = w_j((1−ε)t_j + ε/C), an ignored row is 0
    loss_n = −Σ_j τ_j log p_j          ∂loss/∂f = T·p − τ, T = Σ_j τ_j

The derivation is docs/bounds.md. Source: Blanchard, Higham and Higham, "Accurately computing the
log-sum-exp and softmax functions", IMA J. Numer. Anal. 41 (2021); Higham, "Accuracy and
Stability of Numerical Algorithms" (2002), chapters 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound, vanishing_product

HEADROOM = 2.0
"""κ: every rounding of the computation is doubled, for what a first-order count leaves out:
terms of order u², the growth of partial sums that are themselves rounded, and exp and log up to
four units in the last place. 1.0 accuses nobody that was measured (docs/bounds.md, Measured)."""

# Roundings counted in the derivation, in units of u.
_ELEMENTARY = 4.0  # one exp or log: two units in the last place
_DIVISION = 6.0  # exp, the division (as a product with a rounded reciprocal: two) and a scaling
_TARGET = 4.0  # (1−ε)t, + ε/C, × w, × log p
_SCALE = 4.0  # upstream / denominator × weight × element


# exp of a gap underflows by right, and a caller may have made NumPy raise.
_quiet = np.errstate(under="ignore", over="ignore")


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
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


def _rows(logits: FloatArray, arithmetic: Arithmetic, *, explicit_lse: bool) -> _Rows:
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
    counting = np.all((shifted == 0.0) | ~present, axis=1, keepdims=True) & (classes * u <= 1.0)
    exponentials = np.where(counting, 0.0, u * (spread + _ELEMENTARY * rest))
    summation = np.where(counting, 0.0, _summation_error(others / (1.0 + excess), u))
    exponentials, summation = _through_logarithm(exponentials, summation)
    logarithm = _ELEMENTARY * u * log_sum + classes * arithmetic.smallest_normal
    bound = exponentials + summation + logarithm
    # max + log s is rounded to a neighbour, and max itself is one candidate: hence the cap.
    explicit = np.minimum(u * np.abs(maximum + log_sum), log_sum + bound)
    return _Rows(
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


def _summation_error(terms: FloatArray, u: float, total: FloatArray | float = 1.0) -> FloatArray:
    """Σ_j min(u·total, |term_j|) (N, 1): a sum in any order or tree, its largest term left out.

    An addition errs by at most u times its result, and by at most its smaller operand, since
    the larger operand is itself a floating-point number near the exact result.
    """
    errors = np.minimum(u * total, np.abs(terms))
    return np.asarray(np.sum(errors, axis=-1, keepdims=True))


def _without_largest(terms: FloatArray) -> FloatArray:
    """|terms| with one of the largest in each row set to 0: n terms take n − 1 additions."""
    size = np.array(np.abs(terms))
    if size.shape[-1]:
        np.put_along_axis(size, np.argmax(size, axis=-1)[..., None], 0.0, axis=-1)
    return size


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


@dataclass(frozen=True, slots=True, eq=False)
class _Targets:
    """What an implementation may do to the effective targets on the way.

    Attributes:
        size: |τ| (N, C).
        mass: Σ|τ| (N, 1).
        single: rows with one non-zero target (N, 1): nothing is summed there, and weight,
            upstream and denominator are one factor common to the whole row.
        plain: those in which it is exactly 1, so that nothing is multiplied either (N, 1).
        summation: error of Σ τ (N, 1).
    """

    size: FloatArray
    mass: FloatArray
    single: npt.NDArray[np.bool_]
    plain: npt.NDArray[np.bool_]
    summation: FloatArray


def _targets(tau: FloatArray, arithmetic: Arithmetic) -> _Targets:
    size = np.abs(np.asarray(tau, np.float64))
    mass = np.sum(size, axis=1, keepdims=True)
    single = np.count_nonzero(size, axis=1, keepdims=True) == 1
    return _Targets(
        size=size,
        mass=mass,
        single=single,
        plain=single & (mass == 1.0),
        summation=_summation_error(_without_largest(size), arithmetic.unit_roundoff, mass),
    )


def _stored(arithmetic: Arithmetic) -> float:
    """U_s/κ: what a rounding to storage may do is known exactly and needs no headroom."""
    return arithmetic.log_probability_roundoff / HEADROOM


def _finish(
    shape: tuple[int, ...],
    terms: list[tuple[str, FloatArray]],
    exact: FloatArray,
    scale: FloatArray,
    flushed: FloatArray,
    arithmetic: Arithmetic,
) -> Bound:
    """κ·|scale|·terms, then what flushing and storing the scaled result adds."""
    size = np.abs(scale)
    pairs = [(label, HEADROOM * vanishing_product(size, value)) for label, value in terms]
    # An intermediate may be flushed before or after the scale is multiplied in.
    floor = HEADROOM * (1.0 + size * flushed) * arithmetic.smallest_normal
    pairs.append(("smallest normal", floor + arithmetic.output_smallest_normal))
    if arithmetic.storage_roundoff:
        inner = Bound.of(shape, pairs).total
        stored = arithmetic.storage_roundoff * (size * np.abs(exact) + inner)
        pairs.append(("storage", stored))
    return Bound.of(shape, pairs)


@_quiet
def row_value_bound(
    logits: FloatArray, tau: FloatArray, arithmetic: Arithmetic, *, explicit_lse: bool = True
) -> Bound:
    """Bound (N,) on the error of −Σ_j τ_j log p_j.

        κ[T(Λ + X) + Σ τ_j u(|d_j| + v_j) + products + sum over j] + U(value + …) + ω

    Args:
        logits: f (N, C).
        tau: effective targets τ (N, C).
        arithmetic: the arithmetic of the implementation.
        explicit_lse: also covers forms that compute lse at the logits' own magnitude and then
            subtract (X = u|lse|); without it the bound does not grow with an offset.
    """
    u, stored = arithmetic.unit_roundoff, _stored(arithmetic)
    row = _rows(logits, arithmetic, explicit_lse=explicit_lse)
    target = _targets(tau, arithmetic)
    cost = target.size * row.loss
    value = np.sum(cost, axis=1, keepdims=True)
    shift = np.sum(target.size * (row.distance + row.loss), axis=1, keepdims=True)
    summed = _summation_error(_without_largest(cost), u, value)
    products = np.where(target.plain, 0.0, (_TARGET * u + (1.0 + _TARGET) * stored) * value)
    terms = [
        *_log_sum_terms(row, target.mass),
        ("shift and subtraction", u * shift),
        ("sum over classes", summed + products + stored * np.where(target.single, 0.0, value)),
    ]
    if explicit_lse:
        dot = np.where(target.plain, 0.0, _explicit_dot_error(logits, row, target, u))
        terms.append(("explicit lse", vanishing_product(target.mass, row.explicit) + dot))
    columns = [(label, part[:, 0]) for label, part in terms]
    one = np.ones(len(value))
    return _finish((len(value),), columns, value[:, 0], one, target.mass[:, 0], arithmetic)


def _log_sum_terms(row: _Rows, mass: FloatArray) -> list[tuple[str, FloatArray]]:
    return [
        ("exponentials", mass * row.exponentials),
        ("sum of exponentials", vanishing_product(mass, row.summation)),
        ("logarithm", mass * row.logarithm),
    ]


def _explicit_dot_error(logits: FloatArray, row: _Rows, target: _Targets, u: float) -> FloatArray:
    """Error (N, 1) of T·lse − Σ_j τ_j f_j, where the products are rounded before they cancel."""
    used = np.where(np.isfinite(logits) & (target.size > 0.0), logits, 0.0)
    products = target.size * np.abs(used)
    size = np.sum(products, axis=1, keepdims=True)
    lse = np.abs(row.log_sum_exp)
    summed = _summation_error(_without_largest(products), u, size)
    rounded = (_TARGET - 1.0) * u * (target.mass * lse + size)
    return np.asarray(rounded + target.summation * lse + summed)


@_quiet
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
    target = _targets(tau, arithmetic)
    row = _rows(logits, arithmetic, explicit_lse=explicit_lse)
    if explicit_lse:
        row = _shifted_by_target(row, target, arithmetic.unit_roundoff)
    exact = _exact_gradient(row, tau, target)
    terms = [
        *_probability_terms(row, target, arithmetic),
        ("targets", _target_gradient_error(row, target, exact, arithmetic)),
        ("sum of the others", _complement_error(row, target, arithmetic)),
    ]
    if through_maximum:
        terms.append(("maximum", _maximum_error(row, terms, exact, arithmetic)))
    if scale_error:
        terms.append(("denominator", scale_error * np.abs(exact)))
    return _finish(logits.shape, terms, exact, _column(scale, len(logits)), target.mass, arithmetic)


def _shifted_by_target(row: _Rows, target: _Targets, u: float) -> _Rows:
    """The row where the logits may have been shifted by their target, log Σ exp(f − f_c).

    f_j − f_c is rounded to u|f_j − f_c| ≤ u(|d_j| + |d_c|): beyond a shift by the maximum,
    u times the target's distance from it, averaged over the targets of a distribution. Where
    that is 1 or more the form has no correct digit left, and is not covered.
    """
    away = np.sum(vanishing_product(target.size, row.distance), axis=1, keepdims=True)
    mean = np.divide(away, target.mass, out=np.zeros_like(away), where=target.mass > 0.0)
    error = np.where(u * mean < 1.0, u * mean, 0.0)
    return replace(row, explicit=row.explicit + error)


def _column(scale: npt.ArrayLike, rows: int) -> FloatArray:
    """A factor per row, as (N, 1). A factor that is not finite (0/0 in a mean) counts as 0."""
    column = np.broadcast_to(np.asarray(scale, np.float64).reshape(-1, 1), (rows, 1))
    return np.array(np.where(np.isfinite(column), column, 0.0))


def _exact_gradient(row: _Rows, tau: FloatArray, target: _Targets) -> FloatArray:
    """T·p − τ; with a single target τ_c(p_c − 1) is formed without cancellation."""
    signed = np.sum(tau, axis=1, keepdims=True)
    others = 1.0 - row.probability
    np.put_along_axis(others, row.first_maximum, row.rest, axis=1)
    exact = signed * row.probability - tau
    return np.where(target.single & (target.size > 0.0), -tau * others, exact)


def _relative_error(row: _Rows, arithmetic: Arithmetic) -> tuple[FloatArray, FloatArray]:
    """ρ of p in two parts (N, C): from the logits' shift and from the elementary functions."""
    u, stored = arithmetic.unit_roundoff, _stored(arithmetic)
    shift = u * row.distance + (u + stored) * row.loss
    elementary = np.full_like(shift, _DIVISION * u)
    # At the maximum exp(0) = 1 and x/1 = x are exact, and what a rounding of 1/s can lose is at
    # most its distance from 1.
    cap = np.minimum(_DIVISION * u, 2.0 * row.rest)
    np.put_along_axis(elementary, row.first_maximum, cap, axis=1)
    return shift, elementary


def _growth(row: _Rows, arithmetic: Arithmetic) -> tuple[FloatArray, FloatArray]:
    """expm1(κρ)/κ (N, C), and its ratio to ρ, by which ρ's parts are stretched."""
    shift, elementary = _relative_error(row, arithmetic)
    rho = shift + elementary + row.log_sum + row.explicit
    finite = np.where(np.isfinite(rho), rho, 0.0)
    growth = np.where(np.isfinite(rho), np.expm1(HEADROOM * finite) / HEADROOM, np.inf)
    growth = np.where(row.probability > 0.0, growth, 0.0)
    stretch = np.divide(growth, finite, out=np.ones_like(finite), where=finite > 0.0)
    return growth, stretch


def _probability_terms(
    row: _Rows, target: _Targets, arithmetic: Arithmetic
) -> list[tuple[str, FloatArray]]:
    """The terms of T·p·expm1(κρ)/κ, shared out in proportion to those of ρ."""
    shift, elementary = _relative_error(row, arithmetic)
    _, stretch = _growth(row, arithmetic)
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


def _target_gradient_error(
    row: _Rows, target: _Targets, exact: FloatArray, arithmetic: Arithmetic
) -> FloatArray:
    """Error (N, C) of the target's part of the gradient, and of scaling the result.

    A single target is exact up to factors common to the row. Several are rounded one by one,
    and T is a sum.
    """
    u, stored = arithmetic.unit_roundoff, _stored(arithmetic)
    scaling = (_SCALE * u + 2.0 * stored) * np.abs(exact)
    total = target.summation + _TARGET * (u + stored) * target.mass
    several = row.probability * total + _TARGET * (u + stored) * target.size
    return scaling + np.where(target.single, 0.0, several)


def _complement_error(row: _Rows, target: _Targets, arithmetic: Arithmetic) -> FloatArray:
    """What T·Σ_{j≠c} p_j at a single target c errs by beyond T(1 − p_c) (N, C); 0 elsewhere.

    An implementation forms one or the other: the larger error bounds both.
    """
    here = target.single & (target.size > 0.0)
    growth, _ = _growth(row, arithmetic)
    errors = vanishing_product(row.probability, np.where(np.isfinite(growth), growth, 0.0))
    others = np.where(here, 0.0, row.probability)
    size = np.sum(others, axis=1, keepdims=True)
    summed = _summation_error(_without_largest(others), arithmetic.unit_roundoff, size)
    complement = np.sum(np.where(here, 0.0, errors), axis=1, keepdims=True) + summed
    return np.where(here, target.mass * np.maximum(complement - errors, 0.0), 0.0)


def _maximum_error(
    row: _Rows,
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
    summed = _summation_error(_without_largest(exact), arithmetic.unit_roundoff, size)
    ties = np.count_nonzero(row.at_maximum, axis=1, keepdims=True)
    received = np.where(row.at_maximum, (errors + summed) / ties, 0.0)
    np.put_along_axis(received, row.first_maximum, errors + summed, axis=1)
    return received


@_quiet
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
    u, stored = arithmetic.unit_roundoff, _stored(arithmetic)
    row = _rows(logits, arithmetic, explicit_lse=explicit_lse)
    size = np.broadcast_to(np.abs(np.asarray(coefficient, np.float64)), logits.shape)
    exact = np.asarray(size * row.loss)
    rounding = u * row.distance + (u * (1.0 + _SCALE) + 2.0 * stored) * row.loss
    terms = [*_log_sum_terms(row, size), ("shift and subtraction", size * rounding)]
    if explicit_lse:
        position = np.abs(np.where(np.isfinite(logits), logits, 0.0)) + np.abs(row.log_sum_exp)
        terms.append(("explicit lse", size * (_TARGET - 1.0) * u * position))
    if scale_error:
        terms.append(("denominator", scale_error * exact))
    return _finish(logits.shape, terms, exact, _column(scale, len(logits)), size, arithmetic)


@dataclass(frozen=True, slots=True, eq=False)
class _Tangent:
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


def _tangent(
    row: _Rows, tangent: npt.ArrayLike, arithmetic: Arithmetic, *, through_maximum: bool
) -> _Tangent:
    u = arithmetic.unit_roundoff
    values = np.asarray(tangent, np.float64)
    size = np.abs(values)
    if through_maximum:  # of tied logits any, or their average, may have been subtracted
        low = np.min(values, axis=1, keepdims=True, where=row.at_maximum, initial=np.inf)
        high = np.max(values, axis=1, keepdims=True, where=row.at_maximum, initial=-np.inf)
        size = np.maximum(size, np.maximum(values - low, high - values))
    growth, _ = _growth(row, arithmetic)
    parts = row.probability * size
    mean = np.sum(parts, axis=1, keepdims=True)
    rounded = np.sum(vanishing_product(parts, growth + 2.0 * u), axis=1, keepdims=True)
    return _Tangent(size, mean, growth, rounded + _summation_error(parts, u, mean))


@_quiet
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
    u, stored = arithmetic.unit_roundoff, _stored(arithmetic)
    target = _targets(tau, arithmetic)
    row = _rows(logits, arithmetic, explicit_lse=explicit_lse)
    if explicit_lse:
        row = _shifted_by_target(row, target, u)
    along = _tangent(row, tangent, arithmetic, through_maximum=through_maximum)
    exact = np.sum(
        _exact_gradient(row, tau, target) * np.asarray(tangent, np.float64), axis=1, keepdims=True
    )
    parts = target.size * (along.size + along.mean)
    size = np.sum(parts, axis=1, keepdims=True)
    summed = _summation_error(_without_largest(parts), u, size) + target.summation * along.mean
    roundings = 2.0 + np.where(target.plain, 0.0, _TARGET)
    products = roundings * (u + stored) * size
    terms = [
        ("p·v", vanishing_product(target.mass, along.error)),
        ("products", products),
        ("sum over classes", summed),
    ]
    if scale_error:
        terms.append(("denominator", scale_error * np.abs(exact)))
    columns = [(label, part[:, 0]) for label, part in terms]
    factor = _column(scale, len(logits))[:, 0]
    flushed = (target.mass * (1.0 + np.max(along.size, axis=1, keepdims=True, initial=0.0)))[:, 0]
    return _finish((len(logits),), columns, exact[:, 0], factor, flushed, arithmetic)


@_quiet
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
    u, stored = arithmetic.unit_roundoff, _stored(arithmetic)
    target = _targets(tau, arithmetic)
    row = _rows(logits, arithmetic, explicit_lse=explicit_lse)
    if explicit_lse:
        row = _shifted_by_target(row, target, u)
    along = _tangent(row, tangent, arithmetic, through_maximum=through_maximum)
    values = np.asarray(tangent, np.float64)
    signed = np.sum(tau, axis=1, keepdims=True)
    mean = np.sum(row.probability * values, axis=1, keepdims=True)
    exact = signed * row.probability * (values - mean)
    parts = row.probability * (along.size + along.mean)
    mass_error = target.summation + _TARGET * (u + stored) * target.mass
    terms = [
        ("p", target.mass * vanishing_product(parts, along.growth)),
        ("p·v", vanishing_product(target.mass * row.probability, along.error)),
        ("products", target.mass * parts * (2.0 * _SCALE * u + 3.0 * stored)),
        ("targets", parts * mass_error),
        ("sum of the others", _second_complement_error(row, target, along, arithmetic)),
    ]
    if through_maximum:
        terms.append(("maximum", _maximum_error(row, terms, exact, arithmetic)))
    if scale_error:
        terms.append(("denominator", scale_error * np.abs(exact)))
    flushed = target.mass * (1.0 + np.max(along.size, axis=1, keepdims=True, initial=0.0))
    return _finish(logits.shape, terms, exact, _column(scale, len(logits)), flushed, arithmetic)


def _second_complement_error(
    row: _Rows, target: _Targets, along: _Tangent, arithmetic: Arithmetic
) -> FloatArray:
    """What a target's element errs by where it is not formed as a multiple of p_i (N, C).

    The row of H·v sums to 0. A loss that is shifted by its target, log Σ exp(f − f_c), forms
    the element at c as minus the sum of the others; one that takes log of a softmax forms it
    as a difference of two τ_i(v_i − p·v). Both err absolutely, by roundings of τ_i(V_i + R)
    and by τ_i times the error of a sum over p_j(V_j + R), and not relatively to p_i.
    """
    u, stored = arithmetic.unit_roundoff, _stored(arithmetic)
    roundings = 2.0 * _SCALE * u + 3.0 * stored
    difference = vanishing_product(target.size, roundings * (along.size + along.mean))
    return difference + vanishing_product(target.size, 2.0 * along.error)


@_quiet
def denominator_error(parts: npt.ArrayLike, arithmetic: Arithmetic) -> float:
    """Relative error of a denominator Σ_n part_n summed in any order: 0 where it is a count."""
    sizes = np.abs(np.asarray(parts, np.float64)).reshape(-1)
    total = float(np.sum(sizes))
    u = arithmetic.unit_roundoff
    whole = bool(np.all(sizes == np.round(sizes)))
    if total == 0.0 or (whole and total * u <= 1.0):
        return 0.0
    return float(_summation_error(_without_largest(sizes), u, total)[0]) / total


@_quiet
def reduced_value_bound(
    row_values: FloatArray,
    row_bound: Bound,
    denominator: float,
    arithmetic: Arithmetic,
    *,
    scale_error: float = 0.0,
) -> Bound:
    """Bound () on the error of Σ_n value_n / denominator, from the bound of the rows.

        [Σ_n B_n + κ(Σ_n min(uS, |value_n|) − largest + 3uS)] / denominator,  S = Σ|value_n|

    Args:
        row_values: exact values of the rows (N,); may be signed (directional derivatives).
        row_bound: their bound (N,).
        denominator: 1 for a sum. A mean over nothing (0) is not bounded but compared by kind.
        arithmetic: the arithmetic of the implementation.
        scale_error: relative error of the denominator (``denominator_error``).
    """
    u = arithmetic.unit_roundoff
    factor = 1.0 / abs(denominator) if denominator else 0.0
    values = np.where(np.isfinite(row_values), row_values, 0.0)
    size = float(np.sum(np.abs(values)))
    value = abs(float(np.sum(values)))
    summed = float(_summation_error(_without_largest(values), u, size)[0])
    rounding = HEADROOM * (summed + 3.0 * u * size + scale_error * value)
    bound = row_bound.sum() * factor
    pairs = [*bound.terms, ("sum over rows", np.asarray(rounding * factor))]
    stored = arithmetic.storage_roundoff * (value * factor + float(bound.total))
    pairs.append(("storage of the result", np.asarray(stored + arithmetic.output_smallest_normal)))
    return Bound.of((), pairs)
