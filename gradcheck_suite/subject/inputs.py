"""Arrays that outlive a call, and a call on them: what purity and modes are looked at through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gradcheck_suite.case import Case
from gradcheck_suite.errors import ImplementationError
from gradcheck_suite.protocols import Answer, Array, Arrays

if TYPE_CHECKING:
    from gradcheck_suite.subject.bound import BoundSubject

Found = TypeVar("Found")

#: What can require a gradient, in the order of ``Inputs.primals``.
PRIMALS = ("logits", "targets", "linear_weight", "linear_bias")


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """The framework's arrays of one case; ``weight`` is None where the case has none.

    Attributes:
        logits: or the hidden features, where the implementation has a linear head.
        head: W, and b where the case has one; empty without a head.
    """

    logits: Array
    targets: Array
    weight: Array | None
    upstream: Array
    head: Arrays = ()

    def named(self) -> dict[str, Array]:
        arrays = {"logits": self.logits, "targets": self.targets, "upstream": self.upstream}
        arrays |= dict(zip(PRIMALS[2:], self.head, strict=False))
        return arrays if self.weight is None else {**arrays, "weight": self.weight}

    def primals(self, case: Case) -> Arrays:
        """What can require a gradient; the head can where it is the case's own."""
        return (self.logits, self.targets, *(() if case.head is None else self.head))


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A call that was made: its value, and the way back (more than once if the graph is kept).

    Attributes:
        value: the framework's array.
        pulled: u ↦ gradients in ``PRIMALS``, the framework's arrays or None. A gradient that is
            given and not derived comes as it is, whatever u.
    """

    value: Array
    pulled: Callable[[Array], tuple[Any, ...]]


def asked(case: Case) -> tuple[bool, ...]:
    """Whether (logits, targets, …) usually require a gradient: all but the targets do."""
    head = () if case.head is None else (True,) * len(case.head.parameters())
    return (True, False, *head)


def call(
    subject: BoundSubject,
    case: Case,
    inputs: Inputs,
    wanted: Sequence[bool] | None = None,
    *,
    keep_graph: bool = False,
) -> Call:
    """The implementation on these very arrays, not on copies; its value alone if it has no more."""
    if not has_gradient(subject, case):
        result = subject.closed(case, inputs)(inputs.logits, inputs.targets)
        return Call(subject.held(case, result), lambda upstream: (None, None))
    if subject.gradient_kind == "autodiff":
        function, primals = subject.function(case, inputs), inputs.primals(case)
        (value,), pullback = subject.backend.pullback(
            function, primals, wanted or asked(case), keep_graph=keep_graph
        )
        return Call(value, lambda upstream: pullback((upstream,)))
    value, (in_logits, *in_head) = subject.given(case, inputs)
    return Call(value, lambda upstream: (in_logits, None, *in_head))


def has_gradient(subject: BoundSubject, case: Case) -> bool:
    """Whether it answers this case with a gradient: some take targets for their value alone."""
    return not subject.supports(case, "gradient")


def answer(
    subject: BoundSubject,
    setting: str,
    case: Case,
    value: Array | None,
    pulled: Sequence[Any] = (),
    wanted: Sequence[bool] | None = None,
) -> Answer:
    """What came back, as NumPy has it."""
    names = [name for name, want in zip(PRIMALS, wanted or asked(case), strict=False) if want]
    came = dict(zip(PRIMALS, pulled, strict=False))
    if not has_gradient(subject, case):
        names = []
    if subject.gradient_kind != "autodiff":
        names = [name for name in names if came.get(name) is not None or name == "logits"]
    found = {
        name: subject.pulled_array(case, name, came[name])
        for name in names
        if came.get(name) is not None
    }
    return Answer(
        setting,
        case,
        None if value is None else subject.rows(case, value),
        found.get("logits"),
        found.get("targets"),
        found.get("linear_weight"),
        found.get("linear_bias"),
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
