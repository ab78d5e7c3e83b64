"""Directions to differentiate along: Gaussian, scaled, and exact in the working dtype.

Gaussian because Rademacher vectors miss an (a, −a) error half the time and non-negative
ones cancel zero-sum gradients (numerics.md, rule 6). Exact because in float32 the rounding
of x + h·v itself, divided by h, would be most of the finite difference's error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import NormalDist
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
FARTHEST = 6.0
"""No number from the table exceeds this many standard deviations."""
POINTS = 1024.0
"""Lattice points per standard deviation, before finer steps are made exact too: an element
of the direction is 0, which hides an error there, once in 2500 times at most."""
TABLED = 1 << 10
"""Elements from which on Gaussian numbers come from a table; it takes 10 ms to make, once."""
TABLE = 1 << 16
"""Length of the table."""
CHUNK = 3 << 12
"""Elements that are drawn or summed at a time: in the cache, and below what malloc maps anew."""
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


def gaussian_on_lattice(
    rng: np.random.Generator, size: int, dtype: str, *, scale: float, largest: float, step: float
) -> FloatArray | None:
    """``scale`` times Gaussian numbers, rounded as ``representable`` would, in a tenth of the time.

    0.8 a + 0.6 b, where a and b are runs, at random places, of two shuffled tables of the 2¹⁶
    quantiles of a Gaussian, which have been rounded to the lattice once and for all. Every
    piece of ``CHUNK`` elements has two places of its own: over the 2³² pairs of them each
    element takes every value, and any sum Σ e_i v_i of an error is a sum of two numbers that
    are each spread like a Gaussian over 65536 places. Of one table alone two pieces would be
    equal once in 65536 times, and an (a, −a) error between them be missed.

    Args:
        rng: from ``generator``.
        size: how many; few are not worth a table.
        dtype: name of the real dtype of x.
        scale: a power of two.
        largest: largest magnitude in x.
        step: the longest step h.

    Returns:
        Flat values; None where there are few, or where one lattice does not suit them all.
    """
    longest = FARTHEST * scale
    if size < TABLED or spacing(largest + 8.0 * step * longest, dtype) > step * scale / 64.0:
        return None
    unit, _ = _lattice(largest + 2.0 * step * longest, step * scale, step, dtype, None)
    narrow = np.float64 if dtype == "float64" else np.float32
    first, second = _quantiles(narrow, scale, unit)
    drawn = np.empty(size, narrow)
    places = rng.integers(0, TABLE, size=(-(-size // CHUNK), 2)).tolist()
    for start, (one, other) in zip(range(0, size, CHUNK), places, strict=True):
        part = drawn[start : start + CHUNK]
        np.add(first[one : one + part.size], second[other : other + part.size], out=part)
    return drawn  # type: ignore[return-value]


@lru_cache(maxsize=8)
def _quantiles(
    dtype: type[np.floating], scale: float, unit: float
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """0.8 and 0.6 times ``scale`` times the quantiles, shuffled, in multiples of ``unit``.

    Their beginning follows their end once more: a run may start anywhere.
    """
    tables = []
    for number, part in enumerate((0.8, 0.6)):
        shuffled = generator(TABLE, number).permutation(part * scale * _standard_quantiles())
        values = np.concatenate([shuffled, shuffled[:CHUNK]]).astype(dtype)
        tables.append(_round_to(values, unit, FARTHEST * scale, True))
    return tables[0], tables[1]


@cache
def _standard_quantiles() -> FloatArray:
    """The 2¹⁶ midpoint quantiles of N(0, 1), of variance exactly 1."""
    inverse = NormalDist().inv_cdf
    half = np.array([inverse((k + 0.5) / TABLE) for k in range(TABLE // 2)])
    table = np.concatenate([half, -half])
    return np.asarray(table / math.sqrt(float(np.mean(table**2))))


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
    if np.iscomplexobj(values):
        return math.hypot(root_mean_square(values.real), root_mean_square(values.imag))
    return math.sqrt(sum_of_squares(values) / values.size)


def sum_of_squares(values: npt.NDArray[Any]) -> float:
    """Σx² of a real array, in float64, with no array of the squares."""
    flat, total = values.reshape(-1), 0.0
    chunk = 16 * CHUNK if flat.dtype == np.float64 else CHUNK
    for start in range(0, flat.size, chunk):
        part = flat[start : start + chunk].astype(np.float64, copy=False)
        total += float(np.einsum("i,i->", part, part))
    return total


def dot(one: FloatArray, other: FloatArray) -> float:
    """Σ a·b of two flat float64 arrays, not through BLAS and with no array of the products.

    Summed in stretches of 128, and the sums pairwise: the rounding is that of a few hundred
    additions, as that of ``numpy.sum``.
    """
    whole = one.size - one.size % 128
    stretches = np.einsum("ij,ij->i", one[:whole].reshape(-1, 128), other[:whole].reshape(-1, 128))
    rest = np.einsum("i,i->", one[whole:], other[whole:])
    return float(np.sum(stretches)) + float(rest)


def largest_magnitude(values: npt.NDArray[Any]) -> float:
    """max |x| of a real array without a copy; 0 for an empty one, NaN where there is one."""
    return float(np.maximum(np.max(values, initial=0.0), -np.min(values, initial=0.0)))


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
    overwrite: bool = False,
    known: tuple[float, float] | None = None,
) -> Direction:
    """``direction`` rounded so that x ± h·v and x ± 2h·v are all but exact in ``dtype``.

    h·v is rounded to whole units in the last place of |x| + 2h|v|: one unit for the whole
    array where that leaves six bits or more, else one per element. The sum still rounds,
    by half a unit, where it crosses into the next binade, and where |x| is far below h|v|
    (there by one machine epsilon relative to v, no more than v's own rounding).

    Args:
        primal: x, representable in ``dtype``. Its largest magnitude is enough where one
            unit serves the whole array.
        direction: v, same shape.
        step: the longest step h, a power of two.
        dtype: name of the dtype of x.
        finest_step: shortest step at which exactness is wanted; default ``step/1024``, or
            longer where the dtype lacks the bits.
        overwrite: ``direction`` may be rounded in place.
        known: largest magnitude and root mean square of ``direction``, if they are known.
    """
    x, v = np.asarray(primal), np.asarray(direction)
    if v.size == 0:
        return Direction(v, step)
    longest, typical = known or (largest_magnitude(v), root_mean_square(v))
    reach = largest_magnitude(np.abs(x)) + 2.0 * step * longest
    if spacing(reach, dtype) == 0.0:
        return Direction(v, step)
    if spacing(reach, dtype) > step * typical / 64.0:
        return Direction(_round_elementwise(x, v, step, dtype), step)
    unit, finest = _lattice(reach, step * typical, step, dtype, finest_step)
    return Direction(_round_to(v, unit, longest, overwrite), finest)


def _lattice(
    reach: float, size: float, step: float, dtype: str, finest_step: float | None
) -> tuple[float, float]:
    """The unit of v for values up to ``reach`` and moves of ``size``; the finest exact step."""
    unit = spacing(reach, dtype)
    finest = step * FINEST if finest_step is None else finest_step
    while finest < step and unit * (step / finest) > size / POINTS:
        finest *= 2.0
    return unit / finest, finest


def _round_to(
    values: npt.NDArray[np.floating], unit: float, longest: float, overwrite: bool
) -> FloatArray:
    """Multiples of ``unit`` (a power of two), by adding and subtracting 1.5·2^(p−1) units."""
    magic = values.dtype.type(1.5 * 2.0 ** (52 if values.dtype == np.float64 else 23) * unit)
    if longest > abs(float(magic)) / 6.0:
        return np.asarray(values)  # the unit is already finer than the values' own
    rounded: npt.NDArray[Any] = np.add(values, magic, out=values if overwrite else None)
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
