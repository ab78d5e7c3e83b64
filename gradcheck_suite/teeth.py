"""Teeth: the planted errors that a run was shown to catch, as values.

Errors are planted in the value and the gradient that the implementation itself gave in the run, and
the clauses of the run judge them: a pass says what would have been seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Planted:
    """One error, planted.

    Attributes:
        error: what was planted, in words: ``gradient negated``.
        size: ‖δ‖/‖right‖, of the gradient or of the value; infinite for a NaN.
        clause: id of the clause that did not pass it; empty where all did. It failed it, or where
            a dtype is coarse and no clause fails it, left it inconclusive, which is no pass.
    """

    error: str
    size: float
    clause: str = ""

    @property
    def caught(self) -> bool:
        return bool(self.clause)


@dataclass(frozen=True, slots=True)
class Teeth:
    """The errors planted in one implementation, on one device, in one dtype.

    Attributes:
        implementation, backend, device, dtype: in whose answers they were planted.
        planted: every error that was.
        not_shown: why some or all were not: ``gradient.analytic fails as it is``; else empty.
        part: which of the reports that were merged they come from; empty in that of one run.
    """

    implementation: str
    backend: str
    device: str
    dtype: str
    planted: tuple[Planted, ...] = ()
    not_shown: str = ""
    part: str = ""

    @property
    def place(self) -> tuple[str, ...]:
        """In whose answers, where; an outcome has the same."""
        return self.implementation, self.backend, self.device, self.dtype, self.part

    @property
    def missed(self) -> tuple[Planted, ...]:
        return tuple(each for each in self.planted if not each.caught)

    @property
    def shown(self) -> bool:
        """Errors of every kind were planted, and each was caught."""
        return bool(self.planted) and not self.missed and not self.not_shown


def summary(teeth: Sequence[Teeth]) -> str:
    """``28 of 28 planted errors caught (float64, float32)``, and what is to be said beside it."""
    planted = [each for one in teeth for each in one.planted]
    caught = sum(each.caught for each in planted)
    parts = []
    if planted:
        dtypes = dict.fromkeys(one.dtype for one in teeth if one.planted)
        parts.append(f"{caught} of {len(planted)} planted errors caught ({', '.join(dtypes)})")
    missed: dict[str, list[str]] = {}
    reasons: dict[str, list[str]] = {}
    for one in teeth:
        for each in one.missed:
            missed.setdefault(each.error, []).append(one.dtype)
        if one.not_shown:
            reasons.setdefault(one.not_shown, []).append(one.dtype)
    parts += [f"NOT caught in {_listed(where)}: {error}" for error, where in missed.items()]
    parts += [f"not shown in {_listed(where)}: {reason}" for reason, where in reasons.items()]
    return "; ".join(parts)


def _listed(dtypes: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(dtypes))
