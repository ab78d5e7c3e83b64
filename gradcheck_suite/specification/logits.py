"""Families of logits: each draws the rows on which one kind of implementation goes wrong.

A family is a function of a ``Draw`` and gives (N, C) in float64; the recipe rounds it to the
dtype. Where a family goes to the ends of a dtype it asks for its largest and smallest numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gradcheck_suite.case import FloatArray, IndexArray
from gradcheck_suite.protocols import machine_epsilon

TargetArray = FloatArray | IndexArray

_LARGEST_EXPONENT = {"float64": 1023, "float32": 127, "bfloat16": 127, "float16": 15}


def largest(dtype: str) -> float:
    """The largest finite number of the dtype, (2 − machine epsilon)·2^emax."""
    return float(np.ldexp(2.0 - machine_epsilon(dtype), _LARGEST_EXPONENT[dtype]))


def smallest_normal(dtype: str) -> float:
    """The smallest normal number of the dtype, 2^(1 − emax)."""
    return float(np.ldexp(1.0, 1 - _LARGEST_EXPONENT[dtype]))


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """What a family draws from.

    Attributes:
        rng: the case's generator.
        rows, classes: N and C.
        targets: class indices (N,), or target probabilities (N, C).
        dtype: of the case.
    """

    rng: np.random.Generator
    rows: int
    classes: int
    targets: TargetArray
    dtype: str

    @property
    def row(self) -> IndexArray:
        """The row numbers, (N,)."""
        return np.arange(self.rows)

    @property
    def target(self) -> IndexArray:
        """The class with the most mass in every row, (N,); some class where the row is ignored."""
        if self.targets.ndim == 2:
            return np.asarray(self.targets.argmax(axis=1), dtype=np.int64)
        return np.clip(self.targets.astype(np.int64), 0, self.classes - 1)

    def normal(self) -> FloatArray:
        """Standard normal logits, (N, C)."""
        return self.rng.standard_normal((self.rows, self.classes))


def _normal(draw: Draw) -> FloatArray:
    """Normal, of standard deviation 2."""
    return 2.0 * draw.normal()


def _wide(draw: Draw) -> FloatArray:
    """Normal, of standard deviation 20: most probabilities vanish."""
    return 20.0 * draw.normal()


def _equal(draw: Draw) -> FloatArray:
    """All logits of a row are equal: p = 1/C, and sums are exact."""
    return np.repeat(draw.rng.integers(-3, 4, (draw.rows, 1)) / 2, draw.classes, axis=1)


def _tied(draw: Draw) -> FloatArray:
    """Half-integers with at least two maxima in every row, in changing positions."""
    logits: FloatArray = draw.rng.integers(-4, 3, (draw.rows, draw.classes)) / 2
    for row in logits:
        row[draw.rng.permutation(draw.classes)[:2]] = 1.5
    return logits


def _saturated(draw: Draw) -> FloatArray:
    """The target 40 above the others: p_c rounds to 1."""
    logits = draw.normal()
    logits[draw.row, draw.target] += 40.0
    return logits


def _rare(draw: Draw) -> FloatArray:
    """The target 30 below the others: p_c is about 1e-13."""
    logits = draw.normal()
    logits[draw.row, draw.target] -= 30.0
    return logits


def _offset(draw: Draw) -> FloatArray:
    """Rows at different offsets, up to ±100: a shift that is shared by the batch breaks."""
    offsets = draw.rng.permutation(np.linspace(-100.0, 100.0, draw.rows))[:, None]
    return np.asarray(draw.normal() + offsets)


def _seed_example(draw: Draw) -> FloatArray:
    """The seed's: four logits, one observation of class 3 (index 2); nothing is drawn."""
    return np.array([[1.0, 2.0, 0.5, -1.0]])


# --- range ---------------------------------------------------------------------------------------


def _far(draw: Draw) -> FloatArray:
    """Rows at offsets up to ±1e6, or an eighth of the dtype's range where that is less."""
    reach = min(1e6, largest(draw.dtype) / 8.0)
    offsets = draw.rng.permutation(np.linspace(-reach, reach, draw.rows))[:, None]
    return np.asarray(2.0 * draw.normal() + offsets)


def _scattered(draw: Draw) -> FloatArray:
    """Rows at offsets up to ±1e4; the maximum walks through the classes, 1000 above the rest.

    Beside a maximum inside the row stands a second class less than 1 below it, so that the row
    is not saturated; one at the ends stands alone, so that leaving it out shows. The offset
    stays where the dtype resolves that difference.
    """
    reach = min(1e4, 0.25 / machine_epsilon(draw.dtype))
    logits = -1000.0 - np.abs(draw.normal())
    walk = np.rint(np.linspace(0, draw.classes - 1, draw.rows)).astype(np.int64)
    maximum = draw.rng.permutation(walk)
    below = -draw.rng.uniform(0.25, 1.0, draw.rows)
    inside = (maximum > 0) & (maximum < draw.classes - 1)
    logits[draw.row[inside], maximum[inside] + 1] = below[inside]
    logits[draw.row, maximum] = 0.0
    offsets = draw.rng.permutation(np.linspace(-reach, reach, draw.rows))[:, None]
    return np.asarray(logits + offsets)


def _ends(draw: Draw, end: float) -> FloatArray:
    """±end in every row: above the target, at the target, below it, and on both sides of it."""
    logits = 2.0 * draw.normal()
    other = (draw.target + draw.rng.integers(1, draw.classes, draw.rows)) % draw.classes
    above, at, below, both = (draw.row % 4 == kind for kind in range(4))
    logits[draw.row[above | both], other[above | both]] = end
    logits[draw.row[at], draw.target[at]] = end
    logits[draw.row[below], other[below]] = -end
    logits[draw.row[both], draw.target[both]] = -end
    return logits


def _huge(draw: Draw) -> FloatArray:
    """A quarter of the dtype's range: a gap is half of it, and two gaps do not add up."""
    return _ends(draw, largest(draw.dtype) / 4.0)


def _large(draw: Draw) -> FloatArray:
    """As far out as the sum of N gaps stays below half of the dtype's range."""
    return _ends(draw, largest(draw.dtype) / (8.0 * draw.rows))


def _underflow(draw: Draw) -> FloatArray:
    """The target so far below the others that its p is less than the smallest normal number."""
    logits = draw.normal()
    depth = -np.log(smallest_normal(draw.dtype)) * np.linspace(1.1, 8.0, draw.rows)
    logits[draw.row, draw.target] -= draw.rng.permutation(depth)
    return logits


def _rarest(draw: Draw) -> FloatArray:
    """p spread evenly in its logarithm, from about 1 down to 1000 smallest normal numbers."""
    depth = max(1.0, -np.log(1000.0 * smallest_normal(draw.dtype)))
    steps = np.linspace(0.0, -depth, draw.classes)
    logits = np.stack([draw.rng.permutation(steps) for _ in range(draw.rows)])
    return np.asarray(logits + draw.rng.uniform(0.0, 0.5, logits.shape))


def _saturating(draw: Draw) -> FloatArray:
    """The target ahead by 8 to 60 (as far as the others' p is normal): 1 − p_c from 1e-3 to 0."""
    logits = draw.rng.uniform(-1.0, 1.0, (draw.rows, draw.classes))
    ahead = np.linspace(8.0, min(60.0, -np.log(smallest_normal(draw.dtype))), draw.rows)
    logits[draw.row, draw.target] += draw.rng.permutation(ahead)
    return logits


def _alike(draw: Draw) -> FloatArray:
    """One row, N times over: many like terms are added up, and the targets differ."""
    return np.tile(2.0 * draw.rng.standard_normal(draw.classes), (draw.rows, 1))


# --- infinities and NaN --------------------------------------------------------------------------


def _masked(draw: Draw) -> FloatArray:
    """−inf at classes other than the target: the next one, all others, or every other one."""
    logits = 2.0 * draw.normal()
    distance = (np.arange(draw.classes) - draw.target[:, None]) % draw.classes
    kind = draw.row[:, None] % 3
    hidden = np.where(kind == 0, distance == 1, np.where(kind == 1, distance > 0, distance % 2))
    return np.where(hidden, -np.inf, logits)


def _masked_blocks(draw: Draw) -> FloatArray:
    """−inf all the way before the target, or after it, whichever is long enough to hold blocks."""
    logits = 2.0 * draw.normal()
    target, number = draw.target[:, None], np.arange(draw.classes)
    odd = draw.row[:, None] % 2 == 1
    before = (target > draw.classes // 2) | (odd & (target > draw.classes // 8))
    hidden = np.where(before, number < target - 1, number > target + 1)
    return np.where(hidden, -np.inf, logits)


def _masked_target(draw: Draw) -> FloatArray:
    """−inf at the target of every other row."""
    return _planted(draw, -np.inf, (0, None))


def _nan(draw: Draw) -> FloatArray:
    """A NaN beside the target of one row in four, and one at the target of another."""
    return _planted(draw, np.nan, (1, None, 0, None))


def _plus_inf(draw: Draw) -> FloatArray:
    """+inf beside the target of one row in four, and at the target of another."""
    return _planted(draw, np.inf, (1, None, 0, None))


def _planted(draw: Draw, value: float, places: tuple[int | None, ...]) -> FloatArray:
    """``value`` in row i at its target + places[i mod len(places)]; None is a clean row."""
    logits = 2.0 * draw.normal()
    for row in range(draw.rows):
        place = places[row % len(places)]
        if place is not None:
            logits[row, (draw.target[row] + place) % draw.classes] = value
    return logits


Family = Callable[[Draw], FloatArray]

#: Name → family; a recipe names one.
LOGITS: Mapping[str, Family] = MappingProxyType(
    {
        "normal": _normal,
        "wide": _wide,
        "equal": _equal,
        "tied": _tied,
        "saturated": _saturated,
        "rare": _rare,
        "offset": _offset,
        "seed-example": _seed_example,
        "far": _far,
        "scattered": _scattered,
        "huge": _huge,
        "large": _large,
        "underflow": _underflow,
        "rarest": _rarest,
        "saturating": _saturating,
        "alike": _alike,
        "masked": _masked,
        "masked-blocks": _masked_blocks,
        "masked-target": _masked_target,
        "nan": _nan,
        "plus-inf": _plus_inf,
    }
)
