"""Purity: what is declared is shown as declared, and what is refused honestly is no failure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck_suite as gs
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.implementations.numpy_reference import softmax_nll
from gradcheck_suite.outcome import Failed, Passed, Record, Skipped

pytestmark = pytest.mark.usefixtures("one_thread")


def asked(loss: Any, clause: str, case: str = "rows4-classes5-none", **declared: Any) -> Record:
    """The outcome of one case of one clause in float64."""
    backend = declared.pop("backend", "numpy")
    implementation = Implementation("loss", loss, backend=backend, **declared)
    run = gs.conformance(implementation, clauses=clause, cases=case, dtypes="float64")
    (record,) = run.outcomes
    return record


# --- inputs --------------------------------------------------------------------------------------


def overwrites(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = softmax_nll(logits, targets, reduction=reduction)
    logits[...] = gradient
    return value, logits


def test_an_overwritten_input_is_named_with_what_it_has_become() -> None:
    verdict = asked(overwrites, "purity.inputs").verdict
    assert isinstance(verdict, Failed)
    assert verdict.summary == "the call without gradient tracking changes the logits"
    assert verdict.looks == "they hold the gradient"
    assert verdict.at == "row 0, class 0"


def test_destroyed_logits_are_shown_as_declared_and_not_as_passed() -> None:
    verdict = asked(overwrites, "purity.inputs", dialect={"inputs": "destroyed"}).verdict
    assert isinstance(verdict, Skipped)
    assert verdict.reason == (
        "declared: the logits may be overwritten; the call without gradient tracking does so; "
        "the other inputs are as they were"
    )


def test_who_destroys_less_than_declared_is_told() -> None:
    verdict = asked(softmax_nll, "purity.inputs", dialect={"inputs": "destroyed"}).verdict
    assert isinstance(verdict, Skipped)
    assert "here they were not" in verdict.reason


def test_a_negative_zero_is_another_number_than_zero() -> None:
    def signs(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        result = softmax_nll(logits, targets, reduction=reduction)
        if targets.ndim == 2:
            targets[targets == 0] = -0.0
        return result

    verdict = asked(signs, "purity.inputs", "*sum-probabilities-weighted*", options=()).verdict
    assert isinstance(verdict, Skipped)  # it has no options
    unnormalised = "rows4-classes5-none-unnormalised-upstream-signed"
    assert isinstance(asked(signs, "purity.inputs", unnormalised).verdict, Passed)  # no zero there

    def always(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        logits *= 1.0
        logits[0, 0] = -logits[0, 0]
        logits[0, 0] = -logits[0, 0]
        return softmax_nll(logits, targets, reduction=reduction)

    assert isinstance(asked(always, "purity.inputs").verdict, Passed)  # the same bytes again


def test_composition_is_not_asked_of_who_destroys_its_logits() -> None:
    torch = pytest.importorskip("torch")
    verdict = asked(
        torch.nn.functional.cross_entropy,
        "purity.composition",
        "rows4-classes5-mean",
        backend="torch",
        dialect={"inputs": "destroyed"},
    ).verdict
    assert isinstance(verdict, Skipped)
    assert verdict.reason.startswith("declared: the logits may be overwritten")


# --- repetition ----------------------------------------------------------------------------------

REPEAT = ("purity.repeat", "rows4-classes5-mean-upstream-three")


def once(counting: bool) -> Any:
    """cross_entropy whose backward may run once: the second raises, or counts."""
    torch = pytest.importorskip("torch")

    class Once(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, loss: Any) -> Any:
            ctx.calls = 0
            return loss.clone()

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            ctx.calls += 1
            if ctx.calls > 1 and not counting:
                raise RuntimeError("backward is for once")
            return u * ctx.calls

    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        return Once.apply(torch.nn.functional.cross_entropy(logits, targets, reduction=reduction))

    return loss


def test_a_second_backward_that_raises_is_a_failure_with_its_remedy() -> None:
    verdict = asked(once(counting=False), *REPEAT, backend="torch").verdict
    assert isinstance(verdict, Failed)
    assert verdict.summary == "a second backward through one graph raises"
    assert ("raised", "RuntimeError: backward is for once") in verdict.sides
    assert "'repeat_backward': 'raises'" in verdict.looks


def test_a_second_backward_that_raises_may_be_declared_and_is_shown() -> None:
    declared = {"repeat_backward": "raises"}
    verdict = asked(once(counting=False), *REPEAT, backend="torch", dialect=declared).verdict
    assert isinstance(verdict, Skipped)
    assert verdict.reason.startswith("declared: a second backward through one graph raises")


def test_who_declares_that_it_raises_may_not_answer_wrongly_instead() -> None:
    declared = {"repeat_backward": "raises"}
    verdict = asked(once(counting=True), *REPEAT, backend="torch", dialect=declared).verdict
    assert isinstance(verdict, Failed)
    assert "second backward" in verdict.summary


def test_a_graph_that_cannot_be_kept_is_refused_from_the_start_and_no_failure() -> None:
    """What torch.compile has made for one backward donates what it saved, and says so."""
    torch = pytest.importorskip("torch")

    @torch.compile(backend="aot_eager")  # type: ignore[untyped-decorator]
    def loss(logits: Any, targets: Any) -> Any:
        return torch.nn.functional.cross_entropy(logits, targets)

    logits = torch.zeros(4, 5, dtype=torch.float64, requires_grad=True)
    torch.autograd.grad(loss(logits, torch.tensor([0, 1, 2, 3])), logits)
    verdict = asked(loss, *REPEAT, backend="torch", reductions=("mean",)).verdict
    assert isinstance(verdict, Skipped)
    assert verdict.reason.startswith("not offered: a backward that keeps its graph raises")
    assert verdict.reason.endswith("a second call is right")


# --- determinism ---------------------------------------------------------------------------------


def noisy(factor: float) -> Any:
    rng = np.random.default_rng(3)

    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        value, gradient = softmax_nll(logits, targets, reduction=reduction)
        return value * (1 + factor * rng.integers(0, 2)), gradient

    return loss


MEAN = ("purity.determinism", "rows4-classes5-mean")


def test_one_bit_of_difference_is_seen() -> None:
    verdict = asked(noisy(2.0**-52), *MEAN).verdict
    assert isinstance(verdict, Failed)
    assert verdict.summary == "value differs between two calls on the same inputs"


def test_rounding_that_varies_may_be_declared_within_the_bound() -> None:
    declared = {"determinism": "rounding"}
    record = asked(noisy(2.0**-52), *MEAN, dialect=declared)
    assert isinstance(record.verdict, Passed)
    assert record.reason == "declared: the same within rounding, not in every bit"
    assert isinstance(asked(noisy(1e-9), *MEAN, dialect=declared).verdict, Failed)


# --- state ---------------------------------------------------------------------------------------


def test_the_environment_variable_that_is_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        os.environ["PLANTED_BY_A_LOSS"] = os.environ.get("PLANTED_BY_A_LOSS", "") + "x"
        return softmax_nll(logits, targets, reduction=reduction)

    verdict = asked(loss, "purity.global-state").verdict
    assert isinstance(verdict, Failed)
    assert verdict.at == "os.environ"
    assert all("PLANTED_BY_A_LOSS" in side for _, side in verdict.sides)
    assert "PLANTED_BY_A_LOSS" not in os.environ
