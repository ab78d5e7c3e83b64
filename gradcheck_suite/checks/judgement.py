"""From arrays to a verdict: the worst element, its inequality, and the pattern of the error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray, row_blocks
from gradcheck_suite.checks.evidence import error_map
from gradcheck_suite.checks.margins import margins, signed_errors
from gradcheck_suite.numerics.finite_difference import promised_resolution
from gradcheck_suite.numerics.patterns import describe_pattern
from gradcheck_suite.numerics.tolerance import Bound
from gradcheck_suite.outcome import Failed, Inequality, Passed, Verdict
from gradcheck_suite.specification.reference import Reference

Side = tuple[str, str]


def judge(
    what: str,
    got: npt.ArrayLike,
    specified: npt.ArrayLike,
    bound: Bound,
    *,
    reference: Reference | None = None,
    names: tuple[str, str] = ("got", "specified"),
    against_itself: bool = False,
    note: str = "",
    axes: tuple[str, ...] = ("row", "class"),
) -> Verdict:
    """|got − specified| ≤ bound, element by element; the worst element tells the story.

    Args:
        what: name of the quantity, such as ``gradient``.
        got: what came back, float64.
        specified: what should have, float64 or longdouble.
        bound: the tolerance, of the same shape.
        reference: lets the words of a failure name denominators and rows.
        names: names of the two sides.
        against_itself: both sides come from the implementation, so that a NaN on both is no
            agreement; against the specification it is one where the specification says NaN.
        note: goes into a passing verdict.
        axes: what an index along each axis is the number of.
    """
    left, right = np.asarray(got), np.asarray(specified)
    if left.shape != right.shape:
        return Failed(
            f"{what} has shape {left.shape}, specified {right.shape}",
            sides=((names[0], str(left.shape)), (names[1], str(right.shape))),
        )
    if left.size == 0:
        return Passed(note=note or "empty, as specified")
    worst, error = _worst(left, right, bound.total, against_itself=against_itself)
    tolerance, terms = bound.at(worst)
    a, b = float(left[worst]), float(right[worst])
    inequality = Inequality(_difference(a, b), error, tolerance, _largest(terms))
    if inequality.holds:
        return Passed(inequality, note=note or _coarse(right, bound, reference))
    return Failed(
        summary=f"{what} is not what is specified",
        at=place(worst, left.shape, axes),
        sides=((names[0], number(a)), (names[1], number(b))),
        inequality=inequality,
        looks=looks(left, right, bound, reference),
        index=worst,
        error_map=error_map(
            left, right, bound.total, against=names[1], against_itself=against_itself
        ),
    )


def judge_scalar(
    what: str, error: float, tolerance: float, *, sides: Sequence[Side] = (), at: str = ""
) -> Verdict:
    """error ≤ tolerance for one number."""
    inequality = Inequality(what, error, tolerance)
    if inequality.holds:
        return Passed(inequality)
    return Failed(f"{what} is not what is specified", at, tuple(sides), inequality)


def worst_of(verdicts: Sequence[Verdict]) -> Verdict:
    """The first failure, else the pass with the largest margin, and what any of them notes."""
    passed: list[Passed] = []
    for verdict in verdicts:
        if not isinstance(verdict, Passed):
            return verdict
        passed.append(verdict)
    worst = max(passed, key=lambda each: getattr(each.inequality, "margin", 0.0))
    note = worst.note or next((each.note for each in passed if each.note), "")
    return replace(worst, note=note)


def looks(
    got: npt.NDArray[np.floating],
    specified: npt.NDArray[np.floating],
    bound: Bound,
    reference: Reference | None,
) -> str:
    """The pattern of the error in words; a wrong denominator is looked for first."""
    if reference is not None:
        words = _denominator_pattern(got, specified, bound, reference)
        if words:
            return words
    counts = {} if reference is None else _counts(reference)
    return describe_pattern(
        np.asarray(got, np.float64), np.asarray(specified, np.float64), bound.total, counts=counts
    )


def place(
    index: tuple[int, ...], shape: tuple[int, ...], axes: tuple[str, ...] = ("row", "class")
) -> str:
    """``row 2, class 4``; ``row 2``; empty for a scalar."""
    names = axes if len(shape) == 2 else axes[:1]
    return ", ".join(f"{name} {part}" for name, part in zip(names, index, strict=False))


def number(value: float) -> str:
    """Six significant digits: enough to tell two sides apart, short enough to read."""
    return f"{value:.6g}"


def _difference(a: float, b: float) -> str:
    digits = next((n for n in (4, 6, 9, 13, 17) if f"{a:.{n}g}" != f"{b:.{n}g}" or a == b), 17)
    return f"|{a:.{digits}g} − {b:.{digits}g}|".replace("− -", "+ ")


def _largest(terms: tuple[tuple[str, float], ...], count: int = 4) -> tuple[tuple[str, float], ...]:
    """The terms that make up the bound, the largest first; dust is summed up."""
    ordered = sorted((term for term in terms if term[1] > 0.0), key=lambda term: -term[1])
    shown, rest = ordered[:count], ordered[count:]
    if rest:
        shown.append(("the rest", math.fsum(value for _, value in rest)))
    return tuple(shown)


def _worst(
    left: npt.NDArray[np.floating],
    right: npt.NDArray[np.floating],
    tolerance: FloatArray,
    *,
    against_itself: bool,
) -> tuple[tuple[int, ...], float]:
    """Where error/tolerance is largest, and the error there; in blocks of rows."""
    found: list[tuple[float, tuple[int, ...], float]] = []
    rows, classes = (left.shape[0], left[:1].size) if left.ndim else (1, 1)
    for block in row_blocks(rows, classes) if left.ndim else ((),):
        error = np.abs(signed_errors(left[block], right[block], against_itself=against_itself))
        far = margins(error, tolerance[block])
        at = tuple(int(part) for part in np.unravel_index(int(np.argmax(far)), error.shape))
        first = (block.start or 0) if isinstance(block, slice) else 0
        place = (at[0] + first, *at[1:]) if at else at
        found.append((float(far[at]), place, float(error[at])))
    _, place, error_there = max(found, key=lambda each: each[0])
    return place, error_there


def _coarse(specified: npt.NDArray[np.floating], bound: Bound, reference: Reference | None) -> str:
    """``coarse_note`` in the units of what a reference specifies."""
    if reference is None:
        return ""
    case = reference.case
    unit: FloatArray = np.ones(())
    if specified.shape == case.logits.shape:
        unit = np.abs(reference.scale)[:, None]
    elif case.options.reduction == "sum":
        unit = np.asarray(float(case.rows))
    return coarse_note(specified, bound, unit, case.dtype)


def coarse_note(exact: npt.ArrayLike, bound: Bound, unit: npt.ArrayLike, dtype: str) -> str:
    """What a pass does not say: where the bound is too wide to have judged any digit.

    Too wide is wider than the resolution that is promised in the dtype, of the exact result
    or of its unit where that is larger: one nat per row, |u|/den for an element of a gradient. An
    offset, a large C or a large N in half precision make it so (docs/bounds.md, Vacuity): there the
    result is known to be finite and of the right shape alone.
    """
    specified, units = np.asarray(exact), np.asarray(unit, np.float64)
    promised, count = promised_resolution(dtype), 0
    rows, classes = (specified.shape[0], specified[:1].size) if specified.ndim else (1, 1)
    for block in row_blocks(rows, classes) if specified.ndim else ((),):
        size = np.abs(specified[block].astype(np.float64))
        scale = np.maximum(size, units[block] if units.ndim else units)
        with np.errstate(all="ignore"):
            wide = bound.total[block] > promised * scale
            coarse = np.isfinite(size) & (scale > 0.0) & wide
        count += int(np.count_nonzero(coarse))
    if not count:
        return ""
    return (
        f"judged for being finite alone: {count} of {specified.size}, whose bound is wider than "
        f"the promised {promised:.0e}"
    )


def _counts(reference: Reference) -> dict[str, int]:
    case = reference.case
    valid = int(np.sum(reference.loss.valid(reference.logits, reference.targets)))
    counts = {"rows": case.rows, "classes": case.classes}
    if valid != case.rows:
        counts["valid rows"] = valid
    return counts


def _denominator_pattern(
    got: npt.NDArray[np.floating],
    specified: npt.NDArray[np.floating],
    bound: Bound,
    reference: Reference,
) -> str:
    """Recognises a value or gradient that is right over another denominator."""
    reduction = reference.case.options.reduction
    own = reference.denominator
    if reduction == "none" or not own:
        return ""
    for words, other in _denominators(reference).items():
        if other == own or not other:
            continue
        factor = own / other
        with np.errstate(all="ignore"):
            off = np.abs(np.asarray(got - specified * factor, np.float64))
        if bool(np.all(off <= bound.total * max(1.0, factor) * 2.0)):
            remedy = "; if a sum is meant, declare reductions=('sum',)" if other == 1.0 else ""
            return (
                f"everything is off by the same factor {factor:.4g}: the denominator is {other:g} "
                f"({words}) instead of {own:g}{remedy}"
            )
    return ""


def _denominators(reference: Reference) -> dict[str, float]:
    """The denominators that are in use in the world, in words."""
    case = reference.case
    valid = np.asarray(reference.loss.valid(reference.logits, reference.targets))
    found = {
        "the number of rows": float(case.rows),
        "the number of valid rows": float(np.sum(valid)),
        "a sum, nothing is divided": 1.0,
        "rows × classes": float(case.rows * case.classes),
        "the number of classes": float(case.classes),
        "rows − 1": float(case.rows - 1),
    }
    if case.options.weight is not None:
        mass: FloatArray = np.asarray(
            reference.loss.distribution(reference.logits, reference.targets), np.float64
        )
        found["the sum of the weights at the targets"] = float(
            np.sum((mass * case.options.weight)[valid])
        )
        found["the sum of all class weights"] = float(np.sum(case.options.weight))
    return found


def plain(case: Case) -> Case:
    """The case with one row per result and u = 1: its rows, whatever its reduction was."""
    return case.with_(reduction="none", upstream=np.ones(case.rows))
