"""The questions of the conformance suite as pytest's test cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gradcheck_suite import addresses, backends, record_json
from gradcheck_suite.errors import BackendUnavailable, GradientError, UsageError
from gradcheck_suite.orders import Order
from gradcheck_suite.outcome import Record, Status
from gradcheck_suite.reports.evidence import facts
from gradcheck_suite.runner import Job, Runner, Selection
from gradcheck_suite.specification.presets import expanded
from gradcheck_suite.story import tell
from pytest_gradcheck.known import judged_record, since_baseline
from pytest_gradcheck.options import Settings
from pytest_gradcheck.stash import RECORDS, SETTINGS

_SELECTION = ("clauses", "exclude", "cases", "dtypes", "quick", "seed")
_OTHER = ("backend", "dialect", "device", "time_limit", "strict")


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxNLLCase:
    """One clause, case and dtype, to be put to one implementation.

    Attributes:
        job: the question.
        runner: asks it; shared by the cases of a marker.
        strict: whether SHOULD clauses count.
        item: the test that asks; its outcome goes into the records.
    """

    job: Job
    runner: Runner
    strict: bool = False
    item: pytest.Item | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """``gradient.analytic::rows4-classes5-mean-float32``; a device that was asked for last."""
        return f"{self.job.clause.id}::{self.job.recipe.id}-{self.place}"

    @property
    def place(self) -> str:
        """``float32``, or ``float32-cuda:0`` where a device was asked for."""
        default = self.runner.backend.devices()[0]
        device = "" if self.runner.device == default else f"-{self.runner.device}"
        return self.job.dtype + device

    def run(self) -> Record:
        """The outcome, whatever it is."""
        record = self.runner.judge(self.job)
        if self.item is None:
            return record
        return judged_record(record, self.item.config, strict=self.strict)[0]

    def check(self) -> Record:
        """The outcome if it is good.

        A clause that does not apply skips the test with its reason; advice (a SHOULD clause) and
        a known deviation make it an expected failure, visible and not counted.

        Raises:
            GradientError: the clause failed, errored or could not be decided; or the outcome is
                not what ``--gradcheck-expectations`` says of it.
        """
        __tracebackhide__ = True
        record, surprise = self.runner.judge(self.job), ""
        if self.item is not None:
            record, surprise = judged_record(record, self.item.config, strict=self.strict)
            keep(self.item, record)
        if record.decides(strict=self.strict) or surprise:
            but = surprise or (since_baseline(record, self.item.config) if self.item else "")
            raise GradientError(tell(record, but=but), record)
        if record.status is Status.SKIPPED:
            if self.item is not None and self.item.config.stash[SETTINGS].no_skips:
                raise GradientError(tell(record, but="--gradcheck-no-skips is set"), record)
            pytest.skip(record.reason)
        if record.status is not Status.PASSED:
            pytest.xfail(record.deviation or f"advice: {record.reason}")
        return record


def keep(item: pytest.Item, record: Record) -> None:
    """Puts an outcome on the item: for the reports, and its facts for pytest's JUnit file.

    A test of several outcomes has their facts one after another; each begins with ``clause``.
    """
    item.user_properties += facts(record).items()
    encoded = json.dumps(record_json.encode(record), allow_nan=False, ensure_ascii=False)
    item.stash.setdefault(RECORDS, []).append(encoded)


def parametrise(metafunc: pytest.Metafunc, fixture: str, name: str) -> None:
    """One test per clause × case × dtype for a test that takes ``softmax_nll_case``.

    Raises:
        pytest.Collector.CollectError: there is no marker, or it makes no sense.
    """
    marker = metafunc.definition.get_closest_marker(name)
    if marker is None:
        raise pytest.Collector.CollectError(
            f"{metafunc.definition.nodeid} takes {fixture} and has no marker; "
            f"add @pytest.mark.{name}(my_loss, backend=…)"
        )
    settings = metafunc.config.stash[SETTINGS]
    cases = asked("softmax_nll", lambda: _of_marker(settings, *marker.args, **marker.kwargs))
    metafunc.parametrize(fixture, cases, ids=[case.id for case in cases], indirect=True)


def asked(what: str, question: Callable[[], list[SoftmaxNLLCase]]) -> list[SoftmaxNLLCase]:
    """What a question gives, its usage errors as errors of collection.

    Raises:
        pytest.Collector.CollectError: it makes no sense; with the remedy.
    """
    try:
        return question()
    except (UsageError, BackendUnavailable) as error:
        raise pytest.Collector.CollectError(f"{what}: {error}") from None


def of_option(address: str, settings: Settings) -> list[SoftmaxNLLCase]:
    """The questions put to a loss that is named on the command line."""
    backend = settings.backends[0] if len(settings.backends) == 1 else ""
    return cases(address, _defaults(settings), backend=backend, settings=settings)


def _of_marker(settings: Settings, *losses: Any, **options: Any) -> list[SoftmaxNLLCase]:
    if "loss" in options:
        losses = (*losses, options.pop("loss"))
    if len(losses) != 1:
        raise UsageError(
            f"the marker takes one loss, got {len(losses)}; write "
            "@pytest.mark.softmax_nll(my_loss, backend='torch')"
        )
    unknown = sorted(set(options) - {*_SELECTION, *_OTHER})
    if unknown:
        known = ", ".join(sorted((*_SELECTION, *_OTHER)))
        raise UsageError(f"unknown option {unknown[0]!r}; known options: {known}")
    chosen = _defaults(settings)
    chosen.update({name: options[name] for name in _SELECTION if name in options})
    for name in ("clauses", "exclude", "cases", "dtypes"):
        if name in chosen:
            given = chosen[name]
            chosen[name] = (given,) if isinstance(given, str) else tuple(given)
    places = {name: options[name] for name in _OTHER if name in options}
    return cases(losses[0], chosen, settings=settings, **places)


def _defaults(settings: Settings) -> dict[str, Any]:
    """What the command line says about the selection."""
    given = {
        "clauses": settings.clauses,
        "dtypes": settings.dtypes,
        "quick": settings.quick,
        "seed": settings.seed,
    }
    return {name: value for name, value in given.items() if value not in ((), False, None)}


def cases(
    loss: Any,
    chosen: dict[str, Any],
    *,
    settings: Settings,
    backend: str = "",
    dialect: Any = None,
    strict: bool = False,
    **places: Any,
) -> list[SoftmaxNLLCase]:
    """The questions put to one implementation.

    Raises:
        UsageError: an argument makes no sense.
        BackendUnavailable: the framework is not there.
    """
    implementation = addresses.resolve(loss, backend=backend, dialect=dialect)
    if settings.device:
        places.setdefault("device", settings.device)
    order = Order(
        loss if isinstance(loss, str) else addresses.address_of(loss),
        implementation.backend,
        dialect=expanded(dialect),
        selection=Selection(**chosen),
        **places,
    )
    runner = Runner(
        implementation,
        backends.load(implementation.backend),
        selection=order.selection,
        replay=order.replay if order.address else None,
        address=order.address,
        **places,
    )
    counts = strict or settings.strict
    return [SoftmaxNLLCase(job, runner, counts) for job in runner.jobs]


def bound_to(case: SoftmaxNLLCase, item: pytest.Item) -> SoftmaxNLLCase:
    """The case as a test has it: its outcome goes into the records."""
    return replace(case, item=item)
