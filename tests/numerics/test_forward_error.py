"""The bounds as such: finite, made of their terms, and blind to what does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from evaluations.problem import problem

from gradcheck_suite.numerics.forward_error import (
    denominator_error,
    gradient_bound,
    hvp_bound,
    jvp_bound,
    reduced_value_bound,
    row_value_bound,
    target_gradient_bound,
)
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound

CLASSES = (
    ("float64", None),
    ("float32", None),
    ("bfloat16", None),
    ("float16", None),
    ("bfloat16", "float32"),
    ("float16", "float16"),
)


def every_bound(logits: np.ndarray, tau: np.ndarray, arithmetic: Arithmetic) -> list[Bound]:
    tangent, scale = np.ones_like(logits), np.full(len(logits), -2.0)
    return [
        row_value_bound(logits, tau, arithmetic),
        gradient_bound(logits, tau, arithmetic, scale),
        target_gradient_bound(logits, np.ones(logits.shape[1]), arithmetic, scale),
        jvp_bound(logits, tau, tangent, arithmetic, scale),
        hvp_bound(logits, tau, tangent, arithmetic, scale),
    ]


DEGENERATE = {
    "no rows": np.zeros((0, 5)),
    "one class": np.array([[1.0], [-2.0]]),
    "minus infinity": np.array([[1.0, -np.inf, 3.0], [-np.inf, 0.0, -np.inf]]),
    "nothing finite": np.array([[-np.inf, -np.inf], [np.nan, 1.0], [np.inf, 0.0]]),
    "gap": np.array([[0.0, -1e4, -1e30]]),
}


@pytest.mark.parametrize("logits", DEGENERATE.values(), ids=DEGENERATE.keys())
@pytest.mark.parametrize(("dtype", "accumulation"), CLASSES)
def test_bounds_are_finite_where_logits_are_not(
    logits: np.ndarray, dtype: str, accumulation: str | None
) -> None:
    for first in (0.0, 1.0, 0.7):
        tau = np.zeros_like(logits)
        tau[:, 0], tau[:, -1] = first, 1.0 - first
        with np.errstate(all="raise"):
            found = every_bound(logits, tau, Arithmetic.of(dtype, accumulation))
        for bound in found:
            assert np.all(np.isfinite(bound.total))
            assert np.all(bound.total >= 0.0)


@pytest.mark.parametrize(("dtype", "accumulation"), CLASSES)
def test_the_terms_add_up_to_the_bound(dtype: str, accumulation: str | None) -> None:
    given = problem(dtype, "normal-10", "all", "none")
    arithmetic = Arithmetic.of(dtype, accumulation)
    for bound in every_bound(given.logits, given.tau.astype(float), arithmetic):
        np.testing.assert_allclose(sum(part for _, part in bound.terms), bound.total, rtol=1e-14)


def test_an_ignored_row_is_bounded_by_the_smallest_normal_number_alone() -> None:
    logits = np.array([[3.0, np.nan, 1.0], [1.0, 2.0, 3.0]])
    arithmetic = Arithmetic.of("float32")
    for bound in every_bound(logits, np.zeros((2, 3)), arithmetic)[:2]:
        assert np.all(bound.total <= 8.0 * arithmetic.smallest_normal)


def test_bounds_ignore_an_offset_unless_lse_is_explicit() -> None:
    arithmetic, tau = Arithmetic.of("float32"), np.eye(4)
    logits = np.random.default_rng(0).integers(-3, 4, (4, 4)).astype(float)
    for offset, grows in ((0.0, False), (2.0**20, True)):
        strict = row_value_bound(logits + offset, tau, arithmetic, explicit_lse=False).total
        loose = row_value_bound(logits + offset, tau, arithmetic).total
        near = row_value_bound(logits, tau, arithmetic, explicit_lse=False).total
        np.testing.assert_allclose(strict, near, rtol=1e-12)
        assert np.all(loose > 100.0 * strict) == grows


def test_a_gradient_through_the_maximum_is_wider_at_the_maximum_alone() -> None:
    logits, tau = np.array([[3.0, 1.0, 3.0, 0.0]]), np.eye(1, 4)
    arithmetic = Arithmetic.of("float32")
    wide = gradient_bound(logits, tau, arithmetic).total
    narrow = gradient_bound(logits, tau, arithmetic, through_maximum=False).total
    np.testing.assert_array_equal((wide > narrow)[0], [True, False, True, False])
    np.testing.assert_allclose((wide - narrow)[0, 0], 2.0 * (wide - narrow)[0, 2])  # the first


def test_a_sum_that_may_be_lost_altogether_is_vacuous_and_says_so() -> None:
    logits, tau = np.linspace(0.0, 0.1, 4096)[None], np.eye(1, 4096)
    assert row_value_bound(logits, tau, Arithmetic.of("bfloat16", "bfloat16")).vacuous.all()
    assert gradient_bound(logits, tau, Arithmetic.of("bfloat16", "bfloat16")).vacuous.all()
    assert not row_value_bound(logits, tau, Arithmetic.of("bfloat16")).vacuous.any()


def test_a_denominator_that_is_a_count_is_exact() -> None:
    arithmetic = Arithmetic.of("float32")
    assert denominator_error(np.ones(4096), arithmetic) == 0.0
    assert denominator_error(np.zeros(3), arithmetic) == 0.0
    assert 0.0 < denominator_error(np.full(3, 0.1), arithmetic) <= 3.0 * arithmetic.unit_roundoff


def test_a_mean_over_nothing_is_compared_by_kind_and_not_by_a_bound() -> None:
    arithmetic = Arithmetic.of("float32")
    rows = row_value_bound(np.zeros((2, 3)), np.zeros((2, 3)), arithmetic)
    assert np.isfinite(reduced_value_bound(np.zeros(2), rows, 0.0, arithmetic).total)
