"""Two reports side by side: what fails now and did not, what is gone, what has drifted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Record, Run, Status

#: A margin (error / bound) below this is as good as none: rounding moves it by any factor.
SMALL = 0.01


@dataclass(frozen=True, slots=True)
class Change:
    """One question with its two answers; None where a report does not have it."""

    old: Record | None
    new: Record | None

    @property
    def record(self) -> Record:
        found = self.new or self.old
        assert found is not None
        return found

    @property
    def growth(self) -> float:
        """By which factor error / bound grew, from ``SMALL`` up; 1 where there is none."""
        before, after = (_margin(record) for record in (self.old, self.new))
        if before == after or math.isinf(before):
            return 1.0
        return after / before


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from one report to another.

    Attributes:
        newly_failing: stands in the way now, and did not.
        newly_passing: stood in the way, and passes.
        excused: stood in the way, and now neither does nor passes: skipped, or a known deviation.
        advised: passed, and does not now, in a clause that is advice or under a known deviation.
        unjudged: was judged and good, and is skipped now.
        appeared: only in the new report.
        vanished: only in the old report.
        drifted: error / bound grew by more than the factor, the worst first.
        factor: that factor.
        same: how many answers are as they were.
        circumstances: what differs in the two headers, in words.
        truncated: the new report is: what it lacks is not known.
    """

    newly_failing: tuple[Change, ...]
    newly_passing: tuple[Change, ...]
    excused: tuple[Change, ...]
    advised: tuple[Change, ...]
    unjudged: tuple[Change, ...]
    appeared: tuple[Change, ...]
    vanished: tuple[Change, ...]
    drifted: tuple[Change, ...]
    factor: float
    same: int
    circumstances: tuple[str, ...]
    strict: bool = False
    truncated: bool = False

    @property
    def appeared_failing(self) -> tuple[Change, ...]:
        return tuple(each for each in self.appeared if each.record.decides(strict=self.strict))

    @property
    def regressed(self) -> bool:
        """Whether something fails that did not, or was not asked; or nobody can say."""
        return bool(self.newly_failing or self.appeared_failing or self.truncated)


def compared(old: Run, new: Run, *, factor: float = 10.0) -> Comparison:
    """What changed. What counts as failing is what counts in the new run (strict or not).

    An outcome is found again by implementation, backend, device, clause, case, dtype, and by the
    part where both reports were merged; its seed may be another.

    Raises:
        UsageError: the reports have no question in common.
    """
    parts = all(any(record.part for record in run.outcomes) for run in (old, new))
    before = _by_address(old, new.strict, parts)
    known = len(before)
    found: dict[str, list[Change]] = {name: [] for name in _KINDS}
    same = 0
    for address, record in _by_address(new, new.strict, parts).items():
        change = Change(before.pop(address, None), record)
        kind = _kind(change, new.strict, factor)
        if kind:
            found[kind].append(change)
        else:
            same += 1
    if len(before) == known:
        raise UsageError("report: no question of the old one is in the new one; nothing to compare")
    found["vanished"] = [Change(record, None) for record in before.values()]
    found["drifted"].sort(key=lambda change: -change.growth)
    return Comparison(
        **{name: tuple(changes) for name, changes in found.items()},
        factor=factor,
        same=same,
        circumstances=tuple(_circumstances(old, new)),
        strict=new.strict,
        truncated=new.truncated,
    )


_KINDS = (
    "newly_failing",
    "newly_passing",
    "excused",
    "advised",
    "unjudged",
    "appeared",
    "vanished",
    "drifted",
)


def _kind(change: Change, strict: bool, factor: float) -> str:
    old, new = change.old, change.new
    assert new is not None
    if old is None:
        return "appeared"
    failed, fails = old.decides(strict=strict), new.decides(strict=strict)
    if fails and not failed:
        return "newly_failing"
    if failed and not fails:
        return "newly_passing" if new.status is Status.PASSED else "excused"
    if new.status is Status.SKIPPED and old.status is not Status.SKIPPED:
        return "unjudged"
    if old.status is Status.PASSED and new.status is not Status.PASSED and not fails:
        return "advised"
    return "drifted" if change.growth > factor else ""


def _by_address(run: Run, strict: bool, parts: bool) -> dict[tuple[Any, ...], Record]:
    """Of what was asked more than once (a conflict, another seed), the worst answer."""
    found: dict[tuple[Any, ...], Record] = {}
    for record in run.outcomes:
        address = (
            record.implementation,
            record.backend,
            record.device,
            record.clause,
            record.case,
            record.dtype,
            record.part if parts else "",
        )
        if address not in found or record.decides(strict=strict):
            found[address] = record
    return found


def _margin(record: Record | None) -> float:
    if record is None or record.inequality is None:
        return SMALL
    return max(SMALL, record.inequality.margin)


def _circumstances(old: Run, new: Run) -> Iterator[str]:
    """What differs in the headers and may be why an answer does."""
    if old.truncated:
        yield "the old report is truncated: what it lacks counts as new"
    if new.truncated:
        yield "the new report is truncated: what it lacks counts as vanished"
    if old.strict != new.strict:
        yield f"SHOULD clauses {'count' if new.strict else 'do not count'} now"
    named: tuple[tuple[str, Callable[[Mapping[str, Any]], object]], ...] = (
        ("suite", lambda facts: facts.get("suite", "")),
        ("specification", lambda facts: facts.get("specification", {}).get("digest", "")),
        ("Python", lambda facts: facts.get("python", "")),
        ("platform", lambda facts: facts.get("platform", "")),
        ("processor", lambda facts: facts.get("processor", "")),
        ("seed", lambda facts: facts.get("seed", "")),
        ("commit", lambda facts: facts.get("git", {}).get("commit", "")[:12]),
    )
    for name, fact in named:
        before, after = fact(old.provenance), fact(new.provenance)
        if before != after and "" not in (before, after):
            yield f"{name} {before} → {after}"
    before_all, after_all = (each.provenance.get("libraries", {}) for each in (old, new))
    for name in sorted({*before_all, *after_all}):
        before, after = before_all.get(name, "none"), after_all.get(name, "none")
        if before != after:
            yield f"{name} {before} → {after}"
