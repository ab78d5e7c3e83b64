"""What a check found, as values: verdicts, records and the run that holds them.

Floor 0 of the house: this file depends on nothing else in the project, so that
whatever reads outcomes (a report, the pytest plugin, a later run) needs no
array library.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from os import PathLike
from typing import Any, ClassVar, Literal

from gradcheck_suite import discovery
from gradcheck_suite.replacing import replacing
from gradcheck_suite.teeth import Teeth

#: What an outcome counts as in a table: its status, or ``declared``.
STANDINGS = ("passed", "failed", "inconclusive", "declared", "skipped", "errored")
#: What an outcome counts as in a run; the last two are bad and stand in nobody's way.
ACCOUNTS = (*STANDINGS, "known", "advice")
#: What a clause asks: mathematics, quality, or that an implementation holds to its own choice.
Level = Literal["MUST", "SHOULD", "DECLARED"]
#: How a reason or a note begins that says what is declared in place of being judged.
DECLARED = "declared: "
#: How the reason of a skip begins where the question was not put at all, though it applies.
UNASKED = ("excluded on request", "not run: ", "not judged: ")


class Status(StrEnum):
    """The five things a case can end as. Only ``PASSED`` is good news."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"
    ERRORED = "errored"


@dataclass(frozen=True, slots=True)
class Inequality:
    """The inequality a verdict rests on: ``error <= tolerance``.

    Attributes:
        quantity: what was compared, in mathematical notation.
        error: the left side, in the units of the quantity.
        tolerance: the right side; the sum of ``terms`` where there are any.
        terms: the derivation of the tolerance, term by term, as (label, value).
    """

    quantity: str
    error: float
    tolerance: float
    terms: tuple[tuple[str, float], ...] = ()

    @property
    def margin(self) -> float:
        """``error / tolerance``: at most 1 holds. 0/0 is 0; NaN is infinite (never a pass)."""
        if math.isnan(self.error) or math.isnan(self.tolerance):
            return math.inf
        if self.tolerance == 0.0:
            return 0.0 if self.error == 0.0 else math.inf
        if math.isinf(self.error):
            return math.inf
        return self.error / self.tolerance

    @property
    def holds(self) -> bool:
        return self.margin <= 1.0

    def __str__(self) -> str:
        sign = "≤" if self.holds else ">"
        line = f"{self.quantity} = {self.error:.1e}  {sign}  {self.tolerance:.1e}"
        if self.terms:
            line += " = " + " + ".join(f"{value:.1e} ({label})" for label, value in self.terms)
        return line


@dataclass(frozen=True, slots=True)
class ErrorMap:
    """Where two arrays differ, and by how much: the element that is worst of each block.

    Attributes:
        shape: of the arrays, (N, C) or (N,).
        block: rows and classes of one cell; (1, 1) where every element has its own.
        errors: got − specified, signed, to three digits; rows of cells.
        margins: |got − specified| / bound at the same elements: more than 1 is wrong.
        against: what ``got`` is held against, where that is not what is specified.
    """

    shape: tuple[int, ...]
    block: tuple[int, int]
    errors: tuple[tuple[float, ...], ...]
    margins: tuple[tuple[float, ...], ...]
    against: str = "specified"


@dataclass(frozen=True, slots=True)
class StepCurve:
    """The slope of a value by finite differences, over a ladder of steps: the V-curve.

    The distance to the slope that is right falls with h^order while truncation rules, and
    rises with 1/h where rounding does; the distance to one that is wrong stays where it is.

    Attributes:
        along: the direction, in words.
        steps: h, ascending.
        to_got: |D(h) − ⟨got, v⟩|, got being the derivative under test.
        to_specified: |D(h) − ⟨specified, v⟩|.
        chosen: the step that the check begins with.
        truncation: estimated truncation error at that step.
        rounding: estimated rounding error at that step.
        order: power of h with which the truncation error grows.
    """

    along: str
    steps: tuple[float, ...]
    to_got: tuple[float, ...]
    to_specified: tuple[float, ...]
    chosen: float
    truncation: float
    rounding: float
    order: int


@dataclass(frozen=True, slots=True)
class Passed:
    """The clause holds on this case, and ``inequality`` says by how much.

    Attributes:
        inequality: the tightest inequality that was tested (None for exact comparisons).
        resolution: relative gradient error that this check misses with probability at
            most 1e-6; None where elements are compared one by one.
        note: what a reader should know beside the verdict.
    """

    status: ClassVar[Status] = Status.PASSED
    inequality: Inequality | None = None
    resolution: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The clause does not hold; the fields are the lines of the story.

    Attributes:
        summary: one line that names what is wrong.
        at: where (row, class), in words; empty where the whole result is meant.
        index: the same as indices, (row, class), for whoever looks again.
        sides: the two or three numbers that disagree, each with its name.
        inequality: the inequality that does not hold.
        looks: the pattern of the error, in words.
        resolution: what the check can see, as in ``Passed``.
        error_map: the error element by element, for a plot.
        step_curve: the value's own slope over a ladder of steps, for a plot.
    """

    status: ClassVar[Status] = Status.FAILED
    summary: str
    at: str = ""
    sides: tuple[tuple[str, str], ...] = ()
    inequality: Inequality | None = None
    looks: str = ""
    resolution: float | None = None
    index: tuple[int, ...] = ()
    error_map: ErrorMap | None = None
    step_curve: StepCurve | None = None


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """The check could not see well enough to decide. Not a pass.

    Attributes:
        reason: why (``kink``, noise, a resolution worse than promised), in words.
        inequality: the one that would have decided.
        resolution: the resolution that was reached, relative to the gradient's norm.
        promised: the resolution this dtype is promised.
    """

    status: ClassVar[Status] = Status.INCONCLUSIVE
    reason: str
    inequality: Inequality | None = None
    resolution: float | None = None
    promised: float | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """The clause does not apply here.

    Attributes:
        reason: why, in words; never empty.
    """

    status: ClassVar[Status] = Status.SKIPPED
    reason: str = field(metadata={"minLength": 1})

    def __post_init__(self) -> None:
        if not self.reason:
            raise ValueError("a skip carries its reason: reason is empty")


@dataclass(frozen=True, slots=True)
class Errored:
    """The implementation (or its process) broke; nothing was learned about the clause.

    Attributes:
        reason: what was raised, or how the process ended.
        traceback: the frames that are not the suite's own.
    """

    status: ClassVar[Status] = Status.ERRORED
    reason: str
    traceback: str = ""


Verdict = Passed | Failed | Inconclusive | Skipped | Errored


class Judged:
    """What can be read off a verdict; for whatever holds one as ``verdict``."""

    __slots__ = ()
    verdict: Verdict

    @property
    def status(self) -> Status:
        return self.verdict.status

    @property
    def inequality(self) -> Inequality | None:
        return getattr(self.verdict, "inequality", None)

    @property
    def error(self) -> float | None:
        return self.inequality.error if self.inequality else None

    @property
    def tolerance(self) -> float | None:
        return self.inequality.tolerance if self.inequality else None

    @property
    def resolution(self) -> float | None:
        return getattr(self.verdict, "resolution", None)

    @property
    def declared(self) -> str:
        """The limitation that was declared, where that is what the outcome rests on; else empty.

        It is neither a pass nor a question that does not apply: the declaration stands in the
        place of an answer, and reports count it apart.
        """
        good = isinstance(self.verdict, Passed | Skipped)
        said = self.reason if good else ""
        return said.removeprefix(DECLARED) if said.startswith(DECLARED) else ""

    @property
    def unasked(self) -> bool:
        """Whether it was skipped without asking: left out on request, or after too many crashes."""
        return isinstance(self.verdict, Skipped) and self.reason.startswith(UNASKED)

    @property
    def standing(self) -> str:
        """What it counts as, one of ``STANDINGS``."""
        return "declared" if self.declared else self.status.value

    @property
    def reason(self) -> str:
        """Why, in a line: the summary of a failure, the reason of the others."""
        if isinstance(self.verdict, Failed):
            return self.verdict.summary
        return getattr(self.verdict, "reason", "") or getattr(self.verdict, "note", "")


@dataclass(frozen=True, slots=True)
class Record(Judged):
    """One outcome with everything needed to understand it and to see it again.

    Attributes:
        clause: id of the clause, for example ``gradient.analytic``.
        level: ``MUST``, ``SHOULD`` or ``DECLARED``.
        statement: the clause's sentence.
        case: id of the case, for example ``rows4-classes5-mean-ignored1``.
        check: name of the check that decided.
        implementation: name of the implementation.
        backend, device, dtype: where it ran.
        seed: seed of the case.
        verdict: what was found.
        dialect: the declared choices that differ from the default.
        deviation: reason of a declared known deviation that covers this outcome.
        seconds: wall-clock time.
        replay: a command that shows this outcome again.
        snippet: Python that does, where the case was not one of the specification's own.
        warnings: what the implementation warned about meanwhile.
        output: what the implementation printed meanwhile.
        part: which of the reports that were merged it comes from; empty in that of one run.
    """

    clause: str
    level: Level
    statement: str
    case: str
    check: str
    implementation: str
    backend: str
    device: str
    dtype: str
    seed: int
    verdict: Verdict
    dialect: Mapping[str, str] = field(default_factory=dict)
    deviation: str = ""
    seconds: float = 0.0
    replay: str = ""
    snippet: str = ""
    warnings: tuple[str, ...] = ()
    output: str = ""
    part: str = ""

    @property
    def id(self) -> str:
        """``clause/case@dtype``: the address of this outcome on the command line."""
        return f"{self.clause}/{self.case}@{self.dtype}"

    @property
    def place(self) -> tuple[str, ...]:
        """Who answered, where; its teeth have the same."""
        return self.implementation, self.backend, self.device, self.dtype, self.part

    @property
    def family(self) -> str:
        return self.clause.partition(".")[0]

    def decides(self, *, strict: bool = False) -> bool:
        """Whether this outcome stands between a run and ``passed``.

        A MUST or DECLARED clause that failed, errored or was inconclusive does; a SHOULD
        clause does only under ``strict``; one that is covered by a known deviation does
        not, except that nothing excuses a crash.
        """
        if self.status in (Status.PASSED, Status.SKIPPED):
            return False
        if self.deviation and self.status is not Status.ERRORED:
            return False
        return strict or self.level != "SHOULD" or self.status is Status.ERRORED

    def account(self, *, strict: bool = False) -> str:
        """What it counts as in a run, one of ``ACCOUNTS``.

        Its standing; but ``known`` where a known deviation covers a bad outcome, and ``advice``
        where a SHOULD clause does not hold and does not count.
        """
        good = self.status in (Status.PASSED, Status.SKIPPED)
        if good or self.decides(strict=strict):
            return self.standing
        return "known" if self.deviation else "advice"


@dataclass(frozen=True, slots=True)
class Run:
    """The outcomes of one conformance run. Falsy unless it passed.

    Attributes:
        outcomes: every record, in the order in which it finished.
        provenance: versions, platform, flags and seed, as JSON-able values.
        strict: whether SHOULD clauses count.
        notes: what the run wants said beside its outcomes (a stale deviation, a
            backend that is not there).
        teeth: the planted errors that it was shown to catch, by implementation and dtype.
        truncated: it was cut off: what it did not get to is not known, so it cannot pass.
    """

    outcomes: tuple[Record, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    strict: bool = False
    notes: tuple[str, ...] = ()
    teeth: tuple[Teeth, ...] = ()
    truncated: bool = False

    @property
    def executed(self) -> tuple[Record, ...]:
        """The outcomes in which something was really judged."""
        return tuple(record for record in self.outcomes if record.status is not Status.SKIPPED)

    @property
    def failures(self) -> tuple[Record, ...]:
        """The outcomes that stand between this run and ``passed``."""
        return tuple(record for record in self.outcomes if record.decides(strict=self.strict))

    @property
    def passed(self) -> bool:
        """True only if something ran, to its end, and no deciding outcome is bad."""
        return not self.truncated and bool(self.executed) and not self.failures

    @property
    def teeth_shown(self) -> bool:
        """Whether every implementation and dtype that was judged was shown to have been watched.

        Errors were planted in its answers, in each of the reports that were merged, and each was
        caught. A report that is certified asks for this; ``passed`` does not.
        """
        judged = {record.place for record in self.executed}
        return bool(judged) and judged <= {teeth.place for teeth in self.teeth if teeth.shown}

    @property
    def exit_code(self) -> int:
        """0 all passed, 1 something failed or the run was cut off, 2 nothing ran."""
        if not self.executed:
            return 2
        return 0 if self.passed else 1

    def counts(self) -> Counter[Status]:
        """Outcomes by status; what is ``declared`` is a pass or a skip here."""
        return Counter(record.status for record in self.outcomes)

    @property
    def declared(self) -> tuple[Record, ...]:
        """The outcomes that rest on a declared limitation: no passes, whatever their status."""
        return tuple(record for record in self.outcomes if record.declared)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        tolerated = [r for r in self.outcomes if r.decides(strict=True) or r.deviation]
        tolerated = [r for r in tolerated if not r.decides(strict=self.strict)]
        known = sum(bool(record.deviation) for record in tolerated)
        apart = (*tolerated, *self.declared)
        counts = self.counts() - Counter(record.status for record in apart)
        parts = [f"{counts[status]} {status}" for status in Status if counts[status]]
        if self.declared:
            parts.append(f"{len(self.declared)} declared")
        if known:
            parts.append(f"{known} known deviation" + "s" * (known > 1))
        if len(tolerated) > known:
            parts.append(f"{len(tolerated) - known} advised")
        verdict = "passed" if self.passed else "NOT passed"
        if self.truncated:
            verdict += ", truncated"
        return f"{verdict}: " + (", ".join(parts) or "nothing ran")

    def write(self, path: str | PathLike[str]) -> None:
        """Writes the run in the format that the suffix of ``path`` names: whole, or not at all.

        Raises:
            ValueError: no report format is registered for the suffix; the message lists
                the ones that are.
        """
        report = discovery.report_format(path)
        with replacing(path) as whole:
            report.write(self, whole)
