"""JSON Lines: a header, one line per outcome, a footer. A file without a footer is truncated.

The format has a version of its own (``docs/reports.md``): a newer minor version only adds, and is
read; a newer major one is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import IO, Any

from gradcheck_suite import record_json
from gradcheck_suite.json_types import value
from gradcheck_suite.outcome import Record, Run
from gradcheck_suite.replacing import replacing
from gradcheck_suite.reports.line_reading import Limits, read_report
from gradcheck_suite.reports.line_types import FORMAT, VERSION, Footer


class JsonLines:
    """Writes and reads runs; every line is strict JSON."""

    name = "json"
    suffixes = (".json", ".jsonl")

    def write(self, run: Run, path: str | PathLike[str]) -> None:
        """Writes the run, line by line."""
        with _opened(path) as file:
            for line in self.lines(run):
                _write(file, line)

    def begin(
        self, path: str | PathLike[str], provenance: Mapping[str, Any], strict: bool = False
    ) -> OpenReport:
        """Opens a report that is written as outcomes finish."""
        return OpenReport(self, path, provenance, strict)

    def lines(self, run: Run) -> Iterator[dict[str, Any]]:
        yield _header(run.provenance, run.strict)
        for record in run.outcomes:
            yield _outcome(record)
        yield {"kind": "footer", **value(Footer.of(run))}

    def read(self, path: str | PathLike[str], limits: Limits = Limits()) -> Run:
        """The run that a file holds; ``truncated`` where it has no footer.

        Raises:
            UsageError: it is no report, of another major version, or over the limits.
        """
        return read_report(path, limits).run


class OpenReport:
    """A report that grows while its run goes on: whatever ends the process, it can be read.

    When the run is over, the file is written anew, in the run's own order and with what is
    only known then: two runs that found the same leave the same file.
    """

    def __init__(
        self,
        report: JsonLines,
        path: str | PathLike[str],
        provenance: Mapping[str, Any],
        strict: bool,
    ) -> None:
        self._report = report
        self._path = Path(path).resolve()
        with _opened(self._path) as file:
            _write(file, _header(provenance, strict))

    def add(self, record: Record) -> None:
        """Writes one outcome, at once; nothing stays open in between."""
        with _opened(self._path, "a") as file:
            _write(file, _outcome(record))

    def finish(self, run: Run) -> None:
        """Writes the whole in the place of what has grown."""
        with replacing(self._path) as whole:
            self._report.write(run, whole)


def _header(provenance: Mapping[str, Any], strict: bool) -> dict[str, Any]:
    return {
        "kind": "header",
        "format": FORMAT,
        "version": VERSION,
        "strict": strict,
        "provenance": value(provenance),
    }


def _outcome(record: Record) -> dict[str, Any]:
    return {"kind": "outcome", **record_json.encode(record)}


def _opened(path: str | PathLike[str], mode: str = "w") -> IO[str]:
    # A half of a surrogate pair is no UTF-8; JSON has an escape for it, and Python the same.
    return Path(path).open(mode, encoding="utf-8", errors="backslashreplace", newline="\n")


def _write(file: IO[str], line: dict[str, Any]) -> None:
    file.write(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n")


REPORTS = (JsonLines(),)
