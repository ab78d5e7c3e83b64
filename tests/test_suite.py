"""``gs.conformance``: its arguments, what it returns, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck_suite as gs
from gradcheck_suite.addresses import shipped
from gradcheck_suite.implementations.numpy_reference import softmax_nll
from gradcheck_suite.outcome import Status
from gradcheck_suite.specification.clause import select

ADDRESS = "gradcheck_suite.implementations.numpy_reference:softmax_nll"


def doubled(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = softmax_nll(logits, targets, reduction=reduction)
    return value, 2 * gradient


def judged(loss: Any = softmax_nll, **options: Any) -> gs.Run:
    return gs.conformance(loss, **{"clauses": "value.definition", **options})


# --- what is judged ------------------------------------------------------------------------------


def test_a_function_is_judged_in_float64_and_float32() -> None:
    run = judged()
    assert run.passed
    assert bool(run)
    assert {record.dtype for record in run.outcomes} == {"float64", "float32"}
    assert {record.implementation for record in run.outcomes} == {ADDRESS}


@pytest.mark.parametrize(
    "loss",
    [softmax_nll, gs.Implementation("mine", softmax_nll), ADDRESS, "numpy-reference"],
    ids=["function", "Implementation", "address", "shipped name"],
)
def test_a_loss_is_a_function_a_declaration_an_address_or_a_name(loss: Any) -> None:
    run = judged(loss, cases="seed-example", dtypes="float64")
    (record,) = run.outcomes
    assert record.status is Status.PASSED
    assert record.backend == "numpy"


def test_an_address_of_a_shipped_library_brings_its_declaration() -> None:
    pytest.importorskip("torch")
    run = judged("torch.nn.functional:cross_entropy", cases="seed-example", isolate=False)
    assert run.passed
    assert {record.implementation for record in run.outcomes} == {"torch-cross-entropy"}


def test_what_is_named_overrides_what_is_declared() -> None:
    declared = gs.Implementation(
        "mine", softmax_nll, dtypes=("float32",), dialect={"mean_index": "batch"}
    )
    (record,) = judged(
        declared, cases="seed-example", dtypes="float64", dialect={"mean_index": "weights"}
    ).outcomes
    assert (record.dtype, record.dialect) == ("float64", {"mean_index": "weights"})
    (record,) = judged(declared, cases="seed-example").outcomes
    assert (record.dtype, record.dialect) == ("float32", {"mean_index": "batch"})


def test_the_backend_is_seen_from_what_the_function_uses() -> None:
    """Its globals: this file knows NumPy alone."""
    run = judged(lambda f, c: np.float64(0.0), cases="seed-example", dtypes="float32")
    assert {record.backend for record in run.outcomes} == {"numpy"}


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_the_backend_is_seen_from_what_the_function_closes_over(name: str) -> None:
    framework = pytest.importorskip(name)

    def loss(logits: Any, targets: Any) -> Any:
        return framework.nn.functional.cross_entropy(logits, targets)

    run = judged(loss, cases="seed-example", dtypes="float32")
    assert {record.backend for record in run.outcomes} == {name}


# --- what is asked -------------------------------------------------------------------------------


def test_patterns_are_a_string_or_several() -> None:
    one = judged(clauses="value.*", exclude="value.definition", dtypes="float64")
    several = judged(clauses=["value.*"], exclude=("value.definition",), dtypes=["float64"])
    assert [r.id for r in one.outcomes] == [r.id for r in several.outcomes]
    assert {r.clause for r in one.outcomes if r.reason == "excluded on request"} == {
        "value.definition"
    }


def test_fail_fast_ends_with_the_first_failure() -> None:
    run = judged(doubled, clauses="gradient.*", fail_fast=True)
    assert run.outcomes[-1].status is Status.FAILED
    assert len(run.failures) == 1
    assert len(judged(doubled, clauses="gradient.*").failures) > 1


def test_quick_asks_each_clause_once_for_every_arrangement() -> None:
    run = judged(clauses="*", quick=True)
    assert run.passed
    arrangements = {
        (clause.id, recipe.arrangement) for clause in select("*") for recipe in clause.cases
    }
    assert len(run.outcomes) == len(arrangements)
    assert {record.clause for record in run.outcomes} == {clause.id for clause in select("*")}
    assert {record.dtype for record in run.outcomes} == {"float64"}


def test_strict_counts_advice() -> None:
    def naive(logits: Any, targets: Any, *, reduction: str = "none") -> Any:
        with np.errstate(all="ignore"):
            p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            t = np.eye(logits.shape[1])[targets] if targets.ndim == 1 else targets
            return -(t * np.log(p)).sum(axis=1), p - t

    naive_rows = gs.Implementation("naive", naive, reductions=("none",))
    options = {"clauses": "value.zero-times-log-zero", "dtypes": "float64"}
    relaxed, strict = (judged(naive_rows, strict=strict, **options) for strict in (False, True))
    assert relaxed.counts()[Status.FAILED] == strict.counts()[Status.FAILED] == 1
    assert (relaxed.passed, strict.passed) == (True, False)


def test_progress_is_told_as_it_is_made() -> None:
    planned: list[int] = []
    seen: list[gs.Record] = []
    run = judged(on_plan=planned.append, on_record=seen.append)
    assert planned == [len(run.outcomes)]
    assert tuple(seen) == run.outcomes


@pytest.mark.parametrize("options", [{"isolate": True}, {"jobs": 2}])
def test_a_function_that_can_be_imported_is_judged_in_a_process_of_its_own(
    options: dict[str, Any],
) -> None:
    run = judged(softmax_nll, dtypes="float64", **options)
    assert run.passed
    assert [r.verdict for r in run.outcomes] == [
        r.verdict for r in judged(softmax_nll, dtypes="float64").outcomes
    ]


def test_the_run_says_where_it_was_made() -> None:
    run = judged(cases="seed-example", seed=5)
    assert run.provenance["seed"] == 5
    assert run.provenance["libraries"]["numpy"] == np.__version__
    assert run.provenance["suite"] == gs.__version__


def test_the_replay_of_a_function_without_an_address_is_python() -> None:
    run = judged(lambda f, c: np.float64(0.0), cases="seed-example", dtypes="float64")
    (record,) = run.outcomes
    assert record.replay.startswith("gs.conformance(")
    assert "clauses='value.definition', cases='seed-example', dtypes=('float64',)" in record.replay


def test_a_run_is_written(tmp_path: Path) -> None:
    run = judged(cases="seed-example")
    run.write(tmp_path / "run.json")
    assert (tmp_path / "run.json").read_text(encoding="utf-8").count("\n") == 4


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": 3}, "loss: got int; expected a function, a gs.Implementation or"),
        ({"loss": None}, "loss: got NoneType"),
        ({"loss": "numpy-refrence", "isolate": False}, "did you mean numpy-reference"),
        ({"backend": "numpyy"}, "backend: 'numpyy' is unknown; known backends: jax, numpy, torch"),
        ({"device": "cuda:7"}, "device: numpy has no 'cuda:7' here; it has cpu"),
        ({"dtypes": "double"}, "dtypes: 'double' is unknown; use float64"),
        ({"clauses": "values.*"}, r"clauses: 'values.\*' matches no clause"),
        ({"clauses": ()}, "clauses: "),
        ({"exclude": "values.*"}, r"clauses: 'values.\*' matches no clause"),
        ({"cases": "rows9*"}, r"cases: rows9\* matches no case"),
        ({"dialect": {"mean": "valid"}}, "dialect: unknown choice 'mean'"),
        ({"dialect": {"mean_index": "x"}}, "use one of weights, valid, batch"),
        ({"loss": gs.Implementation("empty", backend="numpy")}, "loss is None; give a function"),
        ({"loss": lambda f, c: 0.0, "isolate": True}, "isolate: a function can be judged in its"),
        ({"loss": lambda f, c: 0.0, "jobs": 2}, "isolate: a function can be judged in its own"),
        ({"loss": gs.Implementation("value", softmax_nll), "isolate": True}, "isolate: "),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    loss = options.get("loss", softmax_nll)
    rest = {name: value for name, value in options.items() if name != "loss"}
    with pytest.raises(gs.UsageError, match=message):
        judged(loss, **rest)


def test_a_backend_that_cannot_be_seen_is_asked_for() -> None:
    with pytest.raises(gs.UsageError, match=r"backend: cannot be seen from .*; name it: backend="):
        judged(gs.Implementation("empty", loss=len))


@pytest.mark.parametrize("error", [gs.UsageError, gs.GradientError])
def test_errors_are_of_types_that_are_expected(error: type[Exception]) -> None:
    assert issubclass(error, ValueError if error is gs.UsageError else AssertionError)


def test_what_ships_passes_quickly_where_it_is_installed() -> None:
    """NumPy's only: the other frameworks' are run by the tests of the implementations."""
    for implementation in shipped():
        if implementation.backend == "numpy" and not implementation.requires:
            assert gs.conformance(implementation, quick=True).passed, implementation.name
