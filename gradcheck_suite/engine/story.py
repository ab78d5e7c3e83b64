"""What a localisation found, and the line that shows how far one has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from gradcheck_suite.outcome import Inequality


@dataclass(frozen=True, slots=True)
class Story:
    """Where a gradient is wrong, the two numbers that show it, and what the error looks like.

    Attributes:
        place: the element, block or line, in words.
        looks: the pattern of the error, in words; empty where none was seen.
        sides: the two numbers that disagree.
        inequality: the inequality that does not hold.
        center: an element that is wrong (flat), where the pattern is still to be looked for.
    """

    place: str
    looks: str
    sides: tuple[tuple[str, str], ...]
    inequality: Inequality
    center: int | None = None

    @classmethod
    def of(
        cls, place: str, looks: str, got: float, expected: float, error: float, **more: int | None
    ) -> Story:
        sides = (
            ("got", f"{got:.9g}"),
            ("finite difference", f"{expected:.9g} ± {error:.1e}"),
        )
        inequality = Inequality("|got − finite difference|", abs(got - expected), error)
        return cls(place, looks, sides, inequality, **more)


def progress(name: str) -> Callable[[int, int], None] | None:
    """A line on the terminal after five seconds of work; nothing where there is none."""
    if not sys.stderr.isatty():
        return None
    started = time.monotonic()

    def show(done: int, count: int) -> None:
        if time.monotonic() - started > 5.0:
            end = "\n" if done == count else ""
            print(f"\rlocalising {name}: {done}/{count}", end=end, file=sys.stderr)

    return show
