"""The JSON Schema of a report's lines, made from the types that write and read them.

``gradcheck-suite schema`` prints it; ``report.schema.json`` beside this file is the same, for
whoever reads reports with another tool. Each line of a report is one value of it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from gradcheck_suite.json_types import NON_FINITE
from gradcheck_suite.outcome import Record
from gradcheck_suite.record_json import VERDICTS
from gradcheck_suite.reports.line_types import LINES, VERSION

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NUMBER: Schema = {
    "description": "a number; what JSON has no number for is written as a word",
    "anyOf": [{"type": "number"}, {"enum": list(NON_FINITE)}],
}
_PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"$ref": "#/$defs/Number"},
    Any: {},
}


def schema() -> Schema:
    """The schema of a line: a header, an outcome or a footer."""
    definitions: dict[str, Schema] = {"Number": _NUMBER}
    lines = []
    for kind, type_ in LINES.items():
        if type_ is Record:
            lines += [_outcome(status, type_, definitions) for status in VERDICTS]
        else:
            lines.append(_line(type_, definitions, kind=kind))
    return {
        "$schema": _DIALECT,
        "title": f"a line of a gradcheck-suite report, version {VERSION}",
        "oneOf": lines,
        "$defs": dict(sorted(definitions.items())),
    }


def _outcome(status: str, type_: Any, definitions: dict[str, Schema]) -> Schema:
    """A record whose verdict is of the kind that its status says."""
    record = _object(type_, definitions, but="verdict")
    definitions[type_.__name__] = record
    line: Schema = {
        "title": f"Outcome: {status}",
        "type": "object",
        "allOf": [{"$ref": f"#/$defs/{type_.__name__}"}],
        "properties": {"verdict": _of(VERDICTS[status], definitions)},
        "required": ["verdict"],
    }
    return _with_constants(line, kind="outcome", status=status)


def _line(type_: Any, definitions: dict[str, Schema], **constants: str) -> Schema:
    return _with_constants(_object(type_, definitions), **constants)


def _with_constants(line: Schema, **constants: str) -> Schema:
    """The schema with properties that say which kind of line it is."""
    said = {name: {"const": value} for name, value in constants.items()}
    return {
        **line,
        "properties": {**said, **line["properties"]},
        "required": [*constants, *line["required"]],
    }


def _of(hint: Any, definitions: dict[str, Schema]) -> Schema:
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    if is_dataclass(hint) or is_typeddict(hint):
        name = hint.__name__
        if name not in definitions:
            definitions[name] = {}  # it may refer to itself
            definitions[name] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{name}"}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        (some,) = (argument for argument in arguments if argument is not NoneType)
        return {"anyOf": [_of(some, definitions), {"type": "null"}]}
    if origin is tuple:
        if arguments[1:] == (...,):
            return {"type": "array", "items": _of(arguments[0], definitions)}
        return {
            "type": "array",
            "prefixItems": [_of(argument, definitions) for argument in arguments],
            "minItems": len(arguments),
            "maxItems": len(arguments),
        }
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(arguments[1], definitions)}
    raise TypeError(f"no JSON Schema for {hint!r}; give reports.schema one")


def _object(kind: Any, definitions: dict[str, Schema], *, but: str = "") -> Schema:
    """Further properties are allowed: a newer minor version adds some."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name != but}
    about = inspect.cleandoc(kind.__doc__ or "")
    said = _attributes(about)
    own = fields(kind) if is_dataclass(kind) else ()
    extra = {each.name: dict(each.metadata) for each in own}
    properties = {}
    for name in [each.name for each in own if each.name != but] or hints:
        properties[name] = {**_of(hints[name], definitions), **extra.get(name, {})}
        if name in said:
            properties[name]["description"] = said[name]
    return {
        "title": kind.__name__,
        "description": " ".join(about.partition("\n\n")[0].split()),
        "type": "object",
        "properties": properties,
        "required": [name for name in _required(kind) if name != but],
    }


def _required(kind: Any) -> list[str]:
    if not is_dataclass(kind):
        return sorted(kind.__required_keys__)
    return [
        each.name
        for each in fields(kind)
        if each.default is MISSING and each.default_factory is MISSING
    ]


def _attributes(about: str) -> dict[str, str]:
    """Name → sentence, from the section Attributes of a docstring."""
    section = about.partition("\nAttributes:\n")[2]
    found = re.findall(r"^ {4}(\w[\w, ]*): (.+(?:\n {8}.+)*)", section, flags=re.MULTILINE)
    return {
        name: " ".join(sentence.split()) for names, sentence in found for name in names.split(", ")
    }
