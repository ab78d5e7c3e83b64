"""Directions to differentiate along: Gaussian, scaled, and exact in the working dtype.

Gaussian because Rademacher vectors miss an (a, −a) error half the time and non-negative
ones cancel zero-sum gradients (numerics.md, rule 6). Exact because in float32 the rounding
of x + h·v itself, divided by h, would be most of the finite difference's error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
SIGNIFICAND_BITS = {
    "float64": 53,
    "float32": 24,
    "float16": 11,
    "bfloat16": 8,
    "complex128": 53,
    "complex64": 24,
}
FINEST = 2.0**-10
"""Steps down to this fraction of the first stay exact, where the dtype has the bits."""


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction v on a lattice on which x ± h·v and x ± 2h·v are all but exact.

    Attributes:
        values: v, float64, every element representable in the dtype.
        finest_step: the smallest power-of-two step h for which x ± h·v is exact.
    """

    values: FloatArray
    finest_step: float


def gaussian(
    rng: np.random.Generator, shape: tuple[int, ...], *, narrow: bool = False
) -> FloatArray:
    """Independent standard normal numbers.

    Args:
        rng: ``numpy.random.Generator(numpy.random.SFC64(seed))`` is the fastest.
        shape: shape of the primal.
        narrow: draw 24-bit numbers, in half the time; for directions of float32 and below.
    """
    if narrow:
        return rng.standard_normal(shape, dtype=np.float32)  # type: ignore[return-value]
    return rng.standard_normal(shape)


def generator(seed: int, *stream: int) -> np.random.Generator:
    """The fast generator, seeded: the same seed and stream draw the same directions."""
    return np.random.Generator(np.random.SFC64([seed, *stream]))


def spacing(magnitude: float, dtype: str) -> float:
    """The unit in the last place of ``magnitude`` in ``dtype``; 0 for 0 and non-finite."""
    if magnitude == 0.0 or not math.isfinite(magnitude):
        return 0.0
    return math.ldexp(1.0, math.frexp(magnitude)[1] - SIGNIFICAND_BITS[dtype])


def natural_scale(primal: npt.ArrayLike, step: float, dtype: str) -> float:
    """How far a direction should reach per unit step: a power of two.

    The root mean square of the primal, at most 1: functions vary on the scale of small
    arguments (``sqrt`` at 1e-12), and on the scale 1 around large ones (logits with an
    offset). Zero and empty arrays have scale 1. Never so small that ``step`` times the
    scale falls below 16 units in the last place of the largest element.

    Args:
        primal: x.
        step: the step h the direction will first be used with.
        dtype: name of the dtype in which the function is evaluated.
    """
    values = np.asarray(primal)
    largest = float(np.max(np.abs(values), initial=0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return 1.0
    # Divided by the largest first, so that squares neither overflow nor underflow.
    rms = largest * root_mean_square(values / largest)
    return scale_of(largest, rms, step, dtype)


def root_mean_square(values: npt.NDArray[Any]) -> float:
    """Square root of the mean of |x|²; 0 for an empty array.

    Not through BLAS: its threads go on spinning after a dot product and slow down the
    framework whose function is evaluated next (40 times, on two cores).
    """
    if values.size == 0:
        return 0.0
    magnitudes = np.abs(values) if np.iscomplexobj(values) else values
    return math.sqrt(float(np.mean(np.square(magnitudes), dtype=np.float64)))


def scale_of(largest: float, rms: float, step: float, dtype: str) -> float:
    """``natural_scale`` of an array of which the largest magnitude and the rms are known."""
    if rms == 0.0 or not math.isfinite(rms):
        return 1.0
    scale = max(min(1.0, rms), 16.0 * spacing(largest, dtype) / step)
    return float(2.0 ** round(math.log2(scale)))


def euclidean_norm(values: npt.NDArray[Any]) -> float:
    """‖x‖₂, not through BLAS (see ``root_mean_square``)."""
    return math.sqrt(values.size) * root_mean_square(values)


def representable(
    primal: npt.ArrayLike,
    direction: npt.ArrayLike,
    step: float,
    dtype: str,
    *,
    finest_step: float | None = None,
) -> Direction:
    """``direction`` rounded so that x ± h·v and x ± 2h·v are all but exact in ``dtype``.

    h·v is rounded to whole units in the last place of |x| + 2h|v|: one unit for the whole
    array where that leaves six bits or more, else one per element. The sum still rounds,
    by half a unit, where it crosses into the next binade, and where |x| is far below h|v|
    (there by one machine epsilon relative to v, no more than v's own rounding).

    Args:
        primal: x, representable in ``dtype``.
        direction: v, same shape.
        step: the longest step h, a power of two.
        dtype: name of the dtype of x.
        finest_step: shortest step at which exactness is wanted; default ``step/1024``, or
            longer where the dtype lacks the bits.
    """
    x, v = np.asarray(primal), np.asarray(direction)
    if v.size == 0:
        return Direction(v, step)
    reach = float(np.max(np.abs(x))) + 2.0 * step * float(np.max(np.abs(v)))
    unit = spacing(reach, dtype)
    if unit == 0.0:
        return Direction(v, step)
    size = step * root_mean_square(v)
    finest = step * FINEST if finest_step is None else finest_step
    while finest < step and unit * (step / finest) > size / 64.0:
        finest *= 2.0
    if unit <= size / 64.0:
        return Direction(_round_to(v, unit / finest), finest)
    return Direction(_round_elementwise(x, v, step, dtype), step)


def _round_to(values: npt.NDArray[np.floating], unit: float) -> FloatArray:
    """Multiples of ``unit`` (a power of two), by adding and subtracting 1.5·2^(p−1) units."""
    magic = values.dtype.type(1.5 * 2.0 ** (52 if values.dtype == np.float64 else 23) * unit)
    if float(np.max(np.abs(values))) > abs(float(magic)) / 6.0:
        return values.astype(np.float64)  # the unit is already finer than the values' own
    rounded = values + magic
    rounded -= magic
    return rounded


def _round_elementwise(
    x: npt.NDArray[np.floating], v: npt.NDArray[np.floating], step: float, dtype: str
) -> FloatArray:
    """One unit per element, never fewer than ±1 unit where v is not zero."""
    move = step * v.astype(np.float64)
    exponent = np.frexp(np.abs(x) + 2.0 * np.abs(move))[1]
    unit = np.ldexp(1.0, exponent - SIGNIFICAND_BITS[dtype])
    counts = np.rint(move / unit)
    counts = np.where((counts == 0.0) & (move != 0.0), np.sign(move), counts)
    return np.asarray(counts * unit / step, dtype=np.float64)
