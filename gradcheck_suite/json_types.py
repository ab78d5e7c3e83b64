"""Values of our types from JSON: read strictly, and told where they are not what they should be.

Fields that a type does not know are left out, for a newer writer may know more; a field with a
default may be missing, for an older writer may have known less. Everything else is an error
that names its place.

NaN and infinities stand as the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, so that
every line is strict JSON.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

Reader = Callable[[Any], Any]

NON_FINITE: Mapping[str, float] = MappingProxyType(
    {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
)
_SHOWN = 60  # characters of a value that is not what was expected
_INTERNED = 200  # characters of a string that many records are likely to share


class Mismatch(ValueError):
    """A value is not of its type; the message names the field, what was given and expected."""

    def __init__(self, expected: str, given: Any, place: str = "") -> None:
        super().__init__(expected, given, place)
        self.expected, self.given, self.place = expected, given, place

    def within(self, name: str | int) -> Mismatch:
        """The same, one level further out."""
        step = f"[{name}]" if isinstance(name, int) else name
        dot = "." if self.place and not self.place.startswith("[") else ""
        return Mismatch(self.expected, self.given, f"{step}{dot}{self.place}")

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}expected {self.expected}, got {_shown(self.given)}"


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


def parsed(text: str | bytes) -> Any:
    """One JSON value, strictly: no NaN outside strings, no key twice, no endless digits.

    Raises:
        ValueError: it is none; with what is wrong.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_twins, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def depth(given: Any, at_most: int) -> int:
    """How deeply a JSON value is nested; no further than ``at_most`` is looked."""
    level, reached = [given], 0
    while level and reached < at_most:
        inner = [each for each in level if isinstance(each, dict | list)]
        level = [part for each in inner for part in (each.values() if type(each) is dict else each)]
        reached += bool(inner)
    return reached


def value(of: Any) -> Any:
    """Dataclasses, tuples, mappings and numbers as JSON-able values."""
    if isinstance(of, (str, int, NoneType)):
        return of
    if isinstance(of, float):
        return of if math.isfinite(of) else _name(of)
    if isinstance(of, tuple | list):
        return [value(part) for part in of]
    if isinstance(of, Mapping):
        return {str(key): value(part) for key, part in of.items()}
    kind: Any = type(of)
    return {name: value(getattr(of, name)) for name in _names(kind)}


@cache
def reader(kind: Any) -> Reader:
    """What reads a value of this type, and raises ``Mismatch`` where it is none."""
    if kind is Any:
        return _anything
    if kind in _PLAIN:
        return _PLAIN[kind]
    if is_typeddict(kind):
        return _typed_dict_reader(kind)
    if is_dataclass(kind):
        return dataclass_reader(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _literal_reader(arguments)
    if origin in (Union, UnionType):
        (some,) = (argument for argument in arguments if argument is not NoneType)
        return _optional_reader(reader(some))
    if origin is tuple:
        if arguments[1:] == (...,):
            return _tuple_reader(reader(arguments[0]))
        return _row_reader(tuple(reader(argument) for argument in arguments))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_reader(reader(arguments[1]))
    raise TypeError(f"no reader for {kind!r}; give json_types one")


def dataclass_reader(kind: Any, instead: Mapping[str, Reader] = MappingProxyType({})) -> Reader:
    """A reader of a dataclass; ``instead`` has readers for fields whose type does not say it."""
    hints = get_type_hints(kind)
    plan = [
        (each.name, instead.get(each.name) or reader(hints[each.name]), _default(each))
        for each in fields(kind)
    ]

    def read(given: Any) -> Any:
        if type(given) is not dict:
            raise Mismatch("an object", given)
        arguments = []
        for name, read_field, default in plan:
            if name in given:
                try:
                    arguments.append(read_field(given[name]))
                except Mismatch as error:
                    raise error.within(name) from None
            elif default is None:
                raise Mismatch("a value", _Missing(), name)
            else:
                arguments.append(default())
        try:
            return kind(*arguments)
        except ValueError as error:  # a value that its type allows and the class does not
            raise Mismatch(f"what makes a {kind.__name__} ({error})", given) from None

    return read


def _typed_dict_reader(kind: Any) -> Reader:
    def read(given: Any) -> Any:
        if type(given) is not dict:
            raise Mismatch("an object", given)
        readers = _field_readers(kind)
        found = dict(given)
        for name in given.keys() & readers.keys():
            try:
                found[name] = readers[name](given[name])
            except Mismatch as error:
                raise error.within(name) from None
        return found

    return read


@cache
def _field_readers(kind: Any) -> dict[str, Reader]:
    """Made when they are needed: a type may hold itself."""
    return {name: reader(hint) for name, hint in get_type_hints(kind).items()}


def _text(given: Any) -> str:
    if type(given) is not str:
        raise Mismatch("a string", given)
    return sys.intern(given) if len(given) <= _INTERNED else given


def _number(given: Any) -> float:
    if type(given) is float and math.isfinite(given):
        return given
    if type(given) is str and given in NON_FINITE:
        return NON_FINITE[given]
    if type(given) is int:
        try:
            return float(given)
        except OverflowError:
            pass
    elif type(given) is not float:
        raise Mismatch('a number, "NaN", "Infinity" or "-Infinity"', given)
    raise Mismatch('a number that float64 holds (an infinity is written "Infinity")', given)


def _integer(given: Any) -> int:
    if type(given) is int:
        return given
    if type(given) is float and given.is_integer():
        return int(given)
    raise Mismatch("an integer", given)


def _truth(given: Any) -> bool:
    if type(given) is not bool:
        raise Mismatch("true or false", given)
    return given


def _anything(given: Any) -> Any:
    return given


_PLAIN: Mapping[Any, Reader] = {str: _text, float: _number, int: _integer, bool: _truth}


def _literal_reader(allowed: tuple[Any, ...]) -> Reader:
    def read(given: Any) -> Any:
        if type(given) is not str or given not in allowed:
            raise Mismatch(" or ".join(f'"{each}"' for each in allowed), given)
        return sys.intern(given)

    return read


def _optional_reader(some: Reader) -> Reader:
    return lambda given: None if given is None else some(given)


def _tuple_reader(element: Reader) -> Reader:
    def read(given: Any) -> tuple[Any, ...]:
        if type(given) is not list:
            raise Mismatch("an array", given)
        return tuple(_element(element, position, each) for position, each in enumerate(given))

    return read


def _row_reader(elements: tuple[Reader, ...]) -> Reader:
    def read(given: Any) -> tuple[Any, ...]:
        if type(given) is not list or len(given) != len(elements):
            raise Mismatch(f"an array of {len(elements)}", given)
        pairs = enumerate(zip(elements, given, strict=True))
        return tuple(_element(element, position, each) for position, (element, each) in pairs)

    return read


def _mapping_reader(element: Reader) -> Reader:
    def read(given: Any) -> dict[str, Any]:
        if type(given) is not dict:
            raise Mismatch("an object", given)
        return {name: _element(element, name, each) for name, each in given.items()}

    return read


def _element(element: Reader, name: str | int, given: Any) -> Any:
    try:
        return element(given)
    except Mismatch as error:
        raise error.within(name) from None


@cache
def _names(kind: Any) -> tuple[str, ...]:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} has no form in JSON; give json_types.value one")
    return tuple(each.name for each in fields(kind))


def _default(each: Any) -> Callable[[], Any] | None:
    if each.default_factory is not MISSING:
        factory: Callable[[], Any] = each.default_factory
        return factory
    return None if each.default is MISSING else lambda: each.default


def _name(number: float) -> str:
    return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {_shown(twice)} stands twice in one object")
    return found


def _refused(constant: str) -> Any:
    raise ValueError(f'{constant} is no JSON; it is written "{constant}"')


def _shown(given: Any) -> str:
    """A value, in a few characters, whatever it holds."""
    if isinstance(given, dict | list):
        return f"an {'object' if isinstance(given, dict) else 'array'} of {len(given)}"
    if isinstance(given, int) and abs(given) > 10**_SHOWN:
        return f"an integer of {given.bit_length()} bits"
    text = ascii(given) if isinstance(given, str) else {None: "null"}.get(given, repr(given))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
