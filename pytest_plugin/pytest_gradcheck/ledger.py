"""The ledger: what a run of pytest learned, wherever its tests ran, and what it owes."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gradcheck.options import OWN_ID, folder, refused

if TYPE_CHECKING:
    from gradcheck_suite.outcome import Run
    from gradcheck_suite.reports.files import ReportFiles
    from pytest_gradcheck.options import Settings

_CRASHED = "crashed while running"


class Ledger:
    """Collects the outcomes that reports carry; writes and judges them when the session ends.

    Under xdist it lives in every process, and the controller's is the one that speaks.

    Attributes:
        problems: promises that were not kept; each fails the run.
    """

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.problems: list[str] = []
        self.written: tuple[str, ...] = ()
        self._files: ReportFiles | None = None
        self._encoded: list[str] = []
        self._uses: set[str] = set()
        self._lost: list[str] = []
        self._asked: set[int] = set()
        self._collected = False
        self._begun = self._ended = False
        self._tests = 0
        self._done: set[str] = set()
        self._run: Run | None = None

    @property
    def used(self) -> bool:
        """Whether there is anything to say."""
        return bool(self._encoded or self._lost or self.problems or self.settings.losses)

    def run(self) -> Run:
        """The outcomes in an order that does not depend on where and when they came in.

        A method: looking for hooks and fixtures, older pytest reads every property of a plugin.
        """
        if self._run is None:
            from gradcheck_suite import provenance
            from pytest_gradcheck.gathering import gather

            begun = self._files.provenance if self._files else provenance.collect()
            self._run = gather(
                self._encoded, self._lost, self.settings, begun, stopped=self._stopped()
            )
        return self._run

    # --- hooks -------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Opens the reports before the first test: a run that is killed leaves what it found."""
        option = self.config.option
        broken = session.testsfailed and not option.continue_on_collection_errors
        # Where nothing is going to run, an earlier report stays.
        self._begun = not (hasattr(self.config, "workeroutput") or option.collectonly or broken)
        if self._begun and self.settings.reports:
            from pytest_gradcheck.gathering import report_files

            self._files = report_files(self.config, self.settings)
        result = yield  # raises where the run is interrupted, or stops at a failure (-x)
        self._ended = True
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps what a report carries, and notes the question that a worker died of."""
        records: Sequence[str] = getattr(report, "gradcheck_records", ())
        self._encoded += records
        if self._files is not None and records:
            from gradcheck_suite import record_json

            for text in records:
                self._files.add(record_json.decode(json.loads(text)))
        self._uses.update(getattr(report, "gradcheck_uses", ()))
        crashed = report.when not in ("setup", "call", "teardown")
        if crashed and _CRASHED in str(report.longrepr) and OWN_ID.search(report.nodeid):
            self._lost.append(report.nodeid)
            self._done.add(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is done; the one that an interrupt falls into is not."""
        self._done.add(nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """How much was collected, and which expectations speak of it."""
        self._tests = len(session.items)
        if self.settings.expectations:
            from pytest_gradcheck.gathering import questions_of
            from pytest_gradcheck.known import expectations

            self._collected = True
            self._asked.update(expectations(self.config).asked_by(questions_of(session.items)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Every worker of xdist collects the same; the controller collects nothing."""
        self._tests = len(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of xdist is done: what it learned while collecting."""
        told = getattr(node, "workeroutput", None) or {}
        if "gradcheck_asked" in told:
            self._collected = True
            self._asked.update(json.loads(told["gradcheck_asked"]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Writes the reports, and fails the run where a promise was not kept."""
        if hasattr(self.config, "workeroutput"):
            if self._collected:
                self.config.workeroutput["gradcheck_asked"] = json.dumps(sorted(self._asked))
            return
        if not (self.used or self.settings.asked) or self.config.option.collectonly:
            return
        self.problems += self._unkept()
        if self._files is not None:
            try:
                self._files.finish(self.run())
            except ValueError as error:
                self.problems.append(str(refused("--gradcheck-report", error)))
            else:
                self.written = self.settings.reports
        if self.problems and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table, where there is something to show."""
        if self.used and not self.config.option.collectonly:
            from pytest_gradcheck.summary import show

            show(terminalreporter, self)

    def since_baseline(self) -> tuple[str, ...]:
        """What changed since the earlier report that was given, in lines."""
        from pytest_gradcheck.baseline import baseline

        before = baseline(self.config)
        return tuple(before.summary(self.run(), whole=self._whole())) if before else ()

    def _whole(self) -> bool:
        """Whether everything there is was asked."""
        return not (self._narrowed() or self.run().truncated)

    def _stopped(self) -> str:
        """Where the run stopped short (Ctrl-C, ``-x``, an internal error); empty if it did not."""
        if not self._begun or self._ended or len(self._done) >= self._tests > 0:
            return ""
        return f"the run stopped after {len(self._done)} of {self._tests} tests"

    # --- promises ----------------------------------------------------------------------

    def _unkept(self) -> list[str]:
        found = []
        if self._encoded and not self.run().executed and not self._narrowed():
            found.append("nothing was judged: every question was skipped")
        seen = self._uses | {f"{r.backend}-{r.device}" for r in self.run().executed}
        for required in self.settings.require:
            if not any(re.match(rf"{re.escape(required)}(\W|$)", each) for each in seen):
                found.append(f"--gradcheck-require {required}: nothing ran on it")
        if self._collected:
            from pytest_gradcheck.known import expectations

            known = expectations(self.config)
            asked = range(len(known.entries)) if self._narrowed() else self._asked
            found += known.problems(asked)
        return found

    def _narrowed(self) -> bool:
        """Whether only a part of what there is was run: then nothing is missing."""
        option = self.config.option
        parts = any("::" in argument or argument.endswith(".py") for argument in self.config.args)
        choices = ("keyword", "markexpr", "lf", "deselect", "stepwise", "maxfail", "ignore")
        return (
            parts
            or bool(self.settings.only)
            or any(getattr(option, choice, None) for choice in choices)
        )


def refuse_early(config: pytest.Config) -> None:
    """Reads what would otherwise be found unreadable after a long run.

    Raises:
        pytest.UsageError: a report's suffix or folder is not known, the expectations or the
            baseline are no such file.
    """
    from gradcheck_suite.reports.files import writable
    from pytest_gradcheck.stash import SETTINGS

    settings = config.stash[SETTINGS]
    for path in settings.reports:
        try:
            writable(str(folder(config, "--gradcheck-report") / path))
        except ValueError as error:
            raise refused("--gradcheck-report", error) from None
    if settings.expectations:
        from pytest_gradcheck.known import expectations

        expectations(config)
    if settings.baseline:
        from pytest_gradcheck.baseline import baseline

        baseline(config)
