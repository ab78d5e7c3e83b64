"""A clause: one sentence of the specification, with what exercises it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache

from gradcheck_suite import discovery
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Level
from gradcheck_suite.specification.domain import Domain
from gradcheck_suite.specification.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Clause:
    """One row of the specification.

    Attributes:
        id: ``family.name``; stable once published, never reused.
        level: ``MUST`` (mathematics), ``SHOULD`` (quality; advice unless strict) or
            ``DECLARED`` (held to the dialect's choice).
        statement: a sentence a reader can check against a textbook.
        check: name of the check that decides it.
        cases: the recipes that exercise it, the most telling one first.
        origin: where the clause comes from: a derivation, a shipped bug.
        why: what went wrong in the world where it did not hold.
        choice: the dialect's choice it is held to; advice for who has not declared it.
        domain: the cases beyond its own that it speaks of: there a search may ask it; None for
            a clause that needs cases of a special make, or that others imply.
        many_shapes: nearly every case has a shape of its own. Where each of them has to be
            compiled, only the first is asked in a quick run, or again in another dtype.
    """

    id: str
    level: Level
    statement: str
    check: str
    cases: tuple[Recipe, ...]
    origin: str = ""
    why: str = ""
    choice: str = ""
    domain: Domain | None = None
    many_shapes: bool = False

    def level_for(self, declared: Mapping[str, str]) -> Level:
        """``SHOULD`` for a choice that indexing makes for who did not: advice until declared.

        An index of −1 wraps in NumPy's, PyTorch's and JAX's indexing alike, and so it does in
        every loss that is written with it.
        """
        return "SHOULD" if self.choice and self.choice not in declared else self.level

    @property
    def family(self) -> str:
        return self.id.partition(".")[0]


@cache
def clauses() -> tuple[Clause, ...]:
    """Every clause, in the order of the specification's files."""
    return discovery.members("clauses")


def _near(pattern: str, families: list[str]) -> str:
    """``; did you mean …?``: ids like the pattern; a family's where only that is misspelt."""
    family, dot, name = pattern.partition(".")
    ids = [] if "*" in pattern else [clause.id for clause in clauses()]
    near = get_close_matches(pattern, ids, n=3, cutoff=0.75)
    if not near and (not dot or "*" in name):
        near = [f"{found}.*" for found in get_close_matches(family, families, n=2)]
    if not near and family in families:
        near = [clause.id for clause in clauses() if clause.family == family][:6]
    return f"; did you mean {', '.join(near)}?" if near else ""


def select(patterns: str | tuple[str, ...] = "*") -> tuple[Clause, ...]:
    """The clauses whose id matches one of the patterns (``gradient.*``).

    Raises:
        UsageError: a pattern matches no clause: a misspelt one must not pass by running
            nothing.
    """
    wanted = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    if not wanted:
        raise UsageError("clauses: no pattern at all is given; '*' stands for every clause")
    for pattern in wanted:
        if not any(fnmatchcase(clause.id, pattern) for clause in clauses()):
            families = sorted({clause.family for clause in clauses()})
            raise UsageError(
                f"clauses: {pattern!r} matches no clause; families are {', '.join(families)} "
                f"(gradcheck-suite list clauses){_near(pattern, families)}"
            )
    return tuple(
        clause for clause in clauses() if any(fnmatchcase(clause.id, pattern) for pattern in wanted)
    )
