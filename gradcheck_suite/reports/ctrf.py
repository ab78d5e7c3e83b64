"""CTRF, the Common Test Report Format (ctrf.io): one JSON document that many tools read.

Written test by test: a report of any length takes no more memory than one outcome does.
"""

from __future__ import annotations

import json
import math
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

from gradcheck_suite.outcome import Errored, Record, Run
from gradcheck_suite.reports.evidence import facts, lacking, provenance, versions, visible
from gradcheck_suite.story import tell
from gradcheck_suite.teeth import summary

SPEC_VERSION = "1.0.0"
#: Its five statuses by what an outcome counts as; ``rawStatus`` keeps our own word.
STATUSES = {
    "passed": "passed",
    "failed": "failed",
    "inconclusive": "failed",
    "errored": "failed",
    "skipped": "skipped",
    "declared": "other",
    "known": "other",
    "advice": "other",
}


class CTRF:
    """Writes runs in the Common Test Report Format."""

    name = "ctrf"
    suffixes = (".ctrf.json",)

    def write(self, run: Run, path: str | PathLike[str]) -> None:
        # Everything but the tests, which come last in it: they are put before its closing brackets.
        frame = json.dumps(_document(run), allow_nan=False)
        opening, closing = frame[: -len("]}}")], frame[-len("]}}") :]
        with Path(path).open("w", encoding="utf-8") as file:
            file.write(opening)
            for number, test in enumerate(_tests(run)):
                file.write(",\n" if number else "\n")
                json.dump(test, file, allow_nan=False)
            file.write(f"\n{closing}\n")


def _document(run: Run) -> dict[str, Any]:
    counts = Counter(STATUSES[record.account(strict=run.strict)] for record in run.outcomes)
    counts["failed"] += bool(lacking(run))
    where = provenance(run)
    start = _milliseconds(where.get("started", ""))
    duration = _duration(sum(record.seconds for record in run.outcomes))
    totals = {
        "tests": counts.total(),
        **{
            status: counts[status] for status in ("passed", "failed", "skipped", "pending", "other")
        },
        "start": start,
        "stop": start + duration,
        "duration": duration,
    }
    return {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "generatedBy": "gradcheck-suite",
        "results": {
            "tool": {"name": "gradcheck-suite", "version": where.get("suite", "unknown")},
            "summary": totals,
            "environment": {
                "reportName": "softmax-NLL conformance",
                "healthy": run.passed,
                "extra": where,
            },
            "extra": {
                "verdict": str(run),
                "strict": run.strict,
                "notes": list(run.notes),
                "teeth": summary(run.teeth),
            },
            "tests": [],
        },
    }


def _tests(run: Run) -> Iterator[dict[str, Any]]:
    versions_of = versions(run)
    for record in run.outcomes:
        yield _test(record, record.account(strict=run.strict), versions_of(record))
    if lacking(run):
        yield {"name": lacking(run), "status": "failed", "duration": 0, "message": str(run)}


def _test(record: Record, account: str, libraries: Mapping[str, str]) -> dict[str, Any]:
    suite = [record.implementation, f"{record.backend} {record.device}", record.family]
    if record.part:
        suite.insert(0, record.part)
    test: dict[str, Any] = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, ascii((*suite, record.id)))),
        "name": visible(record.id),
        "status": STATUSES[account],
        "rawStatus": account,
        "duration": _duration(record.seconds),
        "suite": [visible(each) for each in suite],
        "tags": [record.level, record.family],
        "labels": facts(record),
    }
    reason = record.deviation or record.reason
    if account != "passed" and reason:
        test["message"] = visible(reason)
    if account not in ("passed", "skipped", "declared"):
        test["trace"] = visible(tell(record, width=100, versions=libraries))
    if isinstance(record.verdict, Errored) and record.verdict.traceback:
        test["extra"] = {"traceback": visible(record.verdict.traceback)}
    if record.snippet:
        test["snippet"] = visible(record.snippet)
    if record.output.strip():
        test["stdout"] = visible(record.output).splitlines()
    return test


def _duration(seconds: float) -> int:
    """In milliseconds; a report that was tampered with may say that it took NaN seconds."""
    return round(1000 * seconds) if math.isfinite(seconds) else 0


def _milliseconds(started: str) -> int:
    """Since 1970; 0 where the run does not say when it was."""
    try:
        return round(1000 * datetime.fromisoformat(started).timestamp())
    except (ValueError, OverflowError):
        return 0


REPORTS = (CTRF(),)
