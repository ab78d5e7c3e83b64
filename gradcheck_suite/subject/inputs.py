"""Arrays that outlive a call, and a call on them: what purity and modes are looked at through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gradcheck_suite.case import Case
from gradcheck_suite.errors import ImplementationError
from gradcheck_suite.protocols import Answer, Array

if TYPE_CHECKING:
    from gradcheck_suite.subject.bound import BoundSubject

Found = TypeVar("Found")

#: Whether (logits, targets) require a gradient.
LOGITS = (True, False)


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """The framework's arrays of one case; ``weight`` is None where the case has none."""

    logits: Array
    targets: Array
    weight: Array | None
    upstream: Array

    def named(self) -> dict[str, Array]:
        arrays = {"logits": self.logits, "targets": self.targets, "upstream": self.upstream}
        return arrays if self.weight is None else {**arrays, "weight": self.weight}


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A call that was made: its value, and the way back (more than once if the graph is kept).

    Attributes:
        value: the framework's array.
        pulled: u ↦ gradients in (logits, targets), the framework's arrays or None. A gradient
            that is given and not derived comes as it is, whatever u.
    """

    value: Array
    pulled: Callable[[Array], tuple[Any, ...]]


def call(
    subject: BoundSubject,
    case: Case,
    inputs: Inputs,
    wanted: Sequence[bool] = LOGITS,
    *,
    keep_graph: bool = False,
) -> Call:
    """The implementation on these very arrays, not on copies; its value alone if it has no more."""
    if not has_gradient(subject, case):
        result = subject.closed(case, inputs.weight)(inputs.logits, inputs.targets)
        return Call(subject.held(case, result), lambda upstream: (None, None))
    if subject.gradient_kind == "autodiff":
        function = subject.function(case, inputs.weight)
        (value,), pullback = subject.backend.pullback(
            function, (inputs.logits, inputs.targets), wanted, keep_graph=keep_graph
        )
        return Call(value, lambda upstream: pullback((upstream,)))
    value, gradient = subject.given(case, inputs)
    return Call(value, lambda upstream: (gradient, None))


def has_gradient(subject: BoundSubject, case: Case) -> bool:
    """Whether it answers this case with a gradient: some take targets for their value alone."""
    return not subject.supports(case, "gradient")


def answer(
    subject: BoundSubject,
    setting: str,
    case: Case,
    value: Array | None,
    pulled: Sequence[Any] = (None, None),
    wanted: Sequence[bool] = LOGITS,
) -> Answer:
    """What came back, as NumPy has it."""
    found = {}
    names = [name for name, want in zip(("logits", "targets"), wanted, strict=True) if want]
    arrays = [array for array, want in zip(pulled, wanted, strict=True) if want]
    if not has_gradient(subject, case):
        names = []
    for name, array in zip(names, arrays, strict=False):
        if array is None:
            continue
        if subject.gradient_kind == "autodiff":
            found[name] = subject.rows(case, array)
        else:
            found[name] = subject.scaled(case, array)
    return Answer(
        setting,
        case,
        None if value is None else subject.rows(case, value),
        found.get("logits"),
        found.get("targets"),
        wanted=tuple(names),
    )


def attempt(
    setting: str, case: Case, question: Callable[[], Found], wanted: tuple[str, ...] = ()
) -> Found | Answer:
    """What the question finds, or what was raised instead: in a setting that is an answer too."""
    try:
        return question()
    except ImplementationError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return Answer(setting, case, raised=f"{type(error).__name__}: {first}"[:200], wanted=wanted)
