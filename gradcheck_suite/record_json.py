"""Records as JSON values and back: what crosses from a worker process, and what a report holds.

NaN and infinities are written as the strings ``"NaN"``, ``"Infinity"``, ``"-Infinity"``, so that
every line is strict JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from gradcheck_suite.outcome import (
    Errored,
    ErrorMap,
    Failed,
    Inconclusive,
    Inequality,
    Passed,
    Record,
    Skipped,
    StepCurve,
    Verdict,
)
from gradcheck_suite.teeth import Planted, Teeth

_VERDICTS = {kind.status.value: kind for kind in (Passed, Failed, Inconclusive, Skipped, Errored)}
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(record: Record) -> dict[str, Any]:
    """The record as JSON-able values; ``status`` says which kind of verdict it holds."""
    encoded = {
        field.name: _value(getattr(record, field.name))
        for field in fields(record)
        if field.name != "verdict"
    }
    encoded["status"] = record.status.value
    encoded["verdict"] = _encode_verdict(record.verdict)
    return encoded


def decode(encoded: Mapping[str, Any]) -> Record:
    """The record that ``encode`` was given.

    Raises:
        ValueError: it is no such record; the message says what is missing or unknown.
    """
    try:
        values = dict(encoded)
        kind = _VERDICTS[values.pop("status")]
        verdict = _decode_verdict(kind, values.pop("verdict"))
        values["warnings"] = tuple(values["warnings"])
        values["seconds"] = _number(values["seconds"])
        return Record(verdict=verdict, **values)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"record: not a record of this version: {error!r}") from error


def encode_teeth(teeth: Teeth) -> dict[str, Any]:
    """Planted errors as JSON-able values."""
    encoded: dict[str, Any] = _value(teeth)
    return encoded


def decode_teeth(encoded: Mapping[str, Any]) -> Teeth:
    """The planted errors that ``encode_teeth`` was given.

    Raises:
        ValueError: they are none; the message says what is missing or unknown.
    """
    try:
        planted = tuple(
            Planted(each["error"], _number(each["size"]), each["clause"])
            for each in encoded["planted"]
        )
        return Teeth(**{**encoded, "planted": planted})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"teeth: not of this version: {error!r}") from error


def _encode_verdict(verdict: Verdict) -> dict[str, Any]:
    encoded: dict[str, Any] = _value(verdict)
    return encoded


def _decode_verdict(kind: Any, encoded: Mapping[str, Any]) -> Verdict:
    values = dict(encoded)
    inequality = values.get("inequality")
    if inequality is not None:
        values["inequality"] = Inequality(
            inequality["quantity"],
            _number(inequality["error"]),
            _number(inequality["tolerance"]),
            tuple((label, _number(value)) for label, value in inequality["terms"]),
        )
    for name in ("resolution", "promised"):
        if values.get(name) is not None:
            values[name] = _number(values[name])
    if "sides" in values:
        values["sides"] = tuple((name, text) for name, text in values["sides"])
    if "index" in values:
        values["index"] = tuple(values["index"])
    if values.get("error_map") is not None:
        values["error_map"] = _decode_error_map(values["error_map"])
    if values.get("step_curve") is not None:
        values["step_curve"] = _decode_step_curve(values["step_curve"])
    verdict: Verdict = kind(**values)
    return verdict


def _decode_error_map(encoded: Mapping[str, Any]) -> ErrorMap:
    rows, classes = encoded["block"]
    errors, margins = (
        tuple(_numbers(row) for row in encoded[key]) for key in ("errors", "margins")
    )
    against = encoded["against"]
    return ErrorMap(tuple(encoded["shape"]), (rows, classes), errors, margins, against)


def _decode_step_curve(encoded: Mapping[str, Any]) -> StepCurve:
    values = dict(encoded)
    for name in ("steps", "to_got", "to_specified"):
        values[name] = _numbers(values[name])
    for name in ("chosen", "truncation", "rounding"):
        values[name] = _number(values[name])
    return StepCurve(**values)


def _value(value: Any) -> Any:
    if is_dataclass(value):
        return {part.name: _value(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, tuple | list):
        return [_value(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): _value(part) for key, part in value.items()}
    return value


def _numbers(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(_number(value) for value in values)


def _number(value: Any) -> float:
    return _NON_FINITE[value] if isinstance(value, str) else float(value)
