"""A wrong gradient of any function narrowed down by directions that live on parts of it.

One direction, cut down to a part of the elements, shows what the part's gradient is worth.
What is most often wrong is asked for first: everything by one factor, lines that are zero.
Then the fault is bisected, and the lines through it are looked at on their own. It takes a
dozen looks of four evaluations where the error has a simple shape, and log₂ n where not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.engine import line
from gradcheck_suite.engine.line import Tangent
from gradcheck_suite.engine.session import Session
from gradcheck_suite.engine.story import Story, progress
from gradcheck_suite.numerics.directions import dot, euclidean_norm
from gradcheck_suite.numerics.finite_difference import directional_derivative
from gradcheck_suite.numerics.localise import bisect, describe_pattern

FloatArray = npt.NDArray[np.float64]
Region = tuple[slice | list[int], slice | list[int]] | slice
"""Rows and columns of the gradient laid out as a matrix, or a slice of it laid out flat."""
STEP_SEARCH = 16
"""Evaluations that the first look may take to find the step that the others use."""
MARGIN = 2.0
"""A look is called wrong where it is off by so many times its tolerance."""
UNIFORM = ("the gradient is zero everywhere", "the sign is flipped", "every element is off")


@dataclass(frozen=True, slots=True)
class Look:
    """⟨g, v⟩ of the gradient under test along a direction, and the function's own slope."""

    got: float
    expected: float
    tolerance: float

    @property
    def off(self) -> float:
        return self.got - self.expected

    @property
    def wrong(self) -> bool:
        return not abs(self.off) <= self.tolerance

    def without(self, part: Look) -> Look:
        """What the rest of the direction shows: both sides are linear in it."""
        return Look(
            self.got - part.got, self.expected - part.expected, self.tolerance + part.tolerance
        )


class Blocks:
    """One leaf's gradient as a matrix (all axes but the last as rows), and looks at its parts."""

    def __init__(self, session: Session, number: int) -> None:
        self.session, self.number = session, number
        self.leaf = session.problem.leaves[number]
        shape = self.leaf.described.shape
        self.matrix = (math.prod(shape[:-1]), shape[-1]) if shape else (1, 1)
        view = session.problem.backend.view
        self.gradient = view(session.gradients[number]).reshape(self.matrix)
        self.everything = slice(0, self.leaf.size)
        self._seen: dict[tuple[str, int], Look] = {}
        self._draws: dict[int, Tangent] = {}
        self._step: float | None = None

    def look(self, region: Region, draw: int = 0) -> Look:
        """Along direction number ``draw``, cut down to the region; each is looked at once."""
        key = (repr(region), draw)
        if key not in self._seen:
            self._seen[key] = self._looked(region, draw)
        return self._seen[key]

    def confined_to(self, region: Region) -> bool:
        """Whether the region is wrong and the rest, as far as it would show, is right.

        Along two directions: of an error that is everywhere a single one may show little.
        """
        parts = [self.look(region, draw) for draw in range(2)]
        rests = [self.look(self.everything, k).without(part) for k, part in enumerate(parts)]
        largest = max(abs(part.off) for part in parts)
        return any(part.wrong for part in parts) and not any(
            rest.wrong or 2.0 * rest.tolerance > largest for rest in rests
        )

    def _looked(self, region: Region, draw: int) -> Look:
        session, problem, backend = self.session, self.session.problem, self.session.problem.backend
        if draw not in self._draws:
            # One is kept: the next ones are for what the last one has not shown.
            self._draws = {draw: line.draw(problem, session.seed, 9, draw, only=self.number)}
        whole = self._draws[draw]
        v = backend.view(whole.arrays[self.number])
        part = np.zeros(v.size, v.dtype)
        place: Any = region
        shape = part.shape if isinstance(region, slice) else self.matrix
        into = part.reshape(shape)
        into[place] = v.reshape(shape)[place]
        own = self.gradient.reshape(shape)[place]
        moved = np.asarray(into[place], np.float64).reshape(-1)
        got = dot(np.asarray(own, np.float64).reshape(-1), moved)
        described = self.leaf.described
        array = backend.adopt(part.reshape(described.shape), described.dtype, described.device)
        arrays = tuple(array if i == self.number else None for i in range(len(problem.leaves)))
        tangent = Tangent(arrays, whole.scales, whole.step)
        estimate = directional_derivative(
            session.slice(tangent),
            value=session.value,
            step=whole.step if self._step is None else self._step,
            machine_epsilon=problem.machine_epsilon,
            magnitude=session.magnitude,
            target_error=1e-3 * session.scaled_norm(whole) if self._step is None else None,
            max_evaluations=STEP_SEARCH,
        )
        self._step = estimate.step
        size = whole.scales[self.number] * euclidean_norm(own)
        rounding = 8.0 * problem.machine_epsilon * size
        return Look(got, float(estimate.derivative), MARGIN * (float(estimate.error) + rounding))


def by_blocks(session: Session, number: int) -> Story | None:
    """The story of a wrong gradient; None where its own direction does not show it."""
    leaf = session.problem.leaves[number]
    gradient = session.gradients[number]
    if gradient is None or leaf.is_complex or tuple(gradient.shape) != leaf.described.shape:
        return None
    blocks = Blocks(session, number)
    whole = blocks.look(blocks.everything)
    if not whole.wrong:
        return None
    return _uniform(blocks, whole) or _zero_lines(blocks, whole) or _narrowed(blocks)


def _uniform(blocks: Blocks, whole: Look) -> Story | None:
    """Everything off by one factor: the halves and every other column show the same one."""
    rows, columns = blocks.matrix
    if not blocks.gradient.any():
        words = UNIFORM[0] if blocks.leaf.size > 1 else "the gradient is zero"
        return _story(whole, f"everywhere in {blocks.leaf.name}", words)
    if rows * columns < 4:
        return None
    middle = rows * columns // 2
    one = blocks.look(slice(0, middle))
    looks = [whole, one, whole.without(one)]
    if min(rows, columns) > 1:
        odd = blocks.look((slice(None), slice(1, None, 2)))
        looks += [odd, whole.without(odd)]
    words = _pattern(blocks, looks)
    if not words.startswith(UNIFORM):
        return None
    place = f"everywhere in {blocks.leaf.name}"
    return _story(whole, place, f"{words} (along {len(looks)} directions)")


def _zero_lines(blocks: Blocks, whole: Look) -> Story | None:
    """Rows or columns that are all zero, where that is what is wrong and all that is."""
    if min(blocks.matrix) < 2:
        return None
    for axis, kind in ((0, "row"), (1, "column")):
        empty = np.flatnonzero(~blocks.gradient.any(axis=1 - axis)).tolist()
        if not 0 < len(empty) <= blocks.matrix[axis] // 3:
            continue
        part, first = blocks.look(_lines(axis, empty)), blocks.look(_lines(axis, empty[:1]))
        # Some may be zero and right; the first is asked on its own.
        if part.wrong and first.wrong and not whole.without(part).wrong:
            named = _named_lines(kind, empty)
            words = f"{named} missing: zero where it should not be; the rest is right"
            return _story(part, _line_place(blocks, axis, empty[0]), words)
    return None


def _narrowed(blocks: Blocks) -> Story:
    """The fault bisected, and the row and the column through it."""
    session, leaf = blocks.session, blocks.leaf

    def probe(block: slice, draw: int) -> tuple[float, float]:
        looked = blocks.look(block, draw)
        return looked.off, looked.tolerance

    found = bisect(
        probe,
        leaf.size,
        affordable=lambda: session.affords(4),
        progress=progress(leaf.name),
    )
    block = found.block or blocks.everything
    worst = blocks.look(block)
    place = _block_place(blocks, block)
    if found.stopped:
        words = f"not narrowed down further: {session.spent_words}"
        return _story(worst, place, words)
    if leaf.size == 1:
        return _story(worst, place, _pattern(blocks, [worst]))
    row, last = block.start // blocks.matrix[1], (block.stop - 1) // blocks.matrix[1]
    single = block.stop - block.start == 1
    if blocks.confined_to(block):
        if single:
            words = f"one element alone is wrong, at [{place.partition('[')[2]}"
            return _story(worst, place, words + _ratio(worst))
        return _story(worst, place, "only this block is wrong; the rest is right")
    lines = [(0, row)] if row == last else []
    if single:
        lines.append((1, block.start % blocks.matrix[1]))
    for axis, index in lines if min(blocks.matrix) > 1 else []:
        if blocks.confined_to(_lines(axis, [index])):
            return _story(worst, place, _line_words(blocks, axis, index))
    words = "" if single else "the worst block; in smaller ones rounding hides the error"
    return _story(worst, place, words, block.start)


def _line_words(blocks: Blocks, axis: int, index: int) -> str:
    """What is wrong with one row or column, when the rest is right."""
    kind = "row" if axis == 0 else "column"
    half = blocks.matrix[1 - axis] // 2
    whole = blocks.look(_lines(axis, [index]))
    part = blocks.look(([index], slice(0, half)) if axis == 0 else (slice(0, half), [index]))
    words = _pattern(blocks, [whole, part, whole.without(part)])
    there = f": there {words}" if words.startswith(UNIFORM[1:]) else "; the rest is right"
    return f"only {kind} {index} wrong{there}"


def _pattern(blocks: Blocks, looks: list[Look]) -> str:
    shape = blocks.leaf.described.shape
    return describe_pattern(
        [look.got for look in looks],
        [look.expected for look in looks],
        [look.tolerance / MARGIN for look in looks],
        counts={f"length of axis {axis}": n for axis, n in enumerate(shape)},
        index=[range(len(looks))],
    )


def _ratio(look: Look) -> str:
    if look.got == 0.0:
        return ": it is zero"
    if not look.expected:
        return ": it should be zero"
    return f": off by the factor {look.got / look.expected:.4g}"


def _lines(axis: int, lines: list[int]) -> Region:
    """Some rows (axis 0) or columns."""
    return (lines, slice(None)) if axis == 0 else (slice(None), lines)


def _named_lines(kind: str, lines: list[int]) -> str:
    names = ", ".join(map(str, lines[:4])) + (" …" if len(lines) > 4 else "")
    return f"{kind} {names}" if len(lines) == 1 else f"{kind}s {names}"


def _line_place(blocks: Blocks, axis: int, index: int) -> str:
    shape = blocks.leaf.described.shape
    if axis == 1:
        return f"{blocks.leaf.name}[{', '.join([':'] * (len(shape) - 1))}, {index}]"
    leading = ", ".join(str(int(i)) for i in np.unravel_index(index, shape[:-1]))
    return f"{blocks.leaf.name}[{leading}, :]"


def _block_place(blocks: Blocks, block: slice) -> str:
    """``x[3, 17]``, ``x[3, 16:32]``, or from which element to which."""
    leaf, shape = blocks.leaf, blocks.leaf.described.shape
    first = [int(i) for i in np.unravel_index(block.start, shape)] if shape else []
    if block.stop - block.start == 1:
        return line.named(leaf, first)
    last = [int(i) for i in np.unravel_index(block.stop - 1, shape)]
    if first[:-1] == last[:-1]:
        return f"{leaf.name}[{', '.join([*map(str, first[:-1]), f'{first[-1]}:{last[-1] + 1}'])}]"
    return f"{line.named(leaf, first)} … {line.named(leaf, last)}"


def _story(look: Look, place: str, words: str, center: int | None = None) -> Story:
    return Story.of(place, words, look.got, look.expected, look.tolerance, center=center)
