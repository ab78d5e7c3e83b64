"""Probes of modes: subsets of gradients, the framework's compiler, its vmap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.errors import ImplementationError, Unsupported
from gradcheck_suite.protocols import OUT_OF_RANGE, Answer, Arrays, Function
from gradcheck_suite.subject.inputs import (
    PRIMALS,
    Inputs,
    answer,
    asked,
    attempt,
    call,
    has_gradient,
)

if TYPE_CHECKING:
    from gradcheck_suite.subject.bound import BoundSubject


def partial_gradients(subject: BoundSubject, case: Case) -> tuple[Answer, ...]:
    """One answer for every subset of (logits, targets) that requires a gradient.

    Where the case has a linear head, of its hidden features, W and b.
    """
    subsets: dict[str, tuple[bool, ...]] = {
        "no input requires a gradient": (False, False),
        "the logits alone do": (True, False),
    }
    if case.head is not None:
        subsets = _subsets(len(asked(case)))
    elif case.target_kind == "probabilities":
        subsets["the targets alone do"] = (False, True)
        subsets["logits and targets do"] = (True, True)
    with subject.backend.precision(case.dtype):
        return tuple(
            _asked_for(subject, f"the call where {setting}", case, wanted)
            for setting, wanted in subsets.items()
        )


def _subsets(primals: int) -> dict[str, tuple[bool, ...]]:
    """Every subset of X, W and b, the targets left out, and what it is called."""
    names, found = ("X", "", "W", "b")[:primals], {}
    for flags in product((False, True), repeat=primals - 1):
        wanted = (flags[0], False, *flags[1:])
        chosen = [name for name, want in zip(names, wanted, strict=True) if want]
        if not chosen:
            found["no input requires a gradient"] = wanted
        else:
            verb = "do" if len(chosen) > 1 else "alone does"
            found[f"{' and '.join(chosen)} {verb}"] = wanted
    return found


def _asked_for(subject: BoundSubject, setting: str, case: Case, wanted: tuple[bool, ...]) -> Answer:
    def question() -> Answer:
        inputs = subject.inputs(case)
        made = call(subject, case, inputs, wanted)
        pulled = made.pulled(inputs.upstream)
        return answer(subject, setting, case, made.value, pulled, wanted)

    names = zip(PRIMALS, wanted, strict=False)
    return attempt(setting, case, question, tuple(name for name, want in names if want))


def compiled(subject: BoundSubject, case: Case) -> tuple[Answer, ...]:
    """The answer under the framework's compiler, and to an index that is no class.

    Raises:
        Unsupported: there is no compiler, or it does not take even the plainest case.
    """
    if "compiled" not in subject.backend.modes:
        raise Unsupported(f"the backend {subject.backend.name} has no compiler")
    with subject.backend.precision(case.dtype):
        inputs = subject.inputs(case)
        function = _compiled_function(subject, case, inputs)
        setting = "the compiled function"

        def question() -> Answer:
            return _of(subject, setting, case, function, inputs)

        found = attempt(setting, case, question)
        if found.raised:
            _raise_if_unsupported(subject, case, found.raised, lambda s, plain: compiled(s, *plain))
            return (found,)
        return (found, *_out_of_range(subject, case, function))


def in_one_program(subject: BoundSubject, case: Case) -> Answer | None:
    """Value and gradient compiled as one program; None where that saves nothing or is refused.

    A backend that compiles every primitive anew for every shape answers at a new size in a
    tenth of the time so. That compiled is what it is eagerly is another clause's question.
    """
    if not subject.backend.compiles_shapes or subject.gradient_kind != "autodiff":
        return None
    with subject.backend.precision(case.dtype):
        inputs = subject.inputs(case)

        def question() -> Answer:
            function = _compiled_function(subject, case, inputs)
            return _of(subject, "the compiled function", case, function, inputs)

        found = attempt("the compiled function", case, question)
    return None if found.raised or found.logits is None else found


def _compiled_function(subject: BoundSubject, case: Case, inputs: Inputs) -> Function:
    closed, compiler = subject.closed(case, inputs), subject.implementation.compiler
    bare = subject.backend.compiled(closed, compiler)
    return lambda *primals: (subject.held(case, bare(*primals)),)


def _of(
    subject: BoundSubject, setting: str, case: Case, function: Function, inputs: Inputs
) -> Answer:
    """Value and gradient of a function that stands for the implementation."""
    arrays = inputs.primals(case)
    if subject.gradient_kind != "autodiff" or not has_gradient(subject, case):
        (value,) = subject.backend.evaluate(function, arrays)
        return Answer(setting, case, subject.backend.asnumpy(value))
    (value,), pullback = subject.backend.pullback(function, arrays, asked(case))
    return answer(subject, setting, case, value, pullback((inputs.upstream,)))


def _out_of_range(subject: BoundSubject, case: Case, function: Function) -> Iterator[Answer]:
    """Where an index of C + 1 raises eagerly: what the compiled function makes of it.

    On the CPU alone: elsewhere it may end in a device-side assert.
    """
    if case.target_kind != "index" or subject.device != "cpu":
        return
    targets = case.targets.copy()
    targets[-1] = case.classes + 1
    wrong = case.with_(targets=targets)
    try:
        subject.value(wrong)
        return
    except ImplementationError:
        return
    except Exception:
        inputs = subject.inputs(wrong)

    def question() -> Answer:
        (value,) = subject.backend.evaluate(function, (inputs.logits, inputs.targets))
        return Answer(OUT_OF_RANGE, wrong, subject.backend.asnumpy(value))

    yield attempt(OUT_OF_RANGE, wrong, question)


def batched(subject: BoundSubject, cases: Sequence[Case]) -> tuple[Answer, ...]:
    """The answers to cases of one shape and one upstream, computed together by ``vmap``.

    Raises:
        Unsupported: there is no vmap, or it does not take even the plainest case.
    """
    backend, first = subject.backend, cases[0]
    if "batched" not in backend.modes:
        raise Unsupported(f"the backend {backend.name} has no vmap")
    if subject.gradient_kind != "autodiff":
        raise Unsupported("the gradient is given, not derived: there is nothing to batch")
    if reason := subject.supports(first, "gradient"):
        raise Unsupported(reason)
    setting = "an example under vmap"
    with backend.precision(first.dtype):
        found = attempt(setting, first, lambda: _together(subject, cases))
        if isinstance(found, Answer):
            _raise_if_unsupported(subject, first, found.raised, batched)
            return (found,)
        values, gradients = found
        pairs = zip(cases, values, gradients, strict=True)
        return tuple(Answer(setting, case, value, gradient) for case, value, gradient in pairs)


def _together(subject: BoundSubject, cases: Sequence[Case]) -> tuple[FloatArray, FloatArray]:
    """Values and gradients of all cases, with one axis more in front."""
    backend, first = subject.backend, cases[0]
    inputs = [subject.inputs(case) for case in cases]
    space = array_namespace(inputs[0].logits)
    function, upstream = subject.function(first, inputs[0]), inputs[0].upstream

    def together(logits: Any, targets: Any) -> tuple[Arrays, Arrays]:
        return backend.batched_vjp(function, (logits,), (upstream,), (targets,))

    # One program is compiled instead of one for every primitive in it.
    run = backend.compiled(together) if backend.compiles_shapes else together
    (values,), (gradients,) = run(
        space.stack([each.logits for each in inputs]),
        space.stack([each.targets for each in inputs]),
    )
    return backend.asnumpy(values), backend.asnumpy(gradients)


def _raise_if_unsupported(
    subject: BoundSubject,
    case: Case,
    raised: str,
    probe: Callable[[BoundSubject, Sequence[Case]], object],
) -> None:
    """A mode that does not take the plainest case is not offered; one that does takes them all.

    Raises:
        Unsupported: the same question without options is not answered either.
    """
    if case.options.used():
        targets = case.targets
        if case.target_kind == "index":
            targets = np.where(targets == case.options.ignore_index, 0, targets)
        plain = case.with_(targets=targets).without_options()
        with suppress(Unsupported):
            probe(subject, (plain,))
            return
    raise Unsupported(f"not supported: raises {raised}")
