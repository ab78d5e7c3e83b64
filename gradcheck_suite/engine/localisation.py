"""After a failure: which leaf, which elements, and what the error looks like."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.engine import line
from gradcheck_suite.engine.by_blocks import by_blocks
from gradcheck_suite.engine.decision import decide
from gradcheck_suite.engine.evidence import Question
from gradcheck_suite.engine.line import Tangent
from gradcheck_suite.engine.problem import Leaf
from gradcheck_suite.engine.session import SMALLEST_NORMAL, Session
from gradcheck_suite.engine.story import Story, progress
from gradcheck_suite.numerics.directions import generator, scale_of
from gradcheck_suite.numerics.finite_difference import (
    Estimate,
    directional_derivative,
    natural_step,
    one_sided_slopes,
)
from gradcheck_suite.numerics.localise import (
    Suspects,
    columns,
    describe_pattern,
    row_independent,
    suspects,
)
from gradcheck_suite.outcome import Failed, Inconclusive, Verdict

FloatArray = npt.NDArray[np.float64]
EVERY_ELEMENT = 192
"""Leaves up to this size are looked at element by element."""
SAMPLE = (6, 8)
"""Rows and columns of the sample of a larger one."""
COLUMN_BUDGET = 1 << 28
"""Elements that the columns of a row-separable function may evaluate in all."""
BESIDE = 8
"""About so many other columns are looked at beside those that hold faults."""
EVERY_COLUMN = 64
"""Up to so many columns are all looked at; of more, those that hold faults."""


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """A leaf whose gradient is wrong along its own direction."""

    number: int
    error: float
    tolerance: float


Axes = list[npt.NDArray[np.intp]]


def explain(session: Session, verdict: Failed) -> Failed:
    """The failure with its place and its pattern, as far as they can be found."""
    session.start_localising()
    faults = _faulty_leaves(session)
    if not faults:
        return replace(
            verdict,
            looks="seen along this direction, and too thin to be seen in one argument alone",
        )
    worst = max(faults, key=lambda fault: fault.error / max(fault.tolerance, 5e-324))
    leaf = session.problem.leaves[worst.number]
    if session.gradients[worst.number] is None:
        return replace(
            verdict,
            summary=f"{leaf.name} gets no gradient (None), and the function depends on it",
            at=_leaves_words(session, faults),
        )
    story = _story_of(session, worst.number)
    if story is None:
        return replace(verdict, at=_leaves_words(session, faults))
    several = _leaves_words(session, faults) if len(faults) > 1 else ""
    return replace(
        verdict,
        summary=f"the gradient of {leaf.name} is wrong",
        at="; ".join(part for part in (story.place, several) if part),
        sides=story.sides,
        inequality=story.inequality,
        looks=story.looks,
    )


def not_finite(
    session: Session, number: int, values: FloatArray, bad: npt.NDArray[np.bool_]
) -> Verdict:
    """NaN or infinity in a gradient: wrong, unless the function itself has no slope there."""
    leaf = session.problem.leaves[number]
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    place = int(np.ravel_multi_index(index, values.shape)) if index else 0
    tangent = _blockwise(session, number, slice(place, place + 1), np.ones(1))
    question = _leaf_question(session, tangent)
    slopes = one_sided_slopes(question.slice, question.value, question.step)
    coarse = one_sided_slopes(question.slice, question.value, question.step * 16.0)
    left, right = float(slopes.left), float(slopes.right)
    sure = max(
        abs(left) - 2.0 * float(slopes.left_error), abs(right) - 2.0 * float(slopes.right_error)
    )
    steeper = sure > 2.0 * max(abs(float(coarse.left)), abs(float(coarse.right)))
    name = line.named(leaf, index)
    if not np.isfinite([left, right]).all() or steeper:
        return Inconclusive(
            f"singular: the gradient at {name} is {values[index]}, and the function's own "
            f"slopes there are {left:.3g} from the left and {right:.3g} from the right"
        )
    return Failed(
        f"the gradient of {leaf.name} holds {values[index]}",
        at=name,
        sides=(
            ("got", str(values[index])),
            ("slopes of the function", f"{left:.6g} (left), {right:.6g} (right)"),
        ),
        looks=describe_pattern(values, np.zeros_like(values), np.inf),
    )


def single_leaf(session: Session, number: int) -> Verdict:
    """The reverse check along directions of one leaf alone."""

    def ask(k: int) -> Question:
        tangent = line.draw(session.problem, session.seed, 6, k, only=number)
        return _leaf_question(session, tangent)

    name = session.problem.leaves[number].name
    _, verdict = decide(session, ask, f"⟨Jᵀu, v⟩ − finite difference in {name}")
    if isinstance(verdict, Failed) and session.localise:
        return explain(session, verdict)
    return verdict


def _leaf_question(session: Session, tangent: Tangent) -> Question:
    backend = session.problem.backend

    def analytic(primals: Any) -> float:
        pulled = session.pull(primals, session.cotangents)
        return line.contract(backend, pulled, tangent.arrays)

    base = line.contract(backend, session.gradients, tangent.arrays)
    norm = session.scaled_norm(tangent)
    return Question(
        session.slice(tangent),
        session.value,
        base,
        norm,
        session.magnitude,
        tangent.step,
        session.underflow(tangent),
        session.grain(tangent),
        lambda: session.spread(analytic, base),
    )


def _faulty_leaves(session: Session) -> list[Fault]:
    faults = []
    if len(session.problem.leaves) == 1:
        return [Fault(0, math.inf, 0.0)]
    for number in range(len(session.problem.leaves)):
        tangent = line.draw(session.problem, session.seed, 7, only=number)
        error, tolerance = _compare(session, tangent)
        if error > 2.0 * tolerance:
            faults.append(Fault(number, error, tolerance))
    return faults


def _compare(session: Session, tangent: Tangent) -> tuple[float, float]:
    """Discrepancy and tolerance along one direction, with a better step where needed."""
    backend, problem = session.problem.backend, session.problem
    analytic = line.contract(backend, session.gradients, tangent.arrays)
    estimate = directional_derivative(
        session.slice(tangent),
        value=session.value,
        step=tangent.step,
        machine_epsilon=problem.machine_epsilon,
        magnitude=session.magnitude,
        target_error=1e-3 * abs(analytic),
        max_evaluations=8,
    )
    rounding = 8.0 * problem.machine_epsilon * session.scaled_norm(tangent)
    return abs(analytic - float(estimate.derivative)), float(estimate.error) + rounding


def _by_columns(session: Session, number: int) -> Story | None:
    """Every element of an (N, C) leaf of a function (N, C) → (N,) with independent rows."""
    problem = session.problem
    leaf, backend = problem.leaves[number], problem.backend
    shape = leaf.described.shape
    if len(problem.outputs) != 1 or len(shape) != 2 or leaf.is_complex:
        return None
    if problem.outputs[0].shape != shape[:1]:
        return None

    def rows(values: FloatArray) -> FloatArray:
        session.evaluations += 1
        primals = list(problem.copies(problem.primals) if len(problem.leaves) > 1 else [None])
        primals[number] = backend.adopt(values, leaf.described.dtype, leaf.described.device)
        return backend.asnumpy(problem.evaluate(tuple(primals))[0])

    primal = backend.asnumpy(problem.primals[number])
    if not row_independent(rows, primal, seed=session.seed):
        return None
    upstream = backend.asnumpy(session.cotangents[0])[:, None]
    got = backend.asnumpy(session.gradients[number])
    chosen = _columns_to_look_at(session, number, rows, primal, got / upstream)
    if chosen is None:
        return None
    found = columns(
        rows,
        primal,
        machine_epsilon=problem.machine_epsilon,
        dtype=leaf.real_dtype,
        value=problem.values[0],
        noise=chosen.noise,
        classes=chosen.columns,
        progress=progress(leaf.name),
    )
    places = np.array(chosen.columns)
    error = np.abs(upstream) * found.error + _rounding(session, got)
    expected = upstream * found.derivative
    axes = [np.arange(shape[0]), places]
    rest = "" if chosen.widespread else "the other columns agree"
    return _story(leaf, got[:, places], expected[:, places], error[:, places], axes, rest)


def _columns_to_look_at(
    session: Session,
    number: int,
    rows: Callable[[FloatArray], FloatArray],
    primal: FloatArray,
    gradient: FloatArray,
) -> Suspects | None:
    """All columns where they are few, or where their blocks do not tell which are wrong."""
    problem, (length, count) = session.problem, primal.shape
    if count > EVERY_COLUMN:
        found = suspects(
            rows,
            primal,
            gradient,
            machine_epsilon=problem.machine_epsilon,
            dtype=problem.leaves[number].real_dtype,
            value=problem.values[0],
            seed=session.seed,
        )
        if found.columns:
            # Right columns beside the wrong ones: a pattern shows by contrast.
            beside = range(0, count, count // BESIDE)
            return replace(found, columns=sorted({*found.columns, *beside}))
    if 4 * length * count**2 > COLUMN_BUDGET:
        return None
    return Suspects(list(range(count)), widespread=False)


def _story_of(session: Session, number: int) -> Story | None:
    """By columns where rows are independent, element by element where they are few, else blocks."""
    story = _by_columns(session, number)
    size = session.problem.leaves[number].size
    if story is None and size <= EVERY_ELEMENT and session.affords(4 * size):
        story = _by_elements(session, number, 0)
    if story is None:
        story = by_blocks(session, number)
        if story is not None and not story.looks:
            center = story.center
            if center is not None and session.affords(4 * math.prod(SAMPLE)):
                story = _by_elements(session, number, center) or story
            else:
                words = f"no simple pattern was seen ({session.spent_words})"
                story = replace(story, looks=words)
    return story


def _by_elements(session: Session, number: int, center: int) -> Story | None:
    """Every element of a small leaf, or a sample of a larger one around a wrong element."""
    problem = session.problem
    leaf = problem.leaves[number]
    gradient = problem.backend.asnumpy(session.gradients[number])
    shape = leaf.described.shape
    if gradient.shape != shape or leaf.is_complex:
        return None
    flat = (math.prod(shape[:-1]), shape[-1]) if len(shape) > 1 else (leaf.size,)
    axes = _sampled(flat, center, gradient.reshape(flat), session.seed)
    mesh = np.ix_(*axes)
    places = np.arange(leaf.size).reshape(flat)[mesh]
    estimates = [_element(session, number, int(place)) for place in places.reshape(-1)]
    expected = np.array([float(one.derivative) for one in estimates]).reshape(places.shape)
    error = np.array([float(one.error) for one in estimates]).reshape(places.shape)
    got = gradient.reshape(flat)[mesh]
    error = error + _rounding(session, got)
    return _story(leaf, got, expected, error, axes)


def _story(
    leaf: Leaf,
    got: FloatArray,
    expected: FloatArray,
    error: FloatArray,
    axes: Axes,
    rest: str = "",
) -> Story | None:
    """The worst element and the pattern, of all elements or of a sample of them.

    ``rest`` is what is known of the elements that are not here.
    """
    with np.errstate(all="ignore"):
        excess = np.where(np.isfinite(error), np.abs(got - expected) / error, 0.0)
    if not np.any(excess > 1.0):
        return None
    worst = np.unravel_index(int(np.argmax(excess)), got.shape)
    place = [int(axis[i]) for axis, i in zip(axes, worst, strict=True)]
    shape = leaf.described.shape
    whole = got.size == leaf.size
    words = describe_pattern(
        got,
        expected,
        error,
        counts={f"length of axis {axis}": n for axis, n in enumerate(shape)},
        index=[[int(i) for i in axis] for axis in axes],
    )
    if len(shape) > 2:
        place = [*(int(i) for i in np.unravel_index(place[0], shape[:-1])), place[1]]
    if not whole:
        words += f" ({rest or f'in a sample of {got.size} elements'})"
    return Story.of(
        line.named(leaf, place),
        words,
        float(got[worst]),
        float(expected[worst]),
        float(error[worst]),
    )


def _rounding(session: Session, got: FloatArray) -> FloatArray:
    """What rounding may do to an element of a correct gradient."""
    smallest = SMALLEST_NORMAL[session.problem.dtype]
    return np.asarray(8.0 * session.problem.machine_epsilon * (np.abs(got) + smallest))


def _sampled(flat: tuple[int, ...], center: int, gradient: FloatArray, seed: int) -> Axes:
    """Indices per axis: everything if small, else the fault, the ends, the largest, some."""
    if math.prod(flat) <= EVERY_ELEMENT:
        return [np.arange(length) for length in flat]
    limits = SAMPLE if len(flat) == 2 else (math.prod(SAMPLE),)
    at = np.unravel_index(center, flat)
    top = np.unravel_index(int(np.argmax(np.abs(gradient))), flat)
    rng = generator(seed, 8)
    axes = []
    for axis, (length, limit) in enumerate(zip(flat, limits, strict=True)):
        wanted = [int(at[axis]), 0, length - 1, int(top[axis])]
        wanted += [int(i) for i in rng.integers(0, length, size=4 * limit)]
        axes.append(np.sort(np.array(list(dict.fromkeys(wanted))[:limit])))
    return axes


def _blockwise(session: Session, number: int, block: slice, values: FloatArray) -> Tangent:
    """A direction that lives on a block of one leaf."""
    problem = session.problem
    leaf, step = problem.leaves[number], natural_step(problem.machine_epsilon)
    scale = scale_of(leaf.largest, leaf.rms, step, leaf.real_dtype)
    full = np.zeros(leaf.size)
    full[block] = scale * values
    array = line.tangent_array(problem, number, full.reshape(leaf.described.shape), step)
    arrays = [array if i == number else None for i in range(len(problem.leaves))]
    return Tangent(tuple(arrays), tuple(scale for _ in problem.leaves), step)


def _element(session: Session, number: int, place: int) -> Estimate:
    """The finite difference in one element, per unit of that element."""
    tangent = _blockwise(session, number, slice(place, place + 1), np.ones(1))
    moved = session.problem.backend.asnumpy(tangent.arrays[number]).reshape(-1)[place]
    estimate = directional_derivative(
        session.slice(tangent),
        value=session.value,
        step=tangent.step,
        machine_epsilon=session.problem.machine_epsilon,
        magnitude=session.magnitude,
    )
    return replace(
        estimate,
        derivative=estimate.derivative / moved,
        truncation_error=estimate.truncation_error / abs(moved),
        rounding_error=estimate.rounding_error / abs(moved),
    )


def _leaves_words(session: Session, faults: Sequence[Fault]) -> str:
    """Which leaves are wrong, among several."""
    names = [session.problem.leaves[fault.number].name for fault in faults]
    count = len(session.problem.leaves)
    if count == 1:
        return ""
    others = "" if len(names) < count else " (all of them)"
    return f"wrong: {', '.join(names[:6])}{' …' if len(names) > 6 else ''}{others}"
