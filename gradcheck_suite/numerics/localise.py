"""Where a gradient is wrong, and what its error looks like.

For a function with independent rows (N×C → N), ``columns`` gets the whole Jacobian from 4C
evaluations: class j is perturbed in every row at once. For a scalar function ``bisect``
narrows a failing direction down to blocks. ``describe_pattern`` puts an error in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradcheck_suite.numerics.directions import generator, natural_scale, representable
from gradcheck_suite.numerics.finite_difference import (
    Estimate,
    directional_derivative,
    measured_noise,
    natural_step,
)
from gradcheck_suite.numerics.patterns import describe_pattern

FloatArray = npt.NDArray[np.float64]
RowFunction = Callable[[FloatArray], npt.ArrayLike]
"""Maps (N, C) to (N,), everything in float64 on the outside."""
Probe = Callable[[slice, int], tuple[float, float]]
"""Discrepancy (signed) and tolerance of direction number k, cut down to a block of elements."""
INFERRED = 4.0
"""A tolerance that has grown by so much from one inference to the next is measured anew."""

FOLLOWED = 4
"""Suspect blocks of columns that are followed; more are a widespread fault."""
TOGETHER = 1 << 14
"""Elements whose stencils are held at a time."""
SAMPLED = 16
"""Columns that are looked at where a fault is widespread."""


@dataclass(frozen=True, slots=True)
class Bisection:
    """How far a fault was narrowed down.

    Attributes:
        block: the elements ``start:stop`` (flat) that hold it, or the worst part of it; None
            where the whole was not seen to be wrong.
        widespread: on the way both halves of a block were wrong.
        probes: how many directions were evaluated.
        stopped: there was no more to be spent.
    """

    block: slice | None
    widespread: bool
    probes: int
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Suspects:
    """Columns to look at: those with faults, or a sample where faults are widespread.

    ``noise`` is that of f, per row, where it was measured on the way.
    """

    columns: list[int]
    widespread: bool
    noise: FloatArray | None = None


def columns(
    function: RowFunction,
    primal: npt.ArrayLike,
    *,
    machine_epsilon: float,
    dtype: str = "float64",
    step: float | None = None,
    value: npt.ArrayLike | None = None,
    noise: npt.ArrayLike | None = None,
    target_error: npt.ArrayLike | None = None,
    max_evaluations: int = 4,
    classes: Iterable[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Estimate:
    """∂f_i/∂x_ij of a function with independent rows, every element with its error.

    Args:
        function: f, (N, C) → (N,); row i of the result depends on row i alone (see
            ``row_independent``). It is given a private copy each time.
        primal: x, shape (N, C), representable in ``dtype``.
        machine_epsilon: spacing at 1 of the dtype in which f is evaluated.
        dtype: name of the dtype of x.
        step: first step h; default the dtype's natural step times the scale of x.
        value: f(x), shape (N,), if it is known.
        noise: standard deviation of f's noise per row; default measured along two random
            directions, because what is summed inside f is often larger than f and rounds so.
        target_error: error per element that ends the search for a better step; a scalar
            or anything that broadcasts against (N,).
        max_evaluations: per column, 4 or 8 or more.
        classes: which columns; default all. Others are NaN with infinite error.
        progress: called with (columns done, columns in all).

    Returns:
        ``derivative`` and errors of shape (N, C), from 4C + 12 evaluations and N·C memory.
    """
    x = np.array(primal, dtype=np.float64)
    at_zero = np.asarray(function(x.copy()) if value is None else value, dtype=np.float64)
    first = natural_step(machine_epsilon)
    h = first * natural_scale(x, first, dtype) if step is None else step
    h = 2.0 ** round(math.log2(h))
    evaluations = 0
    if noise is None:
        noise, evaluations = _row_noise(function, x, at_zero, h / 8.0), 12
    derivative, truncation = np.full(x.shape, np.nan), np.full(x.shape, np.inf)
    rounding = np.full(x.shape, np.inf)
    chosen = list(range(x.shape[1]) if classes is None else classes)
    done = 0
    # Columns go together where each takes one stencil; a step of its own asks for it alone.
    together = max(1, len(chosen)) if max_evaluations < 8 else 1
    together = min(together, max(1, TOGETHER // max(1, x.shape[0])))
    for start in range(0, len(chosen), together):
        part = chosen[start : start + together]
        direction = representable(x[:, part], np.ones((x.shape[0], len(part))), h, dtype).values

        def along(
            distance: float, part: list[int] = part, direction: FloatArray = direction
        ) -> FloatArray:
            values = np.empty(direction.shape)
            for k, j in enumerate(part):
                moved = x.copy()
                moved[:, j] += distance * direction[:, k]
                values[:, k] = function(moved)
            return values

        estimate = directional_derivative(
            along,
            value=np.broadcast_to(at_zero[:, None], direction.shape),
            step=h,
            machine_epsilon=machine_epsilon,
            noise=np.asarray(noise)[..., None],
            target_error=None if target_error is None else np.asarray(target_error)[..., None],
            max_evaluations=max_evaluations,
        )
        # The lattice moved the direction by up to a unit: the slope is per direction[i].
        derivative[:, part] = estimate.derivative / direction
        truncation[:, part] = estimate.truncation_error / np.abs(direction)
        rounding[:, part] = estimate.rounding_error / np.abs(direction)
        evaluations += estimate.evaluations * len(part)
        done += len(part)
        if progress is not None:
            progress(done, len(chosen))
    return Estimate(derivative, truncation, rounding, h, evaluations)


def suspects(
    function: RowFunction,
    primal: npt.ArrayLike,
    gradient: npt.ArrayLike,
    *,
    machine_epsilon: float,
    dtype: str = "float64",
    value: npt.ArrayLike | None = None,
    seed: int = 0,
) -> Suspects:
    """The columns that hold wrong elements, by bisection in all rows at once.

    One block of columns is moved along a Gaussian direction in every row; a row whose
    derivative is not what ``gradient`` says makes the block a suspect. A single fault
    costs 8 log₂ C evaluations. Where more than ``FOLLOWED`` blocks are suspect the fault is
    widespread, and columns are sampled instead.

    Args:
        function: f with independent rows, as for ``columns``.
        primal: x, shape (N, C).
        gradient: the ∂f_i/∂x_ij under test, shape (N, C).
        machine_epsilon: spacing at 1 of the dtype in which f is evaluated.
        dtype: name of the dtype of x.
        value: f(x), if it is known.
        seed: seed of the directions and of the sample.

    Returns:
        The columns, in order; none where no block disagreed.
    """
    x, g = np.array(primal, dtype=np.float64), np.asarray(gradient, dtype=np.float64)
    at_zero = np.asarray(function(x.copy()) if value is None else value, dtype=np.float64)
    step, rng = natural_step(machine_epsilon), generator(seed)
    scale = natural_scale(x, step, dtype)
    noise = _row_noise(function, x, at_zero, step * scale / 8.0)

    def wrong(block: slice) -> bool:
        part = x[:, block]
        v = representable(part, scale * rng.standard_normal(part.shape), step, dtype).values

        def along(distance: float) -> FloatArray:
            moved = x.copy()
            moved[:, block] += distance * v
            return np.asarray(function(moved), dtype=np.float64)

        estimate = directional_derivative(
            along, value=at_zero, step=step, machine_epsilon=machine_epsilon, noise=noise
        )
        terms = g[:, block] * v
        rounding = 8.0 * machine_epsilon * np.sqrt(np.sum(terms**2, axis=1))
        error = np.abs(np.sum(terms, axis=1) - estimate.derivative)
        return bool(np.any(~(error <= 2.0 * (estimate.error + rounding))))

    open_blocks, found = [slice(0, x.shape[1])], list[int]()
    while open_blocks:
        failing = [block for block in open_blocks if wrong(block)]
        if len(failing) > FOLLOWED:
            return Suspects(_sample(g, rng), widespread=True, noise=noise)
        found += [block.start for block in failing if block.stop - block.start == 1]
        open_blocks = [
            half for block in failing if block.stop - block.start > 1 for half in _halves(block)
        ]
    return Suspects(sorted(found), widespread=False, noise=noise)


def _halves(block: slice) -> tuple[slice, slice]:
    middle = (block.start + block.stop) // 2
    return slice(block.start, middle), slice(middle, block.stop)


def _sample(gradient: FloatArray, rng: np.random.Generator) -> list[int]:
    """Columns at both ends, those of the largest elements, and some at random."""
    count = gradient.shape[1]
    largest = np.argsort(-np.max(np.abs(gradient), axis=0))[: SAMPLED // 3]
    wanted = [0, count - 1, *map(int, largest), *map(int, rng.permutation(count)[:SAMPLED])]
    return sorted(list(dict.fromkeys(wanted))[:SAMPLED])


def _row_noise(function: RowFunction, x: FloatArray, value: FloatArray, step: float) -> FloatArray:
    """Per row the larger noise of two random directions: one may find too little by luck."""
    tables = []
    for stream in range(2):
        drawn = step * generator(0, stream).standard_normal(x.shape)
        tables.append(measured_noise(lambda t, d=drawn: function(x + t * d), value, 1.0))  # type: ignore[misc]
    return np.maximum(*tables)


def row_independent(function: RowFunction, primal: npt.ArrayLike, *, seed: int = 0) -> bool:
    """Whether no row of the result depends on another row of the primal, to the last bit.

    Rows are split by each bit of their number; one half is perturbed and the other half of
    the result must not change. Every ordered pair of rows is thus tried, in 2⌈log₂ N⌉
    evaluations. A result whose length is not N is not separable by rows.
    """
    x = np.array(primal, dtype=np.float64)
    rows = x.shape[0]
    before = np.asarray(function(x.copy()))
    if before.shape != (rows,):
        return False
    rng = generator(seed)
    for bit in range(max(1, (rows - 1).bit_length())):
        for side in (0, 1):
            moving = (np.arange(rows) >> bit) & 1 == side
            moved = x.copy()
            moved[moving] += rng.standard_normal(moved[moving].shape)
            after = np.asarray(function(moved))
            if not np.array_equal(after[~moving], before[~moving], equal_nan=True):
                return False
    return True


def bisect(
    probe: Probe,
    size: int,
    *,
    affordable: Callable[[], bool] = lambda: True,
    progress: Callable[[int, int], None] | None = None,
) -> Bisection:
    """Narrows a fault among ``size`` elements down, one probe per halving.

    A derivative is linear in the direction: what a block's direction shows and its first half
    does not, the second half does. So a single fault among n elements costs log₂ n probes.
    Where neither half is wrong beyond its tolerance both are probed along a fresh direction;
    a block whose halves are right then too is as far as it goes. Of two wrong halves the worse
    is followed.

    Args:
        probe: called with a block and the number of a direction.
        size: how many elements there are.
        affordable: asked before every halving whether to go on.
        progress: called with (probes so far, probes expected).
    """
    block, draw, probes, widespread = slice(0, size), 0, 1, False
    known = probe(block, draw)
    if not size or not _wrong(known):
        return Bisection(None, False, probes)
    while block.stop - block.start > 1:
        if not affordable():
            return Bisection(block, widespread, probes, stopped=True)
        first, second = _halves(block)
        one = probe(first, draw)
        other = (known[0] - one[0], known[1] + one[1])
        probes += 1
        if other[1] > INFERRED * one[1]:
            other, probes = probe(second, draw), probes + 1
        if not _wrong(one) and not _wrong(other):
            draw += 1
            one, other, probes = probe(first, draw), probe(second, draw), probes + 2
            if not _wrong(one) and not _wrong(other):
                break
        widespread = widespread or (_wrong(one) and _wrong(other))
        block, known = max((first, one), (second, other), key=lambda part: _severity(part[1]))
        if progress is not None:
            progress(probes, max(probes, size.bit_length()))
    return Bisection(block, widespread, probes)


def _wrong(seen: tuple[float, float]) -> bool:
    return not abs(seen[0]) <= seen[1]


def _severity(seen: tuple[float, float]) -> float:
    """How far beyond its tolerance; a NaN is as far as can be."""
    if not _wrong(seen):
        return 0.0
    return abs(seen[0]) / seen[1] if seen[1] > 0.0 and not math.isnan(seen[0]) else math.inf


__all__ = [
    "Bisection",
    "Suspects",
    "bisect",
    "columns",
    "describe_pattern",
    "row_independent",
    "suspects",
]
