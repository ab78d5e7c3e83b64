"""Range and precision: what the families of logits hold, and what their clauses accept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck_suite as gs
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.implementations.numpy_reference import softmax_nll
from gradcheck_suite.outcome import Record, Status
from gradcheck_suite.specification.logits import LOGITS, largest, smallest_normal
from gradcheck_suite.specification.recipe import Recipe

DTYPES = ("float64", "float32", "bfloat16", "float16")
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_seed = pytest.mark.parametrize("seed", range(5))


def logits_of(family: str, dtype: str, seed: int = 0, **fields: Any) -> Any:
    return Recipe(logits=family, **fields).build(seed, dtype).logits


def records(loss: Any, clause: str, **declared: Any) -> tuple[Record, ...]:
    implementation = Implementation("numpy-under-test", loss, backend="numpy", **declared)
    return gs.conformance(implementation, clauses=clause).outcomes


def statuses(loss: Any, clause: str, **declared: Any) -> set[Status]:
    return {record.status for record in records(loss, clause, **declared)}


# --- families ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_ends_of_a_dtype_are_those_that_numpy_states(dtype: str) -> None:
    found = np.finfo(dtype)
    assert largest(dtype) == float(found.max)
    assert smallest_normal(dtype) == float(found.tiny)


def test_the_ends_of_bfloat16_are_those_of_its_own_package() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert largest("bfloat16") == float(ml_dtypes.finfo("bfloat16").max)
    assert smallest_normal("bfloat16") == float(ml_dtypes.finfo("bfloat16").tiny)


@every_dtype
@pytest.mark.parametrize("family", sorted(set(LOGITS) - {"nan", "plus-inf", "seed-example"}))
def test_no_family_overflows_its_dtype(family: str, dtype: str) -> None:
    logits = logits_of(family, dtype)
    assert np.all(np.isfinite(logits) | np.isneginf(logits))
    assert np.all(logits[np.isfinite(logits)] <= largest(dtype) / 4)


@every_dtype
@every_seed
def test_huge_logits_reach_a_quarter_of_the_range_on_both_sides(dtype: str, seed: int) -> None:
    logits = logits_of("huge", dtype, seed)
    assert logits.max() == -logits.min() == pytest.approx(largest(dtype) / 4, rel=1e-2)


@every_dtype
def test_the_sum_of_large_gaps_stays_below_half_of_the_range(dtype: str) -> None:
    logits = logits_of("large", dtype)
    gaps = logits.max(axis=1) - logits.min(axis=1)
    assert gaps.sum() <= largest(dtype) / 2


@every_seed
@pytest.mark.parametrize("shape", [(4, 5), (32, 100)])
def test_a_scattered_maximum_stands_in_the_first_column_the_last_and_between(
    shape: tuple[int, int], seed: int
) -> None:
    logits = logits_of("scattered", "float64", seed, rows=shape[0], classes=shape[1])
    columns = set(logits.argmax(axis=1))
    assert {0, shape[1] - 1} < columns
    assert len(columns) == shape[0]


@every_seed
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_target_of_an_underflowing_row_has_no_normal_probability(dtype: str, seed: int) -> None:
    case = Recipe(logits="underflow").build(seed, dtype)
    gap = case.logits.max(axis=1) - case.logits[np.arange(case.rows), case.targets]
    assert np.all(np.exp(-gap) < smallest_normal(dtype))


@every_seed
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_rarest_class_is_near_the_smallest_normal_number_and_above_it(
    dtype: str, seed: int
) -> None:
    logits = logits_of("rarest", dtype, seed)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert 1e2 < p.min() / smallest_normal(dtype) < 1e5


@every_seed
@pytest.mark.parametrize("family", ["masked", "masked-blocks"])
def test_a_mask_never_hides_the_target(family: str, seed: int) -> None:
    case = Recipe(rows=32, classes=100, logits=family).build(seed, "float64")
    assert np.all(np.isfinite(case.logits[np.arange(case.rows), case.targets]))
    assert np.all(np.isneginf(case.logits).any(axis=1))


@every_seed
def test_a_masked_block_holds_a_whole_block_before_and_one_after_a_target(seed: int) -> None:
    logits = logits_of("masked-blocks", "float64", seed, rows=2, classes=4099)
    hidden = np.isneginf(logits)
    assert hidden[:, :4096].all(axis=1).any()
    assert hidden[:, 4:].all(axis=1).any()


def test_non_finite_families_keep_clean_rows_beside_the_others() -> None:
    for family in ("nan", "plus-inf", "masked-target"):
        finite = np.isfinite(logits_of(family, "float64")).all(axis=1)
        assert finite.any()
        assert not finite.all()


# --- what the clauses say ------------------------------------------------------------------------


def test_a_bound_that_the_offset_makes_too_wide_passes_finiteness_alone_and_says_so() -> None:
    (record,) = (
        each
        for each in records(softmax_nll, "stability.large-logits")
        if each.id == "stability.large-logits/rows4-classes5-none-far@float32"
    )
    assert record.status is Status.PASSED
    assert record.reason.startswith("judged for being finite alone: ")


@pytest.mark.parametrize("clause", ["precision.value", "precision.gradient"])
def test_precision_states_its_resolution(clause: str) -> None:
    for record in records(softmax_nll, clause):
        promised = 1e-4 if record.dtype == "float64" else 1e-2
        assert record.resolution is not None
        assert record.resolution < promised


def refuses_what_is_no_number(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if np.isnan(logits).any() or np.isposinf(logits).any():
        raise FloatingPointError("logits: not finite")
    return softmax_nll(logits, targets, reduction=reduction)


def test_refusing_a_nan_is_as_honest_as_answering_with_one() -> None:
    found = records(refuses_what_is_no_number, "stability.non-finite")
    assert {record.status for record in found} == {Status.PASSED}
    assert {record.reason for record in found} == {"refused: raises FloatingPointError"}


def nan_at_a_masked_target(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """log Σ exp(f − f_c): (−inf) − (−inf) where the target is masked."""
    rows = np.arange(len(targets))
    with np.errstate(invalid="ignore", over="ignore"):
        away = logits - logits[rows, targets][:, None]
        highest = away.max(axis=1)
        losses = highest + np.log(np.exp(away - highest[:, None]).sum(axis=1))
        lost = np.isnan(losses)[:, None]
        gradient = np.where(lost, np.nan, softmax_nll(logits, targets, reduction="none")[1])
    return {
        "none": (losses, gradient),
        "sum": (losses.sum(), gradient),
        "mean": (losses.sum() / max(len(losses), 1), gradient / max(len(losses), 1)),
    }[reduction]


@pytest.mark.parametrize(
    ("dialect", "status"),
    [
        ({}, Status.PASSED),
        ({"minus_inf_target": "nan"}, Status.PASSED),
        ({"minus_inf_target": "limit"}, Status.FAILED),
        ({"minus_inf_target": "zero"}, Status.FAILED),
    ],
)
def test_a_masked_target_is_held_to_what_is_declared(
    dialect: dict[str, str], status: Status
) -> None:
    clause = "stability.minus-inf-target"
    declared = {"targets": ("index",), "options": (), "dialect": dialect}
    assert statuses(nan_at_a_masked_target, clause, **declared) == {status}


def filtered(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """Rows, with every entry of the gradient below machine epsilon/32 dropped."""
    value, gradient = softmax_nll(logits, targets, reduction="none")
    kept = np.abs(gradient) >= np.finfo(logits.dtype).eps / 32
    gradient = np.where(kept, gradient, 0)
    if reduction == "none":
        return value, gradient
    scale = 1 if reduction == "sum" else len(value)
    return value.sum() / scale, gradient / scale


def test_a_filter_that_is_not_declared_is_convicted() -> None:
    assert Status.FAILED in statuses(filtered, "stability.rare-class")


def test_a_declared_filter_is_shown_as_declared_and_never_counted_as_passed() -> None:
    dialect = {"gradient_filter": "eps/32"}
    found = records(filtered, "stability.rare-class", dialect=dialect)
    assert {record.status for record in found} == {Status.SKIPPED}
    assert all(record.reason.startswith("declared: ") for record in found)
    assert any("here 0 of" not in record.reason for record in found)
    assert statuses(filtered, "gradient.analytic", dialect=dialect) <= {
        Status.PASSED,
        Status.SKIPPED,
    }


# --- exact sums ----------------------------------------------------------------------------------


def rows_of(log_sum_exp: Any) -> Any:
    def loss(logits: Any, targets: Any) -> Any:
        return log_sum_exp(logits) - logits[np.arange(len(targets)), targets]

    return loss


def test_a_running_log_sum_exp_rounds_at_every_class_and_is_not_accused() -> None:
    running = rows_of(lambda logits: np.logaddexp.reduce(logits, axis=1))
    declared = {"gradient": None, "reductions": ("none",), "targets": ("index",)}
    found = statuses(running, "precision.accumulation", **declared)
    assert found == {Status.PASSED, Status.SKIPPED}


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (slice(0, -1), "1 of 4099 equal classes are missing from the sum"),
        (slice(0, 4096), "3 of 4099 equal classes are missing from the sum"),
    ],
)
def test_a_lost_class_of_many_is_counted(kept: slice, words: str) -> None:
    def log_sum_exp(logits: Any) -> Any:
        highest = logits.max(axis=1)
        seen = logits[:, kept] if logits.shape[1] > 4096 else logits
        return highest + np.log(np.exp(seen - highest[:, None]).sum(axis=1))

    declared = {"gradient": None, "reductions": ("none",), "targets": ("index",)}
    found = records(rows_of(log_sum_exp), "precision.accumulation", **declared)
    failed = [record for record in found if record.status is Status.FAILED]
    assert {record.dtype for record in failed} == {"float64", "float32"}
    assert {record.reason for record in failed} == {words}


@pytest.mark.parametrize(("accumulation", "convicted"), [(None, True), ("float16", False)])
def test_a_sum_in_half_precision_is_convicted_or_declared(
    accumulation: str | None, convicted: bool
) -> None:
    def log_sum_exp(logits: Any) -> Any:
        highest = logits.max(axis=1)
        powers = np.exp(logits - highest[:, None])
        return highest + np.log(np.cumsum(powers, axis=1, dtype=logits.dtype)[:, -1])

    declared = {"gradient": None, "reductions": ("none",), "targets": ("index",)}
    found = records(
        rows_of(log_sum_exp),
        "precision.accumulation",
        dtypes=("float16",),
        accumulation=accumulation,
        **declared,
    )
    assert (Status.FAILED in {record.status for record in found}) == convicted
    if not convicted:
        assert any(record.reason.startswith("judged for being finite alone") for record in found)
