"""``gradcheck`` and ``assert_gradients``: the public face of the engine."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from gradcheck_suite.engine import (
    behaviour,
    evidence_on_request,
    first_order,
    problem,
    second_order,
)
from gradcheck_suite.engine import teeth as self_test
from gradcheck_suite.engine.result import Outcome, Result
from gradcheck_suite.engine.session import Session
from gradcheck_suite.errors import GradientError, UsageError
from gradcheck_suite.outcome import Inconclusive, Passed, Skipped

CHECKS: Mapping[str, Callable[[Session], Outcome]] = {
    "form": behaviour.form,
    "reverse": first_order.reverse,
    "forward": first_order.forward,
    "pairing": first_order.pair,
    "second": second_order.second,
    "linearity": behaviour.linearity,
    "repeat": behaviour.repeat,
    "strided": behaviour.strided,
    "subset": behaviour.subset,
    "compiled": behaviour.compiled,
    "batched": behaviour.batched,
    "taylor": evidence_on_request.taylor,
    "complex_step": evidence_on_request.complex_step,
    "purity": behaviour.purity,
}
"""Every check by name, in the order in which they run; purity last, when all has run."""
ON_REQUEST = ("compiled", "batched", "taylor", "complex_step")
DEFAULT_CHECKS = tuple(name for name in CHECKS if name not in ON_REQUEST)

NOT_OF_NUMBERS = ("form", "reverse", "purity")
"""Checks that say something even where values or gradients are not finite."""


def gradcheck(
    function: Any,
    *primals: Any,
    checks: tuple[str, ...] | str = DEFAULT_CHECKS,
    directions: int = 1,
    seed: int = 0,
    gradient: Callable[..., Any] | None = None,
    localise: bool | int = True,
    teeth: bool = False,
    complex_step: bool = False,
    memory: float | None = None,
) -> Result:
    """Checks the derivatives of ``function`` at ``primals``.

    Nothing about accuracy is chosen: steps, tolerances and the number of further
    directions follow from the dtype and from what the function shows. A pass states the
    smallest relative gradient error that would have been seen (missed with probability
    1e-6); where that is worse than promised (1e-4 in float64, 1e-2 in float32, 1e-1 in
    half precision) the verdict is inconclusive, which is not a pass.

    Args:
        function: any function of arrays of NumPy, PyTorch or JAX, or a ``torch.nn.Module``
            (whose parameters are checked too). NumPy functions return ``(value,
            gradient)``, or come with ``gradient``. Outputs of any shape and pytree: their
            cotangents are drawn at random.
        *primals: its arguments; pytrees of arrays. Floating arrays are differentiated (of
            PyTorch's, if some require a gradient, only those), whatever else there is
            is passed through. Complex gradients follow the framework's convention.
        checks: names from ``CHECKS``; default all but those ``ON_REQUEST``: ``compiled``
            (jit against eager), ``batched`` (vmap against a loop), ``taylor`` (the order of
            the remainder) and ``complex_step``.
        directions: how many random directions at least.
        seed: seed of the directions and cotangents; the same seed, the same result.
        gradient: a handwritten gradient: of the same arguments as ``function``, returns one
            gradient per differentiable primal (of a scalar value; row gradients or a
            Jacobian where the value has rows).
        localise: whether a failure is narrowed down to an element or a block and described;
            a number is how many evaluations of the function that may take (default: 1500, or
            20 seconds' worth of them).
        teeth: plants errors in the gradient under test and reports which are caught.
        complex_step: adds the check of that name, which sees errors of 1e-8 and less, for
            NumPy functions that take complex arrays.
        memory: MiB that the check of second order may take beside the primals (default: what
            is free). Where it needs more it is skipped, and says what it needs.

    Returns:
        A ``Result``: ``print`` it; its truth value is whether it passed.

    Raises:
        UsageError: the arguments make no sense; the message names the remedy.
        ImplementationError: ``function`` returns nothing that has a derivative.
    """
    chosen = _chosen(checks, ("complex_step",) if complex_step else ())
    if directions < 1:
        raise UsageError(f"directions: {directions} is not positive; give 1 or more")
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        built = problem.build(function, primals, gradient=gradient, scope=stack)
        session = Session(built, seed, directions, localise=localise, memory=memory)
        outcomes = tuple(_judged(session, name, "reverse" in chosen) for name in chosen)
        return Result(
            function=built.title,
            primals=tuple(str(leaf) for leaf in built.leaves),
            backend=f"{built.backend.name} {built.backend.version()}",
            device=built.leaves[0].described.device,
            seed=seed,
            outcomes=outcomes,
            notes=_notes(session, outcomes),
            teeth=_teeth(session, outcomes) if teeth else (),
        )


def assert_gradients(function: Any, *primals: Any, **options: Any) -> Result:
    """``gradcheck``, raising where it does not pass.

    Args:
        function: as for ``gradcheck``.
        *primals: as for ``gradcheck``.
        **options: as for ``gradcheck``.

    Returns:
        The ``Result``, which passed.

    Raises:
        GradientError: a gradient is wrong or could not be judged; the message is the whole
            story and ``.result`` the ``Result``. An ``AssertionError``.
    """
    __tracebackhide__ = True
    result = gradcheck(function, *primals, **options)
    if not result.passed:
        raise GradientError(str(result), result)
    return result


def _chosen(checks: tuple[str, ...] | str, also: tuple[str, ...]) -> tuple[str, ...]:
    wanted = ((checks,) if isinstance(checks, str) else tuple(checks)) + also
    unknown = [name for name in wanted if name not in CHECKS]
    if unknown or not wanted:
        raise UsageError(
            f"checks: {', '.join(map(repr, unknown)) or 'none given'}; the checks are "
            f"{', '.join(CHECKS)}"
        )
    return tuple(name for name in CHECKS if name in wanted)


def _judged(session: Session, name: str, said: bool) -> Outcome:
    """A check's outcome; none where its numbers are not finite, which ``reverse`` has said."""
    reason = "" if name in NOT_OF_NUMBERS else _not_finite(session, name)
    if not reason:
        return CHECKS[name](session)
    return Outcome(name, Skipped(reason) if said else Inconclusive(reason))


def _not_finite(session: Session, name: str) -> str:
    if not all(np.isfinite(value).all() for value in session.problem.values):
        return "not judged: the function's value is not finite at the primals"
    if name == "forward":
        return ""
    names = [
        leaf.name
        for leaf, size in zip(session.problem.leaves, session.gradient_norms, strict=True)
        if not math.isfinite(size)
    ]
    return f"not judged: the gradient of {', '.join(names)} is not finite" if names else ""


def _notes(session: Session, outcomes: tuple[Outcome, ...]) -> tuple[str, ...]:
    notes = list(session.problem.notes)
    if not session.problem.scalar:
        shapes = ", ".join(str(output.shape) for output in session.problem.outputs)
        notes.append(f"outputs of shape {shapes}: paired with random cotangents")
    return tuple(notes)


def _teeth(session: Session, outcomes: tuple[Outcome, ...]) -> tuple[str, ...]:
    reverse = next((one for one in outcomes if one.check == "reverse"), None)
    if reverse is None or not isinstance(reverse.verdict, Passed):
        return ("not shown: the reverse check did not pass",)
    return self_test.bite(session, reverse.verdict.resolution)
