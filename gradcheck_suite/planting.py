"""Plants errors in the answers of an implementation, and looks which clause convicts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.numerics.finite_difference import promised_resolution
from gradcheck_suite.numerics.planted_errors import (
    IN_GRADIENTS,
    NAN,
    ROW_DROPPED,
    SCALED,
    PlantedError,
)
from gradcheck_suite.outcome import Passed, Skipped, Status, Verdict
from gradcheck_suite.protocols import Check, Gradients, Subject
from gradcheck_suite.specification.reference import Reference
from gradcheck_suite.teeth import Planted


def _targets_alone(gradient: FloatArray, reference: Reference) -> FloatArray:
    return np.where(reference.effective_targets > 0.0, gradient, np.zeros_like(gradient))


def _uniform(gradient: FloatArray, reference: Reference) -> FloatArray:
    """p → 1/C."""
    mass = reference.effective_targets.sum(axis=1, keepdims=True)
    p = np.asarray(reference.softmax.p, np.float64)
    return np.asarray(gradient + reference.scale[:, None] * mass * (1.0 / p.shape[1] - p))


def _without_upstream(gradient: FloatArray, reference: Reference) -> FloatArray:
    u = np.broadcast_to(reference.case.upstream, gradient.shape[:1])[:, None]
    return np.asarray(gradient / np.where(u == 0.0, 1.0, u))


def _first_upstream(gradient: FloatArray, reference: Reference) -> FloatArray:
    u = np.broadcast_to(reference.case.upstream, gradient.shape[:1])
    if np.all(u == u[0]):
        return gradient  # no error, and none by the rounding of two operations either
    return np.asarray(_without_upstream(gradient, reference) * u[0])


#: What the gradient of this loss in particular is wrong by: (gradient, reference) ↦ planted.
OF_SOFTMAX = {
    "p → 1/C": _uniform,
    "classes that are no target dropped": _targets_alone,
    "upstream ignored": _without_upstream,
    "the first row's upstream for all": _first_upstream,
}
IN_VALUES = (SCALED, ROW_DROPPED, NAN)


@dataclass(frozen=True, slots=True)
class Error:
    """An error in one of the answers: ``value`` or ``gradient``."""

    part: str
    name: str
    of_any: PlantedError | None = None

    def __str__(self) -> str:
        return f"{self.part} {self.name}"

    def planted(self, right: FloatArray, reference: Reference) -> FloatArray:
        if self.of_any is None:
            return OF_SOFTMAX[self.name](right, reference)
        if right.ndim < self.of_any.axes:
            return right
        r = promised_resolution(reference.case.dtype)
        return np.asarray(self.of_any.plant(right, r))


def errors(dtype: str) -> Iterator[Error]:
    """Every error that is planted, of a size that the dtype promises to resolve."""
    r = f"{promised_resolution(dtype):g}"
    yield from (Error("value", each.name.format(r=r), each) for each in IN_VALUES)
    yield from (Error("gradient", each.name.format(r=r), each) for each in IN_GRADIENTS)
    yield from (Error("gradient", name) for name in OF_SOFTMAX)


@dataclass
class Judge:
    """A clause's check at one ordinary case; what it needs of the implementation is asked once.

    Attributes:
        clause: id of the clause.
        check: its check.
        case: the case.
        subject: the implementation.
    """

    clause: str
    check: Check
    case: Case
    subject: Subject
    _answers: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    @cached_property
    def unplanted(self) -> Verdict:
        """What it says of the implementation as it is."""
        return self.check.run(cast(Subject, _Answering(self.subject, self._answers)), self.case)

    def judges(self, part: str) -> bool:
        """Whether an error in this part, ``value`` or ``gradient``, is its to convict."""
        return part in self.check.convicts and not self.subject.supports(self.case, part)

    def size(self, error: Error) -> float:
        """‖δ‖/‖right‖ at the case; 0 where the error is none there, infinite for a NaN."""
        asked = _Answering(self.subject, self._answers)
        right = asked.value(self.case)
        if error.part == "gradient":
            right = asked.gradients(self.case).logits
        delta = error.planted(right, Reference(self.case, self.subject.dialect)) - right
        if np.isnan(delta).any():
            return np.inf
        norm = float(np.linalg.norm(right))
        return float(np.linalg.norm(delta)) / norm if norm else 0.0

    def status(self, error: Error) -> Status:
        """What it says of the implementation with the error in its answers."""
        planted = cast(Subject, _Answering(self.subject, self._answers, error))
        return self.check.run(planted, self.case).status


class _Answering:
    """A subject whose answers are remembered, with an error in one kind of them."""

    def __init__(
        self, subject: Subject, answers: dict[tuple[Any, ...], Any], error: Error | None = None
    ) -> None:
        self._subject, self._answers, self._error = subject, answers, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subject, name)

    def value(self, case: Case) -> FloatArray:
        key = ("value", *_key(case))
        if key not in self._answers:
            self._answers[key] = self._subject.value(case)
        return self._with_error("value", self._answers[key], case)

    def gradients(self, case: Case, *, targets: bool = False) -> Gradients:
        key = ("gradients", targets, *_key(case))
        if key not in self._answers:
            self._answers[key] = self._subject.gradients(case, targets=targets)
        right: Gradients = self._answers[key]
        return replace(right, logits=self._with_error("gradient", right.logits, case))

    def _with_error(self, part: str, right: FloatArray, case: Case) -> FloatArray:
        if self._error is None or self._error.part != part:
            return right
        return self._error.planted(right, Reference(case, self._subject.dialect))


def _key(case: Case) -> tuple[Any, ...]:
    options = case.options
    arrays: tuple[npt.NDArray[Any] | None, ...] = (
        case.logits,
        case.targets,
        case.upstream,
        options.weight,
        options.class_mask,
    )
    held = tuple(None if each is None else each.tobytes() for each in arrays)
    plain = (options.reduction, options.ignore_index, options.label_smoothing)
    return (*held, *plain, options.softcap, options.logit_scale, options.z_loss, options.axis)


def plant(judges: Sequence[Judge], dtype: str) -> tuple[tuple[Planted, ...], str]:
    """The errors that were planted and who convicted them; and why not all could be.

    Args:
        judges: in the order in which they are asked, until one fails it. One that does not pass
            what the implementation answers by itself tells nothing about an error that is added.
            Where none fails it, one that could not settle it has caught it too: a run with an
            inconclusive outcome has not passed.
        dtype: of the judges' cases.
    """
    planted: list[Planted] = []
    why_not: dict[str, None] = {}
    for error in errors(dtype):
        judging = [each for each in judges if each.judges(error.part)]
        if not judging:
            why_not[f"no {error.part} was judged"] = None
        found = None
        for judge in judging:
            if isinstance(judge.unplanted, Skipped):
                continue
            if not isinstance(judge.unplanted, Passed):
                why_not[f"{judge.clause} {judge.unplanted.status} as it is"] = None
                continue
            if size := judge.size(error):
                status = judge.status(error)
                caught = status in (Status.FAILED, Status.INCONCLUSIVE)
                if found is None or status is Status.FAILED or (caught and not found.caught):
                    found = Planted(str(error), size, judge.clause if caught else "")
                if status is Status.FAILED:
                    break
        planted += [found] if found else []
    return tuple(planted), ", ".join(why_not)
