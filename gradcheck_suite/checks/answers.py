"""Answers that were given in some setting, held against the specification."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.judgement import judge, worst_of
from gradcheck_suite.checks.linear_head import judge_head_answer
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.outcome import Failed, Passed, Verdict
from gradcheck_suite.protocols import Answer, Subject
from gradcheck_suite.specification import linear_head


def judge_answers(subject: Subject, answers: Iterable[Answer]) -> Verdict:
    """The first answer that is not what is specified, else the closest call."""
    verdicts = []
    for answer in answers:
        verdict = judge_answer(subject, answer)
        if not isinstance(verdict, Passed):
            return verdict
        verdicts.append(verdict)
    return worst_of(verdicts)


def judge_answer(subject: Subject, answer: Answer) -> Verdict:
    """Value and gradients within their bounds; what raised or did not come is a failure."""
    if answer.raised:
        return Failed(
            f"{answer.setting} raises",
            sides=(("raised", answer.raised), ("specified", "value and gradient")),
        )
    if answer.case.head is not None:
        return judge_head_answer(subject, answer)
    if "logits" in answer.wanted and answer.logits is None:
        return Failed(
            f"{answer.setting} gives no gradient in the logits: None, a cut graph",
            sides=(("got", "None"), ("specified", "u/den · (T·p − τ)")),
        )
    yardstick = Yardstick.of(subject, answer.case)
    reference = yardstick.reference
    questions = (
        ("value", answer.value, "value", "value_bound"),
        ("gradient", answer.logits, "gradient", "gradient_bound"),
        ("gradient in the targets", answer.targets, "target_gradient", "target_gradient_bound"),
    )
    verdicts: list[Verdict] = [
        judge(
            f"{what} of {answer.setting}",
            got,
            getattr(reference, specified),
            getattr(yardstick, bound),
            reference=reference,
        )
        for what, got, specified, bound in questions
        if got is not None
    ]
    return worst_of(verdicts) if verdicts else Passed(note=f"{answer.setting}: nothing is asked")


def results(subject: Subject, case: Case) -> dict[str, FloatArray]:
    """Value, and gradient where there is one, by name."""
    if subject.supports(case, "gradient"):
        return {"value": subject.value(case)}
    found = subject.gradients(case)
    return {"value": found.value, "gradient": found.logits}


def other_numbers(case: Case, turn: int = 1) -> Case:
    """A case of the same shape, options and upstream, with other numbers that are as exact.

    A linear head keeps its parameters: it is their features that are others.
    """
    sign, targets = (-1.0) ** turn, np.roll(case.targets, turn, axis=0)
    if case.head is not None:
        head = replace(case.head, hidden=sign * case.head.hidden[::-1])
        return linear_head.behind(case.with_(targets=targets), head)
    return case.with_(logits=sign * case.logits[::-1], targets=targets)


def with_note(verdict: Verdict, note: str) -> Verdict:
    """A passing verdict that says what else a reader should know."""
    if not note or not isinstance(verdict, Passed):
        return verdict
    return replace(verdict, note=f"{verdict.note}; {note}" if verdict.note else note)
