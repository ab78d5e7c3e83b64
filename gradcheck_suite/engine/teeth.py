"""The self-test: errors planted in the very gradient under test, and whether they are seen."""

from __future__ import annotations

import math

import numpy as np

from gradcheck_suite.engine import line
from gradcheck_suite.engine.session import Session
from gradcheck_suite.numerics.directions import euclidean_norm
from gradcheck_suite.numerics.planted_errors import IN_GRADIENTS, PlantedError, Values


def bite(session: Session, resolution: float | None) -> tuple[str, ...]:
    """One sentence per planted error of the first-order check.

    An error that exceeds the resolution must be caught: one that is not is called a defect
    of the check. A smaller one is listed as beyond its sight.
    """
    if not session.reverse_probes or resolution is None:
        return ("not shown: the reverse check reached no resolution to hold it to",)
    sentences = []
    for error in IN_GRADIENTS:
        found = _planted(session, error, 2.0 * resolution)
        if found is None:
            continue
        name, (size, caught) = error.name.format(r="2r"), found
        if caught:
            sentences.append(f"{name}: caught (‖δg‖/‖g‖ = {size:.1e})")
        elif size <= resolution:
            sentences.append(f"{name}: too small to see (‖δg‖/‖g‖ = {size:.1e})")
        else:
            sentences.append(f"{name}: MISSED, a defect of this check ({size:.1e})")
    return tuple(sentences)


def _planted(session: Session, planted: PlantedError, r: float) -> tuple[float, bool] | None:
    """Size of an error in the largest gradient, and whether the probes see it."""
    problem, backend = session.problem, session.problem.backend
    scales = session.scales
    sizes = [
        scale * line.norm(backend, gradient)
        for scale, gradient in zip(scales, session.gradients, strict=True)
    ]
    number = int(np.argmax(sizes))
    if len(problem.leaves[number].described.shape) < planted.axes:
        return None
    gradient = backend.asnumpy(session.gradients[number])
    error = planted.plant(gradient, r) - gradient
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
