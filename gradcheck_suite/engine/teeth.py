"""The self-test: errors planted in the very gradient under test, and whether they are seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.engine import line
from gradcheck_suite.engine.session import Session
from gradcheck_suite.numerics.directions import euclidean_norm

Values = npt.NDArray[Any]


def _row_dropped(g: Values, resolution: float) -> Values:
    planted = g.copy()
    planted[-1 if g.ndim > 1 else g.size // 2] = 0.0
    return planted


def _last_dropped(g: Values, resolution: float) -> Values:
    planted = g.copy()
    planted[..., -1] = 0.0
    return planted


def _one_nan(g: Values, resolution: float) -> Values:
    planted = g.copy()
    planted.reshape(-1)[0] = math.nan
    return planted


PLANTED: tuple[tuple[str, int, Callable[[Values, float], Values]], ...] = (
    ("zero", 0, lambda g, r: 0.0 * g),
    ("negated", 0, lambda g, r: -g),
    ("×(1 + 2r)", 0, lambda g, r: g * (1.0 + 2.0 * r)),
    ("one row dropped", 1, _row_dropped),
    ("last column dropped", 1, _last_dropped),
    ("rows rolled", 1, lambda g, r: np.roll(g, 1, axis=0)),
    ("NaN", 0, _one_nan),
)
"""Name, least number of axes, and the error; r is the resolution that was stated."""


def bite(session: Session, resolution: float | None) -> tuple[str, ...]:
    """One sentence per planted error of the first-order check.

    An error that exceeds the resolution must be caught: one that is not is called a defect
    of the check. A smaller one is listed as beyond its sight.
    """
    if not session.reverse_probes or resolution is None:
        return ("not shown: the reverse check reached no resolution to hold it to",)
    sentences = []
    for name, axes, plant in PLANTED:
        found = _planted(session, axes, plant, resolution)
        if found is None:
            continue
        size, caught = found
        if caught:
            sentences.append(f"{name}: caught (‖δg‖/‖g‖ = {size:.1e})")
        elif size <= resolution:
            sentences.append(f"{name}: too small to see (‖δg‖/‖g‖ = {size:.1e})")
        else:
            sentences.append(f"{name}: MISSED, a defect of this check ({size:.1e})")
    return tuple(sentences)


def _planted(
    session: Session, axes: int, plant: Callable[[Values, float], Values], resolution: float
) -> tuple[float, bool] | None:
    """Size of an error in the largest gradient, and whether the probes see it."""
    problem, backend = session.problem, session.problem.backend
    scales = session.scales
    sizes = [
        scale * line.norm(backend, gradient)
        for scale, gradient in zip(scales, session.gradients, strict=True)
    ]
    number = int(np.argmax(sizes))
    if len(problem.leaves[number].described.shape) < axes:
        return None
    gradient = backend.asnumpy(session.gradients[number])
    planted = plant(gradient, resolution)
    error = planted - gradient
    if not error.any():
        return None
    size = scales[number] * euclidean_norm(error) / math.hypot(*sizes)
    return size, any(
        not probe.agrees_with(probe.analytic + _along(session, k, number, error))
        for k, probe in enumerate(session.reverse_probes)
    )


def _along(session: Session, k: int, number: int, error: Values) -> float:
    v = session.tangent(k).arrays[number]
    direction = session.problem.backend.asnumpy(v)
    if session.problem.backend.conjugates:
        error = np.conj(error)
    return float(np.sum(error * direction).real)
