"""What stable evaluations err by in a dtype, sampled."""

from __future__ import annotations

import numpy as np
import pytest
from evaluations.exact import exact_results
from evaluations.problem import problem

from gradcheck_suite.numerics.same_dtype import TOLERATED, same_dtype_reference_error
from gradcheck_suite.numerics.tolerance import Arithmetic

pytest.importorskip("torch")
pytest.importorskip("scipy")
from evaluations.numpy_forms import closed_form, pairwise


def reference_error(family: str, options: str, seed: int, dtype: str = "float32") -> tuple:
    given = problem(dtype, family, options, "none", rows=8, classes=11, seed=seed)
    tau = given.tau.astype(np.float64)
    arithmetic = Arithmetic.of(dtype)
    found = same_dtype_reference_error(given.logits, tau, given.scale, arithmetic, seed=seed)
    return given, found


@pytest.mark.parametrize("family", ["normal", "normal-10", "saturated", "rare", "ties"])
@pytest.mark.parametrize("options", ["plain", "all", "probabilities"])
def test_a_stable_evaluation_errs_like_the_reference(family: str, options: str) -> None:
    for seed in range(10):
        given, reference = reference_error(family, options, seed)
        exact, got = exact_results(given), closed_form(pairwise, "exponential")(given)
        gradient = np.linalg.norm((got.gradient - exact.gradient).astype(np.float64))
        value = np.linalg.norm((got.value - exact.value).astype(np.float64))
        assert gradient <= TOLERATED * np.linalg.norm(reference.gradient)
        assert value <= TOLERATED * np.linalg.norm(reference.value)


def test_ten_times_the_rounding_is_not_that_of_a_stable_evaluation() -> None:
    given, reference = reference_error("normal", "plain", 0)
    gradient = exact_results(given).gradient.astype(np.float64)
    coarse = gradient * (1.0 + 10.0 * 2.0**-22 * np.sign(gradient))
    error = np.linalg.norm(coarse - gradient)
    assert error > TOLERATED * np.linalg.norm(reference.gradient)


def test_the_reference_is_the_same_for_the_same_seed() -> None:
    first, again = (reference_error("normal", "all", 3)[1] for _ in range(2))
    np.testing.assert_array_equal(first.gradient, again.gradient)
