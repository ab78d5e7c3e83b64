"""The z-loss under mean: over the denominator of the rows, or over the valid rows."""

from dataclasses import replace

from gradcheck_suite.case import Case
from gradcheck_suite.checks.judgement import judge, worst_of
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.numerics.tolerance import Arithmetic
from gradcheck_suite.outcome import Failed, Passed, Verdict
from gradcheck_suite.protocols import Check, Subject
from gradcheck_suite.specification.dialect import CHOICES
from gradcheck_suite.specification.reference import Reference

_CHOICE = "z_loss_mean"


def mean(subject: Subject, case: Case) -> Verdict:
    """Value and gradient under the declared choice; under either for who declares none."""
    declared = subject.declares(_CHOICE)
    choices = (subject.dialect.z_loss_mean,) if declared else tuple(CHOICES[_CHOICE])
    verdicts = {choice: _held_to(subject, case, choice) for choice in choices}
    for choice, verdict in verdicts.items():
        if isinstance(verdict, Passed):
            return replace(verdict, note=f"{_CHOICE}={choice}")
    verdict = verdicts[choices[0]]
    others = (choice for choice in CHOICES[_CHOICE] if choice not in choices)
    for other in others:
        if isinstance(verdict, Failed) and isinstance(_held_to(subject, case, other), Passed):
            remedy = f"declare dialect={{{_CHOICE!r}: {other!r}}} if that is the contract"
            return replace(verdict, looks=f"the z-loss is divided otherwise: {remedy}")
    return verdict


def _held_to(subject: Subject, case: Case, choice: str) -> Verdict:
    dialect = replace(subject.dialect, z_loss_mean=choice)
    arithmetic = Arithmetic.of(case.dtype, subject.accumulation)
    yardstick = Yardstick(Reference(case, dialect), arithmetic)
    reference = yardstick.reference
    value, bound = subject.value(case), yardstick.value_bound
    verdict = judge("value", value, reference.value, bound, reference=reference)
    if isinstance(verdict, Failed) or subject.supports(case, "gradient"):
        return verdict
    gradient, bound = subject.gradients(case).logits, yardstick.gradient_bound
    judged = judge("gradient", gradient, reference.gradient, bound, reference=reference)
    return worst_of([verdict, judged])


CHECKS = (Check("z-loss-mean", mean, cost=3),)
