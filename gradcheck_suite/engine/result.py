"""What ``gradcheck`` returns: outcomes per check, printable at 80 columns."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, field, replace

from gradcheck_suite.outcome import (
    Errored,
    Failed,
    Inconclusive,
    Inequality,
    Judged,
    Passed,
    Skipped,
    Status,
    Verdict,
)

WIDTH = 80
SIGNS = {
    Status.PASSED: "✓",
    Status.FAILED: "✗",
    Status.INCONCLUSIVE: "?",
    Status.SKIPPED: "–",
    Status.ERRORED: "!",
}


@dataclass(frozen=True, slots=True)
class Outcome(Judged):
    """One check's verdict.

    Attributes:
        check: name of the check, as in ``checks=``.
        verdict: what was found.
        evaluations: values of the function that were used.
    """

    check: str
    verdict: Verdict
    evaluations: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """The outcomes of one ``gradcheck``. Falsy unless it passed; ``print`` it.

    Attributes:
        function: name of the function.
        primals: what was differentiated, for example ``("x: 64×1000 float64",)``.
        backend: name and version, for example ``torch 2.13.0``.
        device: where it ran.
        seed: seed of every direction; the same seed gives the same result.
        outcomes: one per check.
        notes: what the reader should know beside the verdicts.
        teeth: planted errors and whether they were caught, if asked for.
    """

    function: str
    primals: tuple[str, ...]
    backend: str
    device: str
    seed: int
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    teeth: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Something was judged, and nothing failed, errored or was inconclusive."""
        judged = [one for one in self.outcomes if one.status is not Status.SKIPPED]
        return bool(judged) and all(one.status is Status.PASSED for one in judged)

    @property
    def status(self) -> Status:
        """The worst of the outcomes."""
        order = (Status.FAILED, Status.ERRORED, Status.INCONCLUSIVE, Status.PASSED)
        found = {one.status for one in self.outcomes}
        return next((status for status in order if status in found), Status.SKIPPED)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes that stand between this result and ``passed``."""
        return tuple(
            one for one in self.outcomes if one.status not in (Status.PASSED, Status.SKIPPED)
        )

    @property
    def resolution(self) -> float | None:
        """The worst resolution of the checks that passed."""
        found = [one.resolution for one in self.outcomes if one.resolution is not None]
        return max(found) if found else None

    def __bool__(self) -> bool:
        return self.passed

    def __getitem__(self, check: str) -> Outcome:
        for one in self.outcomes:
            if one.check == check:
                return one
        raise KeyError(check)

    def __str__(self) -> str:
        head = f"{self.status.upper()} {self.function}  [{self.backend}, {self.device}]"
        lines = [head, *_wrapped("  primals  ", ", ".join(self.primals))]
        for one in self.outcomes:
            lines.extend(_story(one))
        lines += [line for note in self.notes for line in _wrapped("  note     ", note)]
        lines += [line for tooth in self.teeth for line in _wrapped("  teeth    ", tooth)]
        if not self.passed:
            lines += _wrapped("  replay   ", f"the same call with seed={self.seed}")
        return "\n".join(lines)


def judged(inequality: Inequality, failure: Failed, note: str = "") -> Verdict:
    """Passed, failed, or inconclusive where a side of the inequality is not finite.

    NaN is no reason to accuse one route of disagreeing with another: whether it belongs
    there is the reverse check's question.
    """
    if inequality.holds:
        return Passed(inequality, note=note)
    if not (math.isfinite(inequality.error) and math.isfinite(inequality.tolerance)):
        return Inconclusive("not finite: there are no numbers to compare")
    return replace(failure, inequality=inequality)


def _story(outcome: Outcome) -> list[str]:
    verdict = outcome.verdict
    start = f"  {SIGNS[outcome.status]} {outcome.check}"
    if isinstance(verdict, Passed):
        parts = [_short(verdict.inequality)] if verdict.inequality else []
        if verdict.resolution is not None:
            parts.append(f"sees errors of {verdict.resolution:.0e}·‖g‖")
        if verdict.note:
            parts.append(verdict.note)
        return _wrapped(f"{start:<15}", "; ".join(parts) or "holds")
    if isinstance(verdict, Skipped):
        return _wrapped(f"{start:<15}", verdict.reason)
    if isinstance(verdict, Errored):
        return _wrapped(f"{start:<15}", verdict.reason)
    if isinstance(verdict, Inconclusive):
        lines = _wrapped(f"{start:<15}", f"inconclusive: {verdict.reason}")
        if verdict.inequality:
            lines += _wrapped("    bound    ", str(verdict.inequality))
        if verdict.resolution is not None and verdict.promised is not None:
            text = f"{verdict.resolution:.0e} reached, {verdict.promised:.0e} promised"
            lines += _wrapped("    resolves ", text)
        return lines
    lines = _wrapped(f"{start:<15}", verdict.summary)
    if verdict.at:
        lines += _wrapped("    at       ", verdict.at)
    lines += [
        line for name, text in verdict.sides for line in _wrapped("             ", f"{name} {text}")
    ]
    if verdict.inequality:
        lines += _wrapped("    bound    ", str(verdict.inequality))
    if verdict.looks:
        lines += _wrapped("    looks    ", verdict.looks)
    return lines


def _short(inequality: Inequality) -> str:
    sign = "≤" if inequality.holds else ">"
    return f"{inequality.quantity} = {inequality.error:.1e} {sign} {inequality.tolerance:.1e}"


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [start.rstrip()]
