"""What a failure leaves for a plot: the error element by element, and the V-curve.

Evidence is gathered after the verdict, at a bounded cost, and never changes it: what cannot be
had is left out.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.margins import margins, signed_errors
from gradcheck_suite.errors import TimeLimitExceeded
from gradcheck_suite.numerics.finite_difference import (
    STENCIL_ORDER,
    Estimate,
    directional_derivative,
    natural_step,
)
from gradcheck_suite.outcome import ErrorMap, StepCurve
from gradcheck_suite.protocols import Subject, machine_epsilon

CELLS = (16, 32)
"""Rows and columns of an error map at most; a phone shows that many."""
LADDER = range(-8, 7)
"""Steps of a V-curve, as powers of two times the natural step: 33 values in all."""
A_DIRECTION = "a Gaussian direction"
_ELEMENTS_AT_MOST = 1 << 16
_SECONDS_AT_MOST = 0.1
"""Of one evaluation; a kernel in an interpreter would take longer over its curve than over all."""


def error_map(
    got: npt.NDArray[np.floating],
    specified: npt.NDArray[np.floating],
    bound: FloatArray,
    *,
    against: str = "specified",
    against_itself: bool = False,
) -> ErrorMap | None:
    """got − specified as at most 16 × 32 cells; None for a scalar, or for more than two axes.

    A cell shows the element of its block whose error is largest in units of its bound.
    """
    if got.ndim not in (1, 2) or not got.size:
        return None
    left, right = got.reshape(len(got), -1), specified.reshape(len(got), -1)
    tolerance = bound.reshape(left.shape)
    block = tuple(-(-n // cells) for n, cells in zip(left.shape, CELLS, strict=True))
    errors, far = [], []
    for top in range(0, len(left), block[0]):
        band = slice(top, top + block[0])
        error = signed_errors(left[band], right[band], against_itself=against_itself)
        margin = margins(error, tolerance[band])
        worst = list(_worst_of_blocks(margin, block[1]))
        errors.append(_short([error[at] for at in worst]))
        far.append(_short([margin[at] for at in worst]))
    return ErrorMap(tuple(got.shape), (block[0], block[1]), tuple(errors), tuple(far), against)


def _worst_of_blocks(margin: FloatArray, width: int) -> Iterator[tuple[int, int]]:
    """Where the margin is largest, in each block of ``width`` classes and of all rows."""
    for left in range(0, margin.shape[1], width):
        part = margin[:, left : left + width]
        row, column = np.unravel_index(int(np.argmax(part)), part.shape)
        yield int(row), left + int(column)


def step_curve(
    subject: Subject,
    case: Case,
    direction: FloatArray,
    *,
    got: float,
    specified: float,
    along: str,
) -> StepCurve | None:
    """The V-curve of ⟨u, value⟩ along a direction v of the logits; None where it cannot be had.

    Args:
        subject: whose value is differenced.
        case: where.
        direction: v, shape (N, C).
        got: the derivative along v that is under test.
        specified: the one that should be.
        along: v in words.
    """
    if case.logits.size > _ELEMENTS_AT_MOST:
        return None

    @cache
    def value(h: float) -> FloatArray:
        return case.upstream * subject.value(case.with_(logits=case.logits + h * direction))

    epsilon = machine_epsilon(case.dtype)
    chosen = natural_step(epsilon)
    steps = tuple(chosen * 2.0**power for power in LADDER)
    # The code under test has been judged; here it may raise, print, warn or take too long.
    with suppress(Exception, TimeLimitExceeded), _unheard(), np.errstate(all="ignore"):
        size = float(np.sum(np.abs(value(0.0))))
        start = time.perf_counter()
        value(chosen)
        if time.perf_counter() - start > _SECONDS_AT_MOST:
            return None
        at: dict[float, Estimate] = {
            h: directional_derivative(
                lambda node: np.sum(value(node)),
                value=np.sum(value(0.0)),
                step=h,
                machine_epsilon=epsilon,
                magnitude=size,
            )
            for h in steps
        }
        slopes = np.array([float(each.derivative) for each in at.values()])
        if np.any(np.isfinite(slopes)):
            errors = at[chosen].truncation_error, at[chosen].rounding_error
            return StepCurve(
                along,
                steps,
                to_got=_short(np.abs(slopes - got)),
                to_specified=_short(np.abs(slopes - specified)),
                chosen=chosen,
                truncation=_short(errors)[0],
                rounding=_short(errors)[1],
                order=STENCIL_ORDER,
            )
    return None


def along_direction(gradient: npt.ArrayLike, direction: FloatArray) -> float:
    """⟨g, v⟩; an element that v does not move does not count, even if it is no number."""
    return float(np.sum(np.asarray(gradient)[direction != 0.0] * direction[direction != 0.0]))


def _short(values: npt.ArrayLike) -> tuple[float, ...]:
    """To three digits: a plot shows no more, and a report stays small."""
    return tuple(float(f"{float(number):.3g}") for number in np.asarray(values).flat)


@contextmanager
def _unheard() -> Iterator[None]:
    """What is printed or warned of here says nothing about the outcome."""
    nowhere = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        yield
