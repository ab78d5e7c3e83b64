"""Purity: what a call must leave as it was, and what may be done again or shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.answers import judge_answers, other_numbers, results
from gradcheck_suite.checks.judgement import judge, number, place, worst_of
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.numerics.tolerance import Bound
from gradcheck_suite.outcome import Failed, Passed, Skipped, Verdict
from gradcheck_suite.protocols import (
    KEPT_GRAPH,
    SECOND_BACKWARD,
    Answer,
    Change,
    Check,
    Subject,
    machine_epsilon,
)
from gradcheck_suite.specification import linear_head
from gradcheck_suite.specification.logits import largest
from gradcheck_suite.specification.reference import Reference

_OVERWRITES = "declared: the logits may be overwritten"


def global_state(subject: Subject, case: Case) -> Verdict:
    """Every process-wide setting after forward and backward equals what it was before."""
    changes = subject.state_changes(case)
    if not changes:
        return Passed(note="every setting is as it was")
    name, (before, after) = next(iter(changes.items()))
    if isinstance(before, dict) and isinstance(after, dict):  # which of many variables
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        before, after = ({key: state.get(key) for key in keys} for state in (before, after))
    return Failed(
        f"the call changes {', '.join(changes)}",
        at=name,
        sides=(("before", _short(before)), ("after", _short(after))),
    )


def inputs(subject: Subject, case: Case) -> Verdict:
    """Logits, targets, weights and upstream byte for byte, after each of three passes."""
    changes = subject.input_changes(case)
    declared = subject.dialect.inputs == "destroyed"
    for change in changes:
        if not (declared and change.name == "logits"):
            return _changed(subject, case, change)
    if not declared:
        return Passed(note="every input is as it was, byte for byte")
    seen = f"; {changes[0].during} does so" if changes else "; here they were not"
    return Skipped(f"{_OVERWRITES}{seen}; the other inputs are as they were")


def _changed(subject: Subject, case: Case, change: Change) -> Failed:
    summary = f"{change.during} changes the {_name(case, change)}"
    if change.after is None or change.note:
        sides = (("after", change.note), ("specified", "as before, byte for byte"))
        return Failed(summary, sides=sides)
    before, after = np.atleast_1d(change.before), np.atleast_1d(change.after)
    index = _first_difference(before, after)
    sides = (("before", number(float(before[index]))), ("after", number(float(after[index]))))
    return Failed(summary, place(index, before.shape), sides, looks=_looks(subject, case, change))


def _name(case: Case, change: Change) -> str:
    if change.name == "logits" and case.head is not None:
        return "hidden features"
    return change.name.replace("_", " ")


def _looks(subject: Subject, case: Case, change: Change) -> str:
    """What the logits, or the targets, have become, in words."""
    after = change.after
    reference = Reference(case, subject.dialect)
    logits = np.asarray(case.logits)
    with np.errstate(all="ignore"):
        if change.name == "logits" and case.head is not None:
            known = {"they hold their gradient": linear_head.gradients(reference)["hidden"]}
        elif change.name == "logits":
            known = {
                "they hold the gradient": reference.gradient,
                "they hold the gradient of the rows": reference.loss.gradient(
                    reference.logits, reference.targets, np.ones(case.rows)
                ),
                "they hold the probabilities": reference.softmax.p,
                "they hold the log-probabilities": np.log(reference.softmax.p),
                "they are shifted by their row's maximum": logits
                - logits.max(axis=1, keepdims=True),
            }
        elif change.name == "targets" and case.target_kind == "probabilities":
            total = case.targets.sum(axis=1, keepdims=True)
            known = {"they are normalised to 1": case.targets / total}
        else:
            known = {}
        for words, values in known.items():
            if after is not None and np.allclose(after, np.asarray(values, np.float64), rtol=1e-5):
                return words
    return ""


def repeat(subject: Subject, case: Case) -> Verdict:
    """Every call and every backward that comes again against the specification.

    A graph that cannot be kept is refused with the first backward (torch.compile does so): that
    is honest, and shown. One that is kept, and breaks with the second, is a failure.
    """
    answers = subject.repeated(case, other_numbers(case))
    declared = subject.dialect.repeat_backward == "raises"
    allowed = {KEPT_GRAPH, SECOND_BACKWARD} if declared else {KEPT_GRAPH}
    raised = [each for each in answers if each.raised and each.setting in allowed]
    verdict = judge_answers(subject, [each for each in answers if each not in raised])
    if raised and isinstance(verdict, Passed):
        why = "declared" if declared else "not offered"
        return Skipped(
            f"{why}: {raised[0].setting} raises {raised[0].raised}; a second call is right"
        )
    if isinstance(verdict, Failed) and SECOND_BACKWARD in verdict.summary:
        return replace(verdict, looks=_second_backward(subject, case, answers) or verdict.looks)
    return verdict


def _second_backward(subject: Subject, case: Case, answers: Sequence[Answer]) -> str:
    """What a second backward has done, in words."""
    (second,) = (each for each in answers if each.setting == SECOND_BACKWARD)
    if second.raised:
        return "declare dialect={'repeat_backward': 'raises'} if that is the contract"
    if second.logits is None or case.head is not None:
        return ""
    specified = np.asarray(Reference(second.case, subject.dialect).gradient, np.float64)
    first = np.asarray(Reference(case, subject.dialect).gradient, np.float64)
    upstream = case.upstream[:, None] if case.upstream.ndim else case.upstream
    if np.allclose(second.logits, specified * upstream, rtol=1e-4):
        return "the upstream of the first backward is in it as well: what was saved is overwritten"
    if np.allclose(second.logits, first, rtol=1e-4):
        return "it is the gradient of the first backward"
    if np.allclose(second.logits, specified + first, rtol=1e-4):
        return "the gradient of the first backward is added to it"
    return ""


def composition(subject: Subject, case: Case) -> Verdict:
    """∂φ/∂x = (∂L/∂f + f)∘f of φ = Σ u·L(f) + Σ f²/2 at f = exp x, with either term first.

    The bound: three roundings (the sum of three cotangents, and the product with f) on top of
    the gradient's own; 1.5ε(1 + ε) ≥ (1 + u)³ − 1 with ε = 2u.
    """
    if subject.dialect.inputs == "destroyed":
        return Skipped(f"{_OVERWRITES}: nothing else may share them")
    epsilon = machine_epsilon(case.dtype)
    # f² = exp 2x has to stay in range, which in float16 ends at 65504.
    ceiling = np.floor(np.log(largest(case.dtype)) / 2.0 - 1.0)
    case = case.with_(logits=np.minimum(case.logits, ceiling))
    verdicts = []
    for answer in subject.composed(case):
        if answer.raised or answer.value is None or answer.logits is None:
            return judge_answers(subject, (answer,))
        at = answer.case
        yardstick = Yardstick.of(subject, at)
        gradient, f = np.asarray(yardstick.reference.gradient), np.abs(at.logits)
        rounding = 1.5 * epsilon * (1.0 + epsilon) * f * (np.abs(gradient) + f)
        bound = yardstick.gradient_bound * (f * (1.0 + epsilon) ** 2) + Bound.of(
            f.shape,
            [
                ("sum with f, product with f", np.asarray(rounding, np.float64)),
                # The product may fall below what the dtype can hold to its last digit.
                ("smallest number", yardstick.arithmetic.output_smallest_normal),
            ],
        )
        verdicts += [
            judge(
                f"value of {answer.setting}, on shared logits",
                answer.value,
                yardstick.reference.value,
                yardstick.value_bound,
                reference=yardstick.reference,
            ),
            judge(
                f"gradient through shared logits ({answer.setting})",
                answer.logits,
                (gradient + at.logits) * at.logits,
                bound,
                names=("got", "(∂L/∂f + f)∘f"),
            ),
        ]
    return worst_of(verdicts)


def no_grad(subject: Subject, case: Case) -> Verdict:
    """The value without tracking, and value and gradient with it afterwards; inputs as before."""
    untracked = Answer("the call without gradient tracking", case, subject.value(case))
    after = subject.gradients(case)
    tracked = Answer("the tracked call after it", case, after.value, after.logits)
    verdict = judge_answers(subject, (untracked, tracked))
    if not isinstance(verdict, Passed):
        return verdict
    for change in subject.input_changes(case):
        declared = change.name == "logits" and subject.dialect.inputs == "destroyed"
        if change.during == untracked.setting and not declared:
            return _changed(subject, case, change)
    return verdict


def determinism(subject: Subject, case: Case) -> Verdict:
    """Three times the same call on fresh arrays: the same bits, or within a declared bound."""
    first = results(subject, case)
    for _ in range(2):
        for what, result in results(subject, case).items():
            if result.tobytes() == first[what].tobytes():
                continue
            if subject.dialect.determinism == "bitwise":
                return _differs(what, first[what], result)
            yardstick = Yardstick.of(subject, case)
            bound = yardstick.value_bound if what == "value" else yardstick.gradient_bound
            verdict = judge(
                what,
                result,
                first[what],
                bound * 2.0,
                names=("again", "first"),
                against_itself=True,
            )
            if not isinstance(verdict, Passed):
                return verdict
    if subject.dialect.determinism == "rounding":
        return Passed(note="declared: the same within rounding, not in every bit")
    return Passed(note="the same bits three times")


def _differs(what: str, first: FloatArray, again: FloatArray) -> Failed:
    if first.shape != again.shape:
        return Failed(f"{what} has shape {first.shape}, then {again.shape}")
    one, two = np.atleast_1d(first), np.atleast_1d(again)
    index = _first_difference(one, two)
    one, two = one[index], two[index]
    return Failed(
        f"{what} differs between two calls on the same inputs",
        at=place(index, first.shape),
        sides=(("first", repr(float(one))), ("again", repr(float(two)))),
        looks="declare dialect={'determinism': 'rounding'} if sums are taken in varying order",
    )


def _first_difference(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> tuple[int, ...]:
    """Index of the first element whose bits differ: 0 and −0 are two numbers here."""
    bits = (f"u{array.itemsize}" for array in (first, second))
    one, two = (array.view(each) for array, each in zip((first, second), bits, strict=True))
    return tuple(int(part) for part in np.argwhere(one != two)[0])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


_AUTODIFF = ("value", "autodiff")
CHECKS = (
    Check("global-state", global_state, cost=3),
    Check("inputs", inputs, cost=3),
    Check("determinism", determinism, cost=3),
    Check("no-grad", no_grad, cost=4, needs=_AUTODIFF),
    Check("repeat", repeat, cost=6),
    Check("composition", composition, cost=6, needs=_AUTODIFF),
)
