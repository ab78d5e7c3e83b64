"""Evidence beside the verdict, where it is asked for: Taylor's order, and the complex step."""

from __future__ import annotations

import itertools
import math

from gradcheck_suite.engine import line
from gradcheck_suite.engine.result import Outcome
from gradcheck_suite.engine.session import Session
from gradcheck_suite.errors import UsageError
from gradcheck_suite.numerics.finite_difference import resolution
from gradcheck_suite.numerics.pairing import SPREAD_SAFETY, rounding_spread
from gradcheck_suite.outcome import Failed, Inconclusive, Inequality, Passed, Verdict
from gradcheck_suite.protocols import Arrays

HALVINGS = 8
STANDS_OUT = 64.0
"""A remainder counts where it is this many times what rounding leaves of it."""
SECOND_ORDER = 1.7
TINY_STEP = 2.0**-100
"""h² vanishes beside 1 in every dtype, and h·v is far from underflow."""
ROUNDINGS = 16.0


def taylor(session: Session) -> Outcome:
    """|φ(h) − φ(0) − h⟨g, v⟩| for halved steps: of order 2 where the gradient is right.

    Order 1 is what a wrong gradient shows, and what a kink shows too, so this accuses
    nobody: it passes or is inconclusive.
    """
    before, problem = session.evaluations, session.problem
    tangent = session.tangent(0)
    slope = line.contract(problem.backend, session.gradients, tangent.arrays)
    phi, rows = session.slice(tangent), []
    level = max(abs(session.value), session.magnitude) * problem.machine_epsilon
    for power in range(HALVINGS):
        h = 16.0 * tangent.step * 2.0**-power
        remainder = abs(phi(h) - session.value - h * slope)
        floor = STANDS_OUT * (level + problem.machine_epsilon * abs(h * slope))
        if not remainder > floor:
            break
        rows.append((h, remainder))
    return Outcome("taylor", _order(rows), session.evaluations - before)


def _order(rows: list[tuple[float, float]]) -> Verdict:
    if len(rows) < 3:
        return Passed(note="no remainder stands out of rounding: linear as far as can be seen")
    orders = [math.log2(a / b) for (_, a), (_, b) in itertools.pairwise(rows)]
    shown = ", ".join(f"{order:.2f}" for order in orders)
    steps = f"h = {rows[0][0]:.1e} … {rows[-1][0]:.1e}"
    if orders[-1] >= SECOND_ORDER:
        return Passed(note=f"the remainder shrinks with order {shown} for {steps}")
    return Inconclusive(
        f"the remainder shrinks with order {shown} for {steps}, not 2: the gradient is wrong, "
        "or there is a kink"
    )


def complex_step(session: Session) -> Outcome:
    """⟨g, v⟩ against Im ⟨u, f(x + ihv)⟩/h, which has neither truncation nor cancellation.

    Squire and Trapp, "Using complex variables to estimate derivatives of real functions",
    SIAM Review 40 (1998). What rounding does inside f is measured at perturbed primals.
    """
    problem = session.problem
    if problem.backend.name != "numpy" or any(leaf.is_complex for leaf in problem.leaves):
        raise UsageError(
            "complex_step: it is for NumPy functions of real arrays; leave it out, or give "
            "NumPy arrays"
        )
    before, tangent = session.evaluations, session.tangent(0)
    slope = line.contract(problem.backend, session.gradients, tangent.arrays)
    size = session.scaled_norm(tangent)

    def derivative(primals: Arrays) -> float:
        moved = tuple(
            x if v is None else x + 1j * (TINY_STEP * v)
            for x, v in zip(primals, tangent.arrays, strict=True)
        )
        session.evaluations += 1
        values = problem.evaluate(moved)
        pairs = zip(session.cotangents, values, strict=True)
        return sum(float((u * value).imag.sum()) for u, value in pairs) / TINY_STEP

    try:
        found = derivative(problem.primals)
        others = [derivative(session.perturbed_primals(number)) for number in range(2)]
    except (TypeError, ValueError) as error:
        reason = f"the function takes no complex array: {error}"
        return Outcome("complex_step", Inconclusive(reason))
    rounding = ROUNDINGS * problem.machine_epsilon * (size + abs(found))
    spread = SPREAD_SAFETY * rounding_spread([found, *others])
    inequality = Inequality(
        "|⟨Jᵀu, v⟩ − complex step|",
        abs(slope - found),
        rounding + spread,
        (("rounding", rounding), ("measured rounding", spread)),
    )
    return Outcome(
        "complex_step",
        _judged(session, inequality, size, slope, found),
        session.evaluations - before,
    )


def _judged(
    session: Session, inequality: Inequality, size: float, slope: float, found: float
) -> Verdict:
    """Disagreement counts only where the finite difference is on the complex step's side.

    A function that is not analytic (abs, max, conj) has a complex step that is not its
    derivative.
    """
    if inequality.holds:
        return Passed(inequality, resolution(inequality.tolerance, size))
    tangent = session.tangent(0)
    phi, h = session.slice(tangent), tangent.step
    near, far = phi(h) - phi(-h), phi(2.0 * h) - phi(-2.0 * h)
    plain, coarse = (8.0 * near - far) / (12.0 * h), far / (4.0 * h)
    doubt = abs(plain - coarse) + 1e-6 * abs(plain)
    if not abs(plain - found) <= doubt:
        return Inconclusive(
            f"the function is not analytic where it was looked at: its complex step gives "
            f"{found:.9g}, a finite difference {plain:.9g}",
            inequality,
        )
    sides = (("got", f"{slope:.12g}"), ("complex step", f"{found:.12g}"))
    return Failed("the derivative is not that of the function", sides=sides, inequality=inequality)
