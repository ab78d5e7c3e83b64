"""An earlier report that a run is held against: what failed in it too is no news."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Errored, Record, Run
from gradcheck_suite.reports.line_reading import read_report
from gradcheck_suite.review.comparing import Change, compared
from pytest_gradcheck.stash import BASELINE, SETTINGS

_LINES_AT_MOST = 10

Address = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The earlier report, and how its bad outcomes can be found again."""

    path: str
    run: Run
    bad: Mapping[Address, Record]

    @classmethod
    def of(cls, path: str, run: Run) -> Baseline:
        # A known deviation is bad too: what was a baseline's once stays one.
        bare = (replace(record, deviation="") for record in run.outcomes)
        bad = {_address(record): record for record in bare if record.decides(strict=True)}
        return cls(path, run, bad)

    def applied(self, record: Record) -> Record:
        """The outcome, marked as known where it was as bad before. Nothing excuses a crash."""
        if record.deviation or not record.decides(strict=True):
            return record
        before = self.bad.get(_address(record))
        if isinstance(record.verdict, Errored) or before is None:
            return record
        if before.status is not record.status:
            return record
        return replace(record, deviation=f"{record.status}{self._too}")

    @property
    def _too(self) -> str:
        return f" in the baseline {self.path} too"

    @property
    def news(self) -> str:
        """What to say of an outcome that fails and did not."""
        return f"this is new: it did not fail in the baseline {self.path}"

    def summary(self, run: Run, *, whole: bool) -> Iterator[str]:
        """What changed, in lines; ``whole``: everything was asked, so that nothing is missing."""
        if not run.outcomes:
            return
        try:
            found = compared(self.run, run)
        except UsageError:
            yield f"baseline {self.path}: none of its questions was asked"
            return
        failing = (*found.newly_failing, *found.appeared_failing)
        as_before = sum(record.deviation.endswith(self._too) for record in run.outcomes)
        parts = [f"{len(failing)} newly failing", f"{as_before} bad as before"]
        if found.newly_passing:
            parts.append(f"{len(found.newly_passing)} newly passing")
        if found.vanished and whole:
            parts.append(f"{len(found.vanished)} of its questions not asked")
        yield f"baseline {self.path}: {', '.join(parts)}"
        if found.newly_passing:
            yield "  write the baseline anew: what passes now must then go on passing"
        for change in failing[:_LINES_AT_MOST]:
            yield f"  new: {_named(change)}"
        if len(failing) > _LINES_AT_MOST:
            yield f"  … and {len(failing) - _LINES_AT_MOST} more"


def _address(record: Record) -> Address:
    return (record.implementation, record.backend, record.device, record.id)


def _named(change: Change) -> str:
    record = change.record
    return f"{record.status} {record.id} of {record.implementation}: {record.reason}"


def baseline(config: pytest.Config) -> Baseline | None:
    """The report that the run was given, read once; None without one.

    Raises:
        pytest.UsageError: it cannot be read.
    """
    path = config.stash[SETTINGS].baseline
    if not path:
        return None
    if BASELINE not in config.stash:
        try:
            report = read_report(config.rootpath / path)
        except UsageError as error:
            raise pytest.UsageError(f"--gradcheck-baseline: {error}") from None
        config.stash[BASELINE] = Baseline.of(path, report.run)
    return config.stash[BASELINE]
