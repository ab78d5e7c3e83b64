"""Cases that Hypothesis generates: the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from gradcheck_suite import strategies
from gradcheck_suite.case import REDUCTIONS, TARGET_KINDS, Case
from gradcheck_suite.errors import UsageError
from gradcheck_suite.protocols import Subject
from gradcheck_suite.specification.recipe import Recipe
from gradcheck_suite.strategies.drawing import EDGES, OPTIONS, Strategy, hypothesis_strategies

PREFIX = "search-"
#: Every number of classes up to here has its turn, then the edges of blocks.
_EVERY_SIZE_TO = 34
#: A check of a higher cost is asked of a share of the cases.
_CHEAP = 3


@dataclass(frozen=True, slots=True)
class GeneratedCases:
    """Stands where a recipe stands: many cases in place of one, ``search-200``.

    Attributes:
        examples: how many are generated.
    """

    examples: int

    def __post_init__(self) -> None:
        if self.examples < 1:
            raise UsageError(f"examples: {self.examples} cases show nothing; use 1 or more")
        hypothesis_strategies()  # absent: said before the run, not in it

    @classmethod
    def named(cls, id: str) -> GeneratedCases | None:
        """What ``search-200`` names; None if the id is another's."""
        number = id.removeprefix(PREFIX)
        return cls(int(number)) if id.startswith(PREFIX) and number.isdecimal() else None

    @property
    def id(self) -> str:
        return f"{PREFIX}{self.examples}"

    def build(self, subject: Subject, seed: int, cost: int) -> Iterator[Case]:
        """The cases for what a subject takes: fewer of them for a costly check."""
        found = _generated(self.examples, seed, subject.dtype, *_offered(subject))
        yield from found[:: -(-cost // _CHEAP)]


def _offered(subject: Subject) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Kinds of targets, reductions and options that it takes, each in some plain case."""
    plain = [
        Recipe(targets=kind, reduction=reduction).build(0, subject.dtype)
        for kind in TARGET_KINDS
        for reduction in REDUCTIONS
    ]
    taken = [case for case in plain if not subject.supports(case)]
    some = {"weight": [1.0] * 5, "ignore_index": -100, "label_smoothing": 0.5}
    return (
        tuple(kind for kind in TARGET_KINDS if any(c.target_kind == kind for c in taken)),
        tuple(name for name in REDUCTIONS if any(c.options.reduction == name for c in taken)),
        tuple(
            name
            for name in OPTIONS
            if any(not subject.supports(case.with_(**{name: some[name]})) for case in taken)
        ),
    )


@cache
def _generated(
    examples: int,
    seed: int,
    dtype: str,
    kinds: tuple[str, ...],
    reductions: tuple[str, ...],
    options: tuple[str, ...],
) -> tuple[Case, ...]:
    """The cases, by number of classes in an order that the seed gives.

    Hypothesis draws a fresh sample for every number of classes: a bug at one size is met by
    design and not by luck.
    """
    if not kinds or not reductions:
        return ()
    sizes = [*range(1, _EVERY_SIZE_TO + 1), *(size for size in EDGES if size > _EVERY_SIZE_TO)]
    random.Random(seed).shuffle(sizes)
    each = max(2, -(-examples // len(sizes)))
    found: list[Case] = []
    for number, size in enumerate(sizes):
        if len(found) >= examples:
            break
        strategy = strategies.cases(
            strategies.rows(most=129 if size <= _EVERY_SIZE_TO else 40),
            size,
            dtype=dtype,
            kinds=kinds,
            options=options,
            reductions=reductions,
        )
        found += _drawn(strategy, min(each, examples - len(found)), seed * len(sizes) + number)
    return tuple(found)


def _drawn(strategy: Strategy, count: int, seed: int) -> list[Case]:
    """What Hypothesis draws with this seed; nothing fails here, so nothing is shrunk."""
    import hypothesis

    found: list[Case] = []

    def keep(case: Case) -> None:
        found.append(case)

    settings = hypothesis.settings(
        max_examples=count,
        derandomize=False,  # the seed is ours
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.seed(seed)(settings(hypothesis.given(strategy)(keep)))()
    return found
