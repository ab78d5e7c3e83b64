"""Precision: value and gradient within the bound of the dtype, and sums that lose nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcheck_suite.case import Case
from gradcheck_suite.checks.judgement import judge, number, worst_of
from gradcheck_suite.checks.same_dtype import (
    gradient_like_a_stable_one,
    value_like_a_stable_one,
)
from gradcheck_suite.checks.sized import sized
from gradcheck_suite.checks.stability import (
    gradient_in_range,
    in_range,
    value_in_range,
    with_resolution,
)
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.numerics.forward_error.roundings import HEADROOM
from gradcheck_suite.numerics.tolerance import Bound
from gradcheck_suite.outcome import Failed, Inequality, Passed, Verdict
from gradcheck_suite.protocols import Check, CheckFunction, Subject


def accumulation(subject: Subject, case: Case) -> Verdict:
    """Sums over many classes and rows; over C equal logits no class is lost.

    Every order of adding C ones is exact, and a value of log(C − k) with k a whole number
    tells that k classes are missing. A running log-sum-exp adds no ones: it rounds at every
    class, and is held to the bound of a sum in which every addition rounds, κ·min(Cu_s, 1).
    """
    subject = sized(subject, case)
    exact = bool(np.all(case.logits == case.logits[:, :1])) and case.options.reduction == "none"
    if not exact:
        return in_range(subject, case)
    verdict = _no_class_is_lost(subject, case)
    if isinstance(verdict, Failed) or subject.supports(case, "gradient"):
        return verdict
    return worst_of([verdict, gradient_in_range(subject, case)])


def _no_class_is_lost(subject: Subject, case: Case) -> Verdict:
    yardstick = Yardstick.of(subject, case)
    reference, bound = yardstick.reference, yardstick.value_bound
    got = subject.value(case)
    sharp = judge("value", got, reference.value, bound, names=("got", "log C"))
    if not isinstance(sharp, Failed):
        return with_resolution(sharp, bound, reference.value, 1.0, case.dtype)
    with np.errstate(all="ignore"):
        lost = case.classes - np.rint(np.exp(got))
        missing = np.abs(got - np.log(case.classes - lost)) <= bound.total
    for row in np.flatnonzero(missing & (lost != 0.0)):
        k = int(lost[row])
        return replace(
            sharp,
            summary=f"{abs(k)} of {case.classes} equal classes "
            f"{'are missing from' if k > 0 else 'too many are in'} the sum",
            at=f"row {row}",
            sides=(*sharp.sides, (f"log {case.classes - k}", number(np.log(case.classes - k)))),
            inequality=Inequality(
                "|value − log C|",
                float(abs(got[row] - np.log(case.classes))),
                float(bound.total[row]),
            ),
            index=(int(row),),
        )
    u = yardstick.arithmetic.summation_roundoff
    every_addition = HEADROOM * min(case.classes * u, 1.0)
    rounded = bound + Bound.of(bound.total.shape, [("every addition rounds", every_addition)])
    verdict = judge("value", got, reference.value, rounded, names=("got", "log C"))
    return with_resolution(verdict, rounded, reference.value, 1.0, case.dtype)


def value(subject: Subject, case: Case) -> Verdict:
    """Within the bound, and in half precision near what a stable evaluation errs by."""
    return _and(value_in_range(subject, case), value_like_a_stable_one, subject, case)


def gradient(subject: Subject, case: Case) -> Verdict:
    """Within the bound, and in half precision near what a stable evaluation errs by."""
    return _and(gradient_in_range(subject, case), gradient_like_a_stable_one, subject, case)


def _and(first: Verdict, then: CheckFunction, subject: Subject, case: Case) -> Verdict:
    """The first verdict, or a failure of the other where it passed."""
    if not isinstance(first, Passed):
        return first
    second = then(subject, case)
    return first if isinstance(second, Passed) else second


CHECKS = (
    Check("precision-value", value),
    Check("precision-gradient", gradient, cost=2, needs=("value", "gradient")),
    Check("accumulation", accumulation, cost=3),
)
