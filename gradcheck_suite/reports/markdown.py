"""Markdown: the verdict, what stands in the way, then the tables. For step summaries.

GitHub shows no step summary above 1 MiB. Everything before and after the stories is small; the
stories fill what is left and are cut between two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from html import escape
from os import PathLike
from pathlib import Path

from gradcheck_suite.outcome import ACCOUNTS, Record, Run, Status
from gradcheck_suite.reports.evidence import one_line, place, provenance, versions, visible
from gradcheck_suite.reports.markdown_text import code, fenced, prose
from gradcheck_suite.story import most_telling, tell
from gradcheck_suite.teeth import Teeth, summary

LIMIT = 1_000_000  # bytes; a step summary may have 1,048,576
_STORY_AT_MOST = 8_000  # characters
_OPEN_AT_MOST = 3  # stories that need no click
_LINES_AT_MOST = 100  # of a table or a list


class Markdown:
    """Writes runs as Markdown."""

    name = "markdown"
    suffixes = (".md",)

    def write(self, run: Run, path: str | PathLike[str]) -> None:
        Path(path).write_text(self.text(run), encoding="utf-8")

    def text(self, run: Run) -> str:
        """The whole document."""
        before = [f"# {'✅' if run.passed else '❌'} Conformance: {run}", ""]
        before += _cut([f"> {prose(note)}\n" for note in run.notes])
        before += _table(run, "implementation", place, lambda record: code(place(record)))
        after = [
            *_folded(f"Teeth: {escape(one_line(summary(run.teeth), 200))}", _teeth(run)),
            *_folded("By clause family", _families(run)),
            *_folded("Known deviations", _listed(run, "known", lambda record: record.deviation)),
            *_folded("Advice", _listed(run, "advice", lambda record: record.reason)),
            *_folded("Declared", _dialects(run) + _listed(run, "declared", lambda r: r.declared)),
            *_folded(
                "Skipped", _listed(run, "skipped", lambda record: record.reason, clauses=False)
            ),
            *_folded("Where this ran", _provenance(run)),
        ]
        left = LIMIT - _bytes(before) - _bytes(after)
        return "\n".join([*before, *_stories(run, left), *after])


def _stories(run: Run, budget: int) -> list[str]:
    failures = most_telling(run.failures)
    if not failures:
        return []
    lines = ["## What stands in the way", ""]
    versions_of = versions(run)
    budget -= _bytes(lines) + 100  # the line that counts the others
    for number, record in enumerate(failures):
        text = tell(record, width=100, versions=versions_of(record))
        if len(text) > _STORY_AT_MOST:
            text = text[:_STORY_AT_MOST] + "\n… (cut)"
        names = (record.clause, place(record), record.case, record.dtype)
        title = f"<b>{record.status.upper()}</b> {' · '.join(_html(name) for name in names)}"
        opened = " open" if number < _OPEN_AT_MOST else ""
        story = [
            f"<details{opened}><summary>{title}</summary>",
            "",
            fenced(visible(text)),
            "",
            "</details>",
            "",
        ]
        budget -= _bytes(story)
        if budget < 0:
            return [*lines, f"… and {len(failures) - number} more.", ""]
        lines += story
    return lines


def _table(
    run: Run, heading: str, key: Callable[[Record], object], shown: Callable[[Record], str]
) -> list[str]:
    """Outcomes counted by ``key``, what failed first; a column where something counts."""
    rows: dict[object, list[Record]] = {}
    for record in run.outcomes:
        rows.setdefault(key(record), []).append(record)
    if not rows:
        return []
    accounts = {name: Counter(r.account(strict=run.strict) for r in rows[name]) for name in rows}
    total = sum(accounts.values(), Counter())
    columns = [account for account in ACCOUNTS if total[account]]
    failing = {name: sum(r.decides(strict=run.strict) for r in rows[name]) for name in rows}
    lines = []
    for name in sorted(rows, key=lambda name: -failing[name]):
        ran = any(record.status is not Status.SKIPPED for record in rows[name])
        mark = "❌" if failing[name] else "✅" if ran else "·"
        counts = [str(accounts[name][column] or "") for column in columns]
        cells = [mark, shown(rows[name][0]), *counts, _margin(rows[name])]
        lines.append(f"| {' | '.join(cells)} |")
    head = f"|  | {heading} | {' | '.join(columns)} | error / bound |"
    return [head, "|---|---|" + "--:|" * (len(columns) + 1), *_cut(lines), ""]


def _families(run: Run) -> list[str]:
    return _table(
        run,
        "implementation and clauses",
        lambda record: (place(record), record.family),
        lambda record: f"{code(place(record))} {code(record.family)}",
    )


def _margin(records: Iterable[Record]) -> str:
    """The largest error / bound among the cases that passed."""
    passed = [r for r in records if r.status is Status.PASSED and r.inequality is not None]
    return f"{max(r.inequality.margin for r in passed if r.inequality):.2f}" if passed else ""


def _listed(
    run: Run, account: str, why: Callable[[Record], str], *, clauses: bool = True
) -> list[str]:
    """One line per reason, with how many outcomes have it, the most frequent first."""
    lines: Counter[str] = Counter()
    for record in run.outcomes:
        if record.account(strict=run.strict) == account:
            clause = f", {code(record.clause)}" if clauses else ""
            lines[f"{code(record.implementation)}{clause}: {prose(why(record))}"] += 1
    return _cut([f"- {line} (×{number})" for line, number in lines.most_common()])


def _teeth(run: Run) -> list[str]:
    """What was planted in the answers of each implementation, and whether it was caught."""
    places: dict[str, list[Teeth]] = {}
    for teeth in run.teeth:
        places.setdefault(place(teeth), []).append(teeth)
    return _cut([f"- {code(where)}: {prose(summary(each))}" for where, each in places.items()])


def _dialects(run: Run) -> list[str]:
    """The choices that each implementation declares."""
    lines: dict[str, None] = {}
    for record in run.outcomes:
        if record.dialect:
            choices = ", ".join(code(f"{name}={value}") for name, value in record.dialect.items())
            lines[f"- {code(record.implementation)}: dialect {choices}"] = None
    return _cut(list(lines))


def _provenance(run: Run) -> list[str]:
    rows = [f"| {code(name)} | {code(value)} |" for name, value in provenance(run).items()]
    return ["|  |  |", "|---|---|", *_cut(rows)] if rows else []


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]


def _cut(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - _LINES_AT_MOST
    return list(lines) if rest <= 0 else [*lines[:_LINES_AT_MOST], "", f"… and {rest} more.", ""]


def _html(text: str) -> str:
    return f"<code>{escape(one_line(text, 120))}</code>"


def _bytes(lines: Iterable[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)


REPORTS = (Markdown(),)
