"""Probes of purity: what a call leaves behind, and whether it can be repeated and shared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.errors import Unsupported
from gradcheck_suite.protocols import KEPT_GRAPH, SECOND_BACKWARD, Answer, Array, Arrays, Change
from gradcheck_suite.subject.inputs import (
    PRIMALS,
    Call,
    Inputs,
    answer,
    asked,
    attempt,
    call,
    has_gradient,
)

if TYPE_CHECKING:
    from gradcheck_suite.subject.bound import BoundSubject


def input_changes(subject: BoundSubject, case: Case) -> tuple[Change, ...]:
    """The inputs that forward (untracked, then tracked) and backward change, in that order."""
    with subject.backend.precision(case.dtype):
        return tuple(_input_changes(subject, case))


def _input_changes(subject: BoundSubject, case: Case) -> Iterator[Change]:
    untracked = subject.inputs(case)
    before = _snapshot(subject, untracked)
    function = subject.function(case, untracked)
    subject.backend.evaluate(function, untracked.primals(case))
    yield from _compared(subject, untracked, before, "the call without gradient tracking")
    if not has_gradient(subject, case):
        return
    inputs = subject.inputs(case)
    before = _snapshot(subject, inputs)
    made = call(subject, case, inputs)
    forward = list(_compared(subject, inputs, before, "the forward pass"))
    yield from forward
    if forward or subject.gradient_kind != "autodiff":
        return
    made.pulled(inputs.upstream)
    yield from _compared(subject, inputs, before, "the backward pass")


def _snapshot(subject: BoundSubject, inputs: Inputs) -> dict[str, tuple[FloatArray, Any]]:
    backend = subject.backend
    return {
        name: (backend.asnumpy(array), backend.describe(array))
        for name, array in inputs.named().items()
    }


def _compared(
    subject: BoundSubject, inputs: Inputs, before: dict[str, tuple[FloatArray, Any]], during: str
) -> Iterator[Change]:
    for name, array in inputs.named().items():
        values, description = before[name]
        try:
            now, new_description = subject.backend.asnumpy(array), subject.backend.describe(array)
        except Exception as error:  # a buffer that was donated is deleted
            yield Change(name, during, values, note=str(error).splitlines()[0])
            continue
        if new_description != description:
            yield Change(name, during, values, now, f"{description} is now {new_description}")
        elif now.tobytes() != values.tobytes():
            yield Change(name, during, values, now)


def repeated(subject: BoundSubject, case: Case, other: Case) -> tuple[Answer, ...]:
    """Calls and backward passes again, over graphs and arrays that live on.

    In order: the backward of a first call after a second call on other numbers; the second
    call's own; the first graph's backward again at another upstream; the first call again on
    the same arrays; the results of the first call as they are after all this; and a call on
    the same arrays after the caller has written other numbers into them.
    """
    with subject.backend.precision(case.dtype):
        return tuple(_repeated(subject, case, other))


def _repeated(subject: BoundSubject, case: Case, other: Case) -> Iterator[Answer]:
    backend = subject.backend
    keep = subject.gradient_kind == "autodiff" and has_gradient(subject, case)
    others = subject.inputs(other)

    def followed(keep_graph: bool) -> tuple[Inputs, Call, Call, tuple[Any, ...]]:
        inputs = subject.inputs(case)
        first = call(subject, case, inputs, keep_graph=keep_graph)
        second = call(subject, other, others)
        return inputs, first, second, first.pulled(inputs.upstream)

    found = attempt(KEPT_GRAPH, case, lambda: followed(keep))
    if isinstance(found, Answer):
        yield found
        keep, found = False, followed(False)  # what raises here, raises without a kept graph
    inputs, first, second, pulled = found
    yield answer(subject, "a call that another one followed", case, first.value, pulled)
    yield answer(subject, "a second call", other, second.value, second.pulled(others.upstream))
    if keep:
        again = case.with_(upstream=_another(case.upstream))
        upstream = subject.inputs(again).upstream

        def backward_again() -> Answer:
            return answer(subject, SECOND_BACKWARD, again, None, first.pulled(upstream))

        yield attempt(SECOND_BACKWARD, again, backward_again)
    if subject.dialect.inputs == "destroyed":
        inputs = subject.inputs(case)
    third = call(subject, case, inputs)
    result = third.pulled(inputs.upstream)
    yield answer(subject, "the same call again", case, third.value, result)
    yield answer(subject, "the first call, read after the later ones", case, first.value, pulled)
    inputs, written = subject.inputs(case), subject.inputs(other)
    call(subject, case, inputs)
    try:
        for name in ("logits", "targets", *PRIMALS[2 : 2 + len(inputs.head)]):
            backend.overwrite(inputs.named()[name], backend.asnumpy(written.named()[name]))
    except Unsupported:  # JAX's arrays never change: nobody can see an old result in them
        return
    fresh = call(subject, other, inputs)
    setting = "a call on the same arrays with other numbers in them"
    yield answer(subject, setting, other, fresh.value, fresh.pulled(others.upstream))


def _another(upstream: FloatArray) -> FloatArray:
    """Another upstream that is as exact: −2u, and the rows moved on by one."""
    return -2.0 * (np.roll(upstream, 1) if upstream.ndim else upstream)


def composed(subject: BoundSubject, case: Case) -> tuple[Answer, ...]:
    """φ(x) = Σ u·L(f) + Σ f²/2 at f = exp x, with either term first.

    exp saves its result f for its own backward, f² saves f as well, and L is what is judged:
    ∂φ/∂x = (∂L/∂f + f)∘f is right only if nobody has touched f. The answers are at f, their
    ``logits`` are ∂φ/∂x, and their value is that of L.
    """
    with subject.backend.precision(case.dtype):
        return tuple(_composed(subject, case))


def _composed(subject: BoundSubject, case: Case) -> Iterator[Answer]:
    backend = subject.backend
    space = array_namespace(subject.inputs(case).logits)
    (shared,) = backend.evaluate(lambda x: (space.exp(x),), (subject.inputs(case).logits,))
    at = case.with_(logits=backend.asnumpy(shared))
    for setting, loss_first in (("the loss, then f²", True), ("f², then the loss", False)):

        def question(setting: str = setting, loss_first: bool = loss_first) -> Answer:
            inputs = subject.inputs(case)
            loss = subject.function(case, inputs)

            def together(x: Array, targets: Array) -> Arrays:
                logits = space.exp(x)
                square = None if loss_first else _half_square(logits)
                (value,) = loss(logits, targets)
                square = _half_square(logits) if square is None else square
                return (inputs.upstream * value).sum() + square, value

            given = (inputs.logits, inputs.targets)
            (_, value), pullback = backend.pullback(together, given, asked(case))
            one = backend.asarray(1.0, subject.dtype, subject.device)
            return answer(subject, setting, at, value, pullback((one, 0.0 * inputs.upstream)))

        yield attempt(setting, at, question)


def _half_square(logits: Array) -> Array:
    return (logits * logits).sum() / 2
