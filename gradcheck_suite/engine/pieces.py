"""Large arrays looked at in place, and widened to float64 a piece at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.numerics.directions import largest_magnitude, sum_of_squares
from gradcheck_suite.protocols import Array, Backend

CHUNK = 1 << 13
"""Elements that are looked at a time: 64 KiB, in the cache and below what malloc maps anew."""
SAFE_SQUARES = (1e-250, 1e250)
"""Sums of squares in this range have neither overflowed nor lost what counts by underflow."""


def pieces(backend: Backend, *arrays: Array) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Flat float64 pieces of arrays of one size, side by side; not to be written to."""
    flat = [backend.view(array).reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, CHUNK):
        yield tuple(_widened(array[start : start + CHUNK]) for array in flat)


def _widened(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    wide = np.complex128 if np.iscomplexobj(values) else np.float64
    return values if values.dtype == wide else values.astype(wide)


def norm(backend: Backend, array: Array | None) -> float:
    """Euclidean norm, without overflow for the magnitudes that float64 holds; None is 0.

    NaN where an element is not finite.
    """
    if array is None:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        squares = _squares(backend.view(array))
    if SAFE_SQUARES[0] < squares < SAFE_SQUARES[1]:
        return math.sqrt(squares)
    largest = peak(backend, array)
    if not math.isfinite(largest):
        return math.nan
    if largest == 0.0:
        return 0.0
    return largest * math.sqrt(sum(_squares(one / largest) for (one,) in pieces(backend, array)))


def _squares(values: npt.NDArray[Any]) -> float:
    """Σ|x|², not through BLAS: see ``directions.root_mean_square``."""
    if np.iscomplexobj(values):
        return sum_of_squares(values.real) + sum_of_squares(values.imag)
    return sum_of_squares(values)


def peak(backend: Backend, array: Array) -> float:
    """The largest magnitude; NaN if there is one."""
    values = backend.view(array)
    if not np.iscomplexobj(values):
        return largest_magnitude(values)
    found = [float(np.max(np.abs(one))) for (one,) in pieces(backend, array)]
    return float(np.max(found, initial=0.0))
