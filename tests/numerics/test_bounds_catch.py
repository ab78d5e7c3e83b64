"""What planted errors score against the bounds: error / bound beyond 1 is caught."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

for _library in ("torch",):
    pytest.importorskip(_library)

from evaluations.exact import QUANTITIES, Results, bounds, exact_results, ratios  # noqa: E402
from evaluations.problem import EXACT, FAMILIES, Problem, problem, rounded  # noqa: E402
from evaluations.torch_forms import (  # noqa: E402
    quietly,
    torch_cross_entropy,
    torch_evaluation,
    torch_explicit,
    torch_shifted,
)

from gradcheck_suite.numerics.tolerance import Arithmetic  # noqa: E402

pytestmark = pytest.mark.skipif(
    np.finfo(EXACT).nmant < 63, reason="the reference needs a longdouble wider than float64"
)

Mutant = Callable[[Problem, Results], Results]


def scaled(quantity: str, relative: float) -> Mutant:
    """A result that is wrong by a relative amount everywhere, and not rounded again."""

    def mutate(given: Problem, right: Results) -> Results:
        return replace(right, **{quantity: getattr(right, quantity) * (1.0 + relative)})

    return mutate


def through(dtype: str) -> Mutant:
    """Computed in a narrower dtype on the way."""

    def mutate(given: Problem, right: Results) -> Results:
        narrow = {
            name: None if part is None else rounded(np.asarray(part, np.float64), dtype)
            for name in QUANTITIES
            for part in (getattr(right, name),)
        }
        return Results(**narrow)

    return mutate


def softmax(given: Problem) -> np.ndarray:
    f = given.logits.astype(given.dtype)
    e = np.exp(f - np.max(f, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def from_probabilities(change: Callable[[np.ndarray], np.ndarray]) -> Mutant:
    """The loss −log of changed probabilities, and the gradient τ·T formed from them."""

    def mutate(given: Problem, right: Results) -> Results:
        tau = given.tau.astype(given.dtype)
        p = change(softmax(given))
        value = -np.sum(np.where(tau == 0, 0, tau * np.log(p)), axis=1)
        gradient = given.scale[:, None] * (np.sum(tau, axis=1, keepdims=True) * p - tau)
        return Results(value=value, gradient=gradient)

    return mutate


def unshifted(given: Problem, right: Results) -> Results:
    f = given.logits.astype(given.dtype)
    rows = np.log(np.sum(np.exp(f), axis=1)) - f[np.arange(len(f)), given.targets]
    return Results(value=rows)


def caught(
    mutant: Mutant, dtype: str, families: Iterable[str] = FAMILIES, accumulation: str | None = None
) -> dict[str, float]:
    """The largest error / bound of a mutant by quantity, over families of plain problems."""
    arithmetic = Arithmetic.of(dtype, accumulation)
    found: dict[str, float] = dict.fromkeys(QUANTITIES, 0.0)
    right = torch_evaluation(torch_cross_entropy, wide=bool(arithmetic.storage_roundoff))
    for family in families:
        given = problem(dtype, family, "plain", "none")
        wrong = quietly(lambda given: mutant(given, right(given)), given)
        for name, ratio in ratios(wrong, exact_results(given), bounds(given, arithmetic)).items():
            found[name] = max(found[name], ratio)
    return found


@pytest.mark.parametrize("quantity", ["value", "gradient", "jvp", "hvp"])
@pytest.mark.parametrize(("dtype", "relative"), [("float64", 1e-13), ("float32", 1e-5)])
def test_a_small_relative_error_is_caught(quantity: str, dtype: str, relative: float) -> None:
    assert caught(scaled(quantity, relative), dtype)[quantity] > 1.0


def test_one_part_in_ten_million_is_hopeless_for_a_float64_gradient() -> None:
    assert caught(scaled("gradient", 1e-7), "float64")["gradient"] > 1e6


@pytest.mark.parametrize("quantity", ["value", "gradient", "jvp", "hvp"])
def test_float64_passed_through_float32_is_caught(quantity: str) -> None:
    assert caught(through("float32"), "float64", ("normal",))[quantity] > 1e3


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_constant_inside_the_logarithm_is_caught(dtype: str) -> None:
    assert caught(from_probabilities(lambda p: p + p.dtype.type(1e-8)), dtype)["value"] > 1e3


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_clipped_probabilities_are_caught(dtype: str) -> None:
    found = caught(from_probabilities(lambda p: np.maximum(p, p.dtype.type(1e-7))), dtype)
    assert min(found["value"], found["gradient"]) > 1e3


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_missing_shift_is_caught(dtype: str) -> None:
    assert caught(unshifted, dtype, ("large-offset",))["value"] == np.inf


def test_probabilities_lowered_before_the_subtraction_are_caught() -> None:
    mutant = from_probabilities(lambda p: rounded(p, "bfloat16"))
    assert caught(mutant, "float32")["gradient"] > 1e3


def test_a_per_cent_in_the_value_is_caught_where_bfloat16_accumulates_in_float32() -> None:
    assert caught(scaled("value", 1e-2), "bfloat16", accumulation="float32")["value"] > 1.0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_class_of_seventy_thousand_that_is_dropped_is_caught(dtype: str) -> None:
    """Equal logits are counted exactly in every order, and the bound knows it."""
    given = problem(dtype, "equal", "plain", "none", rows=2, classes=70_000)
    exact, allowed = exact_results(given), bounds(given, Arithmetic.of(dtype))
    right = quietly(torch_evaluation(torch_cross_entropy), given)
    assert max(ratios(right, exact, allowed).values()) <= 1.0
    dropped = problem(dtype, "equal", "plain", "none", rows=2, classes=69_999)
    wrong = quietly(torch_evaluation(torch_cross_entropy), dropped)
    assert ratios(Results(value=wrong.value), exact, allowed)["value"] > 1.0


def test_a_denominator_off_by_one_is_caught_in_the_gradient_of_many_rows() -> None:
    given = problem("float32", "normal", "plain", "mean", rows=4096)
    right = exact_results(given)
    wrong = replace(right, gradient=right.gradient * (4096 / EXACT(4097)))
    assert ratios(wrong, right, bounds(given, Arithmetic.of("float32")))["gradient"] > 10.0


def test_the_strict_bound_catches_log_sum_exp_at_the_offsets_magnitude() -> None:
    arithmetic = Arithmetic.of("float32")
    given = problem("float32", "large-offset", "plain", "none")
    explicit = quietly(torch_evaluation(torch_explicit), given)
    shifted = quietly(torch_evaluation(torch_shifted), given)
    exact, strict = exact_results(given), bounds(given, arithmetic, explicit_lse=False)
    assert ratios(explicit, exact, strict)["value"] > 1e3
    assert max(ratios(shifted, exact, strict).values()) <= 1.0
