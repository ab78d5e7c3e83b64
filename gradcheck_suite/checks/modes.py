"""Modes: the same answers compiled, batched, on another device, for any subset of gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gradcheck_suite.case import Case
from gradcheck_suite.checks.answers import judge_answers, other_numbers, results, with_note
from gradcheck_suite.checks.judgement import judge, number, worst_of
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.errors import ImplementationError, Unsupported
from gradcheck_suite.outcome import Failed, Passed, Skipped, Verdict
from gradcheck_suite.protocols import OUT_OF_RANGE, Answer, Check, Subject


def transformed(subject: Subject, case: Case) -> Verdict:
    """Compiled, and three cases together under vmap: each against the specification."""
    three = (case, other_numbers(case, 1), other_numbers(case, 2))
    modes: dict[str, Callable[[], tuple[Answer, ...]]] = {
        "compiled": lambda: subject.compiled(case),
        "vmap": lambda: subject.batched(three),
    }
    verdicts, not_offered = [], []
    for name, ask in modes.items():
        try:
            answers = ask()
        except Unsupported as error:
            not_offered.append(f"{name}: {error}")
            continue
        refused = [each for each in answers if each.setting == OUT_OF_RANGE]
        judged = [each for each in answers if each.setting != OUT_OF_RANGE]
        verdicts.append(worst_of([judge_answers(subject, judged), *map(_refused, refused)]))
    if not verdicts:
        return Skipped("; ".join(not_offered))
    return with_note(worst_of(verdicts), "; ".join(not_offered))


def _refused(answer: Answer) -> Verdict:
    """What raises eagerly raises compiled, or is NaN: code on a device cannot raise."""
    if answer.value is None or np.isnan(np.atleast_1d(answer.value)[-1]):
        return Passed(note=f"{answer.setting}: {answer.raised or 'NaN'}")
    return Failed(
        f"{answer.setting} answers with a number",
        at=f"target {answer.case.targets[-1]} of {answer.case.classes} classes, in the last row",
        sides=(
            ("compiled", number(float(np.atleast_1d(answer.value)[-1]))),
            ("specified", "an error, or NaN"),
        ),
    )


def partial_gradients(subject: Subject, case: Case) -> Verdict:
    """Every subset of logits and target probabilities: what is asked for comes, and is right."""
    answers = subject.partial_gradients(case)
    in_targets = [each for each in answers if "targets" in each.wanted]
    if subject.dialect.target_gradient == "absent":
        answers = tuple(
            replace(each, targets=None)
            for each in answers
            if not (each.raised and each in in_targets)
        )
        return with_note(judge_answers(subject, answers), "declared: none in the targets")
    came = [each for each in in_targets if each.targets is not None]
    verdict = judge_answers(subject, answers)
    if isinstance(verdict, Passed) and came and len(came) < len(in_targets):
        (lost,) = (each for each in in_targets if each.targets is None)
        return Failed(
            f"{lost.setting} gives no gradient in the targets, which {came[0].setting} gives",
            sides=(("got", "None"), ("specified", "−(1−ε) w log p · u / den")),
        )
    note = "no gradient in the targets: see gradient.targets" if in_targets and not came else ""
    return with_note(verdict, note)


def device(subject: Subject, case: Case) -> Verdict:
    """|here − there| at most the sum of the two bounds, in value and gradient."""
    others = subject.elsewhere()
    if subject.device != "cpu":  # the CPU is what every device is compared with
        others = tuple(each for each in others if each.device == "cpu")
    if not others:
        return Skipped(f"one device here: {subject.device}")
    yardstick = Yardstick.of(subject, case)
    here = results(subject, case)
    verdicts: list[Verdict] = []
    for other in others:
        names = (other.device, subject.device)
        try:
            there = results(other, case)
        except (ImplementationError, Unsupported):
            raise
        except Exception as error:
            raised = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            sides = ((names[0], raised[:200]), (names[1], "value and gradient"))
            return Failed(f"the call on {other.device} raises", sides=sides)
        for what, bound in (
            ("value", yardstick.value_bound),
            ("gradient", yardstick.gradient_bound),
        ):
            if what in here:
                both = bound + bound
                verdicts.append(
                    judge(
                        f"{what} on {other.device}",
                        there[what],
                        here[what],
                        both,
                        names=names,
                        against_itself=True,
                    )
                )
    return worst_of(verdicts)


CHECKS = (
    Check("device", device, cost=4),
    Check("partial-gradients", partial_gradients, cost=5, needs=("value", "autodiff")),
    Check("transformed", transformed, cost=20),
)
