"""A question that the first look left open, settled with all the evidence there is.

A disagreement is not enough to convict: the estimate's own error may be at fault. Before a
number is called wrong

1. the difference is taken on a ladder of steps, the noise measured at each of them;
2. the number's own sensitivity to rounding is measured;
3. the function's fine structure is looked at (steps, sawteeth, oscillations);
4. one-sided slopes are compared (a kink).

Whatever falls in between is inconclusive. Where two rungs, the noise between them and the
fine structure tell the same story the rest of the ladder is spared: some 30 evaluations.
"""

from __future__ import annotations

import math
from dataclasses import replace

from gradcheck_suite.engine import closeup
from gradcheck_suite.engine.evidence import Finding, Probe, Question
from gradcheck_suite.engine.ladder import (
    LADDER,
    RUNG_EVALUATIONS,
    SMOOTH,
    Rung,
    rung,
    sloping,
    stencil,
    weigh,
)

SPREAD_ALLOWANCE = 8.0
CLEAR_EVALUATIONS = 20
"""What a clear conviction takes beside the first rung."""
NEAR = {"float64": 4, "float32": 2, "float16": 1, "bfloat16": 1}
"""A plateau reaches so far at least, in powers of two of the first step, to be one."""


def settle(
    question: Question, first: Probe, dtype: str, machine_epsilon: float, wanted: float
) -> Probe:
    """Gathers the evidence listed above until the question is decided or the ladder ends."""
    spent = first.evaluations
    if question.again is not None:
        question = replace(question, value=question.again(), again=None)
    allowance, measured = first.allowance, False
    rungs: list[Rung] = []
    for power in LADDER[dtype]:
        rungs.append(rung(question, question.step * 2.0**power, machine_epsilon))
        spent += RUNG_EVALUATIONS
        finding, best = weigh(question.analytic, rungs, allowance, SMOOTH[dtype])
        if finding is not Finding.AGREES and not measured:
            allowance = max(allowance, SPREAD_ALLOWANCE * question.spread())
            measured = True
            witness = _clear(question, rungs[0], dtype, machine_epsilon, allowance)
            if witness is not None:
                return replace(
                    first,
                    finding=Finding.REFUTED,
                    estimate=witness.estimate,
                    allowance=allowance,
                    noise=witness.noise,
                    evaluations=spent + CLEAR_EVALUATIONS,
                )
            finding, best = weigh(question.analytic, rungs, allowance, SMOOTH[dtype])
        if finding is Finding.AGREES and best.error + allowance <= wanted and not best.still:
            break
    finding, best = weigh(question.analytic, rungs, allowance, SMOOTH[dtype])
    probe = replace(
        first,
        finding=finding,
        estimate=best.estimate,
        allowance=allowance,
        noise=best.noise,
        evaluations=spent,
    )
    least = min((one.noise for one in rungs if math.isfinite(one.noise)), default=0.0)
    if finding is Finding.AGREES and best.still:
        probe = _plateau(probe, rungs, SMOOTH[dtype], question.step * 2.0 ** NEAR[dtype])
    elif finding is Finding.REFUTED:
        doubt = closeup.fine_structure(question, best, dtype, machine_epsilon)
        if doubt:
            probe = replace(probe, finding=Finding.UNDECIDED, doubt=doubt)
    if probe.finding is Finding.AGREES and probe.tolerance <= wanted:
        return probe
    probe = replace(probe, doubt=probe.doubt or _unresolved(rungs, SMOOTH[dtype]))
    # A kink feigns noise in proportion to the spacing: its least is what there is of noise.
    slopes, more = closeup.kinked(question, dtype, machine_epsilon, least)
    probe = replace(probe, evaluations=probe.evaluations + more)
    return probe if slopes is None else replace(probe, finding=Finding.KINK, slopes=slopes)


def _clear(
    question: Question, first: Rung, dtype: str, machine_epsilon: float, allowance: float
) -> Rung | None:
    """The witness against a number that a few more looks refute beyond doubt.

    The stencil eight times finer stands on the values between which the noise has been
    measured. It must agree with the first one within their errors, which no kink beside the
    primals lets it, and both must refute the number; the function must show no kink at the
    primals and nothing else where the two slopes are told apart most closely.
    """
    if first.still or not first.roughness <= SMOOTH[dtype]:
        return None
    finer = stencil(question, first.estimate.step / 8.0, machine_epsilon)
    if finer.still or not math.isfinite(finer.error) or not math.isfinite(first.noise):
        return None
    finer = finer.with_noise(first.noise)
    if finer.gap(first.derivative) > 3.0 * (first.error + finer.error):
        return None
    finding, witness = weigh(question.analytic, [first, finer], allowance, SMOOTH[dtype])
    if finding is not Finding.REFUTED:
        return None
    if closeup.fine_structure(question, witness, dtype, machine_epsilon):
        return None
    return None if closeup.bent(question, machine_epsilon) else witness


def _plateau(probe: Probe, rungs: list[Rung], smooth: float, near: float) -> Probe:
    """A derivative that vanishes on a plateau: is it the function's, or that of its steps?

    From farther away the function must neither show a slope nor, up to ``near``, move.
    """
    here = f"over steps of {probe.estimate.step:.0e} the function does not move, "
    slope = sloping(rungs, smooth)
    moving = [one for one in rungs if one.estimate.step <= near and not one.still]
    if slope is not None:
        there = f"over steps of {slope.estimate.step:.0e} its slope is {slope.derivative:.6g}"
    elif moving:
        there = f"over steps of {moving[-1].estimate.step:.0e} it does"
    else:
        return probe
    doubt = f"steps: {here}{there} (a function of steps, or a lower precision inside)"
    return replace(probe, finding=Finding.UNDECIDED, doubt=doubt)


def _unresolved(rungs: list[Rung], smooth: float) -> str:
    """Says so where the function looks smooth at no step; empty where it does at one."""
    moving = [one for one in rungs if not one.still and math.isfinite(one.error)]
    if not moving or any(one.roughness <= smooth for one in moving):
        return ""
    steps = [one.estimate.step for one in moving]
    noise = sorted(one.noise for one in moving)[len(moving) // 2]
    return (
        f"under-resolved: over no step from {min(steps):.0e} to {max(steps):.0e} is the function "
        f"smooth, neighbouring values differ by {noise:.1e} (noise, or an oscillation faster than "
        "the steps, which alias it)"
    )
