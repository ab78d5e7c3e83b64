"""Reading a report, line by line: strictly, within limits, and as far as it goes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any, NoReturn

from gradcheck_suite import record_json
from gradcheck_suite.errors import UsageError
from gradcheck_suite.json_types import depth, parsed, reader
from gradcheck_suite.outcome import Record, Run
from gradcheck_suite.reports.line_types import FORMAT, LINES, VERSION, Footer, Header

_MAJOR, _MINOR = (int(number) for number in VERSION.split("."))
_DEPTH = 32  # of a header, where anything may stand under a name that is not known here
_REMEDY = "if you trust the file, read it with --unlimited"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is read: a hostile one must not fill the memory.

    Attributes:
        outcomes: lines that are outcomes.
        line: bytes of one line.
        total: bytes of the file.
    """

    outcomes: int = 1_000_000
    line: int = 16 * 2**20
    total: int = 2**30


UNLIMITED = Limits(sys.maxsize, sys.maxsize - 1, sys.maxsize)


@dataclass(frozen=True, slots=True)
class Report:
    """A file as it was read: the run, and what the file itself said of it."""

    run: Run
    version: str
    footer: Footer | None


def read_report(path: str | PathLike[str], limits: Limits = Limits()) -> Report:
    """What a file holds, as far as it goes.

    Raises:
        UsageError: it is no report, of another major version, or over the limits.
    """
    try:
        with Path(path).open("rb") as file:
            return _Reading(fspath(path), limits).report(file)
    except OSError as error:
        raise UsageError(f"report: {fspath(path)}: {error.strerror or error}") from None


class _Reading:
    """One file being read."""

    def __init__(self, path: str, limits: Limits) -> None:
        self.path, self.limits = path, limits
        self.newer = False  # by a minor version
        self.number = 0

    def report(self, file: IO[bytes]) -> Report:
        lines = self._lines(file)
        header = self._header(next(lines, None))
        outcomes: list[Record] = []
        footer: Footer | None = None
        cut = ""
        for line, complete in lines:
            if footer is not None:
                self._refuse("something follows the footer; are these two reports in one file?")
            try:
                given = parsed(line)
            except ValueError as error:
                if complete:
                    self._refuse(f"no JSON: {_reason(error)}")
                cut = ", in the middle of a line"
                break
            kind = given.get("kind") if isinstance(given, dict) else None
            if kind == "outcome":
                outcomes.append(self._read(record_json.decode, given))
            elif kind == "footer":
                footer = self._read(reader(Footer), given)
            elif not (self.newer and isinstance(kind, str) and kind not in LINES):
                self._refuse('neither an outcome nor a footer: its "kind" is no such word')
            if len(outcomes) > self.limits.outcomes:
                self._refuse(f"more than {self.limits.outcomes:,} outcomes; {_REMEDY}")
        notes = footer.notes if footer else (f"{self.path} is truncated: it has no footer{cut}",)
        run = Run(
            tuple(outcomes),
            header.provenance,
            header.strict,
            notes,
            teeth=footer.teeth if footer else (),
            truncated=footer is None or footer.truncated,
        )
        return Report(run, header.version, footer)

    def _lines(self, file: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
        """Lines that are not blank, and whether they end in a newline."""
        total = 0
        while line := file.readline(self.limits.line + 1):
            self.number += 1
            total += len(line)
            if len(line) > self.limits.line:
                self._refuse(f"longer than {self.limits.line:,} bytes; {_REMEDY}")
            if total > self.limits.total:
                self._refuse(f"the file is longer than {self.limits.total:,} bytes; {_REMEDY}")
            if line.strip():
                yield line, line.endswith(b"\n")

    def _header(self, first: tuple[bytes, bool] | None) -> Header:
        if first is None:
            raise UsageError(f"report: {self.path} is empty")
        try:
            given = parsed(first[0])
        except ValueError as error:
            raise UsageError(
                f"report: {self.path} is no JSON Lines file: {_reason(error)}"
            ) from None
        if not isinstance(given, dict) or given.get("format") != FORMAT:
            raise UsageError(f"report: {self.path} is no {FORMAT}: its first line is no header")
        self._check_version(given.get("version"))
        if depth(given, _DEPTH) >= _DEPTH:
            self._refuse("it is nested too deeply")
        header: Header = self._read(reader(Header), given)
        return header

    def _check_version(self, given: Any) -> None:
        numbers = re.fullmatch(r"([0-9]{1,9})\.([0-9]{1,9})", given) if type(given) is str else None
        if numbers is None:
            self._refuse('version: expected one such as "1.0"')
        major, minor = int(numbers[1]), int(numbers[2])
        if major > _MAJOR:
            raise UsageError(
                f"report: {self.path} has version {given} of the format, and {_MAJOR}.x is known "
                "here; upgrade gradcheck-suite to read it"
            )
        if major < _MAJOR:
            raise UsageError(
                f"report: {self.path} has version {given} of the format, and {_MAJOR}.x is known "
                "here; run again to write it anew"
            )
        self.newer = minor > _MINOR

    def _read(self, read: Any, given: Any) -> Any:
        try:
            return read(given)
        except ValueError as error:
            self._refuse(str(error))

    def _refuse(self, reason: str) -> NoReturn:
        raise UsageError(f"report: {self.path}, line {self.number}: {reason}")


def _reason(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start} of the line)"
    return re.sub(r": line 1 column (\d+) \(char \d+\)$", r" at column \1", str(error))
