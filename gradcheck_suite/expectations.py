"""Expected deviations: a TOML file that says which outcomes are known to be bad, and why.

Strict in every direction: an entry that matches nothing, whose outcome passes, or that has
expired is a problem of its own, so that the file never outlives what it describes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any

from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Errored, Record, Skipped
from gradcheck_suite.provenance import holds

_CONDITIONS = ("backend", "device", "dtype", "version")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One entry: these outcomes are expected to be bad.

    Attributes:
        id: pattern (``fnmatch``, ``[`` taken literally) of ``CLAUSE/CASE@DTYPE``.
        reason: what the implementation does instead, in a sentence.
        implementation: pattern of its name.
        when: conditions: ``backend``, ``device``, ``dtype`` (patterns) and ``version``
            (``torch<2.14``). Where one does not hold, the entry does not speak.
        issue: the thread where this is known.
        bound: how large the error may be all the same; beyond it the outcome counts.
        expires: the last day on which the entry holds.
    """

    id: str
    reason: str
    implementation: str = "*"
    when: Mapping[str, str] = field(default_factory=dict)
    issue: str = ""
    bound: float | None = None
    expires: date | None = None

    def speaks_of(self, record: Record) -> bool:
        """Whether the outcome is one of those the entry is about."""
        return self.asks(record.id, record.implementation, record.backend, record.device)

    def asks(self, question: str, implementation: str, backend: str, device: str) -> bool:
        """The same for a question (``CLAUSE/CASE@DTYPE``) that is not answered yet."""
        facts = {"backend": backend, "device": device, "dtype": question.rpartition("@")[2]}
        return (
            _fits(question, self.id)
            and _fits(implementation, self.implementation)
            and all(_fits(facts[name], self.when.get(name, "*")) for name in facts)
            and holds(self.when.get("version", ""))
        )

    def expired(self, today: date) -> bool:
        return self.expires is not None and today > self.expires

    def excuses(self, record: Record) -> bool:
        """Whether an outcome is as bad as the entry says, and no worse."""
        if not record.decides(strict=True) or isinstance(record.verdict, Errored):
            return False
        if self.bound is None:
            return True
        return record.error is not None and record.error <= self.bound

    def __str__(self) -> str:
        where = "" if self.implementation == "*" else f" of {self.implementation}"
        return f"{self.id!r}{where} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Expectations:
    """The entries of a file, and what a run makes of them."""

    entries: tuple[Expectation, ...]
    path: str = ""

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Expectations:
        """The entries of a file: an array of tables called ``expected``.

        Raises:
            UsageError: no such file, no TOML, an unknown or missing key; with the place.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
            document = tomllib.loads(text)
        except OSError as error:
            raise UsageError(f"expectations: {path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"expectations: {path} is no TOML: {error}") from None
        tables = document.get("expected", [])
        unknown = sorted(set(document) - {"expected"})
        if unknown or not isinstance(tables, list):
            given = unknown[0] if unknown else "expected"
            raise UsageError(
                f"expectations: {path}: {given!r} is no array of tables; write [[expected]] with "
                "id = … and reason = …"
            )
        return cls(
            tuple(_entry(table, f"{path}, entry {n}") for n, table in enumerate(tables, 1)),
            str(path),
        )

    def applied(self, record: Record, today: date | None = None) -> Record:
        """The outcome, marked as a known deviation where an entry that holds excuses it."""
        today = today or date.today()
        for entry in self.entries:
            if not entry.expired(today) and entry.speaks_of(record) and entry.excuses(record):
                link = f" ({entry.issue})" if entry.issue else ""
                return replace(record, deviation=entry.reason + link)
        return record

    def surprise(self, record: Record, today: date | None = None) -> str:
        """Why an outcome is not what an entry says of it; empty where all is as expected."""
        today = today or date.today()
        for entry in self.entries:
            if not entry.speaks_of(record) or isinstance(record.verdict, Skipped):
                continue
            if entry.expired(today):
                return f"the expectation {entry} expired on {entry.expires}"
            if not record.decides(strict=True):
                return f"passes, against the expectation {entry}: remove the entry"
            if not entry.excuses(record):
                bound = "an error" if entry.bound is None else f"an error ≤ {entry.bound:.1e}"
                return f"is worse than expected: {entry} allows {bound}"
        return ""

    def problems(self, asked: Iterable[int], today: date | None = None) -> tuple[str, ...]:
        """What is wrong with the file itself: entries that have expired or match nothing.

        Args:
            asked: positions of the entries that spoke of a question of this run.
            today: the day; default the machine's.
        """
        today = today or date.today()
        heard = set(asked)
        found = []
        for position, entry in enumerate(self.entries):
            if entry.expired(today):
                found.append(f"{self.path}: {entry} expired on {entry.expires}")
            elif position not in heard and holds(entry.when.get("version", "")):
                found.append(f"{self.path}: {entry} matches nothing")
        return tuple(found)

    def asked_by(self, questions: Iterable[Sequence[str]]) -> tuple[int, ...]:
        """Positions of the entries that speak of any question, as ``Expectation.asks`` has it."""
        known = [tuple(question) for question in questions]
        return tuple(
            position
            for position, entry in enumerate(self.entries)
            if any(entry.asks(*question) for question in known)
        )


def _entry(table: Any, place: str) -> Expectation:
    if not isinstance(table, dict):
        raise UsageError(f"expectations: {place}: got {table!r}; expected a table")
    known = [each.name for each in fields(Expectation)]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise UsageError(
            f"expectations: {place}: unknown key {unknown[0]!r}; known keys: {', '.join(known)}"
        )
    for name in ("id", "reason"):
        if not isinstance(table.get(name), str) or not table[name].strip():
            raise UsageError(f"expectations: {place}: {name} is missing; every entry has one")
    when = table.get("when", {})
    conditions = sorted(set(when) - set(_CONDITIONS)) if isinstance(when, dict) else ["when"]
    if conditions:
        raise UsageError(
            f"expectations: {place}: unknown condition {conditions[0]!r}; known conditions: "
            f"{', '.join(_CONDITIONS)}"
        )
    if "expires" in table and type(table["expires"]) is not date:
        raise UsageError(
            f"expectations: {place}: expires = {table['expires']!r} is no date; write it bare: "
            "expires = 2027-01-31"
        )
    bound = table.get("bound")
    if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int | float)):
        raise UsageError(f"expectations: {place}: bound = {bound!r} is no number")
    try:
        holds(when.get("version", ""))  # a condition that cannot be read is said now
    except UsageError as error:
        raise UsageError(f"expectations: {place}: {error}") from None
    return Expectation(**table)


def _fits(name: str, pattern: str) -> bool:
    """``fnmatch`` with ``*`` and ``?`` alone: brackets occur in names and mean themselves."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))
