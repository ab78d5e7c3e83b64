"""The finite difference knows its own error, whatever the function."""

import numpy as np
import pytest

from gradcheck_suite.numerics.directions import generator
from gradcheck_suite.numerics.finite_difference import (
    directional_derivative,
    measured_noise,
    natural_step,
    one_sided_slopes,
    promised_resolution,
    resolution,
)

EPSILON = 2.0**-52
FUNCTIONS = {
    "sin at 0": (np.sin, 1.0),
    "sin at 1": (lambda h: np.sin(1.0 + h), np.cos(1.0)),
    "cos at 0": (np.cos, 0.0),
    "exp": (np.exp, 1.0),
    "x^5 at 0": (lambda h: h**5, 0.0),
    "x + x^5 at 0": (lambda h: h + h**5, 1.0),
    "x^4": (lambda h: h**4, 0.0),
    "a line": (lambda h: 3.0 * h + 1.0, 3.0),
    "a constant": (lambda h: 7.0, 0.0),
    "a large offset": (lambda h: 1e6 + np.sin(h), 1.0),
    "zero": (lambda h: 0.0, 0.0),
    "tanh": (lambda h: np.tanh(3.0 * h), 3.0),
    "a pole at 0.1": (lambda h: 1.0 / (0.1 - h), 100.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_estimate_covers_the_error(name):
    function, derivative = FUNCTIONS[name]
    found = directional_derivative(function, value=function(0.0), machine_epsilon=EPSILON)
    assert abs(found.derivative - derivative) <= found.error + 1e-300
    assert found.evaluations == 4


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "^" not in name])
def test_the_error_estimate_is_useful(name):
    function, derivative = FUNCTIONS[name]
    found = directional_derivative(function, value=function(0.0), machine_epsilon=EPSILON)
    assert found.error <= 1e-6 * (abs(derivative) + abs(function(0.0)) + 1e-5)


def test_arrays_are_differentiated_element_by_element():
    x = np.linspace(-2.0, 2.0, 7).reshape(7, 1)
    found = directional_derivative(
        lambda h: np.exp(x + h), value=np.exp(x), machine_epsilon=EPSILON
    )
    assert found.derivative.shape == (7, 1)
    assert np.all(np.abs(found.derivative - np.exp(x)) <= found.error)


def test_the_second_step_finds_the_scale_of_a_fast_oscillation():
    found = directional_derivative(
        lambda h: np.sin(1e6 * (h + 0.3)),
        value=np.sin(3e5),
        machine_epsilon=EPSILON,
        target_error=1e-2,
        max_evaluations=24,
    )
    assert abs(found.derivative - 1e6 * np.cos(3e5)) <= 1e-2
    assert found.evaluations <= 24


def test_a_domain_that_ends_near_the_primal_is_found():
    found = directional_derivative(
        lambda h: np.sqrt(1e-12 + h) if h > -1e-12 else np.nan,
        value=1e-6,
        machine_epsilon=EPSILON,
        target_error=1.0,
        max_evaluations=24,
    )
    assert abs(found.derivative - 5e5) <= found.error


def test_a_function_that_is_finite_nowhere_else_has_infinite_error():
    found = directional_derivative(lambda h: np.nan, value=1.0, machine_epsilon=EPSILON)
    assert np.isinf(found.error)


@pytest.mark.parametrize("most", [4, 8, 12, 13])
def test_the_evaluations_never_exceed_what_is_allowed(most):
    calls = []

    def counted(h):
        calls.append(h)
        return abs(h)

    found = directional_derivative(
        counted, value=0.0, machine_epsilon=EPSILON, target_error=0.0, max_evaluations=most
    )
    assert len(calls) == found.evaluations <= most


@pytest.mark.parametrize("sigma", [1e-9, 1e-6, 1e-3])
def test_noise_is_measured_to_within_its_safety(sigma):
    rng = generator(5)
    found = [
        float(measured_noise(lambda h: np.sin(h) + sigma * rng.standard_normal(), 0.0, 1e-4))
        for _ in range(200)
    ]
    assert sigma / 10.0 < np.quantile(found, 0.01)
    assert np.quantile(found, 0.99) < 6.0 * sigma
    assert 0.5 * sigma < np.median(found) < 2.0 * sigma


def test_a_smooth_function_has_noise_at_rounding_level_only():
    assert measured_noise(np.exp, 1.0, 1e-4) < 4.0 * EPSILON


@pytest.mark.parametrize("function", [np.abs, lambda h: np.maximum(h, 0.0) + np.sin(h)])
def test_a_kink_is_seen(function):
    slopes = one_sided_slopes(function, function(0.0), 1e-3)
    assert slopes.kink
    assert slopes.right - slopes.left == pytest.approx(abs(slopes.right - slopes.left))


@pytest.mark.parametrize(
    "function", [np.sin, np.exp, lambda h: h**3, lambda h: np.sin(1e6 * (h + 0.3)), lambda h: 2.0]
)
def test_no_kink_is_seen_where_there_is_none(function):
    assert not one_sided_slopes(function, function(0.0), 1e-3).kink


def test_more_directions_resolve_more():
    assert resolution(1e-10, 1.0) == pytest.approx(0.8e-4)
    assert resolution(1e-10, 1.0, 2) == pytest.approx(0.8e-7)
    assert resolution(1e-10, 0.0) == np.inf
    assert resolution(1e-320, 1e-310) < np.inf


def test_the_promise_depends_on_the_dtype_alone():
    assert [promised_resolution(d) for d in ("float64", "float32", "bfloat16", "complex64")] == [
        1e-4,
        1e-2,
        1e-1,
        1e-2,
    ]
    assert natural_step(EPSILON) == 2.0**-10
