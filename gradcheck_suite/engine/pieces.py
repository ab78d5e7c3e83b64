"""Large arrays widened to float64 a few MiB at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.protocols import Array, Backend

CHUNK = 1 << 22
"""Elements that are widened at a time: 32 MiB."""


def pieces(backend: Backend, *arrays: Array) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Flat float64 pieces of arrays of one size, side by side."""
    size = math.prod(arrays[0].shape)
    if size <= CHUNK:
        yield tuple(backend.asnumpy(array).reshape(-1) for array in arrays)
        return
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, size, CHUNK):
        yield tuple(backend.asnumpy(array[start : start + CHUNK]) for array in flat)


def norm(backend: Backend, array: Array | None) -> float:
    """Euclidean norm, without overflow for the magnitudes that float64 holds; None is 0."""
    if array is None:
        return 0.0
    squares, largest = 0.0, 0.0
    for (values,) in pieces(backend, array):
        peak = peak_of(values)
        if not math.isfinite(peak):
            return math.nan
        if peak > largest:
            squares, largest = squares * (largest / peak) ** 2, peak
        if largest > 0.0:
            part = np.abs(values) / largest
            squares += float(np.sum(np.square(part, out=part)))
    return largest * math.sqrt(squares)


def peak(backend: Backend, array: Array) -> float:
    """The largest magnitude; NaN if there is one."""
    found = 0.0
    for (values,) in pieces(backend, array):
        here = peak_of(values)
        if math.isnan(here):
            return here
        found = max(found, here)
    return found


def peak_of(values: npt.NDArray[Any]) -> float:
    """The largest magnitude in a piece; 0 for an empty one."""
    return float(np.max(np.abs(values), initial=0.0))
