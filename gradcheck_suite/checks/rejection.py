"""Rejection: what is outside the contract is refused, or poisons its own row visibly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.judgement import judge, number, worst_of
from gradcheck_suite.checks.offering import offered
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.errors import ImplementationError, Unsupported
from gradcheck_suite.outcome import Failed, Passed, Skipped, Verdict
from gradcheck_suite.protocols import Check, Subject

_PADDING = -100


def target_range(subject: Subject, case: Case) -> Verdict:
    """−1, C and C + 1 in one row: raises, or NaN in the value and in that row's gradient.

    Either is an honest answer; a finite number is not, unless it is declared to be that of the
    nearest class. A case that has such an index is asked as it is. A device that is lost with
    the first (CUDA asserts, and raises from then on whatever it is asked) is not asked again;
    nor at all is what declares such an index undefined: it may destroy what is asked after it.
    """
    if subject.dialect.out_of_range == "undefined":
        return Skipped("declared: a class index outside [0, C) is undefined and not asked")
    named = case.with_(ignore_index=_PADDING)
    if not subject.supports(named):
        case = named  # its own default might be −1, and an ignored row is no error
    answers = []
    planted = int(case.targets[-1])
    probes = (-1, case.classes, case.classes + 1)
    for wrong in (planted,) if planted in probes else probes:
        if not subject.healthy():
            answers.append("the device is lost: the others have cases of their own")
            break
        targets = case.targets.copy()
        targets[-1] = wrong
        verdict = _probe(subject, case.with_(targets=targets), wrong)
        if not isinstance(verdict, Passed):
            return verdict
        answers.append(verdict.note)
    if subject.dialect.out_of_range == "declared-clip":
        return Skipped(f"declared: {'; '.join(answers)}")
    return Passed(note="; ".join(answers))


def _probe(subject: Subject, case: Case, wrong: int) -> Verdict:
    if subject.dialect.out_of_range == "declared-clip":
        return _clipped(subject, case, wrong)
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


def _clipped(subject: Subject, case: Case, wrong: int) -> Verdict:
    """The answer is that of the nearest class, in value and in gradient, as it is declared."""
    nearest = 0 if wrong < 0 else case.classes - 1
    targets = case.targets.copy()
    targets[-1] = nearest
    meant = Yardstick.of(subject, case.with_(targets=targets))
    reference, names = meant.reference, (f"target {wrong}", f"class {nearest}, as declared")
    verdicts = [
        judge("value", subject.value(case), reference.value, meant.value_bound, names=names)
    ]
    if not subject.supports(case, "gradient"):
        got, bound = subject.gradients(case).logits, meant.gradient_bound
        verdicts.append(judge("gradient", got, reference.gradient, bound, names=names))
    verdict = worst_of(verdicts)
    clipped = Passed(note=f"{wrong} is answered as class {nearest}")
    return clipped if isinstance(verdict, Passed) else verdict


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


def shape(subject: Subject, case: Case) -> Verdict:
    """Every misfit of the case's targets, or of its class weights, raises."""
    asked = offered(subject, case, any_targets=False)
    if isinstance(asked, Skipped):
        return asked
    return _all_refused(subject, _misfits(asked), Yardstick.of(subject, asked))


def _misfits(case: Case) -> Iterator[tuple[str, Case]]:
    """What does not fit, in words, and the case with it."""
    rows, classes, targets = case.rows, case.classes, case.targets
    if case.options.weight is not None:
        weight = case.options.weight
        for wrong in (weight[:-1], np.append(weight, 1.0)):
            yield f"{len(wrong)} weights for {classes} classes", case.with_(weight=wrong)
    elif case.target_kind == "index":
        column = f"targets of shape ({rows}, 1) for {rows} rows"
        yield column, case.with_(targets=targets[:, None])
        for short in (targets[:-1], np.append(targets, targets[0])):
            yield f"{len(short)} targets for {rows} rows", case.with_(targets=short)
    else:
        wide = np.concatenate([targets, np.zeros((rows, 1))], axis=1)
        for wrong in (targets[:1], targets[:, :1], targets[:-1], wide):
            words = f"probabilities of shape {wrong.shape} for logits ({rows}, {classes})"
            yield words, case.with_(targets=wrong)


def dtype(subject: Subject, case: Case) -> Verdict:
    """c + 1/2 in the place of c raises: no class is meant, so no number is right."""
    asked = offered(subject, case, any_targets=False)
    if isinstance(asked, Skipped):
        return asked
    halves = asked.with_(targets=asked.targets[:] % (asked.classes - 1) + 0.5)
    words = f"class indices such as {float(halves.targets[0]):g}, in {asked.dtype}"
    return _all_refused(subject, iter([(words, halves)]))


def reduction(subject: Subject, case: Case) -> Verdict:
    """A reduction that does not exist raises."""
    if not subject.takes("reduction"):
        return Skipped("has no option reduction (its signature)")
    asked = offered(subject, case, any_targets=False)
    if isinstance(asked, Skipped):
        return asked
    unknown = "averaged"
    return _all_refused(
        subject,
        iter([(f"reduction={unknown!r}", asked.with_(reduction=unknown))]),
    )


def _all_refused(
    subject: Subject, questions: Iterator[tuple[str, Case]], right: Yardstick | None = None
) -> Verdict:
    """Each question raises; ``right`` is the one answer that is right all the same."""
    notes = []
    for words, case in questions:
        try:
            answer = subject.unheld_value(case)
        except Exception as error:  # whatever it is: it is a refusal, and this is what is asked
            notes.append(f"{words}: {type(error).__name__}")
            if not subject.healthy():
                break
            continue
        if right is not None and _is_right(answer, right):
            notes.append(f"{words}: taken for what is meant")
            continue
        return Failed(
            f"{words}: answered in silence",
            sides=(("got", _answer(answer)), ("specified", "an error that names the argument")),
        )
    return Passed(note="; ".join(notes))


def _is_right(answer: npt.NDArray[np.generic], right: Yardstick) -> bool:
    """Whether it is the loss of the case as it was, within its bound."""
    specified = np.asarray(right.reference.value)
    if answer.shape != specified.shape or answer.dtype.kind != "f":
        return False
    off = np.abs(answer.astype(np.longdouble) - specified)
    return bool(np.all(off <= right.value_bound.total))


def _answer(answer: npt.NDArray[np.generic]) -> str:
    if answer.dtype.kind == "f" and answer.ndim == 0:
        return number(float(answer))
    return f"an array of shape {answer.shape}" if answer.ndim else repr(answer.item())


CHECKS = (
    Check("target-range", target_range, cost=4, asked_last=True),
    Check("rejected-shape", shape, cost=4, needs=(), asked_last=True),
    Check("rejected-dtype", dtype, cost=2, needs=(), asked_last=True),
    Check("rejected-reduction", reduction, cost=2, needs=(), asked_last=True),
)
