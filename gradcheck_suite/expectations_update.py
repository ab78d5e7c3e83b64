"""Rewrites a file of expectations so that it says what a run saw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from os import PathLike
from pathlib import Path

import tomlkit

from gradcheck_suite.expectations import Expectation, Expectations
from gradcheck_suite.outcome import Errored, Record, Run, Skipped


@dataclass(frozen=True, slots=True)
class Update:
    """What a rewriting did: the new text, and a line for every change.

    Attributes:
        text: the file as it should be; comments and order are kept.
        changes: what was removed, widened and added.
        left: what a person has to decide.
    """

    text: str
    changes: tuple[str, ...]
    left: tuple[str, ...]


def updated(path: str | PathLike[str], run: Run, *, today: date | None = None) -> Update:
    """The file brought up to date with a run.

    An entry whose outcomes all pass is removed; a bound that an error exceeds is widened to that
    error; what fails and is expected by no entry gets one. An entry that speaks of nothing in
    this run is left alone: the run may have been one of several.

    Raises:
        UsageError: there is such a file and it cannot be read.
    """
    today = today or date.today()
    place = Path(path)
    text = place.read_text(encoding="utf-8") if place.exists() else ""
    known = Expectations.read(path) if place.exists() else Expectations(())
    document = tomlkit.parse(text)
    tables = document.setdefault("expected", tomlkit.aot())
    changes, left, gone = [], [], []
    judged = [record for record in run.outcomes if not isinstance(record.verdict, Skipped)]
    for position, entry in enumerate(known.entries):
        spoken = [record for record in judged if entry.speaks_of(record)]
        bad = [record for record in spoken if record.decides(strict=True) or record.deviation]
        if not spoken:
            left.append(f"{entry} speaks of nothing in this run")
        elif not bad:
            gone.append(position)
            changes.append(f"removed {entry}: all of it passes")
        elif entry.expired(today):
            left.append(f"{entry} expired on {entry.expires} and still fails")
        elif entry.bound is not None and (worst := _worst(bad)) > entry.bound:
            tables[position]["bound"] = worst
            changes.append(f"widened {entry}: bound {entry.bound:.1e} → {worst:.1e}")
    for position in reversed(gone):
        del tables[position]
    for entry in _missing(known, judged):
        table = tomlkit.table()
        table["id"], table["implementation"] = entry.id, entry.implementation
        table["when"] = tomlkit.inline_table()
        table["when"].update(dict(entry.when))
        table["reason"] = entry.reason
        tables.append(table)
        changes.append(f"added {entry}")
    if not tables:
        del document["expected"]
    return Update(tomlkit.dumps(document), tuple(changes), tuple(left))


def _missing(known: Expectations, judged: Sequence[Record]) -> Iterator[Expectation]:
    """Entries for what fails and is expected by none, each as wide as what fails."""
    clauses: dict[tuple[str, str, str], list[Record]] = {}
    for record in judged:
        key = (record.implementation, record.backend, record.clause)
        clauses.setdefault(key, []).append(record)
    for (implementation, backend, clause), records in clauses.items():
        bad = [record for record in records if _is_news(record, known)]
        for pattern, reason in _patterns(clause, records, bad).items():
            yield Expectation(pattern, reason, implementation, {"backend": backend})


def _is_news(record: Record, known: Expectations) -> bool:
    """Whether an outcome is bad, and no entry speaks of it. Nothing excuses a crash."""
    expected = any(entry.speaks_of(record) for entry in known.entries)
    return record.decides() and not isinstance(record.verdict, Errored) and not expected


def _patterns(clause: str, records: Sequence[Record], bad: Sequence[Record]) -> dict[str, str]:
    """Pattern → reason: the whole clause, a case in every dtype, or one outcome."""
    if bad and len(bad) == len(records):
        return {f"{clause}/*": bad[0].reason}
    found: dict[str, str] = {}
    for record in bad:
        good = any(each.case == record.case and each not in bad for each in records)
        found.setdefault(record.id if good else f"{clause}/{record.case}@*", record.reason)
    return found


def _worst(records: Sequence[Record]) -> float:
    """The largest error, rounded up to two digits."""
    errors = [record.error for record in records if record.error is not None]
    worst = max(errors, default=math.inf)
    if not math.isfinite(worst) or worst == 0.0:
        return worst
    unit = 10.0 ** (math.floor(math.log10(worst)) - 1)
    return float(f"{math.ceil(worst / unit) * unit:.1e}")
