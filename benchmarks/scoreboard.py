"""The scoreboard: implementations × clause families. ``docs/scoreboard.md`` and ``.html``.

    tox run -e scoreboard-keras,scoreboard-liger,…    # one report per environment (tox.ini)
    python -m benchmarks.scoreboard reports/scoreboard

Reads the reports and writes what they say. Every failure is linked to its entry in
``docs/findings.md``; exit code 1 where one has none.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from benchmarks.corpus import ROOT, findings
from gradcheck_suite.addresses import shipped
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.outcome import Record, Status
from gradcheck_suite.reports.line_reading import UNLIMITED, read_report
from gradcheck_suite.specification.clause import clauses

PAGE = ROOT / "docs" / "scoreboard.md"
#: What a cell says, the worst first; each with a sign, so that no colour has to be told apart.
SIGNS = {
    "errored": ("!", "errored"),
    "failed": ("✗", "a MUST or DECLARED clause does not hold"),
    "inconclusive": ("?", "inconclusive"),
    "advice": ("▵", "a SHOULD clause does not hold"),
    "declared": ("○", "declared: taken out of judgement by the dialect"),
    "passed": ("✓", "every case passed"),
    "skipped": ("·", "not offered"),
}


def kind(record: Record) -> str:
    """What an outcome counts as here: a known deviation is a deviation like any other."""
    bad = record.status in (Status.FAILED, Status.INCONCLUSIVE)
    return "advice" if bad and record.level == "SHOULD" else record.standing


@dataclass(frozen=True)
class Deviation:
    """One clause that does not hold.

    Attributes:
        clause, level: which.
        failed, asked: of how many cases.
        reason: what is known of it, or what was seen.
        finding: fragment of its entry in findings.md; empty where there is none.
    """

    clause: str
    level: str
    failed: int
    asked: int
    reason: str
    finding: str


@dataclass(frozen=True)
class Row:
    """One implementation with the versions that it was judged in."""

    declared: Implementation
    versions: str
    quick: bool
    records: tuple[Record, ...]

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def library(self) -> str:
        """Whose it is: what it needs first; the specification's own forms are nobody else's."""
        own = "specification" in self.name.split("-")
        return "gradcheck-suite" if own else (self.declared.requires or ("gradcheck-suite",))[0]

    @property
    def anchor(self) -> str:
        return f"{self.name}-{self.versions}".replace(" ", "-").replace(",", "").replace(".", "")

    @cached_property
    def cells(self) -> Mapping[str, str]:
        """Clause family → the worst kind that happened in it."""
        found: dict[str, set[str]] = {}
        for record in self.records:
            found.setdefault(record.family, set()).add(kind(record))
        return {family: next(k for k in SIGNS if k in kinds) for family, kinds in found.items()}

    @property
    def dtypes(self) -> str:
        return ", ".join(dict.fromkeys(record.dtype for record in self.records))

    @property
    def dialect(self) -> str:
        choices = {k: v for record in self.records for k, v in record.dialect.items()}
        return ", ".join(f"{name}={value}" for name, value in choices.items()) or "PyTorch's"

    @cached_property
    def deviations(self) -> tuple[Deviation, ...]:
        """What does not hold, MUST and DECLARED before SHOULD."""
        groups: dict[tuple[str, str, str], list[Record]] = {}
        for record in self.records:
            if record.status not in (Status.PASSED, Status.SKIPPED):
                key = (record.clause, record.level, record.deviation or record.reason)
                groups.setdefault(key, []).append(record)
        asked = Counter(r.clause for r in self.records if r.status is not Status.SKIPPED)
        found = (
            Deviation(clause, level, len(records), asked[clause], reason, self._finding(clause))
            for (clause, level, reason), records in groups.items()
        )
        return tuple(sorted(found, key=lambda each: each.level == "SHOULD"))

    def _finding(self, clause: str) -> str:
        entries = (each for each in findings() if each.covers(clause, self.name))
        return next((entry.anchor for entry in entries), "")


def rows(paths: Sequence[Path]) -> Iterator[Row]:
    """What each report says of each implementation; said twice of the same versions, the first."""
    known = {each.name: each for each in shipped()}
    seen: set[tuple[str, str]] = set()
    for path in paths:
        run = read_report(str(path), UNLIMITED).run
        libraries = run.provenance.get("libraries", {})
        groups: dict[str, list[Record]] = {}
        for record in run.outcomes:
            groups.setdefault(record.implementation, []).append(record)
        for name, records in groups.items():
            declared = known[name]
            needs = declared.requires or (declared.backend,)
            versions = ", ".join(f"{each} {libraries[each].partition('+')[0]}" for each in needs)
            if (name, versions) not in seen:
                seen.add((name, versions))
                quick = bool(run.provenance.get("quick", False))
                yield Row(declared, versions, quick, tuple(records))


def families() -> tuple[str, ...]:
    """Of every clause, in the order of the specification."""
    return tuple(dict.fromkeys(clause.family for clause in clauses()))


def markdown(board: Sequence[Row]) -> Iterator[str]:
    """The page, as Markdown."""
    yield "# The scoreboard"
    yield ""
    yield "Written by `python -m benchmarks.scoreboard`; do not edit. The same as a page that"
    yield "fits a screen: [scoreboard.html](scoreboard.html)."
    yield ""
    others = [row for row in board if row.library != "gradcheck-suite"]
    yield (
        f"{len(others)} implementations from {len({row.library for row in others})} libraries "
        f"(and {len(board) - len(others)} of this project's own), "
        f"{sum(len(row.records) for row in board):,} outcomes, on CPU. "
        + " ".join(f"`{sign}` {words};" for sign, words in SIGNS.values())
        + " a family shows the worst of its clauses. What deviates is told below, each with a "
        "script in [findings.md](findings.md) that shows it without this project."
    )
    yield ""
    names = families()
    yield f"| implementation | judged with | {' | '.join(names)} |"
    yield f"|---|---|{':-:|' * len(names)}"
    for row in board:
        cells = (SIGNS[row.cells.get(name, "skipped")][0] for name in names)
        link = f"[{row.name}](#{row.anchor})"
        yield f"| {link} | {row.versions} | {' | '.join(cells)} |"
    yield ""
    yield "## What deviates, and in which dialect each was judged"
    for row in board:
        yield ""
        quick = ", quick" if row.quick else ""
        yield f'<a id="{row.anchor}"></a>**{row.name}**, {row.versions}, {row.dtypes}{quick}:'
        yield f"{row.declared.description}. Dialect: {row.dialect}."
        yield ""
        for each in row.deviations:
            found = f"[finding](findings.md#{each.finding})" if each.finding else "**no finding**"
            yield (
                f"- `{each.clause}` ({each.level}), {each.failed} of {each.asked} cases: "
                f"{each.reason}: {found}"
            )
        if not row.deviations:
            yield "- nothing"


def html(board: Sequence[Row]) -> str:
    """The page, as HTML that needs nothing else."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
    )
    template = environment.get_template("scoreboard.html.jinja")
    return template.render(board=board, families=families(), signs=SIGNS)


def main() -> int:
    """Writes both pages; 1 where a failure has no entry in findings.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoreboard", description=__doc__)
    parser.add_argument("reports", type=Path, help="a folder of JSON Lines reports")
    paths = sorted(parser.parse_args().reports.glob("*.json"))
    board = sorted(rows(paths), key=lambda row: (row.library != "gradcheck-suite", row.library))
    PAGE.write_text("\n".join(markdown(board)) + "\n", encoding="utf-8")
    PAGE.with_suffix(".html").write_text(html(board), encoding="utf-8")
    lacking = [
        (row.name, each.clause) for row in board for each in row.deviations if not each.finding
    ]
    for name, clause in lacking:
        print(f"{name}: {clause} does not hold and has no entry in docs/findings.md")
    print(f"{len(board)} implementations")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
