"""What a failure leaves for a plot, and that gathering it changes no verdict."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pytest

import gradcheck_suite as gs
from gradcheck_suite.checks.evidence import CELLS, along_direction, error_map
from gradcheck_suite.outcome import ErrorMap, Failed, Record, StepCurve


def logs(logits: Any) -> Any:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def doubled(logits: Any, targets: Any) -> Any:
    """Its gradient is twice the slope of its value."""
    log_p, rows = logs(logits), np.arange(len(targets))
    gradient = np.exp(log_p)
    gradient[rows, targets] -= 1
    return -log_p[rows, targets].mean(), 2.0 * gradient / len(targets)


class OnlySoManyCalls:
    """Twice the gradient, and something else than a number after so many calls."""

    def __init__(self, calls: int, then: Any) -> None:
        self.calls, self.then = calls, then

    def __call__(self, logits: Any, targets: Any) -> Any:
        self.calls -= 1
        if self.calls < 0:
            self.then()
        return doubled(logits, targets)


def failing(loss: Any, clause: str = "gradient.analytic", **options: Any) -> Record:
    options = {"dtypes": "float64", "quick": True, "isolate": False} | options
    run = gs.conformance(loss, backend="numpy", clauses=clause, dialect={}, **options)
    return run.failures[0]


def evidence(record: Record) -> tuple[ErrorMap, StepCurve]:
    verdict = record.verdict
    assert isinstance(verdict, Failed)
    assert verdict.error_map is not None
    assert verdict.step_curve is not None
    return verdict.error_map, verdict.step_curve


@pytest.mark.parametrize("clause", ["gradient.analytic", "gradient.finite-difference"])
def test_a_wrong_gradient_leaves_a_map_and_a_curve(clause: str) -> None:
    errors, curve = evidence(failing(doubled, clause))
    cells = len(errors.errors), len(errors.errors[0])
    assert cells == tuple(-(-n // each) for n, each in zip(errors.shape, errors.block, strict=True))
    assert max(margin for row in errors.margins for margin in row) > 1.0
    # The value is right: its slope finds the specified derivative, and never the one under test.
    assert min(curve.to_specified) < 1e-10 < 1e-4 < min(curve.to_got)
    assert curve.chosen in curve.steps
    assert curve.along


def test_the_curve_has_the_slopes_that_are_expected_of_it() -> None:
    """h⁴ where truncation rules; nearer to 0 the error is rounding's, within its estimate."""
    _, curve = evidence(failing(doubled))
    steps, errors = np.array(curve.steps), np.array(curve.to_specified)
    long = steps >= 2.0**-5
    slope = np.polyfit(np.log(steps[long]), np.log(errors[long]), 1)[0]
    assert slope == pytest.approx(curve.order, abs=0.5)
    short = steps < 2.0**-12
    assert np.all(errors[short] <= curve.rounding * curve.chosen / steps[short])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_curve_is_drawn_in_every_dtype(dtype: str) -> None:
    torch = pytest.importorskip("torch")

    def loss(logits: Any, targets: Any) -> Any:
        value = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
        return value + (logits - logits.detach()).sum()

    implementation = gs.Implementation("shifted", loss, backend="torch", reductions=("sum",))
    run = gs.conformance(implementation, clauses="gradient.finite-difference", dtypes=dtype)
    _, curve = evidence(run.failures[0])
    assert min(curve.to_got) > 3.0 * min(curve.to_specified)


def test_forward_mode_that_is_wrong_leaves_a_curve() -> None:
    jax = pytest.importorskip("jax")

    def right(logits: Any, targets: Any) -> Any:
        return -jax.numpy.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], 1)[:, 0]

    rows = jax.custom_jvp(right)

    @rows.defjvp
    def half(primals: Any, tangents: Any) -> Any:
        value, slope = jax.jvp(lambda logits: right(logits, primals[1]), primals[:1], tangents[:1])
        return value, slope / 2

    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        found = rows(logits, targets)
        return found if reduction == "none" else getattr(found, reduction)()

    run = gs.conformance(loss, backend="jax", clauses="jvp.analytic", quick=True)
    verdict = run.failures[0].verdict
    assert isinstance(verdict, Failed)
    assert verdict.step_curve is not None
    assert min(verdict.step_curve.to_specified) < 1e-9 < 1e-3 < min(verdict.step_curve.to_got)


def test_a_gradient_that_is_no_number_elsewhere_has_a_curve_where_it_is_one() -> None:
    direction = np.array([[0.0, 0.5]])
    assert along_direction(np.array([[np.nan, 3.0]]), direction) == 1.5


@pytest.mark.parametrize(
    ("shape", "cells", "block"),
    [((4, 5), (4, 5), (1, 1)), ((70, 1000), (14, 32), (5, 32)), ((100,), (15, 1), (7, 1))],
)
def test_a_large_error_map_is_coarsened(
    shape: tuple[int, ...], cells: tuple[int, int], block: tuple[int, int]
) -> None:
    rng = np.random.default_rng(3)
    got, bound = rng.standard_normal(shape), np.ones(shape)
    got.flat[0] = -1e6
    found = error_map(got, np.zeros(shape), bound)
    assert found is not None
    assert found.shape == shape
    assert (len(found.errors), len(found.errors[0])) == cells
    assert cells <= CELLS
    assert found.block == block
    assert (found.errors[0][0], found.margins[0][0]) == (-1e6, 1e6)
    largest = max(margin for row in found.margins for margin in row[1:] or row)
    assert largest == pytest.approx(np.abs(got.flat[1:]).max(), rel=1e-2) or len(shape) == 1


def test_what_agrees_without_being_a_number_is_no_error() -> None:
    got = np.array([[np.nan, np.inf, 1.0]])
    specified, bound = np.array([[np.nan, np.inf, np.nan]]), np.ones((1, 3))
    found = error_map(got, specified, bound)
    assert found is not None
    assert found.margins == ((0.0, 0.0, np.inf),)
    itself = error_map(got, got, bound, against_itself=True)
    assert itself is not None
    assert itself.margins == ((np.inf, np.inf, 0.0),)


def _raise() -> None:
    raise RuntimeError("no more")


def _exit() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("then", [_raise, lambda: time.sleep(9)], ids=["raises", "hangs"])
def test_evidence_that_cannot_be_had_changes_no_verdict(then: Any) -> None:
    counted, one = OnlySoManyCalls(10**6, then), {"cases": "seed-example", "quick": False}
    whole = failing(counted, **one)
    calls = 10**6 - counted.calls
    cut = failing(OnlySoManyCalls(calls - 5, then), time_limit=0.5, **one)
    assert isinstance(whole.verdict, Failed)
    assert isinstance(cut.verdict, Failed)
    assert cut.verdict.step_curve is None
    assert whole.verdict.step_curve is not None
    assert (cut.reason, cut.verdict.sides) == (whole.reason, whole.verdict.sides)


def test_what_is_slow_is_not_asked_for_a_curve() -> None:
    def slow(logits: Any, targets: Any) -> Any:
        time.sleep(0.11)
        return doubled(logits, targets)

    verdict = failing(slow, cases="seed-example", quick=False).verdict
    assert isinstance(verdict, Failed)
    assert verdict.step_curve is None
    assert verdict.error_map is not None


def test_gathering_evidence_is_not_heard() -> None:
    def loud(logits: Any, targets: Any) -> Any:
        warnings.warn("a warning", stacklevel=1)
        print(".")
        return doubled(logits, targets)

    record = failing(loud, "gradient.finite-difference")
    assert record.output.count(".") < 1000
    evidence(record)
