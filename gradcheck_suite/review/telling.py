"""A comparison in words: sections for a terminal, and Markdown for a pull request."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gradcheck_suite.outcome import Record
from gradcheck_suite.reports.markdown_text import code, prose
from gradcheck_suite.review.comparing import Change, Comparison

_LINES_AT_MOST = 50  # of a section in Markdown


@dataclass(frozen=True, slots=True)
class Line:
    """The changes of one clause in one implementation.

    Attributes:
        clause: its id.
        place: implementation, backend and device.
        cases: how many, and the first of them.
        said: what happened, in a sentence.
    """

    clause: str
    place: str
    cases: str
    said: str


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of change.

    Attributes:
        name: of the kind.
        bad: whether it is a regression.
        count: of the changes.
        lines: one per clause and implementation.
    """

    name: str
    bad: bool
    count: int
    lines: tuple[Line, ...]


def sections(found: Comparison) -> tuple[Section, ...]:
    """The kinds of change that there are, the worst first."""
    failing = found.appeared_failing
    others = [each for each in found.appeared if not each.record.decides(strict=found.strict)]
    kinds: tuple[tuple[str, bool, Iterable[Change], Callable[[Change], str]], ...] = (
        ("newly failing", True, found.newly_failing, _reason),
        ("new, and failing", True, failing, _reason),
        (f"drifted beyond {found.factor:g}×", False, found.drifted, _drift),
        ("newly advised", False, found.advised, _reason),
        ("no longer judged", False, found.unjudged, _reason),
        ("excused", False, found.excused, _excuse),
        ("vanished", False, found.vanished, lambda change: f"was {change.record.standing}"),
        ("appeared", False, others, lambda change: f"is {change.record.standing}"),
        ("newly passing", False, found.newly_passing, lambda change: f"was: {_before(change)}"),
    )
    made = (_section(name, bad, changes, say) for name, bad, changes, say in kinds)
    return tuple(section for section in made if section.count)


def verdict(found: Comparison) -> str:
    """The comparison in one line."""
    kinds = [f"{each.count} {each.name}" for each in sections(found)]
    said = ", ".join([*kinds, f"{found.same} as before"])
    if found.truncated:
        return f"NOT comparable, the new report is truncated: {said}"
    return f"{'WORSE' if found.regressed else 'no regression'}: {said}"


def as_markdown(found: Comparison, old: str, new: str) -> str:
    """The comparison for a pull request: what is bad open, the rest folded."""
    mark = "❌" if found.regressed else "✅"
    parts = [f"# {mark} Conformance, {code(old)} → {code(new)}", "", prose(verdict(found))]
    if found.circumstances:
        parts += ["", *(f"- {prose(each)}" for each in found.circumstances)]
    for section in sections(found):
        opened = " open" if section.bad else ""
        title = f"<summary>{section.count} {section.name}</summary>"
        parts += [
            "",
            f"<details{opened}>{title}",
            "",
            "| clause | where | cases | |",
            "|---|---|---|---|",
        ]
        for line in section.lines[:_LINES_AT_MOST]:
            cells = (code(line.clause), code(line.place), prose(line.cases, 120), prose(line.said))
            parts.append(f"| {' | '.join(cells)} |")
        if len(section.lines) > _LINES_AT_MOST:
            parts += ["", f"… and {len(section.lines) - _LINES_AT_MOST} more."]
        parts += ["", "</details>"]
    return "\n".join(parts) + "\n"


def _section(
    name: str, bad: bool, changes: Iterable[Change], say: Callable[[Change], str]
) -> Section:
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        groups.setdefault((change.record.clause, _place(change.record)), []).append(change)
    lines = tuple(
        Line(clause, place, _cases(members), say(members[0]))
        for (clause, place), members in groups.items()
    )
    return Section(name, bad, sum(len(members) for members in groups.values()), lines)


def _place(record: Record) -> str:
    part = f", {record.part}" if record.part else ""
    return f"{record.implementation} [{record.backend}, {record.device}{part}]"


def _cases(members: list[Change]) -> str:
    first = members[0].record
    case = f"{first.case.partition('~')[0]}@{first.dtype}"
    return case if len(members) == 1 else f"{len(members)} cases, such as {case}"


def _reason(change: Change) -> str:
    return f"{change.record.status}: {change.record.reason}"


def _before(change: Change) -> str:
    return change.old.reason if change.old else ""


def _excuse(change: Change) -> str:
    return change.record.deviation or change.record.reason


def _drift(change: Change) -> str:
    margins = [
        record.inequality.margin if record and record.inequality else math.nan
        for record in (change.old, change.new)
    ]
    return f"error / bound {margins[0]:.2g} → {margins[1]:.2g}"
