"""The implementation's own slope: the third witness beside its gradient and the closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.evidence import along_direction, step_curve
from gradcheck_suite.checks.judgement import number
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.numerics.directions import generator, natural_scale, representable
from gradcheck_suite.numerics.finite_difference import (
    NOISE_SAFETY,
    STENCIL_WEIGHT,
    Estimate,
    directional_derivative,
    natural_step,
)
from gradcheck_suite.outcome import Failed, Verdict
from gradcheck_suite.protocols import Subject, machine_epsilon


def slice_of_value(
    subject: Subject, case: Case, direction: FloatArray
) -> Callable[[float], FloatArray]:
    """h ↦ value(f + h·v): rows under ``none``, else the scalar; in float64."""

    def along(step: float) -> FloatArray:
        return subject.value(case.with_(logits=case.logits + step * direction))

    return along


def draw(case: Case, *stream: int, step: float) -> FloatArray:
    """A Gaussian direction on the lattice of the dtype, so that f ± h·v is exact."""
    rng = generator(case.seed, *stream)
    scale = natural_scale(case.logits, step, case.dtype)
    gaussian = scale * rng.standard_normal(case.logits.shape)
    return representable(case.logits, gaussian, step, case.dtype).values


def unit_direction(case: Case, at: tuple[int, ...]) -> FloatArray:
    """The direction of one logit, on the lattice of the dtype."""
    unit = np.zeros(case.logits.shape)
    unit[at] = 1.0
    return representable(case.logits, unit, first_step(case), case.dtype).values


def first_step(case: Case) -> float:
    """The step at which a finite difference at this case begins."""
    return natural_step(machine_epsilon(case.dtype))


def slope(
    subject: Subject, case: Case, direction: FloatArray, noise: FloatArray | None = None
) -> Estimate:
    """Derivative of the value along a direction; ``noise`` as in ``directional_derivative``."""
    return directional_derivative(
        slice_of_value(subject, case, direction),
        value=subject.value(case),
        step=first_step(case),
        machine_epsilon=machine_epsilon(case.dtype),
        noise=noise,
    )


def bounded_noise(bound: FloatArray) -> FloatArray:
    """A bound on each value's error, as the standard deviation that has the same effect.

    ``directional_derivative`` grants 6σ/h to samples of noise; a bound B that holds for each of
    the stencil's values grants Σ|coefficients|·B/h and no more.
    """
    return bound * (STENCIL_WEIGHT / NOISE_SAFETY)


def with_finite_difference(
    verdict: Verdict, subject: Subject, yardstick: Yardstick, got: FloatArray, specified: Any
) -> Verdict:
    """Adds the slope of the implementation's own value at the failing element.

    Closed form, gradient and finite difference triangulate: two that agree within their
    errors name the odd one out. A failure without a place, or a value that cannot be had, is
    left as it is.
    """
    case = yardstick.case
    if not isinstance(verdict, Failed) or len(verdict.index) != 2:
        return verdict
    at = verdict.index
    direction = unit_direction(case, at)
    try:
        estimate = slope(subject, case, direction, bounded_noise(yardstick.value_bound.total))
    except Exception:  # the value is judged by its own clauses; here it only testifies
        return verdict
    length = abs(float(direction[at]))
    difference = float(np.sum(case.upstream * estimate.derivative)) / float(direction[at])
    error = float(np.sum(np.abs(case.upstream) * estimate.error)) / length
    slack = error + float(yardstick.gradient_bound.total[at])
    words = ""
    if abs(float(got[at]) - float(specified[at])) > 2.0 * slack:
        if abs(difference - float(specified[at])) <= slack:
            words = "; the value's own slope is, so the backward pass is the odd one out"
        elif abs(difference - float(got[at])) <= slack:
            words = ", but it is the slope of its own value: value and gradient err together"
    side = ("finite difference of its own value", f"{number(difference)} ± {error:.0e}")
    return replace(
        verdict,
        sides=(*verdict.sides, side),
        summary=verdict.summary + words,
        step_curve=step_curve(
            subject,
            case,
            direction,
            got=along_direction(got, direction),
            specified=along_direction(specified, direction),
            along=verdict.at,
        ),
    )
