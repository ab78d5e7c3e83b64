"""Roundings: how many of them, in units of u, and what a sum of them may come to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound, vanishing_product

HEADROOM = 2.0
"""κ: every rounding of the computation is doubled, for what a first-order count leaves out:
terms of order u², the growth of partial sums that are themselves rounded, and exp and log up to
four units in the last place. 1.0 accuses nobody that was measured (docs/bounds.md, Measured)."""

# Roundings counted in the derivation, in units of u.
ELEMENTARY = 4.0  # one exp or log: two units in the last place
DIVISION = 6.0  # exp, the division (as a product with a rounded reciprocal: two) and a scaling
TARGET = 4.0  # (1−ε)t, + ε/C, × w, × log p
SCALE = 4.0  # upstream / denominator × weight × element

# exp of a gap underflows by right, and a caller may have made NumPy raise.
quiet = np.errstate(under="ignore", over="ignore")


def summation_error(
    terms: FloatArray, arithmetic: Arithmetic, total: FloatArray | float = 1.0
) -> FloatArray:
    """Error (N, 1) of a sum in any order or tree; ``terms`` lack its largest, or have 0 there.

        Σ_j min(u_s·total, |term_j|) + min(u·total, Σ_j |term_j|)

    An addition errs by at most u_s times its result, and by at most its smaller operand, since
    the larger operand is itself a floating-point number near the exact result. The second term is
    there where the sum is accumulated in a wider format than it is stored in, u_s < u.
    """
    size = np.abs(terms)
    errors = np.sum(np.minimum(arithmetic.summation_roundoff * total, size), -1, keepdims=True)
    if arithmetic.summation_roundoff < arithmetic.unit_roundoff:
        rest = np.sum(size, axis=-1, keepdims=True)
        errors = errors + np.minimum(arithmetic.unit_roundoff * total, rest)
    return np.asarray(errors)


def without_largest(terms: FloatArray) -> FloatArray:
    """|terms| with one of the largest in each row set to 0: n terms take n − 1 additions."""
    size = np.array(np.abs(terms))
    if size.shape[-1]:
        np.put_along_axis(size, np.argmax(size, axis=-1)[..., None], 0.0, axis=-1)
    return size


def stored_roundoff(arithmetic: Arithmetic) -> float:
    """U_s/κ: what a rounding to storage may do is known exactly and needs no headroom."""
    return arithmetic.log_probability_roundoff / HEADROOM


def column(scale: npt.ArrayLike, rows: int) -> FloatArray:
    """A factor per row, as (N, 1). A factor that is not finite (0/0 in a mean) counts as 0."""
    column = np.broadcast_to(np.asarray(scale, np.float64).reshape(-1, 1), (rows, 1))
    return np.array(np.where(np.isfinite(column), column, 0.0))


def finish(
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
