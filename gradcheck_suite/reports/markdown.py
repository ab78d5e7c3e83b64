"""Markdown: a table per implementation, failures first. For step summaries and pull requests."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from gradcheck_suite.outcome import STANDINGS, Record, Run
from gradcheck_suite.story import tell

#: A step summary is cut at 1 MiB; stories beyond this many are counted instead.
STORIES_AT_MOST = 200


class Markdown:
    """Writes runs as Markdown."""

    name = "markdown"
    suffixes = (".md",)

    def write(self, run: Run, path: str | PathLike[str]) -> None:
        Path(path).write_text(self.text(run), encoding="utf-8")

    def text(self, run: Run) -> str:
        """The whole document."""
        parts = [f"# Conformance: {run}", ""]
        parts += [f"> {note}\n" for note in run.notes]
        failures = run.failures
        if failures:
            parts += ["## What stands in the way", ""]
            versions = run.provenance.get("libraries", {})
            for record in failures[:STORIES_AT_MOST]:
                parts += [_fenced(tell(record, width=100, versions=versions)), ""]
            if len(failures) > STORIES_AT_MOST:
                parts += [f"… and {len(failures) - STORIES_AT_MOST} more.", ""]
        parts += ["## By implementation and clause family", "", *_table(run), ""]
        parts += _declared(run)
        return "\n".join(parts)


def _declared(run: Run) -> list[str]:
    """The choices that each implementation declares, and what they take out of judgement."""
    lines: dict[str, None] = {}
    for record in run.outcomes:
        if record.dialect:
            choices = ", ".join(f"`{name}={value}`" for name, value in record.dialect.items())
            lines[f"- {record.implementation}: dialect {choices}"] = None
    sentences: dict[str, int] = {}
    for record in run.declared:
        line = f"- {record.implementation}, {record.clause}: {record.declared}"
        sentences[line] = sentences.get(line, 0) + 1
    lines |= {f"{line} (×{count})": None for line, count in sentences.items()}
    return ["## Declared", "", *lines, ""] if lines else []


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks inside it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"


def _table(run: Run) -> list[str]:
    rows: dict[tuple[str, str, str], list[Record]] = {}
    for record in run.outcomes:
        rows.setdefault((record.implementation, record.backend, record.family), []).append(record)
    lines = [
        "| implementation | backend | family | " + " | ".join(STANDINGS) + " |",
        "|---|---|---|" + "--:|" * len(STANDINGS),
    ]
    for (implementation, backend, family), records in rows.items():
        counts = [sum(record.standing == standing for record in records) for standing in STANDINGS]
        cells = " | ".join(str(count) if count else "" for count in counts)
        name = implementation.replace("|", "\\|")
        lines.append(f"| {name} | {backend} | {family} | {cells} |")
    return lines


REPORTS = (Markdown(),)
