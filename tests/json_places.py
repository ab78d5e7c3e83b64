"""Where the values inside a JSON value are, for tests that put something else there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """The path of every value inside a line, its own first."""
    yield path
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in pairs:
            yield from places(part, *path, key)
