"""Hessian-vector products against the finite difference of the gradient, and symmetry."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from gradcheck_suite.engine import line, memory
from gradcheck_suite.engine.decision import decide
from gradcheck_suite.engine.evidence import Question
from gradcheck_suite.engine.first_order import filled
from gradcheck_suite.engine.line import Tangent
from gradcheck_suite.engine.problem import Problem
from gradcheck_suite.engine.result import Outcome, judged
from gradcheck_suite.engine.session import Session
from gradcheck_suite.errors import Unsupported
from gradcheck_suite.numerics.pairing import SPREAD_SAFETY, rounding_spread
from gradcheck_suite.outcome import Failed, Inconclusive, Inequality, Passed, Skipped, Verdict

GRADIENT_ROUNDINGS = 8.0


def second(session: Session) -> Outcome:
    """⟨w, H v⟩ against the finite difference of ⟨w, ∇⟨u, f⟩(x + h·v)⟩; then H = Hᵀ.

    The symmetry ⟨w, H v⟩ = ⟨v, H w⟩ has no truncation error and is judged by rounding,
    measured where the first allowance does not suffice.
    """
    problem, before = session.problem, session.evaluations
    if problem.handwritten or "second" not in problem.backend.modes:
        return Outcome("second", Skipped("no second order: the gradient is handwritten"))
    if any(leaf.is_complex for leaf in problem.leaves):
        return Outcome("second", Skipped("no second order for complex primals"))

    refusal = memory.refusal(problem, session.memory)
    if refusal:
        return Outcome("second", Skipped(refusal))
    latest: list[Products] = []

    def ask(number: int) -> Question:
        latest.clear()
        v, w = session.tangent(number), line.draw(problem, session.seed, 10, number)
        latest.append(Products(v, w, *product(session, problem.primals, v, w)))
        return _question(session, latest[0])

    try:
        _, verdict = decide(session, ask, "⟨w, H v⟩ − finite difference of ⟨w, Jᵀu⟩")
        if isinstance(verdict, Passed):
            symmetric = _symmetric(session, latest[0], verdict.inequality)
            verdict = symmetric if isinstance(symmetric, Failed) else _with_need(problem, verdict)
    except Unsupported as reason:
        return Outcome("second", Skipped(str(reason)))
    except _NotFinite as found:
        undecided = Inconclusive(f"not finite: the Hessian-vector product gives {found}")
        return Outcome("second", undecided, session.evaluations - before)
    return Outcome("second", verdict, session.evaluations - before)


class _NotFinite(Exception):
    """The Hessian-vector product gave NaN or infinity."""


def _with_need(problem: Problem, passed: Passed) -> Passed:
    needs = memory.needed(problem)
    if needs < memory.WORTH_SAYING:
        return passed
    said = f"needs about {needs:.0f} MiB beside the primals"
    return replace(passed, note="; ".join(part for part in (passed.note, said) if part))


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Two directions, ⟨w, H v⟩ and ‖S H v‖."""

    v: Tangent
    w: Tangent
    inner: float
    size: float


def product(session: Session, primals: Any, v: Tangent, w: Tangent) -> tuple[float, float]:
    """⟨w, H v⟩ and ‖S H v‖."""
    problem = session.problem
    _, seconds = problem.backend.hvp(
        problem.function, primals, session.cotangents, filled(session, v)
    )
    inner = line.contract(problem.backend, w.arrays, seconds)
    return inner, line.scaled_norm(problem, w, seconds)


def _question(session: Session, known: Products) -> Question:
    problem, backend = session.problem, session.problem.backend
    v, w, base, size = known.v, known.w, known.inner, known.size
    if not math.isfinite(base):
        raise _NotFinite(base)

    def projected(h: float) -> float:
        session.evaluations += 1
        primals = line.moved(problem, v, h)
        return line.contract(backend, w.arrays, session.pull(primals, session.cotangents))

    return Question(
        slice=projected,
        value=line.contract(backend, w.arrays, session.gradients),
        analytic=base,
        norm=size,
        # A gradient's elements carry several roundings each, the value's last one only one.
        magnitude=GRADIENT_ROUNDINGS * session.scaled_norm(w),
        step=v.step,
        underflow=session.underflow(w),
        grain=session.grain(v),
        spread=lambda: session.spread(lambda at: product(session, at, v, w)[0], base),
    )


def _symmetric(session: Session, seen: Products, known: Inequality | None) -> Verdict:
    """Symmetry by rounding; below the finite difference's error two products look the same."""
    problem = session.problem
    v, w, forth, size = seen.v, seen.w, seen.inner, seen.size
    back, other = product(session, problem.primals, w, v)
    first = 8.0 * problem.machine_epsilon * math.hypot(size, other)
    inequality = Inequality("|⟨w, H v⟩ − ⟨v, H w⟩|", abs(forth - back), first)
    if inequality.holds:
        return Passed(inequality)
    shaken = [session.perturbed_primals(number) for number in range(3)]
    spread = max(
        rounding_spread([forth, *(product(session, at, v, w)[0] for at in shaken)]),
        rounding_spread([back, *(product(session, at, w, v)[0] for at in shaken)]),
    )
    measured = max(SPREAD_SAFETY * spread, known.tolerance if known else 0.0)
    inequality = Inequality(
        "|⟨w, H v⟩ − ⟨v, H w⟩|",
        abs(forth - back),
        first + measured,
        (("rounding", first), ("measured", measured)),
    )
    sides = (("⟨w, H v⟩", f"{forth:.9g}"), ("⟨v, H w⟩", f"{back:.9g}"))
    return judged(inequality, Failed("the Hessian-vector product is not symmetric", sides=sides))
