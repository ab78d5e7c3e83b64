"""A ladder of steps: the same derivative taken at each, and what the rungs say together.

A number is accused where two rungs, both smooth over their stencil, agree with each other
and disagree with it, by three times their errors. The noise that an error holds is
measured on the rung and on its neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from gradcheck_suite.engine.evidence import Finding, Question
from gradcheck_suite.numerics.finite_difference import (
    NOISE_SAFETY,
    Estimate,
    directional_derivative,
    measured_noise,
)

LADDER = {
    "float64": (0, -4, 4, -8, -12, 8, -16, -20, -24, -28, -32),
    "float32": (0, -2, 2, -4, 4, -7, -10, -13),
    "float16": (0, 1, -1, 2),
    "bfloat16": (0, 1, -1),
}
"""Steps to try before convicting, as powers of two of the first one."""
SMOOTH = {"float64": 1e-2, "float32": 1e-2, "float16": 0.2, "bfloat16": 0.2}
"""Roughness up to which a stencil proves that it saw the function and not its noise."""
REMAINDER = 0.1
"""Noise that adds less than this part of the truncation error to an estimate may be the
smooth function's own higher derivatives: of true noise σ the stencil reads a truncation of
about 6σ/h, as much as noise is allowed for."""
RUNG_EVALUATIONS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Rung:
    """A finite difference at one step, and the noise that was measured there."""

    estimate: Estimate
    noise: float

    @property
    def derivative(self) -> float:
        return float(self.estimate.derivative)

    @property
    def error(self) -> float:
        return float(self.estimate.error)

    @property
    def roughness(self) -> float:
        return float(self.estimate.roughness)

    @property
    def still(self) -> bool:
        """Whether no value of the stencil differed from another."""
        return self.derivative == 0.0 and self.roughness == 1.0

    @property
    def remainder(self) -> bool:
        """Whether its noise may be a smooth function's own higher derivatives."""
        allowed = NOISE_SAFETY * self.noise / self.estimate.step
        return allowed < REMAINDER * float(self.estimate.truncation_error)

    def with_noise(self, noise: float) -> Rung:
        rounding = np.maximum(
            self.estimate.rounding_error, NOISE_SAFETY * noise / self.estimate.step
        )
        return Rung(replace(self.estimate, rounding_error=rounding), noise)

    def gap(self, number: float) -> float:
        return abs(number - self.derivative)


def rung(question: Question, step: float, machine_epsilon: float) -> Rung:
    """The finite difference at ``step``, and the noise from seven values within it."""
    noise = float(measured_noise(question.slice, question.value, step / 8.0))
    found = replace(stencil(question, step, machine_epsilon), noise=noise)
    # Five equal values are no noise: a plateau, which ``_flat`` is to see as one.
    return found if found.still or not math.isfinite(noise) else found.with_noise(noise)


def stencil(question: Question, step: float, machine_epsilon: float) -> Rung:
    """The finite difference at ``step`` alone."""
    estimate = directional_derivative(
        question.slice,
        value=question.value,
        step=step,
        machine_epsilon=machine_epsilon,
        magnitude=question.magnitude,
        max_evaluations=4,
    )
    return Rung(estimate, 0.0)


def weigh(
    analytic: float, rungs: list[Rung], allowance: float, smooth: float
) -> tuple[Finding, Rung]:
    """What the rungs climbed so far say together, and the most telling of them."""
    seen = _pooled(rungs, finer=2, coarser=0)
    best = min(seen, key=lambda one: one.error)
    if not math.isfinite(best.error):
        return Finding.UNDECIDED, best
    agreeing = [
        one
        for one in seen
        if one.gap(analytic) <= one.error + allowance and one.error <= 16.0 * best.error
    ]
    if agreeing:
        return Finding.AGREES, min(agreeing, key=lambda one: one.error)
    refuted = _refuted(analytic, rungs, allowance, smooth)
    return (Finding.UNDECIDED, best) if refuted is None else (Finding.REFUTED, refuted)


def sloping(rungs: list[Rung], smooth: float) -> Rung | None:
    """The rung that sees a slope best, among those that are smooth; None if none sees one."""
    seen = [
        one
        for one in _pooled(rungs, finer=2, coarser=0)
        if one.roughness <= smooth and abs(one.derivative) > 3.0 * one.error
    ]
    return min(seen, key=lambda one: one.error, default=None)


def _refuted(analytic: float, rungs: list[Rung], allowance: float, smooth: float) -> Rung | None:
    """The best witness against a number, if it is refuted.

    Refuted is a number that differs from two smooth rungs by three times their errors, where
    the two are at least four times closer to each other than to it, and where the finest
    rungs that can tell stand on their side: many small kinks inside a stencil, or a narrow
    feature at its centre, look smooth from afar. Noise counts here as the coarser rungs saw
    it too: a plateau between two roundings has none.
    """
    seen = _pooled(_moving(rungs), finer=2, coarser=3)
    best = min(seen, key=lambda one: one.error)
    middle, gap = best.derivative, best.gap(analytic)
    witnesses = [
        one
        for one in seen
        if one.roughness <= smooth
        and one.gap(analytic) > 3.0 * one.error + allowance
        and one.gap(middle) <= 0.25 * min(gap, one.gap(analytic))
    ]
    telling = [one for one in seen if 3.0 * one.error <= gap]
    finest = sorted(telling, key=lambda one: one.estimate.step)[:2]
    if len(witnesses) < 2 or not any(one is best for one in witnesses):
        return None
    if any(one.gap(middle) >= one.gap(analytic) for one in finest):
        return None
    if any(_flat(one, middle, analytic) for one in rungs):
        return None
    return best


def _flat(one: Rung, slope: float, analytic: float) -> bool:
    """A rung without movement where ``slope`` would show, as a vanishing derivative says.

    A function of steps (``round``) has the slope of its envelope from afar, and none near by.
    A smooth one of slope 8 times the rounding error moves by 48 units across the stencil.
    """
    unseen = float(one.estimate.rounding_error)
    return one.still and abs(analytic) <= unseen and abs(slope) > 8.0 * unseen


def _moving(rungs: list[Rung]) -> list[Rung]:
    """The rungs on which the function moved; if there is none, it is constant, and all tell.

    Beside rungs that move, one without movement is a plateau between two roundings.
    """
    moving = [one for one in rungs if not one.still]
    flat = [Rung(replace(one.estimate, roughness=np.zeros(())), one.noise) for one in rungs]
    return moving or flat


def _pooled(rungs: list[Rung], *, finer: int, coarser: int) -> list[Rung]:
    """Each rung with the largest noise of its own and of so many next to it.

    One table of seven values may find too little noise by luck. Noise is the same at finer
    steps, and what only looks like noise, an oscillation or a kink, is less there. At coarser
    steps a smooth function's remainder looks like noise, and is told apart by its size.
    """
    ordered = sorted(rungs, key=lambda one: one.estimate.step)
    pooled = []
    for number, one in enumerate(ordered):
        near = ordered[max(0, number - finer) : number + 1]
        near += [one for one in ordered[number + 1 : number + coarser + 1] if not one.remainder]
        noise = max((one.noise for one in near if math.isfinite(one.noise)), default=0.0)
        pooled.append(one.with_noise(noise))
    return pooled
