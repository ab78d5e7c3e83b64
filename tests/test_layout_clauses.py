"""The clauses of layout and rejection, as an implementation meets them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck_suite as gs
from gradcheck_suite.errors import UsageError
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.implementations.numpy_reference import softmax_nll
from gradcheck_suite.outcome import Failed, Record, Skipped, Status

pytestmark = pytest.mark.usefixtures("one_thread")


def judged(loss: Any, clause: str, **options: Any) -> dict[str, Record]:
    """The outcomes of one clause in float64, by case."""
    run = gs.conformance(loss, clauses=clause, dtypes="float64", **options)
    return {record.case: record for record in run.outcomes}


def the_mean_alone(logits: Any, targets: Any) -> Any:
    return softmax_nll(logits, targets)


def probabilities_alone(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.shape != logits.shape:
        raise ValueError("targets: give one-hot rows")
    return softmax_nll(logits, targets, reduction=reduction)


@pytest.mark.parametrize("loss", [the_mean_alone, probabilities_alone])
@pytest.mark.parametrize(
    ("clause", "telling"),
    [
        ("layout.strided", {"transposed", "sliced", "stepped", "expanded", "offset", "reversed"}),
        ("layout.targets-strided", {"index-stepped", "index-expanded", "index-offset"}),
        ("layout.sizes", {"classes1", "classes33", "classes4097", "rows65-classes1025"}),
    ],
)
def test_a_layout_is_asked_of_whatever_reduction_and_targets_there_are(
    loss: Any, clause: str, telling: set[str]
) -> None:
    outcomes = judged(loss, clause)

    assert {case for case, each in outcomes.items() if each.status is Status.PASSED} >= telling
    assert {each.status for each in outcomes.values()} <= {Status.PASSED, Status.SKIPPED}


def test_what_asks_for_contiguous_arrays_and_says_so_is_not_accused() -> None:
    def contiguous_only(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        if not logits.flags.c_contiguous:
            raise ValueError("logits: must be contiguous")
        return softmax_nll(logits, targets, reduction=reduction)

    outcomes = judged(contiguous_only, "layout.strided")

    verdict = outcomes["transposed"].verdict
    assert isinstance(verdict, Skipped)
    assert "must be contiguous" in verdict.reason
    assert outcomes["offset"].status is Status.PASSED  # contiguous, in the middle of a buffer


def test_what_may_overwrite_its_logits_is_not_given_rows_that_share_their_memory() -> None:
    def overwrites(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        halved = [np.multiply(row, 0.5, out=row).copy() for row in logits]
        return softmax_nll(2 * np.stack(halved), targets, reduction=reduction)

    accused = judged(overwrites, "layout.strided", backend="numpy")
    declared = judged(
        overwrites, "layout.strided", backend="numpy", dialect={"inputs": "destroyed"}
    )

    assert accused["expanded"].status is Status.FAILED
    assert declared["expanded"].status is Status.SKIPPED
    assert declared["transposed"].status is Status.PASSED


def test_a_jax_array_has_no_strides_so_the_question_does_not_arise() -> None:
    pytest.importorskip("jax")
    verdict = judged("jax-log-softmax", "layout.strided", isolate=False)["transposed"].verdict

    assert isinstance(verdict, Skipped)
    assert verdict.reason == "an array of jax is never transposed in memory"


def test_a_gradient_that_was_written_to_a_copy_is_recognised() -> None:
    torch = pytest.importorskip("torch")

    class Lost(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, logits: Any, targets: Any) -> Any:
            log_p = logits.log_softmax(-1)
            gradient = log_p.exp()
            gradient[torch.arange(len(targets)), targets] -= 1
            ctx.save_for_backward(gradient if logits.is_contiguous() else logits)
            return -log_p.gather(-1, targets[:, None])[:, 0]

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return u[:, None] * ctx.saved_tensors[0], None

    def loss(logits: Any, targets: Any) -> Any:
        return Lost.apply(logits, targets).sum()

    lost = Implementation("lost", loss, backend="torch", reductions=("sum",))
    verdict = judged(lost, "layout.strided")["transposed"].verdict

    assert isinstance(verdict, Failed)
    assert "the logits themselves, times u" in verdict.looks


def test_what_lies_between_the_rows_is_named_when_it_is_read() -> None:
    def reads_the_padding(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        value, gradient = softmax_nll(logits, targets, reduction=reduction)
        base = logits if logits.base is None else logits.base
        return value + 0 * base.sum(), gradient

    verdict = judged(reads_the_padding, "layout.strided")["sliced"].verdict

    assert isinstance(verdict, Failed)
    assert "NaN is planted there" in verdict.looks


def test_ranks_are_asked_only_where_they_are_declared() -> None:
    reasons = {
        record.verdict.reason
        for record in judged("numpy-reference", "layout.rank", isolate=False).values()
        if isinstance(record.verdict, Skipped)
    }

    assert "does not take logits of rank 3 (ranks= declares (2,))" in reasons


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"ranks": (1, 3)}, r"Implementation\(ranks=\): \(1, 3\)"),
        ({"ranks": (0, 2)}, r"Implementation\(ranks=\): \(0, 2\)"),
        ({"ranks": (2, 3), "class_axis": 3}, r"Implementation\(class_axis=\): 3 is no axis"),
    ],
)
def test_a_rank_that_makes_no_sense_is_refused(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        judged(Implementation("any", softmax_nll, backend="numpy", **declared), "layout.rank")


def test_numpy_may_promote_unless_the_logits_dtype_is_declared() -> None:
    def promotes(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        value, gradient = softmax_nll(logits, targets, reduction=reduction)
        return np.float64(value), gradient.astype(np.float64)

    found = {
        choice: gs.conformance(
            promotes,
            backend="numpy",
            clauses="layout.dtypes",
            dtypes="float32",
            dialect={"result_dtype": choice},
        ).passed
        for choice in ("promoted", "logits")
    }
    assert found == {"promoted": True, "logits": False}
    assert gs.conformance(promotes, clauses="layout.dtypes", dtypes="float32").passed


def test_a_bare_number_of_python_has_no_dtype_to_be_wrong() -> None:
    def bare(logits: Any, targets: Any) -> Any:
        value, gradient = softmax_nll(logits, targets)
        return float(value), gradient

    assert gs.conformance(bare, backend="numpy", clauses="layout.dtypes").passed


def test_a_ladder_of_shapes_is_compiled_in_one_dtype_only() -> None:
    pytest.importorskip("jax")
    run = gs.conformance(
        "jax-log-softmax",
        clauses="layout.sizes",
        cases=("classes3", "rows65-*"),
        isolate=False,
    )

    found = {(record.case, record.dtype): record.status for record in run.outcomes}
    assert found == {
        ("rows65-classes1025", "float64"): Status.PASSED,
        ("classes3", "float64"): Status.PASSED,
        ("rows65-classes1025", "float32"): Status.PASSED,
        ("classes3", "float32"): Status.SKIPPED,
    }


# --- rejection -----------------------------------------------------------------------------------


def test_a_column_of_targets_that_is_taken_for_what_is_meant_is_no_misfit() -> None:
    def squeezes(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        if targets.shape == (len(logits), 1):
            targets = targets[:, 0]
        return softmax_nll(logits, targets, reduction=reduction)

    record = judged(squeezes, "reject.shape")["rows4-classes5-none"]

    assert record.status is Status.PASSED
    assert "targets of shape (4, 1) for 4 rows: taken for what is meant" in record.verdict.note


def test_rejection_is_advice_and_decides_nothing_unless_it_is_asked_for() -> None:
    def sums(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        known = reduction if reduction in ("none", "mean") else "sum"
        return softmax_nll(logits, targets, reduction=known)

    advice = gs.conformance(sums, backend="numpy", clauses="reject.reduction")

    assert {record.status for record in advice.outcomes} == {Status.FAILED}
    assert advice.passed
    assert not gs.conformance(sums, backend="numpy", clauses="reject.reduction", strict=True)


@pytest.mark.parametrize(("lowest", "status"), [(0, Status.SKIPPED), (1, Status.FAILED)])
def test_an_index_that_is_clipped_is_held_to_the_nearest_class_where_that_is_declared(
    lowest: int, status: Status
) -> None:
    def clips(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        known = np.where(targets < 0, lowest, np.minimum(targets, logits.shape[1] - 1))
        return softmax_nll(logits, known, reduction=reduction)

    declared = {"out_of_range": "declared-clip"}
    outcomes = judged(clips, "reject.target-range", backend="numpy", dialect=declared)

    assert outcomes["rows4-classes5-none"].status is status  # a limitation is never a pass


def test_each_index_out_of_range_has_a_case_of_its_own() -> None:
    """On CUDA the device is lost with the first of them, and raises whatever comes after."""
    notes = {
        case: record.verdict.note
        for case, record in judged("numpy-reference", "reject.target-range", isolate=False).items()
    }

    assert notes["rows4-classes5-none-outside-next"] == "5 raises IndexError"
    assert notes["rows4-classes5-none-outside-past"] == "6 raises IndexError"


def test_a_device_that_is_lost_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake: there is no CUDA on every machine that runs this."""
    from gradcheck_suite.backends.numpy_backend import NumPyBackend

    lost: list[int] = []

    def asserts(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        if np.any((targets < 0) | (targets >= logits.shape[1])):
            lost.append(int(targets[-1]))
            raise RuntimeError("device-side assert triggered")
        return softmax_nll(logits, targets, reduction=reduction)

    monkeypatch.setattr(NumPyBackend, "healthy", lambda self: not lost)
    record = judged(asserts, "reject.target-range", cases="rows4-classes5-none")

    assert lost == [-1]
    assert "cases of their own" in record["rows4-classes5-none"].verdict.note
