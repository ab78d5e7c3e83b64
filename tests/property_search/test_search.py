"""``gs.search`` finds what the curated cases miss, makes it small, and accuses nobody."""

from __future__ import annotations

import shlex
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import gradcheck_suite as gs
from gradcheck_suite.cli import cli
from gradcheck_suite.implementations.numpy_reference import softmax_nll as right
from gradcheck_suite.outcome import Failed, Status
from gradcheck_suite.property_search.generated import GeneratedCases
from gradcheck_suite.runner import Selection, plan
from gradcheck_suite.specification.clause import clauses
from gradcheck_suite.specification.given_case import GivenCase

pytest.importorskip("hypothesis")
pytestmark = pytest.mark.usefixtures("one_thread")


def wrong_at_seventeen_classes(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = right(logits, targets, reduction=reduction)
    return value * (1.001 if logits.shape[1] == 17 else 1.0), gradient


def wrong_at_ties_with_smoothing(
    logits: Any, targets: Any, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Any:
    value, gradient = right(logits, targets, label_smoothing=label_smoothing, reduction=reduction)
    tied = (logits == logits.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return value, gradient * (1.001 if label_smoothing and tied.any() else 1.0)


def wrong_beyond_forty_rows(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = right(logits, targets, reduction=reduction)
    gradient[40:] = 0
    return value, gradient


def wrong_at_a_weight_of_zero(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    weight = weight if weight is None else np.where(weight == 0, np.float64(1e-3), weight)
    weight = None if weight is None else weight.astype(logits.dtype)
    return right(logits, targets, weight=weight, reduction=reduction)


def wrong_where_a_class_is_ignored_and_smoothed(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    if 0 <= ignore_index < logits.shape[1] and label_smoothing:
        ignore_index = -100
    return right(
        logits,
        targets,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )


#: A bug, and the size (rows, classes) of the smallest case that shows it.
HIDDEN = {
    wrong_at_seventeen_classes: (1, 17),
    wrong_at_ties_with_smoothing: (1, 2),
    wrong_beyond_forty_rows: (41, 2),
    wrong_at_a_weight_of_zero: (1, 2),
    wrong_where_a_class_is_ignored_and_smoothed: (1, 2),
}
hidden = pytest.mark.parametrize("loss", HIDDEN, ids=lambda loss: loss.__name__)


def searched(loss: Any, **options: Any) -> gs.Run:
    return gs.search(loss, **{"backend": "numpy", "dtypes": "float64", "isolate": False, **options})


@cache
def first_failure(loss: Any) -> gs.Record:
    return searched(loss, fail_fast=True).failures[0]


# --- it finds, and makes small -------------------------------------------------------------------


@hidden
def test_a_bug_that_hides_from_the_curated_cases_is_found_and_made_small(loss: Any) -> None:
    failure = first_failure(loss)

    assert failure.status is Status.FAILED
    case = GivenCase.decode(failure.case).case
    assert (case.rows, case.classes) == HIDDEN[loss]
    assert not case.logits.any()
    assert np.count_nonzero(case.upstream != 1.0) == 0


def test_options_that_have_no_part_in_it_are_dropped() -> None:
    case = GivenCase.decode(first_failure(wrong_at_ties_with_smoothing).case).case

    assert case.options.used() == ("label_smoothing",)
    assert case.options.reduction == "none"


def test_an_error_is_a_failure_and_is_made_small() -> None:
    def refuses_wide_rows(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        if logits.shape[1] > 6:
            raise MemoryError(f"{logits.shape[1]} classes")
        return right(logits, targets, reduction=reduction)

    failure = first_failure(refuses_wide_rows)

    assert failure.status is Status.ERRORED
    assert "MemoryError: 7 classes" in failure.reason
    assert GivenCase.decode(failure.case).case.logits.tolist() == [[0.0] * 7]


# --- it shows the failure again ------------------------------------------------------------------


@hidden
def test_the_snippet_runs_and_shows_the_failure(loss: Any) -> None:
    anonymous = partial(loss)  # a loss without an address, as in a notebook
    failure = first_failure(anonymous)

    with pytest.raises(AssertionError) as caught:
        exec(failure.snippet, {"loss": anonymous})
    assert str(caught.value) == failure.reason


def test_the_snippet_of_a_loss_with_an_address_stands_on_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_loss(tmp_path)
    monkeypatch.chdir(tmp_path)
    failure = gs.search("drops.py:loss", dtypes="float32", clauses="value.*").failures[0]

    assert "'drops.py:loss'," in failure.snippet
    with pytest.raises(AssertionError, match="value is not what is specified"):
        exec(failure.snippet, {})


def test_the_replay_line_shows_the_failure_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_loss(tmp_path)
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(
        cli, ["search", "drops.py:loss", "--clause", "value.definition", "--dtype", "float64"]
    )
    assert found.exit_code == 1
    replay = found.output[found.output.index("gradcheck-suite replay") :].partition("snippet")[0]

    again = CliRunner().invoke(cli, shlex.split(replay.replace("\\\n", " "))[1:])

    assert again.exit_code == 1
    assert "FAILED value.definition" in again.output
    assert "rows1-classes17-none" in again.output


def _write_loss(folder: Path) -> None:
    (folder / "drops.py").write_text(
        "import numpy as np\n\n"
        "def loss(logits, targets):\n"
        "    shifted = logits - logits.max(axis=1, keepdims=True)\n"
        "    lse = np.log(np.exp(shifted).sum(axis=1))\n"
        "    rows = lse - shifted[np.arange(len(logits)), targets]\n"
        "    return rows * (1.01 if logits.shape[1] == 17 else 1.0)\n"
    )


def test_a_search_can_be_replayed_by_its_own_id() -> None:
    record = searched(right, clauses="value.definition", examples=20).outcomes[0]
    assert record.case == "search-20"

    again = gs.conformance(
        right, backend="numpy", clauses="value.definition", cases="search-20", dtypes="float64"
    )

    assert again.outcomes[0].verdict == record.verdict


# --- it is steady --------------------------------------------------------------------------------


def drawn(seed: int) -> list[str]:
    class Taking:
        dtype = "float64"

        def supports(self, case: gs.Case, mode: str = "value") -> str:
            return ""

    subject: Any = Taking()
    return [GivenCase(case).id for case in GeneratedCases(30).build(subject, seed, cost=1)]


def test_a_seed_gives_the_same_cases_and_another_seed_others() -> None:
    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


def test_a_random_search_carries_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbelow", lambda limit: 12345)

    run = searched(right, examples=5, clauses="value.definition", random=True)

    assert {record.seed for record in run.outcomes} == {12345}


# --- it accuses nobody ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_reference_holds_everywhere(dtype: str) -> None:
    run = searched(right, dtypes=dtype, examples=80, seed=2024)

    assert run.failures == ()
    assert run.passed


def test_pytorch_holds_everywhere() -> None:
    pytest.importorskip("torch")
    run = gs.search("torch-cross-entropy", examples=20, isolate=False, seed=5)

    assert run.failures == ()
    asked = {record.clause for record in run.executed}
    assert {"value.definition", "gradient.analytic", "jvp.analytic", "hessian.analytic"} <= asked


def test_a_loss_of_few_abilities_is_asked_what_it_takes() -> None:
    def rows(logits: Any, targets: Any) -> Any:
        return right(logits, targets, reduction="none")[0]

    run = searched(gs.Implementation("rows", rows, gradient=None, targets=("index",)), examples=60)

    assert run.passed
    value = next(record for record in run.outcomes if record.clause == "value.definition")
    assert value.reason.startswith("holds in ")
    assert all(record.status in (Status.PASSED, Status.SKIPPED) for record in run.outcomes)


# --- cases of one's own --------------------------------------------------------------------------


def test_a_case_of_ones_own_is_asked_of_the_clauses_that_speak_of_it() -> None:
    case = gs.Case.of([[0.0, 1.0, 2.0]], [2], label_smoothing=0.5, dtype="float32")
    run = gs.conformance(right, backend="numpy", cases=case)

    assert run.passed
    assert {record.dtype for record in run.outcomes} == {"float32"}
    assert {record.case for record in run.outcomes} == {GivenCase(case).id}
    assert "value.definition" in {record.clause for record in run.executed}
    assert "reject.target-range" not in {record.clause for record in run.outcomes}


def test_a_case_without_a_specified_answer_is_skipped() -> None:
    case = gs.Case.of([[0.0, 1.0]], [5])
    run = gs.conformance(right, backend="numpy", cases=case)

    assert {record.status for record in run.outcomes} == {Status.SKIPPED}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0, 1.0], [0]), r"logits: shape \(2,\) is not \(N, C\)"),
        (([[0.0, 1.0]], [0.5]), r"targets: float64 of shape \(1,\) for logits \(1, 2\)"),
        (([[0.0, 1.0]], [0, 1]), r"targets: int64 of shape \(2,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(gs.UsageError, match=message):
        gs.Case.of(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "max"}, "reduction: 'max' is unknown; use none, sum, mean"),
        ({"weight": [1.0]}, r"weight: shape \(1,\); expected one per class, \(2,\)"),
        ({"label_smoothing": 2.0}, r"label_smoothing: 2.0 is not in \[0, 1\]"),
        ({"upstream": [1.0, 2.0, 3.0]}, r"upstream: shape \(3,\) under none; expected \(1,\)"),
    ],
)
def test_options_that_are_none_are_refused(options: Any, message: str) -> None:
    with pytest.raises(gs.UsageError, match=message):
        gs.Case.of([[0.0, 1.0]], [0], **options)


def test_numbers_that_the_dtype_cannot_hold_are_refused() -> None:
    case = gs.Case.of([[0.1, 1.0]], [0], dtype="float32")

    with pytest.raises(gs.UsageError, match=r"logits: 0\.1 is not exact in float32"):
        gs.conformance(right, backend="numpy", cases=case)


# --- what makes no sense -------------------------------------------------------------------------


def test_a_clause_without_a_domain_has_nothing_to_search() -> None:
    with pytest.raises(gs.UsageError, match=r"that speak of other cases .*value\.definition"):
        gs.search(right, backend="numpy", clauses="reject.target-range")


def test_a_damaged_id_is_refused() -> None:
    with pytest.raises(gs.UsageError, match="does not hold a case"):
        gs.conformance(right, backend="numpy", cases="rows1-classes2-none~eNq")


@pytest.mark.parametrize("options", [{"cases": "*"}, {"quick": True}])
def test_what_contradicts_a_search_is_refused(options: Any) -> None:
    with pytest.raises(gs.UsageError, match="search: cases are generated here"):
        gs.search(right, backend="numpy", **options)


def test_no_examples_show_nothing() -> None:
    with pytest.raises(gs.UsageError, match="examples: 0 cases show nothing"):
        gs.search(right, examples=0)


def test_run_adds_generated_cases_to_the_curated_ones() -> None:
    result = CliRunner().invoke(
        cli, ["run", "numpy-reference", "--clause", "value.permutation", "--search", "5"]
    )

    assert result.exit_code == 0
    cases = next(clause for clause in clauses() if clause.id == "value.permutation").cases
    assert f"{2 * (len(cases) + 1)} passed" in result.output


def test_every_clause_with_a_domain_gets_a_job_per_dtype() -> None:
    implementation = gs.Implementation("mine", right, backend="numpy")

    jobs = plan(implementation, Selection(cases=("search-7",)))

    assert {job.clause.id for job in jobs} == {c.id for c in clauses() if c.domain is not None}
    assert {job.recipe.id for job in jobs} == {"search-7"}


def test_a_verdict_of_a_search_is_a_failure_like_any_other() -> None:
    failure = first_failure(wrong_beyond_forty_rows)

    assert isinstance(failure.verdict, Failed)
    assert failure.inequality is not None
    assert failure.level == "MUST"
