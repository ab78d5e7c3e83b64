"""The value: of each row, and reduced."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray
from gradcheck_suite.numerics.forward_error.blocks import by_rows
from gradcheck_suite.numerics.forward_error.roundings import (
    HEADROOM,
    TARGET,
    finish,
    quiet,
    stored_roundoff,
    summation_error,
    without_largest,
)
from gradcheck_suite.numerics.forward_error.rows import Rows, log_sum_terms, rows_of
from gradcheck_suite.numerics.forward_error.targets import EffectiveTargets, effective_targets
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound, vanishing_product


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

    def bound(rows: slice) -> Bound:
        return _row_value_bound(logits[rows], tau[rows], arithmetic, explicit_lse=explicit_lse)

    return by_rows(bound, *logits.shape)


@quiet
def _row_value_bound(
    logits: FloatArray, tau: FloatArray, arithmetic: Arithmetic, *, explicit_lse: bool
) -> Bound:
    u, stored = arithmetic.unit_roundoff, stored_roundoff(arithmetic)
    row = rows_of(logits, arithmetic, explicit_lse=explicit_lse)
    target = effective_targets(tau, arithmetic)
    cost = target.size * row.loss
    value = np.sum(cost, axis=1, keepdims=True)
    shift = np.sum(target.size * (row.distance + row.loss), axis=1, keepdims=True)
    summed = summation_error(without_largest(cost), arithmetic, value)
    products = np.where(target.plain, 0.0, (TARGET * u + (1.0 + TARGET) * stored) * value)
    terms = [
        *log_sum_terms(row, target.mass),
        ("shift and subtraction", u * shift),
        ("sum over classes", summed + products + stored * np.where(target.single, 0.0, value)),
    ]
    if explicit_lse:
        dot = np.where(target.plain, 0.0, _explicit_dot_error(logits, row, target, arithmetic))
        terms.append(("explicit lse", vanishing_product(target.mass, row.explicit) + dot))
    columns = [(label, part[:, 0]) for label, part in terms]
    one = np.ones(len(value))
    return finish((len(value),), columns, value[:, 0], one, target.mass[:, 0], arithmetic)


def _explicit_dot_error(
    logits: FloatArray, row: Rows, target: EffectiveTargets, arithmetic: Arithmetic
) -> FloatArray:
    """Error (N, 1) of T·lse − Σ_j τ_j f_j, where the products are rounded before they cancel."""
    u = arithmetic.unit_roundoff
    used = np.where(np.isfinite(logits) & (target.size > 0.0), logits, 0.0)
    products = target.size * np.abs(used)
    size = np.sum(products, axis=1, keepdims=True)
    lse = np.abs(row.log_sum_exp)
    summed = summation_error(without_largest(products), arithmetic, size)
    rounded = (TARGET - 1.0) * u * (target.mass * lse + size)
    return np.asarray(rounded + target.summation * lse + summed)


@quiet
def denominator_error(parts: npt.ArrayLike, arithmetic: Arithmetic) -> float:
    """Relative error of a denominator Σ_n part_n summed in any order: 0 where it is a count."""
    sizes = np.abs(np.asarray(parts, np.float64)).reshape(-1)
    total = float(np.sum(sizes))
    u = arithmetic.unit_roundoff
    whole = bool(np.all(sizes == np.round(sizes)))
    if total == 0.0 or (whole and total * u <= 1.0):
        return 0.0
    return float(summation_error(without_largest(sizes), arithmetic, total)[0]) / total


@quiet
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
    summed = float(summation_error(without_largest(values), arithmetic, size)[0])
    rounding = HEADROOM * (summed + 3.0 * u * size + scale_error * value)
    bound = row_bound.sum() * factor
    pairs = [*bound.terms, ("sum over rows", np.asarray(rounding * factor))]
    stored = arithmetic.storage_roundoff * (value * factor + float(bound.total))
    pairs.append(("storage of the result", np.asarray(stored + arithmetic.output_smallest_normal)))
    return Bound.of((), pairs)
