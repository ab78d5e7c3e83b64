"""An earlier report that a run is held against: what failed in it too is no news."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Errored, Record, Run
from gradcheck_suite.reports.line_reading import read_report
from gradcheck_suite.review.comparing import compared
from pytest_gradcheck.options import readable, refused
from pytest_gradcheck.stash import BASELINE, SETTINGS

_LINES_AT_MOST = 10

Address = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The earlier report, and how its outcomes can be found again."""

    path: str
    run: Run
    outcomes: Mapping[Address, Record]

    @classmethod
    def of(cls, path: str, run: Run) -> Baseline:
        """By address; of what was asked more than once, the bad answer."""
        found: dict[Address, Record] = {}
        for record in run.outcomes:
            # A known deviation is bad too: what was a baseline's once stays one.
            bare = replace(record, deviation="")
            if _address(bare) not in found or bare.decides(strict=True):
                found[_address(bare)] = bare
        return cls(path, run, found)

    def applied(self, record: Record, *, strict: bool) -> Record:
        """The outcome, marked as known where it was as bad before. Nothing excuses a crash."""
        crashed = isinstance(record.verdict, Errored)
        if crashed or not record.decides(strict=strict) or not self._as_before(record):
            return record
        return replace(record, deviation=f"{record.status}{self._too}")

    def news(self, record: Record) -> str:
        """What to say of an outcome that fails the run."""
        before = self.outcomes.get(_address(record))
        if before is None:
            return f"this is new: it was not asked in the baseline {self.path}"
        if not before.decides(strict=True):
            return f"this is new: it did not fail in the baseline {self.path}"
        if not self._as_before(record):
            return f"this is new: it was {before.status} in the baseline {self.path}"
        if isinstance(record.verdict, Errored):
            return f"it crashed in the baseline {self.path} too; nothing excuses a crash"
        return f"it {record.status}{self._too}"

    def summary(self, run: Run, *, whole: bool) -> Iterator[str]:
        """What changed, in lines; ``whole``: everything was asked, so that nothing is missing."""
        if not run.outcomes:
            return
        try:
            found = compared(self.run, run)
        except UsageError:
            yield f"baseline {self.path}: none of its questions was asked"
            return
        crashed = [r for r in run.failures if isinstance(r.verdict, Errored) and self._as_before(r)]
        new = [record for record in run.failures if not self._as_before(record)]
        excused = sum(record.deviation.endswith(self._too) for record in run.outcomes)
        as_before = excused + len(run.failures) - len(crashed) - len(new)
        parts = [f"{len(new)} newly failing", f"{as_before} bad as before"]
        if crashed:
            parts.append(f"{len(crashed)} crashing as before")
        if found.newly_passing:
            parts.append(f"{len(found.newly_passing)} newly passing")
        if found.vanished and whole:
            parts.append(f"{len(found.vanished)} of its questions not asked")
        yield f"baseline {self.path}: {', '.join(parts)}"
        if crashed:
            yield "  nothing excuses a crash: what crashed before fails the run too"
        if found.newly_passing:
            yield "  write the baseline anew: what passes now must then go on passing"
        for record in new[:_LINES_AT_MOST]:
            yield f"  new: {_named(record)}"
        if len(new) > _LINES_AT_MOST:
            yield f"  … and {len(new) - _LINES_AT_MOST} more"

    def _as_before(self, record: Record) -> bool:
        """Whether a bad outcome was bad before, and in the same way."""
        before = self.outcomes.get(_address(record))
        return before is not None and before.status is record.status

    @property
    def _too(self) -> str:
        return f" in the baseline {self.path} too"


def _address(record: Record) -> Address:
    return (record.implementation, record.backend, record.device, record.id)


def _named(record: Record) -> str:
    return f"{record.status} {record.id} of {record.implementation}: {record.reason}"


def baseline(config: pytest.Config) -> Baseline | None:
    """The report that the run was given, read once; None without one.

    Raises:
        pytest.UsageError: it cannot be read, or is truncated.
    """
    path, flag = config.stash[SETTINGS].baseline, "--gradcheck-baseline"
    if not path:
        return None
    if BASELINE not in config.stash:
        try:
            run = read_report(readable(config, flag, path)).run
        except UsageError as error:
            raise refused(flag, error) from None
        if run.truncated:
            raise pytest.UsageError(
                f"{flag}: {path} is of a run that was cut off, and what it lacks would count as "
                f"new; write it anew, --gradcheck-report {path}, in a run that comes to its end"
            )
        config.stash[BASELINE] = Baseline.of(path, run)
    return config.stash[BASELINE]
