"""What several formats say of an outcome and of a run: facts by name, text that is safe to show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gradcheck_suite.outcome import Record, Run
from gradcheck_suite.story import visible as visible
from gradcheck_suite.teeth import Teeth


def one_line(text: str, at_most: int) -> str:
    """The same on one line, and cut after so many characters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= at_most else line[: at_most - 1] + "…"


def place(record: Record | Teeth) -> str:
    """Who answered, and where: ``my.loss [torch, cuda:0]``, and in which of merged reports."""
    where = f"{record.implementation} [{record.backend}, {record.device}]"
    return f"{where} in {record.part}" if record.part else where


def facts(record: Record) -> dict[str, str]:
    """The facts of an outcome by name. Those of pytest's JUnit file and of ours are the same.

    ``error``, ``bound`` and ``margin`` (error / bound) are there where an inequality was tested,
    ``resolution`` where a check states the relative gradient error that it can see.
    """
    found = {
        "clause": record.clause,
        "level": record.level,
        "case": record.case,
        "implementation": record.implementation,
        "backend": record.backend,
        "device": record.device,
        "dtype": record.dtype,
        "seed": str(record.seed),
        "status": record.status.value,
    }
    if record.part:
        found["part"] = record.part
    if record.inequality is not None:
        found["error"] = f"{record.inequality.error:.6g}"
        found["bound"] = f"{record.inequality.tolerance:.6g}"
        found["margin"] = f"{record.inequality.margin:.6g}"
    if record.resolution is not None:
        found["resolution"] = f"{record.resolution:.6g}"
    if record.declared:
        found["declared"] = record.declared
    if record.deviation:
        found["known deviation"] = record.deviation
    if record.dialect:
        found["dialect"] = ", ".join(f"{name}={value}" for name, value in record.dialect.items())
    return {name: visible(value) for name, value in found.items()}


def lacking(run: Run) -> str:
    """What a run lacks that no outcome of it speaks of; empty where it lacks nothing.

    Formats that know tests alone hold one more for it: a file without a failure is taken for
    a success.
    """
    if not run.executed:
        return "something was judged"
    return "the run came to its end" if run.truncated else ""


def provenance(run: Run, part: str = "") -> dict[str, str]:
    """Where a run, or a part of it, happened, as text: ``libraries.numpy`` → ``2.4.6``."""
    return dict(_flat(_headers(run).get(part, run.provenance), ""))


def versions(run: Run) -> Callable[[Record], Mapping[str, str]]:
    """For each outcome the versions of the libraries that it was found with."""
    found = {part: header.get("libraries") for part, header in _headers(run).items()}
    libraries = {part: each for part, each in found.items() if isinstance(each, Mapping)}
    return lambda record: libraries.get(record.part) or libraries.get("", {})


def _headers(run: Run) -> dict[str, Mapping[str, Any]]:
    """What each of the merged reports says of itself, by its name; the run itself has none."""
    parts = run.provenance.get("parts", ())
    return {each.get("name", ""): each.get("provenance", {}) for each in parts} | {
        "": run.provenance
    }


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif name == "parts" and not prefix:
            for part in value:
                yield from _flat(part.get("provenance", {}), f"{part.get('name', name)}: ")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            yield visible(f"{prefix}{name}"), visible(text)
