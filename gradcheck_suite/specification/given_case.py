"""A case that is given, not drawn: by a user, or found by a search. Its id holds all of it.

``rows2-classes3-mean~eNqr…``: what differs from the plainest case, then the whole case,
compressed. So an id is enough to ask the question again, in another process or next year,
whatever generated it.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck_suite.case import Case
from gradcheck_suite.errors import UsageError
from gradcheck_suite.specification.recipe import representable

SEPARATOR = "~"


@dataclass(frozen=True, slots=True, eq=False)
class GivenCase:
    """Stands where a recipe stands; what it builds is the case itself.

    Attributes:
        case: the case.
    """

    case: Case

    @classmethod
    def of(cls, case: Case) -> GivenCase:
        """A user's case, whose numbers its dtype can hold.

        Raises:
            UsageError: a number is not exact in the dtype, so that the reference and the
                implementation would see different ones.
        """
        for name, values in _floats(case).items():
            off = np.asarray(representable(values, case.dtype)) != values
            off &= ~np.isnan(values)
            if off.any():
                worst = values[tuple(np.argwhere(off)[0])] if values.ndim else values
                raise UsageError(
                    f"{name}: {float(worst)!r} is not exact in {case.dtype}; round it first, "
                    f"for example by np.asarray(…, dtype='{case.dtype}').astype(float)"
                )
        return cls(case)

    @classmethod
    def decode(cls, id: str) -> GivenCase:
        """The case that an id holds.

        Raises:
            UsageError: the id is damaged.
        """
        _, _, code = id.partition(SEPARATOR)
        try:
            packed = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
            return cls.of(Case.of(**json.loads(zlib.decompress(packed))))
        except (ValueError, TypeError, zlib.error) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"cases: {id!r} does not hold a case: {error}") from error

    @property
    def id(self) -> str:
        packed = zlib.compress(json.dumps(_arguments(self.case)).encode(), 9)
        return (
            describe(self.case) + SEPARATOR + base64.urlsafe_b64encode(packed).decode().strip("=")
        )

    def build(self, seed: int, dtype: str) -> Case:
        """The case with this seed and dtype."""
        return self.case.with_(id=describe(self.case), seed=seed, dtype=dtype)


def describe(case: Case) -> str:
    """``rows2-classes3-mean-weighted``: what differs from the plainest case."""
    options = case.options
    parts = [f"rows{case.rows}", f"classes{case.classes}", options.reduction]
    if case.target_kind == "probabilities":
        parts.append("probabilities")
    if options.weight is not None:
        parts.append("weighted")
    if options.ignore_index is not None:
        parts.append(f"index{options.ignore_index}")
    if options.label_smoothing:
        parts.append(f"smoothing{options.label_smoothing:g}")
    return "-".join(parts)


def as_python(case: Case) -> str:
    """``gs.Case.of(…)`` with this case's numbers, one argument a line."""
    return (
        "gs.Case.of(\n"
        + "".join(f"    {name}={_literal(value)},\n" for name, value in _arguments(case).items())
        + ")"
    )


def _floats(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = {"logits": case.logits, "upstream": case.upstream}
    if case.target_kind == "probabilities":
        found["targets"] = case.targets
    if case.options.weight is not None:
        found["weight"] = case.options.weight
    return found


def _arguments(case: Case) -> dict[str, Any]:
    """The arguments of ``Case.of`` that differ from their defaults; ``seed`` is the run's."""
    options = case.options
    given: dict[str, Any] = {"logits": case.logits.tolist(), "targets": case.targets.tolist()}
    if options.reduction != "none":
        given["reduction"] = options.reduction
    if options.weight is not None:
        given["weight"] = options.weight.tolist()
    if options.ignore_index is not None:
        given["ignore_index"] = options.ignore_index
    if options.label_smoothing:
        given["label_smoothing"] = options.label_smoothing
    if np.any(case.upstream != 1.0):
        given["upstream"] = case.upstream.tolist()
    if case.dtype != "float64":
        given["dtype"] = case.dtype
    return given


def _literal(value: Any) -> str:
    """Python for nested lists: what repeats is multiplied, numbers that are none are spelled."""
    if isinstance(value, list):
        if len(value) > 3 and all(part == value[0] for part in value):
            return f"[{_literal(value[0])}] * {len(value)}"
        runs = _runs(value)
        if len(value) > 8 and len(runs) <= len(value) / 3:
            return " + ".join(_literal(run) for run in runs)
        return "[" + ", ".join(_literal(part) for part in value) + "]"
    if isinstance(value, float) and not np.isfinite(value):
        return f'float("{value}")'
    return repr(value)


def _runs(values: list[Any]) -> list[list[Any]]:
    """The list cut where the element changes."""
    runs: list[list[Any]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1].append(value)
        else:
            runs.append([value])
    return runs
