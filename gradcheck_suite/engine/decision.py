"""From probes to a verdict: how many directions, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from gradcheck_suite.engine.evidence import (
    Finding,
    Probe,
    Question,
    first_look,
    reached,
    target,
)
from gradcheck_suite.engine.session import Session
from gradcheck_suite.engine.settling import settle
from gradcheck_suite.outcome import Failed, Inconclusive, Inequality, Passed, Verdict

Ask = Callable[[int], Question]
"""The question along direction number k."""
WITNESSES = {"float64": 1, "float32": 1, "float16": 3, "bfloat16": 3}
"""Directions that must be refuted to convict: in half precision one stencil proves little."""
STRUCTURE_WITNESSES = 2
"""So many more for every direction along which the function shows fine structure."""
MOST_DIRECTIONS = {"float64": 6, "float32": 8, "float16": 16, "bfloat16": 16}
"""Directions that a verdict may take, undecided ones included; a settled one costs about 150
evaluations in float64, 120 in float32, 60 in half precision."""


def decide(session: Session, ask: Ask, quantity: str) -> tuple[list[Probe], Verdict]:
    """Asks along one direction after another until the verdict is clear.

    A direction that stays in doubt rules a pass out, and the next ones may still convict: an
    error of 1 % is within four times a direction's own error for one direction in three.
    Where one shows fine structure, the function is taken to have it until two more directions
    than the usual see none.
    """
    dtype = session.problem.dtype
    most = max(MOST_DIRECTIONS[dtype], session.directions)
    probes: list[Probe] = []
    accused: list[Probe] = []
    doubtful: list[Probe] = []
    while len(probes) < most:
        probe = _asked(session, ask(len(probes)), most)
        probes.append(probe)
        if probe.finding is Finding.KINK:
            return probes, _undecided(session, probe, quantity)
        if probe.finding is Finding.REFUTED:
            accused.append(probe)
        elif probe.finding is not Finding.AGREES:
            doubtful.append(probe)
        structured = sum(bool(one.doubt) for one in doubtful)
        if len(accused) >= WITNESSES[dtype] + STRUCTURE_WITNESSES * structured:
            return probes, _failed(accused[0], quantity)
        enough = len(probes) >= session.directions and _enough(session, probes)
        if enough and not accused and not doubtful:
            return probes, _passed(session, probes, quantity)
    for undecided in (doubtful, accused):
        if undecided:
            return probes, _undecided(session, undecided[0], quantity)
    return probes, _undecided(session, max(probes, key=lambda one: one.tolerance), quantity, probes)


def _asked(session: Session, question: Question, most: int) -> Probe:
    """One direction: at a glance where that agrees and tells enough, else settled."""
    dtype, epsilon = session.problem.dtype, session.problem.machine_epsilon
    wanted = target(question.norm, session.promised, _comfortable(dtype))
    probe = first_look(question, epsilon, wanted)
    if probe.finding is Finding.AGREES and not probe.still:
        hopeless = target(probe.norm, session.promised, most)
        if probe.tolerance <= max(hopeless, zero_level(session, probe)):
            return probe
    return settle(question, probe, dtype, epsilon, wanted)


def zero_level(session: Session, probe: Probe) -> float:
    """The tolerance at which a vanishing gradient counts as seen, in |value| / |primal|.

    Where ‖g‖ is below what a finite difference can resolve (constant functions, minima),
    the scale is the value's own: promised · |value| / |primal| per unit of the primal.
    """
    if probe.norm > probe.tolerance:
        return 0.0
    level = session.reach * probe.level(session.problem.machine_epsilon)
    return target(level, session.promised, 6)


def _comfortable(dtype: str) -> int:
    """The number of directions that a first look aims to get along with."""
    return {"float64": 2, "float32": 3}.get(dtype, 8)


def _enough(session: Session, probes: list[Probe]) -> bool:
    if reached(probes) <= session.promised:
        return True
    worst = max(probes, key=lambda probe: probe.tolerance)
    if not worst.tolerance <= zero_level(session, worst):
        return False
    # As many directions as it takes to miss a gradient of the value's own scale once in 1e6:
    # along a single one a gradient that is there may vanish by chance.
    level = session.reach * worst.level(session.problem.machine_epsilon)
    return reached(probes, level) <= session.promised


def _passed(session: Session, probes: list[Probe], quantity: str) -> Passed:
    worst = max(probes, key=lambda probe: probe.error / max(probe.tolerance, 5e-324))
    inequality = Inequality(f"|{quantity}|", worst.error, worst.tolerance, worst.terms)
    resolved = reached(probes)
    if resolved <= session.promised:
        several = f"{len(probes)} directions" if len(probes) > 1 else ""
        return Passed(inequality, resolved, several)
    return Passed(
        inequality,
        None,
        f"the gradient is zero to within {worst.tolerance:.1e} (|f| = {abs(worst.value):.1e})",
    )


def _failed(probe: Probe, quantity: str) -> Failed:
    inequality = Inequality(f"|{quantity}|", probe.error, probe.tolerance, probe.terms)
    sides = (
        ("got", f"{probe.analytic:.9g}"),
        ("finite difference", f"{probe.derivative:.9g} ± {float(probe.estimate.error):.1e}"),
    )
    return Failed("the derivative is not that of the function", sides=sides, inequality=inequality)


def _undecided(
    session: Session, probe: Probe, quantity: str, probes: list[Probe] | None = None
) -> Inconclusive:
    inequality = Inequality(f"|{quantity}|", probe.error, probe.tolerance, probe.terms)
    noise = probe.noise or 0.0
    level = max(abs(probe.value), probe.magnitude) * session.problem.machine_epsilon
    estimate = probe.estimate
    if probe.finding is Finding.KINK and probe.slopes is not None:
        slopes = probe.slopes
        reason = (
            f"kink: the one-sided slopes are {float(slopes.left):.6g} ± "
            f"{float(slopes.left_error):.0e} from the left and {float(slopes.right):.6g} ± "
            f"{float(slopes.right_error):.0e} from the right; the derivative given is "
            f"{probe.analytic:.6g}"
        )
    elif probe.doubt:
        reason = probe.doubt
    elif not math.isfinite(float(estimate.error)):
        reason = "the function is not finite around the primals, at any step tried"
    elif noise > 8.0 * level:
        reason = (
            f"noise: the function jitters by {noise:.1e} (rounding explains {level:.1e}), too "
            "much for its finite difference"
        )
    elif probe.finding is Finding.UNDECIDED:
        reason = (
            "the finite differences do not settle: they disagree with the derivative, and not "
            "clearly enough with themselves at other steps to accuse it"
        )
    else:
        reason = (
            f"resolution: rounding and truncation of the finite difference leave "
            f"{probe.tolerance:.1e} of ‖g‖ = {probe.norm:.1e}"
        )
    return Inconclusive(reason, inequality, reached(probes or [probe]), session.promised)
