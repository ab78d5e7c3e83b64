"""Reverse and forward mode against finite differences, and against each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck_suite.engine import line, localisation
from gradcheck_suite.engine.decision import decide
from gradcheck_suite.engine.evidence import Finding, Probe, Question
from gradcheck_suite.engine.line import Tangent
from gradcheck_suite.engine.result import Outcome, judged
from gradcheck_suite.engine.session import Session
from gradcheck_suite.errors import Unsupported
from gradcheck_suite.numerics.directions import generator
from gradcheck_suite.numerics.pairing import SPREAD_SAFETY, pairing, perturbed, rounding_spread
from gradcheck_suite.outcome import Failed, Inconclusive, Inequality, Passed, Skipped, Verdict


def reverse(session: Session) -> Outcome:
    """⟨Jᵀu, v⟩ against the finite difference of ⟨u, f(x + h·v)⟩."""
    broken = _not_finite(session)
    if broken is not None:
        return Outcome("reverse", broken, session.evaluations)

    def ask(number: int) -> Question:
        tangent = session.tangent(number)

        def analytic(primals: Any) -> float:
            pulled = session.pull(primals, session.cotangents)
            return line.contract(session.problem.backend, pulled, tangent.arrays)

        base = line.contract(session.problem.backend, session.gradients, tangent.arrays)
        norm = session.scaled_norm(tangent)
        return _question(session, tangent, base, norm, analytic)

    probes, verdict = decide(session, ask, "⟨Jᵀu, v⟩ − finite difference")
    session.reverse_probes = probes
    if isinstance(verdict, Failed) and session.localise:
        verdict = localisation.explain(session, verdict)
    if isinstance(verdict, Inconclusive) and verdict.reason.startswith("kink"):
        verdict = _resampled(session, verdict, reverse)
    if isinstance(verdict, Passed):
        verdict = _every_leaf(session, verdict, probes)
    return Outcome("reverse", verdict, session.evaluations)


def forward(session: Session) -> Outcome:
    """⟨u, J v⟩ from forward mode against the same finite difference."""
    problem, before = session.problem, session.evaluations
    if problem.handwritten or "forward" not in problem.backend.modes:
        return Outcome("forward", Skipped("no forward mode: the gradient is handwritten"))

    def push(primals: Any, tangent: Tangent) -> float:
        _, pushed = problem.backend.jvp(problem.function, primals, filled(session, tangent))
        return line.contract(problem.backend, session.cotangents, pushed)

    def ask(number: int) -> Question:
        tangent = session.tangent(number)
        base = push(problem.primals, tangent)
        if not math.isfinite(base):
            raise _NotFinite(base)
        norm = session.scaled_norm(tangent)
        norm = norm if math.isfinite(norm) and norm > 0.0 else abs(base)
        return _question(session, tangent, base, norm, lambda at: push(at, tangent))

    try:
        _, verdict = decide(session, ask, "⟨u, J v⟩ − finite difference")
    except Unsupported as reason:
        return Outcome("forward", Skipped(str(reason)))
    except _NotFinite as found:
        return Outcome("forward", _forward_not_finite(session, found), session.evaluations - before)
    if isinstance(verdict, Inconclusive) and verdict.reason.startswith("kink"):
        verdict = _resampled(session, verdict, forward)
    return Outcome("forward", verdict, session.evaluations - before)


class _NotFinite(Exception):
    """Forward mode gave NaN or infinity."""


def _forward_not_finite(session: Session, found: _NotFinite) -> Verdict:
    """Wrong, where the reverse check has resolved a derivative.

    In half precision a right forward mode may overflow on its way to a small number.
    """
    probes = session.reverse_probes
    resolved = probes and all(
        probe.finding is Finding.AGREES and probe.tolerance < probe.norm for probe in probes
    )
    if not resolved or session.problem.dtype in ("float16", "bfloat16"):
        return Inconclusive(f"not finite: forward mode gives {found}")
    sides = (("got", str(found)), ("finite difference", f"{probes[0].derivative:.9g}"))
    return Failed("forward mode gives no number where the function has a derivative", sides=sides)


def pair(session: Session) -> Outcome:
    """⟨u, J v⟩ from forward mode against ⟨Jᵀu, v⟩ from reverse mode."""
    problem, backend = session.problem, session.problem.backend
    if problem.handwritten or "forward" not in backend.modes:
        return Outcome("pairing", Skipped("no forward mode: the gradient is handwritten"))
    tangent = session.tangent(0)
    epsilon = problem.machine_epsilon

    def both(primals: Any, vectors: Any, upstream: Any) -> tuple[Any, Any]:
        _, pushed = backend.jvp(problem.function, primals, vectors)
        pulled = session.pull(primals, upstream)
        return pushed, pulled

    def compared(primals: Any, vectors: Any, upstream: Any, spread: float = 0.0) -> Any:
        pushed, pulled = both(primals, vectors, upstream)
        kept = [i for i, gradient in enumerate(pulled) if gradient is not None]
        # The pairing conjugates its left sides.
        flip = np.asarray if backend.conjugates else np.conj
        return pairing(
            [flip(backend.view(u)) for u in upstream],
            [backend.view(one) for one in pushed],
            [flip(backend.view(pulled[i])) for i in kept],
            [backend.view(vectors[i]) for i in kept],
            machine_epsilon=epsilon,
            spread=spread,
        )

    vectors = filled(session, tangent)
    try:
        found = compared(problem.primals, vectors, session.cotangents)
    except Unsupported as reason:
        return Outcome("pairing", Skipped(str(reason)))
    if not found.holds:
        spread = _pairing_spread(session, vectors, compared)
        found = replace(found, sensitivity=SPREAD_SAFETY * spread)
    if not found.holds and session.reverse_probes:
        # What cancels inside the function cannot be measured from outside. Both numbers were
        # held against one finite difference: they cannot be told apart below its error.
        known = min(probe.tolerance for probe in session.reverse_probes)
        found = replace(found, sensitivity=max(found.sensitivity, known))
    inequality = Inequality(
        "|⟨u, J v⟩ − ⟨Jᵀu, v⟩|",
        found.error,
        found.tolerance,
        (("inner products", found.inner_products), ("measured rounding", found.sensitivity)),
    )
    sides = (("forward", f"{found.forward:.9g}"), ("reverse", f"{found.reverse:.9g}"))
    failure = Failed("forward and reverse mode disagree", sides=sides)
    return Outcome("pairing", judged(inequality, failure))


def _pairing_spread(session: Session, vectors: Any, compared: Callable[..., Any]) -> float:
    """How far the two inner products move when x, u and v are perturbed by a unit or two."""
    problem, backend = session.problem, session.problem.backend
    forward_values, reverse_values = [], []

    def shaken(arrays: Any, *stream: int) -> Any:
        moved = []
        for index, array in enumerate(arrays):
            rng = generator(session.seed, 4, *stream, index)
            described = backend.describe(array)
            values = perturbed(backend.view(array), rng, problem.machine_epsilon)
            moved.append(backend.adopt(values, described.dtype, described.device))
        return tuple(moved)

    for number in range(3):
        primals = session.perturbed_primals(number) if number else problem.primals
        found = compared(primals, shaken(vectors, number, 0), shaken(session.cotangents, number, 1))
        forward_values.append(found.forward)
        reverse_values.append(found.reverse)
    return max(rounding_spread(forward_values), rounding_spread(reverse_values))


def _question(
    session: Session,
    tangent: Tangent,
    base: float,
    norm: float,
    analytic: Callable[[Any], float],
) -> Question:
    return Question(
        slice=session.slice(tangent),
        value=session.value,
        analytic=base,
        norm=norm,
        magnitude=session.magnitude,
        step=tangent.step,
        underflow=session.underflow(tangent),
        grain=session.grain(tangent),
        spread=lambda: session.spread(analytic, base),
        again=lambda: session.value_again,
    )


def filled(session: Session, tangent: Tangent) -> Any:
    """The tangent with zeros where a leaf is held."""
    return tuple(
        primal * 0 if v is None else v
        for primal, v in zip(session.problem.primals, tangent.arrays, strict=True)
    )


def _not_finite(session: Session) -> Verdict | None:
    """A verdict where the gradient or the value holds NaN or infinity."""
    problem = session.problem
    for value in problem.values:
        if not np.isfinite(value).all():
            return Inconclusive("the function's value is not finite at the primals")
    for number, gradient in enumerate(session.gradients):
        if gradient is None or math.isfinite(session.gradient_norms[number]):
            continue
        values = problem.backend.asnumpy(gradient)
        bad = ~np.isfinite(values)
        if bad.any():
            return localisation.not_finite(session, number, values, bad)
    return None


def _every_leaf(session: Session, passed: Passed, probes: list[Probe]) -> Verdict:
    """With several leaves: the small gradients, which the large ones hide, on their own."""
    problem = session.problem
    if len(problem.leaves) < 2 or passed.resolution is None:
        return passed
    worst, hidden = passed.resolution, []
    for number, leaf in enumerate(problem.leaves):
        own = session.scales[number] * session.gradient_norms[number]
        share = probes[0].norm
        seen = passed.resolution * share / own if own > 0.0 else math.inf
        if seen <= session.promised:
            worst = max(worst, seen)
            continue
        verdict = localisation.single_leaf(session, number)
        if isinstance(verdict, Passed):
            if verdict.resolution is None:
                hidden.append(f"{leaf.name}: {verdict.note}")
            else:
                worst = max(worst, verdict.resolution)
        else:
            return verdict
    note = "; ".join(part for part in (passed.note, *hidden) if part)
    return replace(passed, resolution=worst, note=note)


def _resampled(
    session: Session, verdict: Inconclusive, check: Callable[[Session], Outcome]
) -> Verdict:
    """Looks again a little beside the kink: a gradient that is wrong there too has failed."""
    problem = session.problem
    tangent = line.draw(problem, session.seed, 5)
    beside = Session(
        problem.at(line.moved(problem, tangent, 2.0**-4)),
        session.seed + 1,
        session.directions,
        localise=session.localise,
        memory=session.memory,
    )
    again = check(beside).verdict if not problem.beside else None
    session.evaluations += beside.evaluations
    if isinstance(again, Failed):
        return replace(again, summary=f"{again.summary} (beside a kink at the primals)")
    if isinstance(again, Passed):
        found = "a little beside it the gradient is right"
        return replace(verdict, reason=f"{verdict.reason}; {found}")
    return verdict
