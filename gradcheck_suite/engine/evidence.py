"""A directional question and its answer, and the cheap first look that settles most of them.

A ``Question`` is one number from the derivative under test and a function of a step whose
derivative it should be. Agreement within the errors of four evaluations, at the promised
resolution, is enough to pass; ``settling`` looks closer at everything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from gradcheck_suite.numerics.finite_difference import (
    NOISE_SAFETY,
    STENCIL_WEIGHT,
    Estimate,
    Slopes,
    directional_derivative,
)
from gradcheck_suite.numerics.finite_difference import resolution as resolution_of

ANALYTIC_ALLOWANCE = 8.0
"""Units of ε‖g‖ that rounding may add to ⟨g, v⟩: elements of g are off by a unit or so,
independently of v, so their sum is Gaussian; five of its standard deviations."""
FIRST_LOOK = 8
"""Evaluations per direction that an agreeing function may cost."""


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
        grain: the step that moves the largest element by a unit in its last place.
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
    grain: float
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
        doubt: why an undecided one is undecided, where that is known.
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
    doubt: str = ""
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

    @property
    def still(self) -> bool:
        """Whether no value of the stencil differed from another."""
        return self.derivative == 0.0 and float(self.estimate.roughness) == 1.0

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
