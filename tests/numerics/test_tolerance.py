"""The arithmetic of each dtype, and bounds that keep their terms."""

import numpy as np
import pytest

from gradcheck_suite.errors import UsageError
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound, vanishing_product


@pytest.fixture
def bound() -> Bound:
    return Bound.of((2,), [("shift", np.array([1.0, 2.0])), ("sum", 0.5)])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_wide_formats_store_what_they_compute(dtype: str) -> None:
    arithmetic, machine = Arithmetic.of(dtype), np.finfo(dtype)
    assert arithmetic.unit_roundoff == machine.eps / 2
    assert arithmetic.smallest_normal == float(machine.smallest_normal)
    assert arithmetic.storage_roundoff == 0.0


def test_half_precisions_round_every_operation_and_sum_in_float32_unless_they_declare() -> None:
    usual, fused, narrow = (
        Arithmetic.of("float16", accumulation) for accumulation in (None, "float32", "float16")
    )
    assert (usual.unit_roundoff, usual.summation_roundoff) == (2.0**-11, 2.0**-24)
    assert (fused.unit_roundoff, fused.summation_roundoff) == (2.0**-24, 2.0**-24)
    assert (narrow.unit_roundoff, narrow.summation_roundoff) == (2.0**-11, 2.0**-11)
    assert [each.storage_roundoff for each in (usual, fused, narrow)] == [0.0, 2.0**-11, 0.0]


def test_sums_that_autodiff_makes_are_accumulated_in_the_dtype() -> None:
    assert Arithmetic.of("bfloat16").backward == Arithmetic.of("bfloat16", "bfloat16")
    assert Arithmetic.of("float32").backward == Arithmetic.of("float32")


@pytest.mark.parametrize(
    ("dtype", "accumulation", "named"),
    [("int64", None, "dtype"), ("float32", "float64", "accumulation")],
)
def test_an_arithmetic_without_bounds_is_refused(
    dtype: str, accumulation: str | None, named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        Arithmetic.of(dtype, accumulation)


def test_a_bound_is_the_sum_of_its_terms(bound: Bound) -> None:
    assert bound.at(1) == (2.5, (("shift", 2.0), ("sum", 0.5)))


def test_scaling_ignores_the_sign_and_keeps_the_terms(bound: Bound) -> None:
    assert (bound * -2.0).at(0) == (3.0, (("shift", 2.0), ("sum", 1.0)))
    assert (np.array([1.0, 0.0]) * bound).at(1) == (0.0, (("shift", 0.0), ("sum", 0.0)))


def test_adding_joins_terms_by_their_label(bound: Bound) -> None:
    total = bound + Bound.of((2,), [("sum", 1.0), ("storage", 2.0)])
    assert total.at(0) == (4.5, (("shift", 1.0), ("sum", 1.5), ("storage", 2.0)))


def test_a_sum_of_elements_is_bounded_by_the_sum_of_their_bounds(bound: Bound) -> None:
    assert bound.sum().at(()) == (4.0, (("shift", 3.0), ("sum", 1.0)))


def test_resolution_is_the_smallest_relative_error_that_shows_somewhere(bound: Bound) -> None:
    assert bound.resolution([1.0, 10.0]) == 0.25
    assert bound.resolution([0.0, np.nan]) == np.inf


def test_a_factor_of_zero_cancels_an_infinite_bound() -> None:
    np.testing.assert_array_equal(vanishing_product([0.0, 2.0], [np.inf, 3.0]), [0.0, 6.0])
