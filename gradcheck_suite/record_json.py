"""Records as JSON values and back: what crosses from a worker process, and what a report holds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from gradcheck_suite.json_types import Mismatch, Reader, dataclass_reader, reader, value
from gradcheck_suite.outcome import (
    Errored,
    Failed,
    Inconclusive,
    Passed,
    Record,
    Skipped,
)
from gradcheck_suite.teeth import Teeth

#: A record's ``status`` → the kind of its verdict.
VERDICTS: Mapping[str, Any] = {
    kind.status.value: kind for kind in (Passed, Failed, Inconclusive, Skipped, Errored)
}


def encode(record: Record) -> dict[str, Any]:
    """The record as JSON-able values; ``status`` says which kind of verdict it holds."""
    encoded: dict[str, Any] = value(record)
    encoded["status"] = record.status.value
    encoded["verdict"] = encoded.pop("verdict")  # the longest, last
    return encoded


def decode(encoded: Any) -> Record:
    """The record that ``encode`` was given.

    Raises:
        ValueError: it is no such record; the message names the field, what was given and
            what was expected.
    """
    status = encoded.get("status") if isinstance(encoded, dict) else None
    if not isinstance(status, str) or status not in VERDICTS:
        kinds = " or ".join(f'"{kind}"' for kind in VERDICTS)
        if not isinstance(encoded, dict):
            raise Mismatch("an object", encoded)
        raise Mismatch(kinds, status, "status")
    record: Record = _record_reader(status)(encoded)
    return record


def encode_teeth(teeth: Teeth) -> dict[str, Any]:
    """Planted errors as JSON-able values."""
    encoded: dict[str, Any] = value(teeth)
    return encoded


def decode_teeth(encoded: Any) -> Teeth:
    """The planted errors that ``encode_teeth`` was given.

    Raises:
        ValueError: they are none; the message names the field, as in ``decode``.
    """
    teeth: Teeth = reader(Teeth)(encoded)
    return teeth


@cache
def _record_reader(status: str) -> Reader:
    """A reader of records with this status: their verdict is of its kind."""
    return dataclass_reader(Record, {"verdict": reader(VERDICTS[status])})
