"""What the page says without a script: the verdict, the grid, declarations, where it ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gradcheck_suite.outcome import Record, Run
from gradcheck_suite.reports.evidence import provenance, versions, visible
from gradcheck_suite.reports.html_outcomes import DECIDING, FIGURES, KINDS, SIGNS, WORDS, cut
from gradcheck_suite.story import facts, headline, most_telling
from gradcheck_suite.teeth import Planted, Teeth, summary

STORIES_AT_MOST = 50
"""Stories that a browser without scripts shows."""
TEXT_AT_MOST = 2_000
"""Characters of one text in them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One implementation's outcomes in one clause family.

    Attributes:
        kind: the worst that happened.
        sign: of it, with how often where it is bad.
        words: all that happened.
        address: the fragment that shows these outcomes.
    """

    kind: str
    sign: str
    words: str
    address: str


def overview(run: Run) -> dict[str, Any]:
    """The names that the template uses."""
    kinds = [record.account(strict=run.strict) for record in run.outcomes]
    counts = Counter(kinds)
    return {
        "run": run,
        "verdict": _verdict(run),
        "started": str(run.provenance.get("started", ""))[:16].replace("T", " "),
        "counts": [(each, counts[each], _word(each, counts[each])) for each in KINDS],
        "signs": SIGNS,
        "figures": FIGURES,
        "total": len(run.outcomes),
        "families": _families(run),
        "grid": _grid(run, kinds),
        "numbers": _numbers(run),
        "dialects": _dialects(run),
        "teeth": _teeth(run),
        "limitations": _grouped(run, lambda record: record.declared),
        "deviations": _grouped(run, lambda record: record.deviation),
        "provenance": _provenance(run),
        "stories": _stories(run),
        "untold": max(0, len(run.failures) - STORIES_AT_MOST),
    }


def _verdict(run: Run) -> tuple[str, str]:
    """Tone and words."""
    if not run.executed:
        return "errored", "Nothing was judged"
    if run.truncated and not run.failures:
        return "inconclusive", "Cut off"
    return ("passed", "Passed") if run.passed else ("failed", "Not passed")


def _numbers(run: Run) -> list[tuple[str, str]]:
    """What was run, in figures."""
    records = run.outcomes
    several = {
        "implementation": len({(record.implementation, record.backend) for record in records}),
        "clause": len({record.clause for record in records}),
        "outcome": len(records),
    }
    numbers = [(f"{count:,}", name + "s" * (count != 1)) for name, count in several.items()]
    for names in ({r.backend for r in records}, {r.dtype for r in records}):
        if names:
            numbers.append(("", ", ".join(sorted(names))))
    return numbers


def _families(run: Run) -> list[str]:
    return sorted({record.family for record in run.outcomes})


def _grid(run: Run, kinds: Sequence[str]) -> list[tuple[str, str, list[tuple[str, Cell | None]]]]:
    """(implementation, where, cells by family), in the order in which they ran."""
    found: dict[tuple[str, str, str], dict[str, Counter[str]]] = {}
    for record, each in zip(run.outcomes, kinds, strict=True):
        row = found.setdefault((record.implementation, record.backend, record.part), {})
        row.setdefault(record.family, Counter())[each] += 1
    families = _families(run)
    rows = []
    for (implementation, backend, part), row in found.items():
        names = {"implementation": implementation, "backend": backend, "part": part}
        cells = [
            (family, _cell(names | {"family": family}, row.get(family))) for family in families
        ]
        rows.append((implementation, " · ".join(filter(None, (backend, part))), cells))
    return rows


def _cell(names: Mapping[str, str], counts: Counter[str] | None) -> Cell | None:
    if counts is None:
        return None
    worst = next(each for each in KINDS if counts[each])
    number = counts[worst] if worst in (*DECIDING, "known", "advice") else 0
    address = {"status": worst if number else "all", **names}
    parts = (f"{name}={quote(visible(text), safe='')}" for name, text in address.items() if text)
    return Cell(
        kind=worst,
        sign=f"{SIGNS[worst]} {number}" if number else SIGNS[worst],
        words=", ".join(
            f"{counts[each]} {_word(each, counts[each])}" for each in KINDS if counts[each]
        ),
        address=f"#{'&'.join(parts)}",
    )


def _word(each: str, number: int) -> str:
    return WORDS.get(each, each) + "s" * (each == "known" and number != 1)


def _dialects(run: Run) -> list[tuple[str, list[str]]]:
    """(implementation, its choices)."""
    found: dict[str, dict[str, None]] = {}
    for record in run.outcomes:
        for name, value in record.dialect.items():
            found.setdefault(record.implementation, {})[f"{name} = {value}"] = None
    return [(name, list(choices)) for name, choices in found.items()]


def _teeth(run: Run) -> list[tuple[str, str, bool, list[tuple[str, str, Planted]]]]:
    """(implementation, summary, whether shown, (dtype, size, planted error))."""
    places: dict[str, list[Teeth]] = {}
    for teeth in run.teeth:
        where = (teeth.implementation, teeth.backend, teeth.device, teeth.part)
        places.setdefault(" · ".join(filter(None, where)), []).append(teeth)
    return [
        (
            name,
            summary(several),
            all(teeth.shown for teeth in several),
            [(t.dtype, f"{each.size:.1g}", each) for t in several for each in t.planted],
        )
        for name, several in places.items()
    ]


def _grouped(run: Run, said: Callable[[Record], str]) -> list[tuple[str, str, str, int]]:
    """(implementation, clause, sentence, how often)."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for record in run.outcomes:
        if said(record):
            counts[record.implementation, record.clause, said(record)] += 1
    return [(*key, number) for key, number in counts.items()]


def _stories(run: Run) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(account, headline, facts) of the first failures, the most telling ones before the others."""
    versions_of = versions(run)
    return [
        (
            record.account(strict=run.strict),
            cut(headline(record, versions_of(record)), TEXT_AT_MOST),
            [
                (label, cut(text, TEXT_AT_MOST))
                for label, text in (*facts(record), ("replay", record.replay))
                if text
            ],
        )
        for record in most_telling(run.failures)[:STORIES_AT_MOST]
    ]


def _provenance(run: Run) -> list[tuple[str, dict[str, str]]]:
    """(name of a part, what it says of where it ran): one part, or those that were merged."""
    names = [str(part.get("name", "")) for part in run.provenance.get("parts", ())]
    own = {
        name: text
        for name, text in provenance(run).items()
        if not name.startswith(tuple(f"{visible(part)}: " for part in names))
    }
    return [("", own), *((name, provenance(run, name)) for name in names)]
