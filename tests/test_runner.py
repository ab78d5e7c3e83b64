"""Whatever the code under test does costs one outcome, keeps its traceback, and the run goes on."""

from __future__ import annotations

import random
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcheck_suite import backends, process_state
from gradcheck_suite.errors import UsageError
from gradcheck_suite.implementation import Deviation, Implementation
from gradcheck_suite.implementations.numpy_reference import softmax_nll as correct
from gradcheck_suite.outcome import Errored, Record, Run, Status
from gradcheck_suite.runner import OVERRUNS_AT_MOST, holds
from gradcheck_suite.suite import conformance

Loss = Callable[..., Any]


def judged(loss: Loss | Implementation, clauses: Any = "value.definition", **options: Any) -> Run:
    """In this process, in float64, on NumPy unless another backend is named."""
    return conformance(
        loss, **{"backend": "numpy", "dtypes": "float64", **options}, clauses=clauses
    )


def by_case(run: Run) -> dict[str, Record]:
    return {f"{record.clause}/{record.case}": record for record in run.outcomes}


def reasons(run: Run, status: Status) -> set[str]:
    return {record.reason for record in run.outcomes if record.status is status}


def spoiled(where: Callable[[Any], bool], mistake: Callable[[], Any]) -> Loss:
    """The correct loss, but for the logits where it makes its mistake."""

    def loss(logits: Any, targets: Any, **options: Any) -> Any:
        if where(logits):
            return mistake()
        return correct(logits, targets, **options)

    return loss


def large(logits: Any) -> bool:
    return len(logits) == 32


def boom() -> Any:
    raise ValueError("boom\nwith a second line")


def leave() -> Any:
    sys.exit(3)


def hang() -> Any:
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            continue


# --- mistakes ------------------------------------------------------------------------------------


def test_a_correct_loss_passes() -> None:
    run = judged(correct, "*")
    assert run.passed
    assert run.failures == ()  # advice aside: it forms p − 1 where p_c rounds to 1


@pytest.mark.parametrize(
    ("mistake", "reason"),
    [
        (boom, "raises ValueError: boom"),
        (leave, "called sys.exit(3)"),
        (lambda: None, "loss returned None; expected (value, gradient)"),
        (lambda: "0.5", "loss returned '0.5'; expected (value, gradient)"),
        (lambda: (1.0,), "loss returned a tuple of 1; expected (value, gradient)"),
    ],
    ids=["raises", "exits", "None", "string", "tuple"],
)
def test_a_mistake_on_some_cases_costs_those(mistake: Callable[[], Any], reason: str) -> None:
    run = judged(spoiled(large, mistake))
    records = by_case(run)
    bad = records.pop("value.definition/rows32-classes100-none")
    assert bad.status is Status.ERRORED
    assert bad.reason.endswith(reason)
    assert {record.status for record in records.values()} == {Status.PASSED}
    assert not run.passed
    assert run.failures == (bad,)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (boom, ["raises ValueError: boom"]),
        (leave, ["called sys.exit(3)"]),
        (lambda: None, ["loss returned None"]),
        (lambda: "0.5", ["loss returned '0.5'"]),
        (lambda: (1.0, 2.0, 3.0), ["loss returned a tuple of 3", "value= picks the loss out"]),
        (lambda: {"loss": 1.0}, ["loss returned a builtins.dict"]),
    ],
    ids=["raises", "exits", "None", "string", "tuple", "dict"],
)
def test_a_mistake_everywhere_is_said_once(mistake: Callable[[], Any], words: list[str]) -> None:
    def loss(logits: Any, targets: Any) -> Any:
        return mistake()

    run = judged(loss, "value.*")
    errored = [record for record in run.outcomes if record.status is Status.ERRORED]
    assert len(errored) == 1
    assert all(word in errored[0].reason for word in words)
    rest = {record.status for record in run.outcomes} - {Status.ERRORED}
    assert rest == {Status.SKIPPED}
    assert reasons(run, Status.SKIPPED) == {
        "not judged: the implementation fails everywhere in float64"
    }
    assert run.exit_code == 1


def test_the_traceback_is_kept_and_begins_in_the_users_code() -> None:
    (record,) = judged(spoiled(large, boom), cases="rows32-classes100-none").outcomes
    assert isinstance(record.verdict, Errored)
    first, second = record.verdict.traceback.splitlines()[:2]
    assert first == "Traceback (most recent call last):"
    assert __file__ in second
    assert "in boom" in record.verdict.traceback
    assert record.verdict.traceback.endswith("ValueError: boom\nwith a second line")


def test_ctrl_c_ends_the_run_and_is_no_outcome() -> None:
    def loss(logits: Any, targets: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(loss)


def test_a_wrong_shape_is_a_failure_with_both_shapes() -> None:
    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        return correct(logits, targets, reduction="none")

    run = judged(loss, "value.definition", cases=["rows4-classes5-none", "rows4-classes5-mean"])
    records = by_case(run)
    assert records["value.definition/rows4-classes5-none"].status is Status.PASSED
    wrong = records["value.definition/rows4-classes5-mean"]
    assert wrong.status is Status.FAILED
    assert wrong.reason == "loss returned shape (4,) under reduction='mean'; specified ()"


def test_a_gradient_of_a_wrong_shape_is_a_failure() -> None:
    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        value, gradient = correct(logits, targets, reduction=reduction)
        return value, gradient.T

    implementation = Implementation("transposed", loss, gradient="returned")
    (record,) = judged(implementation, "gradient.analytic", cases="rows4-classes5-mean").outcomes
    assert record.status is Status.FAILED
    assert record.reason == "gradient in the logits has shape (5, 4); specified (4, 5)"


def test_a_nan_is_a_failure_and_never_a_pass() -> None:
    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        value, gradient = correct(logits, targets, reduction=reduction)
        return value * np.nan, gradient * np.nan

    run = judged(loss, ["value.*", "gradient.*", "reduction.*"])
    assert {record.status for record in run.executed} == {Status.FAILED}


def test_what_is_printed_is_kept_beside_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        print("to standard output")
        print("to standard error", file=sys.stderr)
        return correct(logits, targets, reduction=reduction)

    run = judged(loss, cases="seed-example")
    (record,) = run.outcomes
    assert run.passed
    assert "to standard output" in record.output
    assert "to standard error" in record.output
    assert capsys.readouterr() == ("", "")


def test_very_much_output_is_cut() -> None:
    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        print("x" * 100_000)
        return correct(logits, targets, reduction=reduction)

    (record,) = judged(loss, cases="seed-example").outcomes
    assert len(record.output) <= 2000


def test_closing_standard_output_ends_no_run() -> None:
    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        print("last words")
        sys.stdout.close()
        return correct(logits, targets, reduction=reduction)

    (record,) = judged(loss, cases="seed-example").outcomes
    assert "last words" in record.output


def test_warnings_are_recorded_and_never_raised() -> None:
    """pytest runs with warnings as errors here: the user's code does not."""

    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        warnings.warn("slow path", RuntimeWarning, stacklevel=1)
        return correct(logits, targets, reduction=reduction)

    run = judged(loss, cases="seed-example")
    assert run.passed
    assert run.outcomes[0].warnings == ("RuntimeWarning: slow path",)


# --- process-wide settings -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        (lambda: np.random.seed(0), "numpy.random.get_state()"),
        (lambda: random.seed(0), "random.getstate()"),
        (lambda: np.seterr(all="raise"), "numpy.geterr()"),
        (lambda: np.set_printoptions(precision=2), "numpy.get_printoptions()"),
        (lambda: warnings.simplefilter("ignore", ResourceWarning), "warnings.filters"),
        (lambda: sys.setrecursionlimit(4321), "sys.getrecursionlimit()"),
    ],
    ids=["numpy seed", "seed", "seterr", "printoptions", "warnings", "recursion limit"],
)
def test_a_changed_setting_is_a_failure_that_names_it_and_is_put_back(
    change: Callable[[], Any], setting: str
) -> None:
    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        answer = correct(logits, targets, reduction=reduction)
        change()
        return answer

    numpy = backends.load("numpy")
    before = process_state.capture(numpy)
    run = judged(loss, ["purity.global-state", "value.definition"])
    assert process_state.capture(numpy) == before
    assert {r.reason for r in run.failures} == {f"the call changes {setting}"}
    assert {r.clause for r in run.failures} == {"purity.global-state"}


def test_torch_settings_are_watched_and_put_back() -> None:
    torch = pytest.importorskip("torch")

    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(0)
        return torch.nn.functional.cross_entropy(logits, targets, reduction=reduction)

    run = judged(loss, ["purity.global-state", "value.definition"], backend="torch")
    assert torch.get_default_dtype() is torch.float32
    assert {r.clause for r in run.failures} == {"purity.global-state"}
    assert {r.reason for r in run.failures} == {
        "the call changes torch.get_default_dtype(), torch random state"
    }


def test_jax_settings_are_watched_and_put_back() -> None:
    jax = pytest.importorskip("jax")
    before = jax.config.jax_debug_nans

    def loss(logits: Any, targets: Any) -> Any:
        jax.config.update("jax_debug_nans", not before)
        log_p = jax.nn.log_softmax(logits)
        return -jax.numpy.take_along_axis(log_p, targets[:, None], axis=1).mean()

    implementation = Implementation("debugger", loss, targets=("index",))
    run = judged(implementation, ["purity.global-state", "value.likelihood"], backend="jax")
    assert jax.config.jax_debug_nans == before
    assert {(r.clause, r.reason) for r in run.failures} == {
        ("purity.global-state", "the call changes jax.config.jax_debug_nans")
    }


# --- time ----------------------------------------------------------------------------------------


def test_a_case_past_its_time_limit_is_errored_and_the_run_goes_on() -> None:
    run = judged(spoiled(large, hang), time_limit=0.3)
    records = by_case(run)
    bad = records.pop("value.definition/rows32-classes100-none")
    assert bad.status is Status.ERRORED
    assert bad.reason == "ran past the time limit of 0.3 s for one case"
    assert isinstance(bad.verdict, Errored)
    assert "in hang" in bad.verdict.traceback
    assert {record.status for record in records.values()} == {Status.PASSED}


def test_after_some_overruns_the_rest_is_not_tried() -> None:
    plain = ("value.*", "gradient.*", "reduction.*", "weight.*", "ignore.*", "options.*")
    run = judged(spoiled(large, hang), plain, cases="rows32-*", time_limit=0.2)
    statuses = [record.status for record in run.outcomes]
    tried = statuses[:OVERRUNS_AT_MOST]
    assert tried == [Status.ERRORED] * OVERRUNS_AT_MOST
    assert set(statuses[OVERRUNS_AT_MOST:]) == {Status.SKIPPED}
    assert reasons(run, Status.SKIPPED) == {
        f"not run: {OVERRUNS_AT_MOST} cases before it ran past their time limit"
    }


def test_a_loss_that_always_hangs_is_not_asked_again() -> None:
    run = judged(lambda logits, targets: hang(), "*", time_limit=0.3)
    assert run.counts()[Status.ERRORED] == 1
    assert run.counts()[Status.SKIPPED] == len(run.outcomes) - 1


# --- what is supported ---------------------------------------------------------------------------


def test_rows_without_a_keyword_are_recognised_by_their_shape() -> None:
    run = judged(lambda logits, targets: correct(logits, targets, reduction="none"), "reduction.*")
    assert run.passed
    assert {r.clause for r in run.executed} == {"reduction.none"}
    assert "does not offer reduction mean (it has no such keyword)" in reasons(run, Status.SKIPPED)


def test_a_scalar_without_a_keyword_is_the_mean() -> None:
    def total(logits: Any, targets: Any) -> Any:
        return correct(logits, targets, reduction="sum")

    run = judged(lambda logits, targets: correct(logits, targets), "reduction.*")
    assert run.passed
    assert {r.clause for r in run.executed} == {"reduction.mean", "reduction.mean-gradient"}
    assert not judged(total, "reduction.*").passed
    assert judged(Implementation("sum", total, reductions=("sum",)), "reduction.*").passed


def test_options_are_read_off_the_signature() -> None:
    def loss(logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean") -> Any:
        return correct(logits, targets, weight=weight, reduction=reduction)

    run = judged(loss)
    assert run.passed
    records = by_case(run)
    assert records["value.definition/rows4-classes5-none-weighted"].status is Status.PASSED
    assert reasons(run, Status.SKIPPED) == {
        "has no option label_smoothing (its signature)",
        "has no option ignore_index (its signature)",
    }


def test_any_keyword_is_taken_by_kwargs() -> None:
    run = judged(lambda logits, targets, **options: correct(logits, targets, **options))
    assert Status.SKIPPED not in run.counts()
    assert run.passed


def picky(logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean") -> Any:
    if weight is not None:
        raise NotImplementedError("weight: not yet")
    return correct(logits, targets, reduction=reduction)


def test_what_raises_undeclared_is_not_supported_and_listed_so() -> None:
    run = judged(picky, cases="*weighted")
    assert run.exit_code == 2  # nothing ran
    assert "not supported: raises NotImplementedError: weight: not yet" in reasons(
        run, Status.SKIPPED
    )


def test_what_is_declared_and_raises_is_errored() -> None:
    declared = Implementation(
        "picky",
        picky,
        options=("weight",),
        targets=("index",),
        reductions=("none", "sum", "mean"),
    )
    run = judged(declared, cases="rows4-classes5-none-weighted")
    assert reasons(run, Status.ERRORED) == {"raises NotImplementedError: weight: not yet"}


def test_an_option_that_is_declared_is_errored_where_it_raises() -> None:
    """Naming the option is enough: kinds of targets and reductions need not be named beside it."""
    run = judged(
        Implementation("picky", picky, options=("weight",)), cases="rows4-classes5-none-weighted"
    )
    assert reasons(run, Status.ERRORED) == {"raises NotImplementedError: weight: not yet"}


def test_a_kind_of_target_that_raises_is_skipped() -> None:
    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        if targets.ndim == 2:
            raise TypeError("targets: class indices only")
        return correct(logits, targets, reduction=reduction)

    run = judged(loss, "value.likelihood")
    assert run.passed
    assert reasons(run, Status.SKIPPED) == {
        "not supported: raises TypeError: targets: class indices only"
    }


def test_declared_capabilities_are_held_without_trying() -> None:
    declared = Implementation("d", correct, reductions=("sum",), targets=("probabilities",))
    run = judged(declared, "value.likelihood")
    assert [record.case for record in run.executed] == ["rows4-classes5-sum-probabilities"]
    assert reasons(run, Status.SKIPPED) == {"does not take index targets (declared)"}
    run = judged(declared, "reduction.mean", cases="*-mean-probabilities")
    assert reasons(run, Status.SKIPPED) == {"does not offer reduction mean (declared)"}


class Module:
    """Options at construction, as in ``torch.nn.CrossEntropyLoss``."""

    def __init__(self, weight: Any = None, smoothing: float = 0.0, reduction: str = "mean") -> None:
        self.options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}

    def __call__(self, logits: Any, targets: Any) -> Any:
        return correct(logits, targets, **self.options)


def test_a_factory_is_given_the_options_under_its_own_names() -> None:
    implementation = Implementation(
        "module", factory=Module, rename={"label_smoothing": "smoothing"}
    )
    run = judged(implementation, ["value.definition", "gradient.analytic"])
    assert run.passed
    executed = {record.case for record in run.executed}
    assert {"rows4-classes5-none-smoothing0.1", "rows4-classes5-none-weighted"} <= executed
    assert "has no option ignore_index (its signature)" in reasons(run, Status.SKIPPED)


def test_value_picks_the_loss_out_of_several_outputs() -> None:
    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        return {"loss": correct(logits, targets, reduction=reduction)[0], "accuracy": 0.5}

    run = judged(Implementation("dict", loss, value=lambda out: out["loss"]), "value.definition")
    assert run.passed


def test_a_gradient_can_be_a_function_of_its_own() -> None:
    def value(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        return correct(logits, targets, reduction=reduction)[0]

    def gradient(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        return correct(logits, targets, reduction=reduction)[1]

    clauses = ["gradient.analytic", "gradient.finite-difference"]
    assert judged(Implementation("two", value, gradient=gradient), clauses).passed
    wrong = Implementation("two", value, gradient=lambda *a, **o: -gradient(*a, **o))
    run = judged(wrong, clauses)
    assert {r.clause for r in run.failures} == set(clauses)


@pytest.mark.parametrize("declared", [None, "infer"])
def test_a_value_without_a_gradient_is_judged_as_a_value(declared: Any) -> None:
    def value(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        return correct(logits, targets, reduction=reduction)[0]

    run = judged(Implementation("value", value, gradient=declared), ["value.*", "gradient.*"])
    assert run.passed
    assert {record.family for record in run.executed} == {"value"}
    assert "value only: no gradient is declared or returned" in reasons(run, Status.SKIPPED)


def test_a_cut_graph_is_no_gradient() -> None:
    torch = pytest.importorskip("torch")

    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        return torch.nn.functional.cross_entropy(logits.detach(), targets, reduction=reduction)

    (record,) = judged(
        loss, "gradient.analytic", backend="torch", cases="rows4-classes5-mean"
    ).outcomes
    assert record.status is Status.ERRORED
    assert record.reason.endswith("the result does not depend on them (a cut graph)")


# --- selections ----------------------------------------------------------------------------------


def test_what_is_excluded_is_shown_as_skipped() -> None:
    run = judged(spoiled(large, boom), "value.*", exclude="value.def*")
    assert {r.clause for r in run.outcomes if r.reason == "excluded on request"} == {
        "value.definition"
    }
    assert "value.likelihood" in {record.clause for record in run.executed}


def test_a_quick_run_takes_the_first_case_that_applies() -> None:
    run = judged(lambda logits, targets: correct(logits, targets), "*", quick=True)
    assert len(run.outcomes) == len({record.id for record in run.outcomes})
    assert {record.case for record in run.executed if record.clause == "value.definition"} == {
        "rows4-classes5-mean"
    }
    assert {record.dtype for record in run.outcomes} == {"float64"}


def test_every_record_carries_the_seed_and_a_seed_gives_the_same_bits() -> None:
    first, again, other = (judged(correct, "*", seed=seed) for seed in (3, 3, 4))

    def numbers(run: Run) -> list[Any]:
        return [(r.id, r.status, r.error, r.tolerance, r.resolution) for r in run.outcomes]

    assert {record.seed for record in first.outcomes} == {3}
    assert numbers(first) == numbers(again)
    assert numbers(first) != numbers(other)


# --- known deviations ----------------------------------------------------------------------------


def doubled(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value * (2 if reduction == "sum" else 1), gradient


def deviating(*deviations: Deviation) -> Implementation:
    return Implementation("doubled", doubled, deviations=deviations)


KNOWN = Deviation("reduction.sum", reason="the sum is doubled", link="example#1")


def test_a_known_deviation_is_printed_and_does_not_decide() -> None:
    run = judged(deviating(KNOWN), ["reduction.sum", "reduction.mean"])
    assert run.passed
    assert run.counts()[Status.FAILED] > 0
    failed = [record for record in run.outcomes if record.status is Status.FAILED]
    assert {record.deviation for record in failed} == {"the sum is doubled (example#1)"}
    assert {r.deviation for r in run.outcomes if r.status is Status.PASSED} == {""}
    assert run.notes == ()


@pytest.mark.parametrize(
    "other",
    [
        Deviation("reduction.mean", reason="another clause"),
        Deviation("reduction.sum", reason="another case", case="rows9*"),
        Deviation("reduction.sum", reason="another dtype", dtype="float32"),
        Deviation("reduction.sum", reason="an old version", when="numpy<1.0"),
        Deviation("reduction.sum", reason="an absent library", when="no-such-library>=0"),
    ],
    ids=lambda deviation: deviation.reason,
)
def test_a_deviation_excuses_only_what_it_names(other: Deviation) -> None:
    run = judged(deviating(other), "reduction.sum")
    assert not run.passed
    assert {record.deviation for record in run.outcomes} == {""}


def test_a_deviation_that_is_no_longer_seen_is_noted() -> None:
    stale = Deviation("reduction.mean", reason="the mean was halved")
    run = judged(deviating(KNOWN, stale), ["reduction.*"])
    assert run.passed
    assert run.notes == (
        "doubled: the known deviation from reduction.mean is no longer seen: the mean was halved",
    )
    assert judged(deviating(KNOWN, stale), "reduction.sum").notes == ()  # was not looked for


def test_no_deviation_excuses_a_crash() -> None:
    implementation = Implementation(
        "crash", spoiled(large, boom), deviations=(Deviation("*", reason="known"),)
    )
    run = judged(implementation)
    assert {record.status for record in run.failures} == {Status.ERRORED}


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ("", True),
        ("numpy>=1.0", True),
        ("numpy", True),
        ("numpy<1.0", False),
        ("numpy>=1,<1000", True),
        ("no-such-library", False),
    ],
)
def test_conditions_are_read_from_what_is_installed(condition: str, answer: bool) -> None:
    assert holds(condition) is answer


def test_a_condition_that_cannot_be_read_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"when.*'numpy is old'"):
        judged(deviating(Deviation("reduction.sum", reason="old", when="numpy is old")))


# --- declarations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"reductions": ("average",)}, r"Implementation\(reductions=\): 'average' is unknown; use"),
        (
            {"options": ("weights",)},
            r"Implementation\(options=\): 'weights' is unknown; use weight",
        ),
        ({"targets": ("one-hot",)}, r"Implementation\(targets=\): 'one-hot' is unknown; use index"),
        ({"orders": ("third",)}, r"Implementation\(orders=\): 'third' is unknown; use reverse"),
        ({"dtypes": ("double",)}, r"Implementation\(dtypes=\): 'double' is unknown; use float64"),
        ({"dialect": {"mean": "batch"}}, "dialect: unknown choice 'mean'; known choices"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_declaration_that_makes_no_sense_is_refused_before_anything_runs(
    declared: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        conformance(Implementation("mine", correct, **declared), backend="numpy")


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="device: numpy has no 'cuda:7' here; it has cpu"):
        judged(correct, device="cuda:7")
