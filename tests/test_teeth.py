"""Each run plants errors in the answers it judged, and says which clause convicted them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck_suite as gs
from gradcheck_suite import record_json
from gradcheck_suite.implementations.numpy_reference import softmax_nll
from gradcheck_suite.outcome import Passed, Run
from gradcheck_suite.protocols import Check
from gradcheck_suite.reports.json_lines import JsonLines
from gradcheck_suite.reports.markdown import Markdown
from gradcheck_suite.runner import checks
from gradcheck_suite.teeth import Planted, Teeth, summary

DIES_WHERE_IT_IS_ASKED_AGAIN = """
import os
from gradcheck_suite.implementations.numpy_reference import softmax_nll

seen = set()

def loss(logits, targets, *, reduction="mean"):
    if reduction == "none":
        if logits.tobytes() in seen:
            os._exit(3)
        seen.add(logits.tobytes())
    return softmax_nll(logits, targets, reduction=reduction)
"""
ERRORS_OF_VALUES, ERRORS_OF_GRADIENTS = 3, 11


def value_alone(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return softmax_nll(logits, targets, reduction=reduction)[0]


def doubled(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = softmax_nll(logits, targets, reduction=reduction)
    return value, 2 * gradient


def judged(loss: Any = softmax_nll, **options: Any) -> Run:
    chosen = {"clauses": ("value.definition", "gradient.*"), "quick": True, "dtypes": "float64"}
    return gs.conformance(loss, **{**chosen, **options})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_error_is_caught_in_the_answers_of_a_correct_implementation(dtype: str) -> None:
    run = judged(dtypes=dtype)

    (teeth,) = run.teeth
    assert (teeth.backend, teeth.device, teeth.dtype) == ("numpy", "cpu", dtype)
    assert len(teeth.planted) == ERRORS_OF_VALUES + ERRORS_OF_GRADIENTS
    assert teeth.shown
    assert run.teeth_shown
    by_part = {each.error.partition(" ")[0]: each.clause for each in teeth.planted}
    assert by_part == {"value": "value.definition", "gradient": "gradient.analytic"}


def test_the_scaled_error_has_the_size_that_the_dtype_promises_to_resolve() -> None:
    sizes = {
        teeth.dtype: each.size
        for teeth in judged(dtypes=("float64", "float32"), quick=False).teeth
        for each in teeth.planted
        if each.error.startswith("gradient ×")
    }
    assert sizes == {"float64": pytest.approx(1e-4), "float32": pytest.approx(1e-2)}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_errors_are_caught_in_pytorch_and_in_half_precisions(dtype: str) -> None:
    pytest.importorskip("torch")
    run = judged("torch-cross-entropy", isolate=False, dtypes=dtype)

    assert run.teeth_shown, summary(run.teeth)
    assert len(run.teeth[0].planted) == ERRORS_OF_VALUES + ERRORS_OF_GRADIENTS


def test_where_a_coarse_bound_lets_an_error_pass_the_finite_difference_convicts_it() -> None:
    pytest.importorskip("torch")
    (teeth,) = judged("torch-cross-entropy", isolate=False, dtypes="bfloat16").teeth

    (scaled,) = (each for each in teeth.planted if each.error == "gradient ×(1 + 0.1)")
    assert scaled.clause == "gradient.finite-difference"


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_one_reduction_alone_is_shown_the_upstream_where_there_is_one(reduction: str) -> None:
    torch = pytest.importorskip("torch")

    def reduced(logits: Any, targets: Any) -> Any:
        return torch.nn.functional.cross_entropy(logits, targets, reduction=reduction)

    declared = gs.Implementation("reduced", reduced, backend="torch", reductions=(reduction,))
    (teeth,) = judged(declared).teeth

    (ignored,) = (each for each in teeth.planted if each.error == "gradient upstream ignored")
    assert ignored.clause == "gradient.upstream"
    assert teeth.shown


def test_a_gradient_that_is_wrong_by_itself_shows_nothing() -> None:
    run = judged(doubled)

    (teeth,) = run.teeth
    assert "gradient.analytic failed as it is" in teeth.not_shown
    assert [each.error.partition(" ")[0] for each in teeth.planted] == ["value"] * 3
    assert not run.teeth_shown


def test_a_loss_that_raises_everywhere_shows_nothing_and_says_why() -> None:
    def broken(logits: Any, targets: Any) -> Any:
        raise RuntimeError("no such kernel")

    (teeth,) = judged(gs.Implementation("broken", broken, backend="numpy")).teeth

    assert not teeth.planted
    assert "no such kernel" in teeth.not_shown


def test_without_a_gradient_only_the_value_is_planted_in() -> None:
    run = judged(value_alone)

    (teeth,) = run.teeth
    assert teeth.not_shown == "no gradient was judged"
    assert len(teeth.planted) == ERRORS_OF_VALUES
    assert not run.teeth_shown


def test_clauses_that_judge_neither_value_nor_gradient_whole_show_nothing() -> None:
    (teeth,) = judged(clauses="layout.*").teeth

    assert not teeth.planted
    assert summary((teeth,)) == (
        "not shown in float64: no value was judged, no gradient was judged"
    )


def test_a_check_that_passes_everything_is_seen_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def blind(subject: Any, case: Any) -> Passed:
        subject.gradients(case)
        return Passed()

    dull = {
        name: replace(check, run=blind) if "gradient" in check.convicts else check
        for name, check in checks().items()
    }
    assert all(isinstance(check, Check) for check in dull.values())
    monkeypatch.setattr("gradcheck_suite.runner.checks", lambda: dull)
    run = judged()

    assert run.passed
    assert not run.teeth_shown
    assert len(run.teeth[0].missed) == ERRORS_OF_GRADIENTS
    assert "3 of 14 planted errors caught" in summary(run.teeth)
    assert "NOT caught in float64: gradient negated" in summary(run.teeth)


def test_a_run_that_stops_at_its_first_failure_plants_nothing() -> None:
    assert judged(doubled, fail_fast=True).teeth == ()


def test_a_worker_plants_the_same() -> None:
    address = "gradcheck_suite.implementations.numpy_reference:softmax_nll"
    here = judged(address, isolate=False)

    assert judged(address, isolate=True).teeth == here.teeth
    assert judged(address, jobs=2).teeth == here.teeth
    with ThreadPoolExecutor(2) as pool:
        assert judged(address, executor=pool).teeth == here.teeth


def test_a_process_that_dies_over_the_planted_errors_leaves_its_outcomes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(DIES_WHERE_IT_IS_ASKED_AGAIN, encoding="utf-8")
    run = judged(
        f"{path}:loss",
        backend="numpy",
        clauses="value.definition",
        cases="rows4-classes5-none",
    )

    assert run.passed
    assert not run.teeth
    assert not run.teeth_shown


def test_teeth_travel_through_reports(tmp_path: Path) -> None:
    nan = Planted("gradient NaN", np.inf, "gradient.analytic")
    missed = Planted("gradient zero", 1.0)
    run = replace(judged(), teeth=(Teeth("mine", "numpy", "cpu", "float64", (nan, missed)),))
    run.write(tmp_path / "run.json")

    assert JsonLines().read(tmp_path / "run.json").teeth == run.teeth
    assert "- `mine [numpy, cpu]`: 1 of 2 planted errors caught" in Markdown().text(run)
    encoded = json.loads(json.dumps(record_json.encode_teeth(run.teeth[0]), allow_nan=False))
    del encoded["planted"][0]["size"]
    with pytest.raises(ValueError, match=r"^planted\[0\]\.size: expected a value, got nothing"):
        record_json.decode_teeth(encoded)
