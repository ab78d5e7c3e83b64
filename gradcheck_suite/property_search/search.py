"""From many cases to one verdict: the first failure, made small, or the closest pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from gradcheck_suite.case import Case
from gradcheck_suite.outcome import Errored, Failed, Passed, Skipped, Verdict
from gradcheck_suite.property_search.shrink import shrink

Ask = Callable[[Case], Verdict]


def search(cases: Iterable[Case], ask: Ask) -> tuple[Case | None, Verdict]:
    """Asks case after case.

    Returns:
        The smallest case found that fails or errors, with its verdict; or None, with a pass
        whose inequality is the closest one, or with the commonest reason why none applied.
    """
    closest: Passed | None = None
    total, held = 0, 0
    reasons: Counter[str] = Counter()
    for case in cases:
        total += 1
        verdict = ask(case)
        if isinstance(verdict, Failed | Errored):
            return _smallest(case, verdict, ask)
        if isinstance(verdict, Passed):
            held += 1
            if closest is None or _margin(verdict) > _margin(closest):
                closest = verdict
        else:
            reasons[verdict.reason] += 1
    if closest is not None:
        return None, replace(closest, note=f"holds in {held} of {total} generated cases")
    if not reasons:
        return None, Skipped("no case that the clause speaks of was generated")
    return None, Skipped(f"in all {total} generated cases: {reasons.most_common(1)[0][0]}")


def _smallest(case: Case, verdict: Failed | Errored, ask: Ask) -> tuple[Case, Verdict]:
    """The case made small, as long as it fails; one that errors, as long as the error is one."""
    if isinstance(verdict, Errored) and not verdict.reason.startswith("raises"):
        return case, verdict  # it ran out of time, or ended the process: not to be repeated
    answers: list[Verdict] = [verdict]

    def fails(candidate: Case) -> bool:
        answer = ask(candidate)
        same = _kind(answer) == _kind(verdict)
        if same:
            answers.append(answer)
        return same

    return shrink(case, fails), answers[-1]  # what fails is adopted, so the last is the smallest's


def _kind(verdict: Verdict) -> str:
    """What must stay the same while a case is made smaller."""
    if isinstance(verdict, Errored):
        return verdict.reason.partition(":")[0]
    return verdict.status.value


def _margin(passed: Passed) -> float:
    return -1.0 if passed.inequality is None else passed.inequality.margin
