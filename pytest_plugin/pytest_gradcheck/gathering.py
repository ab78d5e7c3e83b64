"""From what reports carried to one run, in one order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from gradcheck_suite import provenance, record_json
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Errored, Record, Run
from gradcheck_suite.reports.files import ReportFiles
from pytest_gradcheck.options import OWN_ID, ROOT, Settings, folder, refused
from pytest_gradcheck.questions import SoftmaxNLLCase


def report_files(config: pytest.Config, settings: Settings) -> ReportFiles:
    """The reports that were asked for, open.

    Raises:
        pytest.UsageError: one cannot be written.
    """
    from gradcheck_suite.specification.identity import identity

    begun = provenance.of_run(
        specification=identity(),
        flags=tuple(str(word) for word in config.invocation_params.args),
        strict=settings.strict,
        quick=settings.quick,
        runner="pytest",
        **({"clauses": settings.clauses} if settings.clauses else {}),
        **({"dtypes": settings.dtypes} if settings.dtypes else {}),
    )
    start = folder(config, "--gradcheck-report")
    paths = [str(start / path) for path in settings.reports]
    try:
        files = ReportFiles(paths, begun, strict=settings.strict)
        files.begin()
    except UsageError as error:
        raise refused("--gradcheck-report", error) from None
    return files


def gather(
    encoded: Iterable[str],
    lost: Iterable[str],
    settings: Settings,
    begun: Mapping[str, Any],
    *,
    stopped: str = "",
) -> Run:
    """The outcomes of a session, sorted: the same for any number of workers and any order.

    ``stopped`` says where it stopped short; then it is not the whole, and has not passed.
    """
    records = [record_json.decode(json.loads(text)) for text in encoded]
    records += [_crashed(node) for node in lost]
    records.sort(key=lambda r: (r.implementation, r.backend, r.device, r.clause, r.case, r.dtype))
    facts: dict[str, Any] = {"devices": provenance.devices(records)}
    seeds = {record.seed for record in records}
    if len(seeds) == 1:
        facts["seed"] = seeds.pop()
    notes = [f"a worker crashed while running {node}" for node in lost]
    notes += [stopped] if stopped else []
    return Run(
        tuple(records),
        {**begun, **facts},
        strict=settings.strict,
        notes=tuple(notes),
        truncated=bool(stopped),
    )


def questions_of(items: Iterable[pytest.Item]) -> Iterator[Sequence[str]]:
    """(CLAUSE/CASE@DTYPE, implementation, backend, device) of every collected question."""
    for item in items:
        question = getattr(item, "question", None)
        if question is None:
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            question = next((p for p in parameters.values() if isinstance(p, SoftmaxNLLCase)), None)
        if question is not None:
            runner = question.runner
            yield (
                question.job.id,
                runner.implementation.name,
                runner.backend.name,
                runner.device,
            )


def _crashed(node: str) -> Record:
    """The record of a question whose process died before it could answer."""
    found = OWN_ID.search(node)
    assert found is not None  # the ledger has looked
    clause, case, dtype = found.groups()
    address = node.removeprefix(f"{ROOT}::").partition(f"::{clause}")[0]
    return Record(
        clause=clause,
        level="MUST",
        statement="a call returns or raises",
        case=case,
        check="pytest-xdist",
        implementation=address,
        backend="unknown",
        device="unknown",
        dtype=dtype,
        seed=0,
        verdict=Errored(f"killed the worker that ran it ({node})"),
    )
