"""Kinks, noise, singularities and oscillations: not accused, and not passed when wrong."""

import numpy as np
import pytest

from gradcheck_suite.engine import gradcheck
from gradcheck_suite.outcome import Status

KINKS = {
    "relu": (lambda x: (np.maximum(x, 0.0).sum(), 1.0 * (x > 0)), np.array([0.0, 1.0, -1.0])),
    "abs": (lambda x: (np.abs(x).sum(), np.sign(x)), np.zeros(3)),
    "max": (lambda x: (x.max(), np.eye(3)[x.argmax()]), np.array([2.0, 2.0, 1.0])),
}


@pytest.mark.parametrize("name", KINKS)
@pytest.mark.parametrize("seed", range(3))
def test_a_kink_is_inconclusive_and_its_slopes_are_shown(name, seed):
    function, x = KINKS[name]
    found = gradcheck(function, x, checks="reverse", seed=seed)["reverse"]
    assert found.status is Status.INCONCLUSIVE
    assert found.reason.startswith("kink")
    assert "from the left" in found.reason


@pytest.mark.parametrize("seed", range(3))
def test_a_gradient_that_is_wrong_beside_the_kink_too_has_failed(seed):
    wrong = gradcheck(
        lambda x: (np.maximum(x, 0.0).sum(), 1.1 * (x > 0)),
        np.array([0.0, 1.0, -1.0]),
        checks="reverse",
        seed=seed,
    )
    assert wrong.status is Status.FAILED


@pytest.mark.parametrize("count", [10, 300])
def test_one_kink_among_many_smooth_elements_is_not_an_error(count):
    """The quick conviction looks for kinks too."""
    x = np.random.default_rng(1).standard_normal(count)
    x[count // 2] = 0.0
    for seed in range(20):
        found = gradcheck(KINKS["relu"][0], x, checks="reverse", seed=seed)["reverse"]
        assert found.status is not Status.FAILED, str(found)


@pytest.mark.parametrize("width", [1e-3, 1e-5, 1e-7])
def test_a_narrow_feature_at_the_primals_is_not_an_error(width):
    """From afar it cannot be seen: the slope there is another one."""
    for seed in range(8):
        found = gradcheck(
            lambda x: (
                np.sum(np.sin(x) + width * np.tanh((x - 0.5) / width)),
                np.cos(x) + np.cosh(np.clip((x - 0.5) / width, -50, 50)) ** -2,
            ),
            np.array([0.5, 0.2, 0.9]),
            checks="reverse",
            seed=seed,
        )
        assert found.status is not Status.FAILED, f"seed {seed}\n{found}"


def test_relu_away_from_its_kink_passes():
    x = np.random.default_rng(0).standard_normal(1000)
    assert gradcheck(KINKS["relu"][0], x, checks="reverse").passed


RNG = np.random.default_rng(9)
DIFFICULT = {
    "x^1.5 near 0": (lambda x: np.sum(x**1.5), lambda x: 1.5 * x**0.5, [1e-9, 3e-9]),
    "sqrt of tiny": (lambda x: np.sum(np.sqrt(x)), lambda x: 0.5 / np.sqrt(x), [1e-12, 4e-12]),
    "sqrt, tiny beside large": (
        lambda x: np.sum(np.sqrt(x)),
        lambda x: 0.5 / np.sqrt(x),
        [1e-10, 1.0],
    ),
    "sin(1e6 x)": (lambda x: np.sum(np.sin(1e6 * x)), lambda x: 1e6 * np.cos(1e6 * x), [0.3, 0.7]),
    "noise of 1e-6": (
        lambda x: np.sum(np.sin(x)) + 1e-6 * RNG.standard_normal(),
        np.cos,
        [0.3, 0.7, 2.0],
    ),
    "a fixed jitter of 1e-6": (
        lambda x: np.sum(np.sin(x)) + 1e-6 * np.sum(np.sin(1e11 * x)),
        np.cos,
        [0.3, 0.7, 2.0],
    ),
    "rounded to 1e-3": (lambda x: np.sum(np.round(x, 3)), lambda x: 0.0 * x, [0.31234, 0.7]),
    "log of tiny": (lambda x: np.sum(np.log(x)), lambda x: 1.0 / x, [1e-20, 1e-19]),
    "huge values": (lambda x: np.sum(x**2), lambda x: 2.0 * x, [1e12, -3e12]),
}


@pytest.mark.parametrize("name", DIFFICULT)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_difficult_function_is_not_accused(name, dtype):
    value, gradient, x = DIFFICULT[name]
    with np.errstate(all="ignore"):
        for seed in range(8):
            found = gradcheck(
                lambda x: (value(x), gradient(x)), np.array(x, dtype), checks="reverse", seed=seed
            )
            assert found.status is not Status.FAILED, f"seed {seed}\n{found}"


@pytest.mark.parametrize("name", [name for name in DIFFICULT if name != "rounded to 1e-3"])
@pytest.mark.parametrize("factor", [0.0, -1.0, 1.05])
def test_a_difficult_function_with_a_wrong_gradient_never_passes(name, factor):
    value, gradient, x = DIFFICULT[name]
    with np.errstate(all="ignore"):
        for seed in range(4):
            found = gradcheck(
                lambda x: (value(x), factor * gradient(x)),
                np.array(x),
                checks="reverse",
                seed=seed,
                localise=False,
            )
            assert not found.passed, f"seed {seed}\n{found}"


def staircase(step, wave=lambda x: x):
    """A function of steps, and its gradient: zero wherever it has one."""
    return lambda x: (np.sum(step * np.round(wave(x) / step)), 0.0 * x)


STEPS = {
    "round(x, 3)": lambda x: (np.sum(np.round(x, 3)), 0.0 * x),
    "floor": lambda x: (np.sum(np.floor(x)), 0.0 * x),
    "floor of 1e4 x": lambda x: (np.sum(np.floor(1e4 * x)) / 1e4, 0.0 * x),
    "sign": lambda x: (np.sum(np.sign(x)), 0.0 * x),
    "quantised sine": staircase(2.0**-10, np.sin),
    "quantised mean": lambda x: (np.mean(np.round(x * 127) / 127), 0.0 * x),
    "ranks": lambda x: (np.sum(np.argsort(np.argsort(x)) * np.arange(1.0, 1 + x.size)), 0.0 * x),
    "sawtooth": lambda x: (np.sum(x - np.round(x, 3)), 0.0 * x + 1.0),
    "x round(x, 3)": lambda x: (np.sum(x * np.round(x, 3)), np.round(x, 3)),
    "fast wave on a slope": lambda x: (
        np.sum(x + np.sin(1e4 * x) / 1e4),
        1.0 + np.cos(1e4 * x),
    ),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fine_structure_is_not_taken_for_a_wrong_gradient(name, dtype):
    for seed in range(25):
        x = np.random.default_rng(seed).standard_normal(1 + seed % 5).astype(dtype)
        found = gradcheck(STEPS[name], x, checks="reverse", seed=seed)
        assert found.status is not Status.FAILED, f"seed {seed}\n{found}"


SORTED = (
    lambda x: (np.sort(x) * np.arange(1.0, 1 + x.size)).sum(),
    lambda x: 1.0 + np.argsort(np.argsort(x)),
)
CLIPPED = (lambda x: np.clip(x, -0.5, 0.5).sum(), lambda x: 1.0 * (np.abs(x) < 0.5))
ROOT = (
    lambda x: np.sum(np.abs(x) ** 0.5),
    lambda x: np.where(x == 0.0, 0.0, 0.5 * np.sign(x) / np.sqrt(np.abs(x) + (x == 0.0))),
)
CREASED = {
    "sort with ties": (*SORTED, [1.0, 1.0, 2.0]),
    "sort, nearly tied": (*SORTED, [1.0, 1.00001, 2.0]),
    "clip at its edge": (*CLIPPED, [0.5, 0.1]),
    "clip near its edge": (*CLIPPED, [0.5001, 0.1]),
    "|x|^0.5 at 0": (*ROOT, [0.0, 1.0]),
    "|x|^0.5 near 0": (*ROOT, [1e-6, 1.0]),
    "x^1.5 at 0": (lambda x: np.sum(np.abs(x) ** 1.5), lambda x: 1.5 * np.sqrt(x), [0.0, 1.0]),
    "max, nearly tied": (np.max, lambda x: 1.0 * (x == x.max()), [2.0, 2.0001, 1.0]),
    "abs near 0": (lambda x: np.abs(x).sum(), np.sign, [1e-6, 1.0]),
    "sin(1e8 x)": (lambda x: np.sum(np.sin(1e8 * x)), lambda x: 1e8 * np.cos(1e8 * x), [0.3, 0.7]),
}


@pytest.mark.parametrize("name", CREASED)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_beside_a_crease_nothing_right_fails_and_nothing_wrong_passes(name, dtype):
    value, gradient, x = CREASED[name]
    x = np.array(x, dtype)
    for seed in range(8):
        right = gradcheck(
            lambda x: (value(x), gradient(x)), x, checks="reverse", seed=seed, localise=False
        )
        assert right.status is not Status.FAILED, f"seed {seed}\n{right}"
        for factor in (0.0, -1.0, 2.0, 1.05):
            wrong = gradcheck(
                lambda x, factor=factor: (value(x), factor * gradient(x)),
                x,
                checks="reverse",
                seed=seed,
                localise=False,
            )
            assert not wrong.passed, f"seed {seed}, × {factor}\n{wrong}"


def test_an_oscillation_that_no_step_follows_is_no_kink():
    def fast(x):
        return np.sum(np.sin(np.float32(1e6) * x)), np.float32(1e6) * np.cos(np.float32(1e6) * x)

    for seed in range(5):
        x = np.array([0.3, 0.7], np.float32)
        found = gradcheck(fast, x, checks="reverse", seed=seed)["reverse"]
        assert found.status is Status.INCONCLUSIVE
        assert not found.reason.startswith("kink"), found.reason


def test_a_function_computed_in_a_lower_precision_is_not_called_constant():
    """Near by it does not move, and a gradient of zero is not its gradient all the same."""
    for seed in range(5):
        found = gradcheck(
            lambda x: (np.sin(x.astype(np.float16)).sum(dtype=np.float64), 0.0 * x),
            np.array([0.3, 0.7]),
            checks="reverse",
            seed=seed,
        )
        assert not found.passed, str(found)


@pytest.mark.parametrize("seed", range(3))
def test_quantisers_of_the_frameworks_are_not_accused(torch, jax, seed):
    drawn = np.random.default_rng(seed).standard_normal(5).astype(np.float32)
    for function, x in (
        (lambda x: torch.round(x * 64).sum() / 64, torch.tensor(drawn)),
        (lambda x: torch.floor(x).sum() + torch.sign(x).sum(), torch.tensor(drawn)),
        (lambda x: jax.numpy.round(x, 3).sum(), jax.numpy.asarray(drawn)),
    ):
        found = gradcheck(function, x, checks=("reverse", "forward"), seed=seed)
        assert found.status is not Status.FAILED, str(found)


def test_what_is_not_finite_is_said_once():
    result = gradcheck(
        lambda x: (np.sum(x**2), np.where(x == 0.0, np.nan, 2.0 * x)), np.array([1.0, 0.0])
    )
    assert result.status is Status.FAILED
    for check in ("linearity", "repeat"):
        assert result[check].status is Status.SKIPPED
        assert "the gradient of x is not finite" in result[check].reason
    assert "> nan" not in str(result)


def test_a_check_asked_alone_for_what_is_not_finite_does_not_pass():
    result = gradcheck(lambda x: (np.sum(x), x * np.nan), np.ones(2), checks="linearity")
    assert result.status is Status.INCONCLUSIVE


def test_an_infinite_slope_is_called_singular():
    found = gradcheck(lambda x: (np.sqrt(x).sum(), 0.5 / np.sqrt(x)), np.zeros(2), checks="reverse")
    assert found["reverse"].status is Status.INCONCLUSIVE
    assert "singular" in found["reverse"].reason


def test_a_nan_in_the_gradient_of_a_smooth_function_is_a_failure():
    wrong = gradcheck(
        lambda x: (np.sum(x**2), np.where(x == 0.0, np.nan, 2.0 * x)),
        np.array([1.0, 0.0]),
        checks="reverse",
    )
    assert wrong.status is Status.FAILED
    assert "x[1]" in wrong["reverse"].verdict.at


def test_a_gradient_that_vanishes_is_judged_against_the_value():
    found = gradcheck(lambda x: (np.sum(x**2), 2.0 * x), np.zeros(4), checks="reverse")
    assert found.passed
    assert "zero to within" in found["reverse"].reason
