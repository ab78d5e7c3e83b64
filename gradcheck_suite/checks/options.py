"""Options: smoothing, ignored rows, and what becomes of a batch without a valid row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case
from gradcheck_suite.checks.gradient import gradient, reduction
from gradcheck_suite.checks.judgement import judge, number, worst_of
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.errors import ImplementationError
from gradcheck_suite.outcome import Failed, Passed, Verdict
from gradcheck_suite.protocols import Check, Subject
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.reference import Reference


def smoothing(subject: Subject, case: Case) -> Verdict:
    """Value and gradient with t' = (1−ε)t + ε/C, or with the form that is declared."""
    verdict = reduction(subject, case)
    if not isinstance(verdict, Failed):
        return verdict
    for other in ("over-all", "over-others"):
        if other != subject.dialect.smoothing_mass and _spreads(subject, case, other):
            return replace(
                verdict,
                looks=f"the smoothing mass goes {other.replace('-', ' ')} classes; declare "
                f"dialect={{'smoothing_mass': {other!r}}} if that is the contract",
            )
    return verdict


def _spreads(subject: Subject, case: Case, mass: str) -> bool:
    """Whether the value is right with the smoothing mass where ``mass`` says."""
    choices = {**subject.dialect.declared(), "smoothing_mass": mass}
    specified = Reference(case, Dialect.of(choices)).value
    off = np.abs(subject.value(case) - specified).astype(np.float64)
    return bool(np.all(off <= Yardstick.of(subject, case).value_bound.total * 2.0))


def ignored(subject: Subject, case: Case) -> Verdict:
    """Ignored rows: value 0, gradient exactly 0; the rest, and the mean, as specified."""
    verdicts = [ignored_value(subject, case)]
    if not subject.supports(case, "gradient"):
        verdicts.append(ignored_gradient(subject, case))
    return worst_of(verdicts)


def ignored_value(subject: Subject, case: Case) -> Verdict:
    """0 in the ignored rows under none; the others, and what is reduced, within the bound."""
    yardstick = Yardstick.of(subject, case)
    got = subject.value(case)
    without = ~yardstick.reference.valid
    paid = np.flatnonzero(without & (got != 0)) if got.ndim else np.zeros(0, np.int64)
    if paid.size:
        row = int(paid[0])
        return Failed(
            "an ignored row has a loss",
            at=f"row {row}",
            sides=(("got", number(float(got[row]))), ("specified", "0")),
            index=(row,),
        )
    return judge(
        "value",
        got,
        yardstick.reference.value,
        yardstick.value_bound,
        reference=yardstick.reference,
    )


def ignored_gradient(subject: Subject, case: Case) -> Verdict:
    """Exactly 0 in the ignored rows, not nearly; the other rows within the bound."""
    without = ~Yardstick.of(subject, case).reference.valid
    failed = _not_exactly_zero(subject, case, without)
    return failed or gradient(subject, case)


def all_ignored(subject: Subject, case: Case) -> Verdict:
    """Rows and sum are 0, the mean is the declared one; the gradient is 0 under all three."""
    divides = Yardstick.of(subject, case).reference.denominator == 0  # a mean, and not over N
    choice = subject.dialect.all_ignored_mean if divides else "zero"
    try:
        value = subject.value(case)
    except ImplementationError:
        raise
    except Exception as error:
        # A refusal is no lie: 0/0 in plain Python raises where NumPy's gives NaN.
        if choice == "raise" or (divides and not subject.declares("all_ignored_mean")):
            return Passed(note=f"no valid row raises {type(error).__name__}")
        raise
    if choice == "raise":
        return Failed(
            "the mean of ignored rows is declared to raise, and does not",
            sides=(("got", number(float(value))), ("declared", "raise")),
        )
    specified = np.nan if choice == "nan" else 0.0
    holds = np.isnan(value) if choice == "nan" else value == 0
    if not np.all(holds):
        off = float(np.atleast_1d(value)[~np.atleast_1d(holds)][0])
        return Failed(
            f"the {_name(case)} of ignored rows is not what is "
            + ("declared" if subject.declares("all_ignored_mean") else "specified"),
            sides=(("got", number(off)), ("specified", number(specified))),
            looks=_remedy(case, off),
        )
    if not subject.supports(case, "gradient"):
        failed = _not_exactly_zero(subject, case, np.ones(case.rows, bool))
        if failed:
            return failed
    return Passed(note=f"the {_name(case)} of ignored rows is {specified:g}")


def _not_exactly_zero(subject: Subject, case: Case, rows: npt.NDArray[np.bool_]) -> Failed | None:
    """The first ignored row whose gradient is not 0, if there is one; −0 is 0, NaN is not."""
    got = subject.gradients(case).logits
    moved = np.argwhere(rows[:, None] & (got != 0))
    if not len(moved):
        return None
    row, column = (int(part) for part in moved[0])
    return Failed(
        "an ignored row has a gradient",
        at=f"row {row}, class {column}",
        sides=(("got", number(float(got[row, column]))), ("specified", "exactly 0")),
        index=(row, column),
    )


def _remedy(case: Case, got: float) -> str:
    """What to declare, where the value is another of the choices."""
    value = "nan" if np.isnan(got) else "zero" if got == 0 else ""
    if case.options.reduction != "mean" or not value:
        return ""
    return f"declare dialect={{'all_ignored_mean': '{value}'}} if it is meant"


def _name(case: Case) -> str:
    return {"none": "loss", "sum": "sum", "mean": "mean"}[case.options.reduction]


CHECKS = (
    Check("smoothing", smoothing, cost=3),
    Check("ignored", ignored, cost=3),
    Check("ignored-value", ignored_value, cost=2),
    Check("ignored-gradient", ignored_gradient, cost=2, needs=("value", "gradient")),
    Check("all-ignored", all_ignored, cost=3),
)
