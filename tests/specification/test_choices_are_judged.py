"""No choice is words alone: who declares what it does not do is convicted, or shown as declared."""

from __future__ import annotations

import correct
import pytest

import gradcheck_suite as gs
from gradcheck_suite.outcome import Run

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


def declared_by_pytorch(clause: str, choice: str, value: str) -> Run:
    """PyTorch's cross_entropy under a declaration."""
    return gs.conformance(
        "torch-cross-entropy",
        clauses=clause,
        dialect={choice: value},
        dtypes=("float64",),
        isolate=False,
    )


@pytest.mark.parametrize(
    ("choice", "value", "clause"),
    [
        ("mean_index", "valid", "weight.index"),
        ("mean_index", "batch", "ignore.count"),
        ("mean_probabilities", "weights", "weight.probabilities"),
        ("empty_mean", "zero", "batch.degenerate"),
        ("empty_mean", "raise", "batch.degenerate"),
        ("all_ignored_mean", "zero", "ignore.all"),
        ("all_ignored_mean", "raise", "ignore.all"),
        ("smoothing_mass", "over-others", "smoothing.definition"),
        ("class_weights", "differentiable", "weight.index"),
        ("minus_inf_target", "nan", "stability.minus-inf-target"),
        ("minus_inf_target", "zero", "stability.minus-inf-target"),
        ("out_of_range", "declared-clip", "reject.target-range"),
    ],
)
def test_a_false_declaration_does_not_pass(choice: str, value: str, clause: str) -> None:
    assert declared_by_pytorch(clause, "target_gradient", "differentiable").passed
    assert not declared_by_pytorch(clause, choice, value).passed


@pytest.mark.parametrize(
    ("choice", "value", "clause"),
    [
        ("target_gradient", "absent", "gradient.targets"),
        ("unnormalised_targets", "assumes-one", "gradient.unnormalised-targets"),
        ("gradient_filter", "eps/32", "stability.rare-class"),
        ("inputs", "destroyed", "purity.inputs"),
        ("inputs", "destroyed", "purity.composition"),
        ("determinism", "rounding", "purity.determinism"),
        ("out_of_range", "undefined", "reject.target-range"),
    ],
)
def test_what_a_declaration_exempts_is_counted_as_declared(
    choice: str, value: str, clause: str
) -> None:
    run = declared_by_pytorch(clause, choice, value)

    assert run.declared
    assert not run.failures
    assert {record.dialect[choice] for record in run.declared} == {value}


@pytest.mark.parametrize(("choice", "passes"), [("valid", True), ("denominator", False)])
def test_a_z_loss_is_held_to_the_mean_that_is_declared(choice: str, passes: bool) -> None:
    (extended,) = (each for each in correct.of("torch") if each.name == "torch-extended")

    run = gs.conformance(extended, clauses="z-loss.normalisation", dialect={"z_loss_mean": choice})

    assert run.passed is passes
    assert passes or any("'z_loss_mean': 'valid'" in each.verdict.looks for each in run.failures)


@pytest.mark.parametrize("choice", ["valid", "denominator"])
def test_who_declares_no_mean_of_the_z_loss_may_take_either(choice: str) -> None:
    (extended,) = (each for each in correct.of("torch") if each.name == "torch-extended")
    loss = extended.loss
    assert callable(loss)

    def either(logits, targets, *, weight=None, ignore_index=-100, z_loss=0.0, reduction="mean"):  # type: ignore[no-untyped-def]
        options = {"weight": weight, "ignore_index": ignore_index, "reduction": reduction}
        if choice == "valid" or reduction != "mean" or weight is None:
            return loss(logits, targets, lse_square_scale=z_loss, **options)
        valid = targets != ignore_index
        total = loss(logits, targets, lse_square_scale=z_loss, **{**options, "reduction": "sum"})
        return total / weight[targets[valid]].sum()

    run = gs.conformance(either, backend="torch", clauses="z-loss.normalisation")

    assert run.passed, run.failures
