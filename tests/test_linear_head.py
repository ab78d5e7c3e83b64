"""A loss with a linear head: how it is declared and called, and asked about its logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcheck_suite as gs
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Status

GRADIENTS: dict[str, Callable[..., Any]] = {
    "hidden": lambda x, w, g: g @ w,
    "hidden, weight": lambda x, w, g: (g @ w, g.T @ x),
    "hidden, weight, bias": lambda x, w, g: (g @ w, g.T @ x, g.sum(0)),
}


def in_numpy(gradients: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy loss over a linear head that returns these gradients beside its value."""

    def loss(
        hidden: Any, linear_weight: Any, targets: Any, *, linear_bias: Any = None, reduction: str
    ) -> Any:
        logits = hidden @ linear_weight.T
        if linear_bias is not None:
            logits = logits + linear_bias
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(len(log_p))
        losses, gradient = -log_p[rows, targets], np.exp(log_p)
        gradient[rows, targets] -= 1
        if reduction == "mean":
            gradient /= len(log_p)
        value = {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[reduction]
        return value, gradients(hidden, linear_weight, gradient)

    return loss


@pytest.mark.parametrize("gradients", GRADIENTS.values(), ids=GRADIENTS)
def test_a_returned_gradient_is_that_of_the_features_alone_or_of_all(
    gradients: Callable[..., Any],
) -> None:
    run = gs.conformance(in_numpy(gradients), backend="numpy", clauses=("value.*", "gradient.*"))

    assert run.failures == ()
    assert Status.PASSED in {each.status for each in run.outcomes if "analytic" in each.clause}


def test_a_signature_that_names_linear_weight_needs_no_declaration() -> None:
    loss = in_numpy(GRADIENTS["hidden"])
    renamed = lambda x, w, y, *, reduction: loss(x, w, y, reduction=reduction)  # noqa: E731

    declared = gs.Implementation("renamed", renamed, backend="numpy", head="linear")

    for each in (loss, declared):
        assert gs.conformance(each, backend="numpy", clauses="gradient.analytic").passed


def test_a_logit_that_is_no_number_is_not_asked_through_the_identity() -> None:
    run = gs.conformance(
        in_numpy(GRADIENTS["hidden"]), backend="numpy", clauses="stability.minus-inf"
    )

    assert {each.status for each in run.outcomes} == {Status.SKIPPED}
    assert all("NaN of a logit that is no number" in each.reason for each in run.outcomes)


def test_rows_in_the_wrong_order_are_convicted_through_the_identity() -> None:
    def loss(hidden: Any, linear_weight: Any, targets: Any, *, reduction: str) -> Any:
        value, gradient = in_numpy(GRADIENTS["hidden"])(
            hidden, linear_weight, targets, reduction=reduction
        )
        return value, gradient[::-1]

    run = gs.conformance(loss, backend="numpy", clauses="gradient.analytic")

    assert not run.passed


def test_an_unknown_head_is_refused() -> None:
    declared = gs.Implementation("it", in_numpy(GRADIENTS["hidden"]), "numpy", head="bilinear")  # type: ignore[arg-type]

    with pytest.raises(UsageError, match=r"head=\): 'bilinear' is unknown; use 'linear'"):
        gs.conformance(declared)


def test_options_are_given_at_construction_and_the_head_at_the_call() -> None:
    torch = pytest.importorskip("torch")

    class Module(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, reduction: str = "mean", ignore_index: int = -100) -> None:
            super().__init__()
            self.options = {"reduction": reduction, "ignore_index": ignore_index}

        def forward(self, weight: Any, hidden: Any, targets: Any, bias: Any = None) -> Any:
            logits = torch.nn.functional.linear(hidden, weight, bias)
            return torch.nn.functional.cross_entropy(logits, targets, **self.options)

    def factory(reduction: str = "mean", ignore_index: int = -100) -> Callable[..., Any]:
        module = Module(reduction, ignore_index)
        return lambda hidden, weight, targets, **bias: module(weight, hidden, targets, **bias)

    declared = gs.Implementation(
        "module",
        backend="torch",
        factory=factory,
        head="linear",
        rename={"linear_bias": "bias"},
        targets=("index",),
    )
    run = gs.conformance(declared, clauses=("gradient.*", "ignore.*", "purity.*"), quick=True)

    assert run.passed
    assert "ignore.gradient" in {each.clause for each in run.outcomes if each.status == "passed"}


def test_jax_differentiates_through_the_head() -> None:
    jax = pytest.importorskip("jax")

    def loss(hidden: Any, linear_weight: Any, targets: Any) -> Any:
        log_p = jax.nn.log_softmax(hidden @ linear_weight.T)
        return -jax.numpy.take_along_axis(log_p, targets[:, None], 1)[:, 0]

    run = gs.conformance(loss, backend="jax", clauses=("value.*", "gradient.*", "jvp.*"))

    assert run.passed
