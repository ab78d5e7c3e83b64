"""JUnit XML: a suite per implementation, backend, device and dtype. For GitLab, Jenkins and others.

What JUnit has no word for is a skip that says so: a known deviation and advice with their story
as output, and what is declared in place of being judged. None of them counts as passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING

from gradcheck_suite.outcome import Errored, Record, Run
from gradcheck_suite.reports.evidence import (
    facts,
    lacking,
    one_line,
    place,
    provenance,
    versions,
    visible,
)
from gradcheck_suite.story import tell
from gradcheck_suite.teeth import summary

if TYPE_CHECKING:
    from junitparser import TestCase, TestSuite

_MESSAGE_AT_MOST = 500  # characters of the attribute that lists show; the story is whole
#: The names of what a ``place`` holds.
_OF_THE_SUITE = ("implementation", "backend", "device", "dtype", "part")


class JUnit:
    """Writes runs as JUnit XML, as pytest does (``xunit2``)."""

    name = "junit"
    suffixes = (".xml",)

    def write(self, run: Run, path: str | PathLike[str]) -> None:
        from junitparser import JUnitXml

        document = JUnitXml("gradcheck-suite")
        suites = _suites(run)
        for suite in suites:
            suite.update_statistics()
            document.append(suite)
        # Not update_statistics: it adds skipped, which the schema of Jenkins does not know here.
        document.tests = sum(suite.tests for suite in suites)
        document.failures = sum(suite.failures for suite in suites)
        document.errors = sum(suite.errors for suite in suites)
        document.time = round(sum(suite.time for suite in suites), 3)
        document.write(fspath(path))


def _suites(run: Run) -> list[TestSuite]:
    from junitparser import TestSuite

    places: dict[tuple[str, ...], list[Record]] = {}
    for record in run.outcomes:
        places.setdefault(record.place, []).append(record)
    notes = {f"note {number}": note for number, note in enumerate(run.notes, 1)}
    where = {part: provenance(run, part) | notes for *_, part in places}
    versions_of = versions(run)
    suites = []
    for key, records in places.items():
        about = dict(zip(_OF_THE_SUITE, key, strict=True))
        suite = TestSuite(visible(f"{place(records[0])} {about['dtype']}"))
        said = where[about["part"]]
        if "started" in said:
            suite.timestamp = said["started"]
        teeth = [each for each in run.teeth if each.place == key]
        if teeth:
            about["teeth"] = summary(teeth)
        for name, value in (about | said).items():
            if value:
                suite.add_property(name, visible(value))
        suite.extend(_case(record, run.strict, versions_of(record)) for record in records)
        suites.append(suite)
    return [*suites, _unfinished(run)] if lacking(run) else suites


def _case(record: Record, strict: bool, libraries: Mapping[str, str]) -> TestCase:
    """Jenkins groups by what is before the last dot of ``classname``, GitLab shows it whole."""
    from junitparser import Error, Failure, Properties, Property, Skipped, TestCase

    group = f"{place(record)}.{record.family}"
    case = TestCase(visible(record.id), visible(group), round(record.seconds, 4))
    properties = Properties()
    for name, value in facts(record).items():
        if name not in _OF_THE_SUITE:
            properties.add_property(Property(name, value))
    case.append(properties)
    account, output = record.account(strict=strict), record.output
    story = tell(record, width=100, versions=libraries) if account not in _QUIET else ""
    reason = one_line(record.reason or account, _MESSAGE_AT_MOST)
    if account in ("failed", "inconclusive", "errored"):
        kind = Error if isinstance(record.verdict, Errored) else Failure
        result = kind(reason, account)
        result.text = visible(story)
        case.append(result)
        output = ""  # told in the story
    elif account in ("known", "advice"):
        why = f"known deviation: {record.deviation}" if account == "known" else f"advice: {reason}"
        case.append(Skipped(one_line(why, _MESSAGE_AT_MOST), account))
        output = story
    elif account != "passed":
        case.append(Skipped(reason, account))
    if output.strip():
        case.system_out = visible(output)
    return case


def _unfinished(run: Run) -> TestSuite:
    """What is wrong with the run itself, as an error."""
    from junitparser import Error, TestCase, TestSuite

    suite = TestSuite("gradcheck-suite")
    case = TestCase(lacking(run), "gradcheck-suite.conformance", 0.0)
    error = Error(str(run), "unfinished")
    error.text = visible("\n".join((str(run), *run.notes)))
    case.append(error)
    suite.append(case)
    return suite


_QUIET = ("passed", "declared", "skipped")

REPORTS = (JUnit(),)
