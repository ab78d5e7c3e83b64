"""Half precisions: a value that is coarse, and a gradient that is still held to its slope."""

from __future__ import annotations

from typing import Any

import pytest

import gradcheck_suite as gs
from gradcheck_suite.outcome import Record, Status

torch = pytest.importorskip("torch")
functional = torch.nn.functional

CLAUSE = "gradient.finite-difference"
DTYPES = ("bfloat16", "float16")


class Weighed(torch.autograd.Function):  # type: ignore[misc,name-defined]
    """The identity, with a backward pass that multiplies by a factor."""

    @staticmethod
    def forward(ctx: Any, logits: Any, factor: Any) -> Any:
        ctx.factor = factor
        return logits.clone()

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        return cotangent * ctx.factor, None


def with_gradient_times(factor: Any) -> gs.Implementation:
    def loss(logits: Any, targets: Any, *, reduction: str = "mean", **options: Any) -> Any:
        weighed = Weighed.apply(logits, factor(logits) if callable(factor) else factor)
        return functional.cross_entropy(weighed, targets, reduction=reduction, **options)

    return gs.Implementation("wrong", loss, backend="torch")


def outcomes(implementation: Any, **options: Any) -> tuple[Record, ...]:
    run = gs.conformance(implementation, dtypes=DTYPES, clauses=CLAUSE, isolate=False, **options)
    return run.executed


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["torch-cross-entropy", "torch-specification"])
def test_the_gradient_of_a_correct_loss_is_the_slope_of_its_coarse_value(
    name: str, seed: int
) -> None:
    for record in outcomes(name, seed=seed):
        assert record.status is Status.PASSED, (record.id, record.inequality)
        assert record.resolution is not None
        assert record.resolution <= 0.1


@pytest.mark.parametrize("factor", [1.25, 0.75, 0.0, -1.0])
def test_a_gradient_that_is_off_by_a_quarter_fails(factor: float) -> None:
    for record in outcomes(with_gradient_times(factor)):
        assert record.status is Status.FAILED, (record.id, record.inequality)


def test_a_class_without_gradient_fails() -> None:
    def without_first(logits: Any) -> Any:
        factor = torch.ones(1, logits.shape[1], dtype=logits.dtype)
        factor[0, 0] = 0.0
        return factor

    found = outcomes(with_gradient_times(without_first), cases="rows4-*")
    assert {record.status for record in found} == {Status.FAILED}


def test_a_value_that_is_wrong_together_with_its_gradient_is_not_accused_of_its_slope() -> None:
    def half(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        return functional.cross_entropy(logits * 0.5, targets, reduction=reduction)

    for record in outcomes(gs.Implementation("half", half, backend="torch")):
        assert record.status is not Status.FAILED, (record.id, record.inequality)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_error_of_many_stable_evaluations_is_convicted_within_its_bound(dtype: str) -> None:
    off = {"bfloat16": 1.15, "float16": 1.03}[dtype]
    run = gs.conformance(
        with_gradient_times(off),
        dtypes=(dtype,),
        clauses="precision.gradient",
        cases="rows32-classes100-*",
        isolate=False,
    )
    assert {record.status for record in run.executed} == {Status.FAILED}
