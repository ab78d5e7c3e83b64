"""``gs.conformance`` judges one implementation against the specification; ``gs.search`` beyond."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from gradcheck_suite import addresses, backends, provenance
from gradcheck_suite.case import Case
from gradcheck_suite.errors import UsageError
from gradcheck_suite.implementation import Deviation, Implementation
from gradcheck_suite.orders import Order
from gradcheck_suite.outcome import Record, Run
from gradcheck_suite.property_search import GeneratedCases
from gradcheck_suite.runner import (
    DEFAULT_SEED,
    DEFAULT_TIME_LIMIT,
    Runner,
    Selection,
    own_dtypes,
    stale_deviations,
)
from gradcheck_suite.shares import Shares
from gradcheck_suite.specification.given_case import GivenCase
from gradcheck_suite.specification.identity import identity
from gradcheck_suite.specification.presets import expanded
from gradcheck_suite.supervisor import Supervisor
from gradcheck_suite.teeth import Teeth

Patterns = str | Sequence[str]
Cases = str | Case | Sequence[str | Case]
DEFAULT_EXAMPLES = 200


def conformance(
    loss: Implementation | Callable[..., Any] | str,
    *,
    backend: str = "",
    dtypes: Sequence[str] | str = (),
    device: str = "",
    clauses: Patterns = "*",
    exclude: Patterns = (),
    cases: Cases = "*",
    dialect: Mapping[str, str] | str | None = None,
    seed: int = DEFAULT_SEED,
    strict: bool = False,
    fail_fast: bool = False,
    quick: bool = False,
    jobs: int | None = None,
    isolate: bool | None = None,
    executor: Executor | None = None,
    time_limit: float = DEFAULT_TIME_LIMIT,
    on_plan: Callable[[int], None] | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> Run:
    """Judges a softmax negative log-likelihood against the specification, clause by clause.

    The specification, for logits f (N, C) and effective targets τ_j = w_j((1−ε)t_j + ε/C):
    value −Σ_j τ_j log p_j, gradient u/den · (Σ_j τ_j · p − τ); see
    ``gradcheck_suite.specification.softmax_nll``. Values and gradients are held to
    forward-error bounds of a stable algorithm (docs/bounds.md), and the gradient to the
    finite difference of the implementation's own value.

    Args:
        loss: a function ``loss(logits, targets, *, weight, ignore_index, label_smoothing,
            reduction)`` or any subset of those keywords; a ``gs.Implementation``; or a shipped
            name or ``"package.module:attribute"``. Logits have shape (N, C), targets (N,) or
            (N, C); the result has shape (N,) under ``reduction="none"``, else ().
        backend: ``numpy``, ``torch``, ``jax``; seen from the function's module if not given.
        dtypes: for example ``("float64",)``; default the implementation's own, else float64
            and float32.
        device: ``cpu``, ``cuda:0``; default the backend's first.
        clauses: patterns of clause ids, such as ``"gradient.*"``.
        exclude: patterns of clause ids to leave out; shown as skipped.
        cases: patterns of case ids; or cases of your own, ``gs.Case.of(logits, targets, …)``,
            which are asked of the clauses that speak of any case; ``"search-200"`` stands for
            so many generated ones (see ``search``).
        dialect: choices where honest libraries differ, such as ``{"mean_index": "valid"}``, or
            the name of a dialect, such as ``"keras"``.
        seed: seed of every case; each outcome carries it.
        strict: SHOULD clauses count.
        fail_fast: stop at the first failure.
        quick: only the most telling cases of each clause (one of every kind of target, set of
            options, layout, rank and size that it has), in the first dtype.
        jobs: worker processes, 1 if not given; more than one implies ``isolate``. With an
            executor: into how many parts the work is cut, one per processor here if not given.
        isolate: judge in a process of its own, which may crash or hang without harm. Default:
            where ``loss`` is given by name. A function can be isolated if it is importable.
        executor: a ``concurrent.futures.Executor`` that carries out the parts: a process pool,
            or other machines (Dask: ``client.get_executor()``), where gradcheck-suite and the
            loss can be imported. Implies ``isolate``. Each part imports the framework anew.
        time_limit: seconds for one case.
        on_plan: called with the number of cases before the first.
        on_record: called with every outcome as it finishes.

    Returns:
        A ``Run``: ``.passed``, ``.failures``, ``.outcomes``, ``.write(path)``; true if it passed.

    Raises:
        UsageError: an argument does not make sense; the message says which and the remedy.
        BackendUnavailable: the backend's framework is not installed or does not import.
    """
    selection = Selection(
        clauses=_patterns(clauses),
        exclude=_patterns(exclude),
        cases=_case_ids(cases),
        dtypes=_patterns(dtypes),
        quick=quick,
        seed=seed,
    )
    if jobs is None:
        jobs = (os.cpu_count() or 1) if executor else 1
    if jobs < 1:
        raise UsageError(f"jobs: {jobs} processes cannot run anything; use 1 or more")
    choices = expanded(dialect)
    place: dict[str, Any] = {"time_limit": time_limit, "device": device}
    if isolate is None:
        isolate = isinstance(loss, str) or jobs > 1 or executor is not None
    if executor is not None and not isolate:
        raise UsageError("isolate: an executor runs elsewhere; leave one of the two out")
    if isolate:
        order = Order(_importable(loss), backend, dialect=choices, selection=selection, **place)
        source: _Source = _Isolated(
            Shares(order, executor, jobs) if executor else Supervisor(order, jobs=jobs)
        )
    else:
        implementation = addresses.resolve(loss, backend=backend, dialect=choices)
        address = loss if isinstance(loss, str) else _address(loss)
        order = Order(
            address,
            implementation.backend,
            dialect=choices,
            selection=selection,
            **place,
        )
        runner = Runner(
            implementation,
            backends.load(implementation.backend),
            selection=selection,
            replay=order.replay if address else None,
            address=address,
            **place,
        )
        source = _InProcess(runner)
    return _collect(source, strict, fail_fast, selection, on_plan, on_record)


def search(
    loss: Implementation | Callable[..., Any] | str,
    *,
    examples: int = DEFAULT_EXAMPLES,
    clauses: Patterns = "*",
    seed: int = DEFAULT_SEED,
    random: bool = False,
    **options: Any,
) -> Run:
    """Looks beyond the curated cases: generated ones, and the smallest one that fails.

    Hypothesis draws logits, targets and options of every size and family (``gs.strategies``);
    each clause that speaks of any case (``Clause.domain``) is asked of those in its domain. A
    failure is made small and told like any other, with a snippet of Python that shows it again.

    Args:
        loss: as for ``conformance``.
        examples: how many cases are generated per dtype; a costly clause is asked of a share.
        clauses: patterns of clause ids; those without a domain have nothing to ask.
        seed: the same seed gives the same cases.
        random: draws a seed, for a search that differs from run to run; the outcomes carry it.
        **options: those of ``conformance``: backend, dtypes, device, dialect, jobs, isolate …

    Returns:
        A ``Run`` with one outcome per clause and dtype.

    Raises:
        UsageError: an argument does not make sense, or Hypothesis is not installed.
        BackendUnavailable: the backend's framework is not installed or does not import.
    """
    if "cases" in options or "quick" in options:
        raise UsageError("search: cases are generated here; use conformance for cases= or quick=")
    return conformance(
        loss,
        clauses=clauses,
        cases=GeneratedCases(examples).id,
        seed=secrets.randbelow(2**31) if random else seed,
        **options,
    )


class _InProcess:
    """Records from a runner in this process."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def records(self, on_plan: Callable[[int], None] | None) -> Any:
        if on_plan is not None:
            on_plan(len(self.runner.jobs))
        yield from enumerate(self.runner.run())

    def teeth(self) -> tuple[Teeth, ...]:
        return tuple(self.runner.teeth())

    def known(self) -> tuple[str, tuple[Deviation, ...]]:
        return self.runner.implementation.name, self.runner.deviations

    def dtypes(self) -> tuple[str, ...]:
        return own_dtypes(self.runner.implementation)


class _Isolated:
    """Records from worker processes, here or elsewhere."""

    def __init__(self, workers: Supervisor | Shares) -> None:
        self.workers = workers

    def records(self, on_plan: Callable[[int], None] | None) -> Any:
        yield from self.workers.run(on_plan)

    def teeth(self) -> tuple[Teeth, ...]:
        return tuple(self.workers.teeth)

    def known(self) -> tuple[str, tuple[Deviation, ...]]:
        greeting = self.workers.greeting
        deviations = tuple(Deviation(**each) for each in greeting.get("deviations", ()))
        return greeting.get("implementation", self.workers.order.address), deviations

    def dtypes(self) -> tuple[str, ...]:
        return tuple(self.workers.greeting.get("dtypes", ()))


_Source = _InProcess | _Isolated


def _collect(
    source: _Source,
    strict: bool,
    fail_fast: bool,
    selection: Selection,
    on_plan: Callable[[int], None] | None,
    on_record: Callable[[Record], None] | None,
) -> Run:
    start = time.perf_counter()
    begun = provenance.of_run(
        specification=identity(),
        seed=selection.seed,
        quick=selection.quick,
        strict=strict,
    )
    found: list[tuple[int, Record]] = []
    teeth: tuple[Teeth, ...] = ()
    stream = source.records(on_plan)
    try:
        for index, record in stream:
            found.append((index, record))
            if on_record is not None:
                on_record(record)
            if fail_fast and record.decides(strict=strict):
                break
        else:
            teeth = source.teeth()
    finally:
        stream.close()
    outcomes = tuple(record for _, record in sorted(found, key=lambda pair: pair[0]))
    name, deviations = source.known()
    return Run(
        outcomes,
        {
            **begun,
            **_narrowing(selection, source.dtypes()),
            "devices": provenance.devices(outcomes),
            "seconds": round(time.perf_counter() - start, 3),
        },
        strict=strict,
        notes=stale_deviations(name, deviations, outcomes),
        teeth=teeth,
    )


def _narrowing(selection: Selection, own_dtypes: tuple[str, ...]) -> dict[str, Any]:
    """What was left out of the specification, or of an implementation's dtypes, on request."""
    narrowed = bool(selection.dtypes) and not {*own_dtypes} <= {*selection.dtypes}
    dtypes = {"dtypes": selection.dtypes} if narrowed else {}
    asked = {"clauses": selection.clauses, "exclude": selection.exclude, "cases": selection.cases}
    patterns = {name: given for name, given in asked.items() if given not in (("*",), ())}
    return patterns | dtypes


def _patterns(given: Patterns) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _case_ids(given: Cases) -> tuple[str, ...]:
    """Patterns as they are; a case as the id that holds it."""
    several = (given,) if isinstance(given, str | Case) else tuple(given)
    return tuple(each if isinstance(each, str) else GivenCase.of(each).id for each in several)


def _importable(loss: Implementation | Callable[..., Any] | str) -> str:
    address = loss if isinstance(loss, str) else _address(loss)
    if not address:
        raise UsageError(
            "isolate: a function can be judged in its own process only if it can be imported "
            "there; put it in a module, give 'package.module:attribute', or isolate=False"
        )
    return address


def _address(loss: Implementation | Callable[..., Any]) -> str:
    """Where the loss can be loaded from again; empty for a lambda or an Implementation value."""
    return "" if isinstance(loss, Implementation) else addresses.address_of(loss)
