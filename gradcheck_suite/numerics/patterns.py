"""The pattern of a gradient's error, in words: what a reader looks for first.

Each recogniser looks at ``got`` and ``expected`` within ``error`` and returns a sentence or
nothing; ``describe_pattern`` asks them in order, the most specific first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
RELATIVE_SLACK = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two arrays side by side: what every recogniser looks at.

    Attributes:
        got, expected: the arrays; ``expected`` is NaN where it is not known.
        tolerance: up to which difference elements count as equal; infinite where not known.
        wrong: where they are not equal.
        counts: numbers that a factor may be made of, by name.
        index: the true index of each position along each axis, for a sample of a larger one.
    """

    got: FloatArray
    expected: FloatArray
    tolerance: FloatArray
    wrong: Mask
    counts: Mapping[str, int]
    index: Sequence[Sequence[int]]

    def place(self, at: Sequence[int]) -> str:
        """An element's address: ``[3]`` or ``[2, 4]``; a scalar has none."""
        true = [str(axis[i]) for axis, i in zip(self.index, at, strict=True)]
        return "[" + ", ".join(true) + "]" if true else "the scalar"

    def first(self, mask: Mask) -> str:
        return self.place([int(i) for i in np.argwhere(mask)[0]])

    def along(self, axis: int, lines: npt.NDArray[np.intp]) -> Comparison:
        """The comparison of some lines of one axis alone."""
        index = list(self.index)
        index[axis] = [self.index[axis][i] for i in lines]
        return Comparison(
            np.take(self.got, lines, axis=axis),
            np.take(self.expected, lines, axis=axis),
            np.take(self.tolerance, lines, axis=axis),
            np.take(self.wrong, lines, axis=axis),
            self.counts,
            index,
        )


def describe_pattern(
    got: npt.ArrayLike,
    expected: npt.ArrayLike,
    error: npt.ArrayLike,
    *,
    counts: Mapping[str, int] | None = None,
    index: Sequence[Sequence[int]] | None = None,
) -> str:
    """How ``got`` differs from ``expected``, in words; empty where it does not.

    Args:
        got: the gradient under test. Elements whose ``expected`` is NaN are unknown.
        expected: what it should be, for example the finite difference; same shape.
        error: error of ``expected`` (and of a correct ``got``), same shape or scalar.
        counts: numbers that a factor may be made of, by name, such as ``{"rows": 4}``;
            the lengths of the axes are known without being given, unless ``index`` is.
        index: for a sample of a larger array, the true index of each position per axis.

    Returns:
        One sentence, for example ``every element is off by the same factor 0.75 = 3/4``.
    """
    g, e = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if g.shape != e.shape:
        return f"the shape is {g.shape}, expected {e.shape}"
    known = np.isfinite(e)
    with np.errstate(all="ignore"):
        tolerance = np.broadcast_to(np.asarray(error, dtype=np.float64), e.shape)
        tolerance = np.where(known, tolerance + RELATIVE_SLACK * np.abs(e), np.inf)
        wrong = known & ~(np.abs(g - e) <= tolerance)
        named = dict(counts or {}) if index is not None else _axis_counts(e.shape, counts or {})
        places = index if index is not None else [range(length) for length in e.shape]
        compared = Comparison(g, e, tolerance, wrong, named, places)
        if not wrong.any():
            return ""
        for recognise in RECOGNISERS:
            words = recognise(compared)
            if words:
                return words
        relative = float(np.linalg.norm((g - e)[known])) / max(
            float(np.linalg.norm(e[known])), 5e-324
        )
    return (
        f"no simple pattern: {_share(wrong, known)} are off, "
        f"‖error‖/‖gradient‖ = {relative:.1e} (as noise would look)"
    )


def name_factor(factor: float, counts: Mapping[str, int], slack: float = 1e-6) -> str:
    """What a factor is made of: ``3/4``, ``1/rows``, ``(rows−1)/rows``; empty if not seen."""

    def close(other: float) -> bool:
        return math.isclose(factor, other, rel_tol=max(slack, 1e-12))

    for name, n in counts.items():
        if n < 3:
            continue
        named = {
            f"{name} = {n}": float(n),
            f"1/{name} = 1/{n}": 1.0 / n,
            f"({name} − 1)/{name} = {n - 1}/{n}": (n - 1) / n,
            f"{name}/({name} − 1) = {n}/{n - 1}": n / (n - 1),
        }
        for words, number in named.items():
            if close(number):
                return words
    for name, n in counts.items():
        for other, m in counts.items():
            if name != other and n > 1 and m > 1 and close(n / m):
                return f"{name}/{other} = {n}/{m}"
    if math.isfinite(factor):
        fraction = Fraction(factor).limit_denominator(64)
        if fraction and fraction != 1 and close(float(fraction)):
            return str(fraction)
    constants = {"ln 2": math.log(2), "1/ln 2": 1 / math.log(2), "π": math.pi, "√2": math.sqrt(2)}
    return next((words for words, number in constants.items() if close(number)), "")


def _not_finite(c: Comparison) -> str:
    bad = np.isfinite(c.expected) & ~np.isfinite(c.got)
    if bad.any():
        return f"not finite in {_share(bad, np.isfinite(c.expected))}, first at {c.first(bad)}"
    return ""


def _everything_zero(c: Comparison) -> str:
    known = np.isfinite(c.expected)
    if c.got.size > 1 and not c.got[known].any():
        return "the gradient is zero everywhere"
    return ""


def _same_factor(c: Comparison) -> str:
    g, e, tol = c.got, c.expected, c.tolerance
    known = np.isfinite(e)
    if known.sum() < 2 and e.size > 1:
        return ""
    factor, uncertainty = _fit(g[known], e[known], tol[known])
    if not math.isfinite(factor) or factor == 0.0:
        return ""
    allowed = (1.0 + abs(factor)) * tol + uncertainty * np.abs(e)
    if not np.all(np.abs(g - factor * e)[known] <= allowed[known]):
        return ""
    if uncertainty > 0.1 * abs(factor - 1.0):
        return ""  # the factor is not known well enough to be told from 1
    if abs(factor + 1.0) <= uncertainty + 1e-6:
        return "the sign is flipped: every element is −1 times what it should be"
    certain = uncertainty <= 1e-2 * min(abs(factor), abs(factor - 1.0))
    made_of = name_factor(factor, c.counts, uncertainty / abs(factor)) if certain else ""
    return f"every element is off by the same factor {factor:.6g}" + (
        f" = {made_of}" if made_of and made_of != f"{factor:.6g}" else ""
    )


def _transposed(c: Comparison) -> str:
    g, e, tol = c.got, c.expected, c.tolerance
    if e.ndim == 2 and e.shape[0] == e.shape[1] and _matches(g, e.T, tol + tol.T):
        return "transposed: element (i, j) holds what belongs to (j, i)"
    if e.ndim == 2 and np.isfinite(e).all():
        mixed = np.asarray(e.T).reshape(e.shape)
        if min(e.shape) > 1 and _matches(g, mixed, 2.0 * tol):
            return "transposed and reshaped: the values are in column order"
    return ""


def _shifted(c: Comparison) -> str:
    g, e, tol = c.got, c.expected, c.tolerance
    for axis in range(e.ndim):
        if e.shape[axis] < 3:
            continue
        for shift in (1, -1):
            moved, allowed = np.roll(e, shift, axis), np.roll(tol, shift, axis) + tol
            if _matches(g, moved, allowed):
                other = "i − 1" if shift == 1 else "i + 1"
                return f"shifted by one along axis {axis}: element i holds what belongs to {other}"
        if _matches(g, np.flip(e, axis), np.flip(tol, axis) + tol):
            return f"reversed along axis {axis}"
    return ""


def _one_element(c: Comparison) -> str:
    g, e, wrong = c.got, c.expected, c.wrong
    if int(wrong.sum()) != 1 or e.size < 2 or np.isfinite(e).sum() < 2:
        return ""
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"one element alone is wrong, at {c.place(at)}" + _ratio_words(
        float(g[at]), float(e[at])
    )


def _one_line(c: Comparison) -> str:
    e, wrong = c.expected, c.wrong
    for axis in range(e.ndim if e.ndim > 1 else 0):
        others = tuple(k for k in range(e.ndim) if k != axis)
        lines = np.flatnonzero(wrong.any(axis=others))
        if len(lines) > max(1, e.shape[axis] // 3) or len(lines) == e.shape[axis]:
            continue
        kind = {0: "row", e.ndim - 1: "column"}.get(axis, f"slice along axis {axis}")
        names = ", ".join(str(c.index[axis][i]) for i in lines[:4]) + (
            " …" if len(lines) > 4 else ""
        )
        which = f"{kind} {names}" if len(lines) == 1 else f"{kind}s {names}"
        part = c.along(axis, lines)
        if not part.got[np.isfinite(part.expected)].any():
            return f"{which} missing: zero where it should not be; the rest is right"
        words = _same_factor(part)
        return f"only {which} wrong" + (f": there {words}" if words else "; the rest is right")
    return ""


def _factor_per_line(c: Comparison) -> str:
    g, e, tol = c.got, c.expected, c.tolerance
    if not np.isfinite(e).all():
        return ""
    for axis in range(e.ndim if e.ndim > 1 else 0):
        if e.size == e.shape[axis]:
            continue
        others = tuple(k for k in range(e.ndim) if k != axis)
        weight = np.sum(e * e, axis=others, keepdims=True)
        factor = np.sum(g * e, axis=others, keepdims=True) / np.where(weight > 0.0, weight, 1.0)
        spread = np.sqrt(np.sum(tol**2, axis=others, keepdims=True) / np.where(weight, weight, 1.0))
        allowed = (1.0 + np.abs(factor)) * tol + spread * np.abs(e)
        if np.all(np.abs(g - factor * e) <= allowed) and float(np.max(spread)) < 0.05:
            kind = {0: "row", e.ndim - 1: "column"}.get(axis, f"slice of axis {axis}")
            shown = ", ".join(f"{value:.4g}" for value in factor.reshape(-1)[:4])
            more = " …" if factor.size > 4 else ""
            return f"each {kind} is off by a factor of its own: {shown}{more}"
    return ""


def _offset(c: Comparison) -> str:
    g, e, tol = c.got, c.expected, c.tolerance
    known = np.isfinite(e)
    if known.sum() < 3:
        return ""
    difference = (g - e)[known]
    middle = float(np.median(difference))
    if middle and np.all(np.abs(difference - middle) <= 2.0 * tol[known]):
        return f"every element is off by the same amount {middle:.4g}"
    return ""


def _zero_elements(c: Comparison) -> str:
    g, e, wrong = c.got, c.expected, c.wrong
    if not g[wrong].any():
        share = _share(wrong, np.isfinite(e))
        return f"zero in {share} where it should not be, first at {c.first(wrong)}"
    return ""


def _two_elements_swapped(c: Comparison) -> str:
    g, e, tol, wrong = c.got, c.expected, c.tolerance, c.wrong
    places = np.argwhere(wrong)
    if len(places) == 2:
        first, second = (tuple(int(i) for i in place) for place in places)
        gap = max(abs(g[first] - e[second]), abs(g[second] - e[first]))
        if gap <= tol[first] + tol[second]:
            return f"elements {c.place(first)} and {c.place(second)} are swapped"
    if 1 < len(places) <= 4:
        return "wrong at " + ", ".join(c.place([int(i) for i in p]) for p in places)
    return ""


def _fit(g: FloatArray, e: FloatArray, tol: FloatArray) -> tuple[float, float]:
    """Least-squares factor of g = factor·e, and how uncertain ``tol`` leaves it."""
    largest = float(np.max(np.abs(e), initial=0.0))
    if largest == 0.0:
        return math.nan, math.inf
    scaled = e / largest
    weight = float(np.sum(scaled * scaled))
    factor = float(np.sum((g / largest) * scaled)) / weight
    finite = np.where(np.isfinite(tol), tol, 0.0) / largest
    return factor, (1.0 + abs(factor)) * math.sqrt(float(np.sum(finite**2)) / weight)


def _matches(g: FloatArray, candidate: FloatArray, allowed: FloatArray) -> bool:
    known = np.isfinite(candidate)
    return bool(known.any()) and bool(np.all((np.abs(g - candidate) <= allowed)[known]))


def _axis_counts(shape: tuple[int, ...], counts: Mapping[str, int]) -> dict[str, int]:
    """The numbers a factor may be made of: what the caller named, then the axes."""
    named = dict(counts)
    taken = set(named.values())
    for axis, length in enumerate(shape):
        if length not in taken:
            named[f"length of axis {axis}"] = length
    if math.prod(shape) not in {*taken, *shape}:
        named["elements"] = math.prod(shape)
    return named


def _ratio_words(got: float, expected: float) -> str:
    if got == 0.0:
        return ": it is zero"
    if expected == 0.0:
        return ": it should be zero"
    ratio = got / expected
    if math.isclose(ratio, -1.0, rel_tol=1e-3):
        return ": its sign is flipped"
    made_of = name_factor(ratio, {}, 1e-4)
    known = made_of and made_of != f"{ratio:.4g}"
    return f": off by the factor {ratio:.4g}" + (f" = {made_of}" if known else "")


def _share(part: npt.NDArray[np.bool_], whole: Mask) -> str:
    return f"{int(part.sum())} of {int(whole.sum())} elements"


RECOGNISERS: tuple[Callable[[Comparison], str], ...] = (
    _not_finite,
    _everything_zero,
    _same_factor,
    _transposed,
    _shifted,
    _one_element,
    _one_line,
    _factor_per_line,
    _offset,
    _zero_elements,
    _two_elements_swapped,
)
"""Asked in this order; the first that recognises the pattern names it."""
