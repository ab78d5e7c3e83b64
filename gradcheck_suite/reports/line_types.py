"""The lines of a report, as types: what is not an outcome. The JSON Schema is made from these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from gradcheck_suite.outcome import Record, Run
from gradcheck_suite.provenance import Provenance
from gradcheck_suite.teeth import Teeth

FORMAT = "gradcheck-suite-report"
VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: where the outcomes come from.

    Attributes:
        format: the name of this format.
        version: of the format, ``major.minor``.
        strict: whether SHOULD clauses count.
        provenance: versions, platform, flags and seed.
    """

    format: Literal["gradcheck-suite-report"]
    version: str = field(metadata={"pattern": r"^[0-9]{1,9}\.[0-9]{1,9}$"})
    strict: bool
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Footer:
    """The last line: what the outcomes come to. A run that was cut off has none.

    Attributes:
        passed: the verdict.
        outcomes: how many there are.
        counts: how many there are of each status.
        declared: how many of them rest on a declared limitation.
        truncated: a part of it was cut off before it was merged into this report.
        notes: what the run wants said beside its outcomes.
        teeth: the planted errors that it was shown to catch, by implementation and dtype.
    """

    passed: bool
    outcomes: int
    counts: Mapping[str, int]
    declared: int
    truncated: bool = False
    notes: tuple[str, ...] = ()
    teeth: tuple[Teeth, ...] = ()

    @classmethod
    def of(cls, run: Run) -> Footer:
        counts = {status.value: count for status, count in run.counts().items()}
        return cls(
            passed=run.passed,
            outcomes=len(run.outcomes),
            counts=dict(sorted(counts.items())),
            declared=len(run.declared),
            truncated=run.truncated,
            notes=run.notes,
            teeth=run.teeth,
        )


#: What the ``kind`` of a line says it is. An outcome's own type depends on its status.
LINES: Mapping[str, Any] = MappingProxyType({"header": Header, "outcome": Record, "footer": Footer})
