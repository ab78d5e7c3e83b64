"""From what reports carried to one run, in one order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import pytest

from gradcheck_suite import provenance, record_json
from gradcheck_suite.outcome import Errored, Record, Run
from pytest_gradcheck.options import OWN_ID, ROOT, Settings
from pytest_gradcheck.questions import SoftmaxNLLCase


def gather(encoded: Iterable[str], lost: Iterable[str], settings: Settings) -> Run:
    """The outcomes of a session, sorted: the same for any number of workers and any order."""
    records = [record_json.decode(json.loads(text)) for text in encoded]
    records += [_crashed(node) for node in lost]
    records.sort(key=lambda r: (r.implementation, r.backend, r.device, r.clause, r.case, r.dtype))
    found = provenance.collect(strict=settings.strict, quick=settings.quick, runner="pytest")
    notes = tuple(f"a worker crashed while running {node}" for node in lost)
    return Run(tuple(records), found, strict=settings.strict, notes=notes)


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
