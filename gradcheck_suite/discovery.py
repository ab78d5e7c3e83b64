"""The one discovery function: backends, implementations, checks, clauses and reports.

Each kind lives in one folder, one file per member; a file exports its members under one
name. Third parties add the same from their own package through an entry point of the
group ``gradcheck_suite.<kind>``. There is no other list of anything.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from gradcheck_suite.errors import UsageError

if TYPE_CHECKING:
    from gradcheck_suite.protocols import ReportFormat


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of extension: the folder it lives in and the name its modules export."""

    package: str
    exported: str


KINDS = {
    "backends": Kind("gradcheck_suite.backends", "BACKENDS"),
    "implementations": Kind("gradcheck_suite.implementations", "IMPLEMENTATIONS"),
    "checks": Kind("gradcheck_suite.checks", "CHECKS"),
    "clauses": Kind("gradcheck_suite.specification.clauses", "CLAUSES"),
    "reports": Kind("gradcheck_suite.reports", "REPORTS"),
}


@dataclass(frozen=True, slots=True)
class Broken:
    """An extension module that did not import: reported, and harmful to no other."""

    module: str
    reason: str


@cache
def discover(kind: str) -> tuple[tuple[Any, ...], tuple[Broken, ...]]:
    """Every member of a kind, in the order of their files, and the modules that broke.

    Args:
        kind: a key of ``KINDS``.

    Returns:
        The members (ours first, sorted by file name, then third parties' by entry point
        name), and one ``Broken`` per third-party module that raised on import. Our own
        modules must import: an error there is a defect and is raised.
    """
    members: list[Any] = []
    broken: list[Broken] = []
    for module in _own_modules(KINDS[kind].package):
        members.extend(getattr(importlib.import_module(module), KINDS[kind].exported, ()))
    for point in sorted(metadata.entry_points(group=f"gradcheck_suite.{kind}"), key=str):
        try:
            loaded = point.load()
        except Exception as error:  # a stranger's module may raise anything
            broken.append(Broken(point.value, f"{type(error).__name__}: {error}"))
            continue
        members.extend(loaded if isinstance(loaded, list | tuple) else (loaded,))
    return tuple(members), tuple(broken)


def members(kind: str) -> tuple[Any, ...]:
    """Every member of a kind that imports."""
    return discover(kind)[0]


def report_format(path: str | PathLike[str]) -> ReportFormat:
    """The report format whose suffix ends ``path``; the longest suffix wins.

    Raises:
        UsageError: no format has that suffix.
    """
    name = fspath(path)
    lowered = name.lower()
    formats: tuple[ReportFormat, ...] = members("reports")
    by_suffix = {suffix: report for report in formats for suffix in report.suffixes}
    for suffix in sorted(by_suffix, key=len, reverse=True):
        if lowered.endswith(suffix):
            return by_suffix[suffix]
    known = ", ".join(sorted(by_suffix))
    raise UsageError(f"path: no report format for {name!r}; use one of these suffixes: {known}")


def _own_modules(package: str) -> Iterator[str]:
    folder = importlib.import_module(package)
    for module in sorted(pkgutil.iter_modules(folder.__path__), key=lambda found: found.name):
        yield f"{package}.{module.name}"
