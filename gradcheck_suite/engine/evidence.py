"""How a directional question is decided: cheaply if it agrees, carefully if it does not.

A ``Question`` is one number from the derivative under test and a function of a step whose
derivative it should be. Agreement within the errors of four evaluations, at the promised
resolution, is enough to pass. A disagreement is not enough to convict: the estimate's own
error estimate may be at fault. Before a conviction

1. the difference is taken on a ladder of steps, the noise measured at each of them;
2. the analytic number's own sensitivity to rounding is measured;
3. one-sided slopes are compared (a kink);

and two rungs of the ladder, both smooth over their stencil, must agree with each other and
disagree with the number under test. Whatever falls in between is inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from gradcheck_suite.numerics.finite_difference import (
    NOISE_SAFETY,
    STENCIL_WEIGHT,
    Estimate,
    Slopes,
    directional_derivative,
    measured_noise,
    one_sided_slopes,
)
from gradcheck_suite.numerics.finite_difference import resolution as resolution_of

LADDER = {
    "float64": (0, -4, 4, -8, -12, 8, -16, -20, -24, -28, -32),
    "float32": (0, -2, 2, -4, 4, -7, -10, -13),
    "float16": (0, 1, -1, 2),
    "bfloat16": (0, 1, -1),
}
"""Steps to try before convicting, as powers of two of the first one."""
KINK_STEPS = {"float64": (0, -12), "float32": (2, 0), "float16": (0,), "bfloat16": (0,)}
"""Steps at which one-sided slopes are compared: other kinks may be near, noise too."""
SMOOTH = {"float64": 1e-2, "float32": 1e-2, "float16": 0.2, "bfloat16": 0.2}
"""Roughness up to which a stencil proves that it saw the function and not its noise."""
WITNESSES = {"float64": 1, "float32": 1, "float16": 3, "bfloat16": 3}
"""Directions that must be refuted to convict: in half precision one stencil proves little."""
ANALYTIC_ALLOWANCE = 8.0
"""Units of ε‖g‖ that rounding may add to ⟨g, v⟩: elements of g are off by a unit or so,
independently of v, so their sum is Gaussian; five of its standard deviations."""
SPREAD_ALLOWANCE = 8.0
FIRST_LOOK = 8
"""Evaluations per direction that an agreeing function may cost."""
MOST_DIRECTIONS = {"float64": 6, "float32": 8, "float16": 16, "bfloat16": 16}


class Finding(StrEnum):
    """What one direction says."""

    AGREES = "agrees"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    KINK = "kink"


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One direction's question.

    Attributes:
        slice: φ(h), in float64.
        value: φ(0).
        analytic: the derivative of φ at 0 that is under test.
        norm: standard deviation of ``analytic`` over directions, ‖S g‖.
        magnitude: size of the terms that φ sums, where they cancel.
        step: the first step.
        underflow: the smallest normal number of the dtype, in the units of ``norm``.
        spread: measures how far ``analytic`` moves under perturbations at rounding level.
        again: φ(0) as the slice computes it, where ``value`` was seen in another mode.
    """

    slice: Callable[[float], float]
    value: float
    analytic: float
    norm: float
    magnitude: float
    step: float
    underflow: float
    spread: Callable[[], float]
    again: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A question with its answer.

    Attributes:
        finding: what it says.
        analytic: the number under test.
        estimate: the best finite difference.
        allowance: what rounding may have done to ``analytic``.
        norm, magnitude, value: of the question.
        noise: measured standard deviation of f's noise; None where not measured.
        slopes: one-sided slopes, where they were looked at.
        evaluations: of the function.
    """

    finding: Finding
    analytic: float
    estimate: Estimate
    allowance: float
    norm: float
    magnitude: float
    value: float
    noise: float | None = None
    slopes: Slopes | None = None
    evaluations: int = 4

    @property
    def derivative(self) -> float:
        return float(self.estimate.derivative)

    @property
    def error(self) -> float:
        return abs(self.analytic - self.derivative)

    @property
    def tolerance(self) -> float:
        return float(self.estimate.error) + self.allowance

    def level(self, machine_epsilon: float) -> float:
        """The size of the values around the primals, as the rounding bound has seen it."""
        seen = float(self.estimate.rounding_error) * self.estimate.step / STENCIL_WEIGHT
        seen = seen / machine_epsilon if self.noise is None else 0.0
        return max(abs(self.value), self.magnitude, seen)

    @property
    def terms(self) -> tuple[tuple[str, float], ...]:
        noisy = self.noise is not None and NOISE_SAFETY * self.noise / self.estimate.step >= (
            0.99 * float(self.estimate.rounding_error)
        )
        return (
            ("truncation", float(self.estimate.truncation_error)),
            ("noise" if noisy else "rounding", float(self.estimate.rounding_error)),
            ("gradient's rounding", self.allowance),
        )

    def agrees_with(self, analytic: float) -> bool:
        """Whether another number (a planted error's) would have passed."""
        return abs(analytic - self.derivative) <= self.tolerance


def target(norm: float, promised: float, directions: int) -> float:
    """The tolerance per direction with which ``directions`` of them reach ``promised``."""
    return float(promised * norm / (0.8 * 1e-6 ** (-1.0 / directions)))


def reached(probes: list[Probe], scale: float | None = None) -> float:
    """The resolution of all probes together: their tolerances' geometric mean counts.

    Relative to ‖g‖, or to ``scale``.
    """
    norm = max(probe.norm for probe in probes) if scale is None else scale
    tolerances = [max(probe.tolerance, 5e-324) for probe in probes]
    if not all(map(math.isfinite, tolerances)):
        return math.inf
    mean = math.exp(sum(map(math.log, tolerances)) / len(tolerances))
    return resolution_of(mean, norm, len(probes))


def first_look(question: Question, machine_epsilon: float, wanted: float) -> Probe:
    """Four evaluations, eight if the first four leave too large an error."""
    allowance = ANALYTIC_ALLOWANCE * machine_epsilon * (question.norm + question.underflow)
    estimate = directional_derivative(
        question.slice,
        value=question.value,
        step=question.step,
        machine_epsilon=machine_epsilon,
        magnitude=question.magnitude,
        target_error=max(wanted - allowance, 0.0),
        max_evaluations=FIRST_LOOK,
    )
    probe = Probe(
        Finding.AGREES,
        question.analytic,
        estimate,
        allowance,
        question.norm,
        question.magnitude,
        question.value,
        evaluations=estimate.evaluations,
    )
    holds = probe.error <= probe.tolerance
    return probe if holds else replace(probe, finding=Finding.UNDECIDED)


def settle(
    question: Question, first: Probe, dtype: str, machine_epsilon: float, wanted: float
) -> Probe:
    """Gathers the evidence listed above until the question is decided or the ladder ends."""
    spent = first.evaluations
    if question.again is not None:
        question = replace(question, value=question.again(), again=None)
    spread = question.spread()
    allowance = max(first.allowance, SPREAD_ALLOWANCE * spread)
    rungs: list[tuple[Estimate, float]] = []
    for power in LADDER[dtype]:
        rung = _rung(question, question.step * 2.0**power, machine_epsilon)
        spent += 10
        rungs.append(rung)
        verdict, best = _weigh(question.analytic, rungs, allowance, SMOOTH[dtype])
        if verdict is Finding.AGREES and float(best[0].error) + allowance <= wanted:
            break
    verdict, (estimate, noise) = _weigh(question.analytic, rungs, allowance, SMOOTH[dtype])
    probe = replace(
        first,
        finding=verdict,
        estimate=estimate,
        allowance=allowance,
        noise=noise,
        evaluations=spent,
    )
    if verdict is Finding.AGREES and probe.tolerance <= wanted:
        return probe
    # A kink feigns noise in proportion to the spacing: its least is what there is of noise.
    least = min((one for _, one in rungs if math.isfinite(one)), default=0.0)
    return _kinked(question, probe, dtype, machine_epsilon, least)


def _rung(question: Question, step: float, machine_epsilon: float) -> tuple[Estimate, float]:
    noise = float(measured_noise(question.slice, question.value, step / 8.0))
    estimate = directional_derivative(
        question.slice,
        value=question.value,
        step=step,
        machine_epsilon=machine_epsilon,
        magnitude=question.magnitude,
        max_evaluations=4,
    )
    # Five equal values are no noise: a plateau, which ``_flat`` is to see as one.
    if math.isfinite(noise) and not _still(estimate):
        rounding = np.maximum(estimate.rounding_error, NOISE_SAFETY * noise / estimate.step)
        estimate = replace(estimate, rounding_error=rounding)
    return estimate, noise


def _weigh(
    analytic: float, rungs: list[tuple[Estimate, float]], allowance: float, smooth: float
) -> tuple[Finding, tuple[Estimate, float]]:
    """What the rungs climbed so far say together, and the most telling of them."""
    seen = _pooled(rungs, finer=2, coarser=0)
    best = min(seen, key=lambda rung: float(rung[0].error))
    least = float(best[0].error)
    if not math.isfinite(least):
        return Finding.UNDECIDED, best
    agreeing = [
        rung
        for rung in seen
        if _gap(analytic, rung[0]) <= float(rung[0].error) + allowance
        and float(rung[0].error) <= 16.0 * least
    ]
    if agreeing:
        return Finding.AGREES, min(agreeing, key=lambda rung: float(rung[0].error))
    refuted = _refuted(analytic, rungs, allowance, smooth)
    return (Finding.UNDECIDED, best) if refuted is None else (Finding.REFUTED, refuted)


def _refuted(
    analytic: float, rungs: list[tuple[Estimate, float]], allowance: float, smooth: float
) -> tuple[Estimate, float] | None:
    """The best witness against a number, if it is refuted.

    Refuted is a number that differs from two smooth rungs by three times their errors, where
    the two are at least four times closer to each other than to it, and where the finest
    rungs that can tell stand on their side: many small kinks inside a stencil, or a narrow
    feature at its centre, look smooth from afar. Noise counts here as the coarser rungs saw
    it too: a plateau between two roundings has none.
    """
    seen = _pooled(_moving(rungs), finer=2, coarser=3)
    best = min(seen, key=lambda rung: float(rung[0].error))
    middle, gap = float(best[0].derivative), _gap(analytic, best[0])
    witnesses = [
        estimate
        for estimate, _ in seen
        if float(estimate.roughness) <= smooth
        and _gap(analytic, estimate) > 3.0 * float(estimate.error) + allowance
        and _gap(middle, estimate) <= 0.25 * min(gap, _gap(analytic, estimate))
    ]
    telling = [estimate for estimate, _ in seen if 3.0 * float(estimate.error) <= gap]
    finest = sorted(telling, key=lambda estimate: estimate.step)[:2]
    if len(witnesses) < 2 or not any(estimate is best[0] for estimate in witnesses):
        return None
    if any(_gap(middle, one) >= _gap(analytic, one) for one in finest):
        return None
    if any(_flat(estimate, middle, analytic) for estimate, _ in rungs):
        return None
    return best


def _still(estimate: Estimate) -> bool:
    """Whether no value of the stencil differed from another."""
    return float(estimate.derivative) == 0.0 and float(estimate.roughness) == 1.0


def _flat(estimate: Estimate, slope: float, analytic: float) -> bool:
    """A rung without movement where ``slope`` would show, as a vanishing derivative says.

    A function of steps (``round``) has the slope of its envelope from afar, and none near by.
    A smooth one of slope 8 times the rounding error moves by 48 units across the stencil.
    """
    unseen = float(estimate.rounding_error)
    return _still(estimate) and abs(analytic) <= unseen and abs(slope) > 8.0 * unseen


def _moving(rungs: list[tuple[Estimate, float]]) -> list[tuple[Estimate, float]]:
    """The rungs on which the function moved; if there is none, it is constant, and all tell.

    Beside rungs that move, one without movement is a plateau between two roundings.
    """
    moving = [rung for rung in rungs if not _still(rung[0])]
    return moving or [(replace(one, roughness=np.zeros(())), noise) for one, noise in rungs]


def _gap(number: float, estimate: Estimate) -> float:
    return abs(number - float(estimate.derivative))


def _pooled(
    rungs: list[tuple[Estimate, float]], *, finer: int, coarser: int
) -> list[tuple[Estimate, float]]:
    """Each rung with the largest noise of its own and of so many next to it.

    One table of seven values may find too little noise by luck. Noise is the same at finer
    steps, and what only looks like noise, an oscillation or a kink, is less there.
    """
    ordered = sorted(rungs, key=lambda rung: rung[0].step)
    pooled = []
    for number, (estimate, _) in enumerate(ordered):
        near = ordered[max(0, number - finer) : number + coarser + 1]
        noise = max((one for _, one in near if math.isfinite(one)), default=0.0)
        rounding = np.maximum(estimate.rounding_error, NOISE_SAFETY * noise / estimate.step)
        pooled.append((replace(estimate, rounding_error=rounding), noise))
    return pooled


def _kinked(
    question: Question, probe: Probe, dtype: str, machine_epsilon: float, noise: float
) -> Probe:
    """The probe as it is, or found to stand on a kink."""
    for power in KINK_STEPS[dtype]:
        slopes = one_sided_slopes(
            question.slice,
            question.value,
            question.step * 2.0**power,
            machine_epsilon=machine_epsilon,
        )
        probe = replace(probe, evaluations=probe.evaluations + slopes.evaluations)
        jump = abs(float(slopes.right) - float(slopes.left))
        # Noise makes slopes that differ too; a kink's difference stands out of it.
        jitter = 40.0 * noise / slopes.step
        if bool(np.all(slopes.kink)) and jump > jitter:
            return replace(probe, finding=Finding.KINK, slopes=slopes)
    return probe
