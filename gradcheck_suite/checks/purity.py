"""Purity: what a call must leave as it was."""

from __future__ import annotations

from gradcheck_suite.case import Case
from gradcheck_suite.outcome import Failed, Passed, Verdict
from gradcheck_suite.protocols import Check, Subject


def global_state(subject: Subject, case: Case) -> Verdict:
    """Every process-wide setting after forward and backward equals what it was before."""
    changes = subject.state_changes(case)
    if not changes:
        return Passed(note="every setting is as it was")
    name, (before, after) = next(iter(changes.items()))
    return Failed(
        f"the call changes {', '.join(changes)}",
        at=name,
        sides=(("before", _short(before)), ("after", _short(after))),
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


CHECKS = (Check("global-state", global_state, cost=3),)
