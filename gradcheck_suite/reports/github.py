"""Annotations of GitHub Actions: workflow commands, of which a step shows ten errors.

They work where they are printed; ``gradcheck-suite run`` prints them where ``GITHUB_ACTIONS`` is
set. In a file (suffix ``.github``) they wait for a ``cat`` in a later step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from gradcheck_suite.outcome import Record, Run
from gradcheck_suite.reports.evidence import lacking, one_line, place, versions, visible
from gradcheck_suite.story import most_telling, tell

AT_MOST = 9  # and a tenth that counts the others
_TITLE_AT_MOST, _MESSAGE_AT_MOST = 200, 4000  # characters

# An implementation in a file of the repository: the annotation stands beside it.
_IN_A_FILE = re.compile(r"(?P<file>[^:\n]+\.py):\w+")


class GitHubAnnotations:
    """Writes the failures of a run as workflow commands."""

    name = "github"
    suffixes = (".github",)

    def write(self, run: Run, path: str | PathLike[str]) -> None:
        text = "".join(f"{line}\n" for line in commands(run))
        Path(path).write_text(text, encoding="utf-8")


def commands(run: Run) -> Iterator[str]:
    """At most ten lines: a failure each, one per clause first, then how many more there are."""
    failures = most_telling(run.failures)
    versions_of = versions(run)
    for record in failures[:AT_MOST]:
        _, _, story = tell(record, width=100, versions=versions_of(record)).partition("\n")
        yield _command(_title(record), story, _file(record))
    if lacking(run):
        yield _command("gradcheck-suite", "\n".join((str(run), *run.notes)))
    elif len(failures) > AT_MOST:
        more = f"and {len(failures) - AT_MOST} more"
        yield _command("gradcheck-suite", f"{more}: {run}. All stories are in a report, as .md.")


def _title(record: Record) -> str:
    return f"{record.status.upper()} {record.clause} {place(record)} {record.dtype}"


def _file(record: Record) -> str:
    found = _IN_A_FILE.fullmatch(record.implementation)
    return found["file"] if found else ""


def _command(title: str, message: str, file: str = "") -> str:
    place = f"file={_property(file)}," if file else ""
    text = visible(message)
    if len(text) > _MESSAGE_AT_MOST:
        text = text[: _MESSAGE_AT_MOST - 1] + "…"
    return f"::error {place}title={_property(one_line(title, _TITLE_AT_MOST))}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


REPORTS = (GitHubAnnotations(),)
