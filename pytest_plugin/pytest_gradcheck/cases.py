"""The marker's test cases. Imported when a test uses the marker, not before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from gradcheck_suite import addresses, backends
from gradcheck_suite.errors import BackendUnavailable, GradientError, UsageError
from gradcheck_suite.orders import Order
from gradcheck_suite.outcome import Record, Status
from gradcheck_suite.runner import Job, Runner, Selection
from gradcheck_suite.story import tell

_SELECTION = ("clauses", "exclude", "cases", "dtypes", "quick", "seed")
_OTHER = ("backend", "dialect", "device", "time_limit", "strict")


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxNLLCase:
    """One clause, case and dtype, to be put to one implementation.

    Attributes:
        job: the question.
        runner: asks it; shared by the cases of a marker.
        strict: whether SHOULD clauses count.
    """

    job: Job
    runner: Runner
    strict: bool = False

    @property
    def id(self) -> str:
        """``gradient.analytic::rows4-classes5-mean[float32]``."""
        return f"{self.job.clause.id}::{self.job.recipe.id}-{self.job.dtype}"

    def run(self) -> Record:
        """The outcome, whatever it is."""
        return self.runner.judge(self.job)

    def check(self) -> Record:
        """The outcome if it is good.

        A clause that does not apply skips the test with its reason; advice (a SHOULD clause) and
        a known deviation make it an expected failure, visible and not counted.

        Raises:
            GradientError: the clause failed, errored or could not be decided.
        """
        __tracebackhide__ = True
        record = self.run()
        if record.status is Status.SKIPPED:
            pytest.skip(record.reason)
        if record.decides(strict=self.strict):
            raise GradientError(tell(record), record)
        if record.status is not Status.PASSED:
            pytest.xfail(record.deviation or f"advice: {record.reason}")
        return record


def cases_of(marker: pytest.Mark, config: pytest.Config) -> list[SoftmaxNLLCase]:
    """The cases of a marker ``softmax_nll(loss, **options)``.

    Raises:
        pytest.Collector.CollectError: the marker makes no sense; with the remedy.
    """
    try:
        return _cases(*marker.args, **marker.kwargs)
    except (UsageError, BackendUnavailable) as error:
        raise pytest.Collector.CollectError(f"softmax_nll: {error}") from None


def _cases(*losses: Any, **options: Any) -> list[SoftmaxNLLCase]:
    if len(losses) != 1:
        raise UsageError(
            f"the marker takes one loss, got {len(losses)}; write "
            "@pytest.mark.softmax_nll(my_loss, backend='torch')"
        )
    unknown = sorted(set(options) - {*_SELECTION, *_OTHER})
    if unknown:
        known = ", ".join(sorted((*_SELECTION, *_OTHER)))
        raise UsageError(f"unknown option {unknown[0]!r}; known options: {known}")
    chosen = {name: options[name] for name in _SELECTION if name in options}
    for name in ("clauses", "exclude", "cases", "dtypes"):
        if name in chosen:
            given = chosen[name]
            chosen[name] = (given,) if isinstance(given, str) else tuple(given)
    (loss,) = losses
    implementation = addresses.resolve(
        loss, backend=options.get("backend", ""), dialect=options.get("dialect")
    )
    places = {name: options[name] for name in ("device", "time_limit") if name in options}
    order = Order(
        loss if isinstance(loss, str) else addresses.address_of(loss),
        implementation.backend,
        dialect=dict(options.get("dialect") or {}),
        selection=Selection(**chosen),
        **places,
    )
    runner = Runner(
        implementation,
        backends.load(implementation.backend),
        selection=order.selection,
        replay=order.replay if order.address else None,
        **places,
    )
    strict = bool(options.get("strict", False))
    return [SoftmaxNLLCase(job, runner, strict) for job in runner.jobs]
