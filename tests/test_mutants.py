"""Every clause has teeth: each mutant is convicted, and by the clause that it names."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mutants
import pytest
from mutants import Mutant

import gradcheck_suite as gs
from gradcheck_suite.outcome import Status
from gradcheck_suite.specification.clause import Clause, clauses

CLAUSES = {clause.id: clause for clause in clauses()}


def missing_backends() -> dict[str, str]:
    """Backends whose mutants cannot be loaded here, with the reason."""
    missing = {}
    for backend in mutants.backends():
        try:
            importlib.import_module(backend)
        except ImportError as error:
            missing[backend] = str(error)
    return missing


MISSING = missing_backends()


def every_mutant() -> Iterator[Mutant]:
    for backend in mutants.backends():
        if backend not in MISSING:
            yield from mutants.of(backend)


def parameters(*, missed: bool) -> list[Any]:
    """One parameter per mutant; with ``missed`` those that no clause convicts yet must fail."""
    found = []
    for mutant in every_mutant():
        marks = [pytest.mark.xfail(reason=mutant.missed)] if missed and mutant.missed else []
        found.append(pytest.param(mutant, id=mutant.implementation.name, marks=marks))
    for backend, reason in MISSING.items():
        found.append(pytest.param(None, id=backend, marks=pytest.mark.skip(reason=reason)))
    return found


def is_advice(mutant: Mutant) -> bool:
    """A clause that is advice for this mutant decides only where advice counts."""
    return CLAUSES[mutant.clause].level_for(mutant.implementation.dialect) == "SHOULD"


def judged(mutant: Mutant, monkeypatch: pytest.MonkeyPatch, **selection: Any) -> gs.Run:
    """The run of a mutant, up to its first failure; in another process where it needs one."""
    options: dict[str, Any] = {"fail_fast": True, "strict": is_advice(mutant), **selection}
    if not mutant.environment:
        return gs.conformance(mutant.implementation, **options)
    for name, value in mutant.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    loss: Any = mutant.implementation.loss
    address = f"{loss.__module__}:{mutant.name}"
    return gs.conformance(address, backend=mutant.backend, isolate=True, **options)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("mutant", parameters(missed=True))
def test_the_named_clause_convicts_the_mutant(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = judged(mutant, monkeypatch, clauses=mutant.clause)

    assert Status.FAILED in {outcome.status for outcome in run.outcomes}, mutant.mechanism
    assert not run.passed


@pytest.mark.parametrize("mutant", parameters(missed=False))
def test_a_run_over_all_clauses_does_not_pass_the_mutant(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = judged(mutant, monkeypatch)

    assert not run.passed, mutant.mechanism


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.parametrize("clause", clauses(), ids=lambda clause: clause.id)
def test_no_clause_is_without_teeth(clause: Clause) -> None:
    assert any(mutant.clause == clause.id and not mutant.missed for mutant in every_mutant())


def test_every_mutant_names_a_clause_and_its_mechanism() -> None:
    for mutant in every_mutant():
        assert mutant.clause in CLAUSES
        assert mutant.mechanism
        assert mutant.implementation.backend == mutant.backend


def test_names_and_mechanisms_are_distinct() -> None:
    found = list(every_mutant())

    assert len({mutant.name for mutant in found}) == len(found)
    assert len({mutant.mechanism for mutant in found}) == len(found)


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_the_corpus_is_as_large_as_is_promised() -> None:
    convicted = [mutant for mutant in every_mutant() if not mutant.missed]

    assert len(convicted) >= 100


# JAX compiles for minutes: python -m benchmarks.quick
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_quick_run_convicts_nine_in_ten(backend: str) -> None:
    if backend in MISSING:
        pytest.skip(MISSING[backend])
    every = [each for each in mutants.of(backend) if not each.environment]
    missed = [
        each.name
        for each in every
        if gs.conformance(
            each.implementation, quick=True, fail_fast=True, strict=is_advice(each)
        ).passed
    ]

    assert len(missed) <= len(every) // 10, missed
