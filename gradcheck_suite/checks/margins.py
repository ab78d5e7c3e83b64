"""Errors and margins, element by element: what a verdict and its plot are both made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray


def signed_errors(
    left: npt.NDArray[np.floating], right: npt.NDArray[np.floating], *, against_itself: bool
) -> FloatArray:
    """left − right in float64; 0 where both are not finite in the same way.

    ``against_itself``: both come from one implementation, and a NaN on both is no agreement.
    """
    with np.errstate(all="ignore"):
        error = (left.astype(np.longdouble) - right).astype(np.float64)
        return error if against_itself else np.where(_same_non_finite(left, right), 0.0, error)


def margins(error: FloatArray, tolerance: FloatArray) -> FloatArray:
    """``Inequality.margin``, element by element: NaN is infinitely far, 0/0 is 0."""
    with np.errstate(all="ignore"):
        ratio = np.where(error == 0.0, 0.0, np.abs(error) / tolerance)
    return np.where(np.isnan(ratio) | np.isnan(tolerance), np.inf, ratio)


def _same_non_finite(
    left: npt.NDArray[np.floating], right: npt.NDArray[np.floating]
) -> npt.NDArray[np.bool_]:
    """NaN where NaN is specified, an infinity of the same sign where that one is."""
    nans = np.isnan(left) & np.isnan(right)
    infinities = np.isinf(left) & np.isinf(right) & (np.sign(left) == np.sign(right))
    return np.asarray(nans | infinities)
