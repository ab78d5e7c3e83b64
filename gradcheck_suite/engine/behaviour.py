"""What a gradient must be beside right: well-formed, linear in u, repeatable and pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.engine import line
from gradcheck_suite.engine.pieces import pieces
from gradcheck_suite.engine.problem import Gradients
from gradcheck_suite.engine.result import Outcome, judged
from gradcheck_suite.engine.session import Session
from gradcheck_suite.errors import Unsupported
from gradcheck_suite.numerics.directions import euclidean_norm
from gradcheck_suite.outcome import Failed, Inconclusive, Inequality, Passed, Skipped
from gradcheck_suite.protocols import Arrays

ROUNDING = 16.0
"""Units of ε·‖g‖ by which two routes to one gradient may differ without being measured."""
SPREAD_SAFETY = 32.0
MOST_SUBSETS = 4


def form(session: Session) -> Outcome:
    """Shape, dtype and device of every gradient; None, zero and absent told apart."""
    problem, notes = session.problem, []
    for leaf, gradient in zip(problem.leaves, session.gradients, strict=True):
        if gradient is None:
            notes.append(f"{leaf.name}: no gradient (None)")
            continue
        described = problem.backend.describe(gradient)
        for what in ("shape", "dtype", "device"):
            got, wanted = getattr(described, what), getattr(leaf.described, what)
            if got != wanted:
                summary = f"the gradient of {leaf.name} has {what} {got}, the primal {wanted}"
                return Outcome("form", Failed(summary))
        if line.norm(problem.backend, gradient) == 0.0:
            notes.append(f"{leaf.name}: the gradient is zero")
    return Outcome("form", Passed(note="; ".join(notes)))


def linearity(session: Session) -> Outcome:
    """Jᵀ(α u₁ + β u₂) = α Jᵀu₁ + β Jᵀu₂; for u₂ = 0 this is Jᵀ(α u) = α Jᵀu."""
    problem = session.problem
    alpha, beta = -1.75, 0.625
    first, second = session.cotangents, line.cotangents(problem, session.seed, 11)
    along_second = session.pull(problem.primals, second)
    mixed = tuple(alpha * a + beta * b for a, b in zip(first, second, strict=True))

    def routes(primals: Arrays) -> tuple[Gradients, Gradients]:
        here = primals is problem.primals
        one = session.pull(primals, first)
        other = along_second if here else session.pull(primals, second)
        summed = tuple(
            None if a is None or b is None else alpha * a + beta * b
            for a, b in zip(one, other, strict=True)
        )
        return session.pull(primals, mixed), summed

    size = abs(alpha) * _norm(session, session.gradients)
    size += abs(beta) * _norm(session, along_second)
    return _agreement(
        session,
        "linearity",
        routes,
        "‖Jᵀ(αu₁ + βu₂) − αJᵀu₁ − βJᵀu₂‖",
        "the gradient is not linear in the upstream cotangent",
        size,
    )


def repeat(session: Session) -> Outcome:
    """The value and the gradient again, from the same primals and cotangents."""
    problem, backend = session.problem, session.problem.backend
    values, again = session.pullback(problem.primals, session.cotangents)
    size = _norm(session, session.gradients)
    for first, second in zip(problem.values, map(backend.asnumpy, values), strict=True):
        apart = float(np.max(np.abs(first - second), initial=0.0))
        level = 64.0 * problem.machine_epsilon * float(np.max(np.abs(first), initial=0.0))
        if apart > level:
            return Outcome(
                "repeat",
                Inconclusive(
                    "the function is not deterministic: a second call with the same primals "
                    f"differs by {apart:.1e} (dropout, sampling? fix its seed or its mode)"
                ),
            )
    apart = _distance(session, session.gradients, again)
    inequality = Inequality(
        "‖second gradient − first‖", apart, 64.0 * problem.machine_epsilon * size
    )
    note = "bit for bit" if apart == 0.0 else "equal up to rounding, not bit for bit"
    failure = Failed("a second backward pass gives another gradient (is something accumulated?)")
    return Outcome("repeat", judged(inequality, failure, note))


def purity(session: Session) -> Outcome:
    """What the function was given is afterwards what it was before, in either mode."""
    problem, backend = session.problem, session.problem.backend
    given = problem.copies(problem.primals)
    problem.evaluate(given)
    session.evaluations += 1
    found = _changed(session, given, "its value")
    if found is None and problem.handwritten:
        given = problem.copies(problem.primals)
        problem.pullback(given, session.cotangents)
        found = _changed(session, given, "its gradient")
    elif found is None and backend.name != "jax":  # whose arrays cannot be written to
        seen: list[Arrays] = []

        def watched(*leaves: Any) -> Arrays:
            seen.append(leaves)
            return problem.function(*leaves)

        backend.vjp(watched, problem.primals, session.cotangents)
        found = _changed(session, seen[0], "its gradient")
    return Outcome("purity", found or Passed(note="the primals are unchanged"))


def _changed(session: Session, given: Arrays, what: str) -> Failed | None:
    """The first element of ``given`` that is no longer that of the primals."""
    problem = session.problem
    for leaf, mine, original in zip(problem.leaves, given, problem.primals, strict=True):
        pairs = pieces(problem.backend, mine, original)
        if not all(np.array_equal(one, other) for one, other in pairs):
            ours = problem.backend.asnumpy(mine)
            theirs = problem.backend.asnumpy(original)
            at = [int(i) for i in np.argwhere(ours != theirs)[0]]
            return Failed(
                f"the function changed its argument {leaf.name}",
                line.named(leaf, at),
                looks=f"while {what} was computed",
            )
    return None


def strided(session: Session) -> Outcome:
    """The same numbers in another memory order give the same gradient."""
    problem, backend = session.problem, session.problem.backend
    flat = all(len(leaf.described.shape) < 2 for leaf in problem.leaves)
    if flat or "transposed" not in backend.layouts:
        return Outcome("strided", Skipped("no primal has two axes to be laid out differently"))

    def laid_out(primals: Arrays) -> Arrays:
        return tuple(
            primal
            if len(leaf.described.shape) < 2
            else backend.asarray(
                np.swapaxes(backend.view(primal), -1, -2),
                leaf.described.dtype,
                leaf.described.device,
            ).swapaxes(-1, -2)
            for leaf, primal in zip(problem.leaves, primals, strict=True)
        )

    def routes(primals: Arrays) -> tuple[Gradients, Gradients]:
        plain = session.pull(primals, session.cotangents)
        return session.pull(laid_out(primals), session.cotangents), plain

    return _agreement(
        session,
        "strided",
        routes,
        "‖gradient of strided primals − gradient‖",
        "the gradient depends on the memory layout of the primals",
        _norm(session, session.gradients),
    )


def subset(session: Session) -> Outcome:
    """One primal's gradient is the same when it is asked for alone."""
    problem, backend = session.problem, session.problem.backend
    if len(problem.leaves) < 2 or problem.handwritten:
        return Outcome("subset", Skipped("there is one differentiable primal"))
    chosen = range(min(MOST_SUBSETS, len(problem.leaves)))

    def alone(primals: Arrays, number: int) -> Any:
        others = problem.copies(primals)

        def function(leaf: Any) -> Arrays:
            return problem.function(*others[:number], leaf, *others[number + 1 :])

        return backend.vjp(function, (primals[number],), session.cotangents)[1][0]

    def routes(primals: Arrays) -> tuple[Gradients, Gradients]:
        joint = session.pull(primals, session.cotangents)
        return tuple(alone(primals, i) for i in chosen), tuple(joint[i] for i in chosen)

    return _agreement(
        session,
        "subset",
        routes,
        "‖gradient asked for alone − gradient‖",
        "the gradient changes with the set of primals that require one",
        _norm(session, session.gradients),
    )


def compiled(session: Session) -> Outcome:
    """The compiled function's gradient is the eager one's."""
    problem, backend = session.problem, session.problem.backend
    if problem.handwritten or "compiled" not in backend.modes:
        return Outcome("compiled", Skipped(f"{backend.name} compiles nothing here"))
    function: Callable[..., Any] = backend.compiled(problem.function)

    def routes(primals: Arrays) -> tuple[Gradients, Gradients]:
        _, fast = backend.vjp(function, primals, session.cotangents)
        return fast, session.pull(primals, session.cotangents)

    try:
        return _agreement(
            session,
            "compiled",
            routes,
            "‖compiled gradient − eager gradient‖",
            "the compiled function has another gradient",
            _norm(session, session.gradients),
        )
    except Unsupported as reason:
        return Outcome("compiled", Skipped(str(reason)))


def batched(session: Session) -> Outcome:
    """Gradient and value under vmap, at two points at once, are those of a loop over them."""
    problem, backend = session.problem, session.problem.backend
    if problem.handwritten or "batched" not in backend.modes:
        return Outcome("batched", Skipped(f"{backend.name} has no vmap"))

    def routes(primals: Arrays) -> tuple[Gradients, Gradients]:
        beside = line.moved(replace(problem, primals=primals), session.tangent(0), 2.0**-4)
        points = (primals, beside)
        stacked = tuple(
            backend.asarray(
                np.stack([backend.asnumpy(point[i]) for point in points]),
                leaf.described.dtype,
                leaf.described.device,
            )
            for i, leaf in enumerate(problem.leaves)
        )
        values, gradients = backend.batched_vjp(problem.function, stacked, session.cotangents)
        loop = [session.pullback(point, session.cotangents) for point in points]
        return (
            tuple(one[k] for k in range(2) for one in (*gradients, *values)),
            tuple(
                one
                for singles, pulled in loop
                for one in (
                    *(x * 0 if g is None else g for g, x in zip(pulled, primals, strict=True)),
                    *singles,
                )
            ),
        )

    size = math.hypot(*(float(np.max(np.abs(value), initial=0.0)) for value in problem.values))
    try:
        return _agreement(
            session,
            "batched",
            routes,
            "‖gradient and value under vmap − in a loop‖",
            "the function has another gradient or value under vmap",
            math.hypot(size, _norm(session, session.gradients)),
        )
    except Unsupported as reason:
        return Outcome("batched", Skipped(str(reason)))


def _agreement(
    session: Session,
    check: str,
    routes: Callable[[Arrays], tuple[Gradients, Gradients]],
    quantity: str,
    summary: str,
    size: float,
) -> Outcome:
    """Two routes to one gradient, judged by rounding; measured before it is called wrong."""
    one, other = routes(session.problem.primals)
    present = [(a is None) == (b is None) for a, b in zip(one, other, strict=True)]
    if not all(present):
        name = session.problem.leaves[present.index(False) % len(session.problem.leaves)].name
        return Outcome(check, Failed(f"{summary}: {name} has a gradient on one route only"))
    allowance = ROUNDING * session.problem.machine_epsilon * size
    inequality = Inequality(quantity, _distance(session, one, other), allowance)
    if not inequality.holds:
        spread = _rounding(session, routes, one, other)
        terms = (("rounding", allowance), ("measured rounding", spread))
        inequality = Inequality(quantity, inequality.error, allowance + spread, terms)
    return Outcome(check, judged(inequality, Failed(summary)))


def _rounding(
    session: Session,
    routes: Callable[[Arrays], tuple[Gradients, Gradients]],
    one: Gradients,
    other: Gradients,
) -> float:
    """How far the two routes move when the primals are perturbed at rounding level."""
    moves = []
    for number in range(2):
        first, second = routes(session.perturbed_primals(number))
        moves += [_distance(session, one, first), _distance(session, other, second)]
    return SPREAD_SAFETY * max(moves)


def _norm(session: Session, gradients: Sequence[Any]) -> float:
    norms = [line.norm(session.problem.backend, gradient) for gradient in gradients]
    return math.hypot(*norms)


def _distance(session: Session, one: Sequence[Any], other: Sequence[Any]) -> float:
    """‖one − other‖ over all leaves; NaN in both at one place counts as equal."""
    backend, parts = session.problem.backend, []
    for a, b in zip(one, other, strict=True):
        if a is None or b is None:
            continue
        if tuple(a.shape) != tuple(b.shape):
            return math.inf
        parts += [_apart(left, right) for left, right in pieces(backend, a, b)]
    return math.hypot(*parts) if parts else 0.0


def _apart(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> float:
    with np.errstate(all="ignore"):
        difference = left - right
        apart = euclidean_norm(difference)
        if math.isfinite(apart):
            return apart
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        return euclidean_norm(np.where(same, 0.0, difference))
