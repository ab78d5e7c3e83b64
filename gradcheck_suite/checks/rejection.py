"""Rejection: an index that is no class is refused, or poisons its own row visibly."""

from __future__ import annotations

import numpy as np

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.judgement import number
from gradcheck_suite.errors import ImplementationError, Unsupported
from gradcheck_suite.outcome import Failed, Passed, Verdict
from gradcheck_suite.protocols import Check, Subject

_PADDING = -100


def target_range(subject: Subject, case: Case) -> Verdict:
    """−1, C and C + 1 in one row: raises, or NaN in the value and in that row's gradient.

    Either is an honest answer; a finite number is not, whichever was declared.
    """
    named = case.with_(ignore_index=_PADDING)
    if not subject.supports(named):
        case = named  # its own default might be −1, and an ignored row is no error
    answers = []
    for wrong in (-1, case.classes, case.classes + 1):
        targets = case.targets.copy()
        targets[-1] = wrong
        verdict = _probe(subject, case.with_(targets=targets), wrong)
        if isinstance(verdict, Failed):
            return verdict
        answers.append(verdict.note)
    return Passed(note="; ".join(answers))


def _probe(subject: Subject, case: Case, wrong: int) -> Passed | Failed:
    try:
        value = subject.value(case)
        value = value[-1] if value.ndim else value
        gradient = None
        if not subject.supports(case, "gradient"):
            gradient = subject.gradients(case).logits[-1]
    except (ImplementationError, Unsupported):
        raise
    except Exception as error:
        return Passed(note=f"{wrong} raises {type(error).__name__}")
    row = f"target {wrong} of {case.classes} classes, in the last row"
    if not np.isnan(value):
        return Failed(
            "a class index out of range is answered with a number",
            at=row,
            sides=(("value", number(float(value))), ("specified", "an error, or NaN")),
            looks=_whose(subject, case, float(value)),
        )
    if gradient is not None and not np.all(np.isnan(gradient)):
        return Failed(
            "a class index out of range gives NaN, but a finite gradient",
            at=row,
            sides=(("gradient", _short(gradient)), ("specified", "NaN in the row")),
        )
    return Passed(note=f"{wrong} gives NaN")


def _whose(subject: Subject, case: Case, value: float) -> str:
    """Names the class whose loss was returned, by asking for each."""
    for column in range(case.classes):
        targets = case.targets.copy()
        targets[-1] = column
        other = subject.value(case.with_(targets=targets))
        if float(other[-1] if other.ndim else other) == value:
            return f"it is the loss of class {column}"
    return ""


def _short(row: FloatArray) -> str:
    return "[" + ", ".join(f"{entry:.3g}" for entry in row[:4]) + (", …]" if row.size > 4 else "]")


CHECKS = (Check("target-range", target_range, cost=4, asked_last=True),)
