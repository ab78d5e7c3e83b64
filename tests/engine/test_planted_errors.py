"""A wrong gradient is caught, at every size, and the story says what is wrong."""

import numpy as np
import pytest

from gradcheck_suite.engine import assert_gradients, gradcheck
from gradcheck_suite.errors import GradientError
from gradcheck_suite.outcome import Status


def loss(targets, plant):
    """A NumPy mean negative log-likelihood whose gradient has an error planted in it."""

    def nll(x):
        shift = x.max(axis=1, keepdims=True)
        z = np.exp(x - shift)
        rows = np.arange(len(x))
        value = np.mean(np.log(z.sum(1)) + shift[:, 0] - x[rows, targets], dtype=x.dtype)
        p = z / z.sum(axis=1, keepdims=True)
        p[rows, targets] -= 1.0
        return value, plant(p / x.dtype.type(len(x)))

    return nll


def without_row(g):
    g[len(g) // 2] = 0.0
    return g


def without_last(g):
    g[:, -1] = 0.0
    return g


PLANTED = {
    "zero": lambda g: 0.0 * g,
    "negated": lambda g: -g,
    "factor 1.01": lambda g: g * g.dtype.type(1.01),
    "factor 1.0001": lambda g: g * g.dtype.type(1.0001),
    "row dropped": without_row,
    "last class dropped": without_last,
}
SIZES = ((4, 10), (16, 100), (64, 1000))


def problem(size, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(size).astype(dtype), rng.integers(0, size[1], size[0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_error_is_caught_in_float64(size, name):
    for seed in range(3):
        x, targets = problem(size, seed)
        wrong = loss(targets, PLANTED[name])
        found = gradcheck(wrong, x, checks="reverse", seed=seed, localise=False)
        assert found.status is Status.FAILED
        assert found["reverse"].evaluations <= 40


@pytest.mark.parametrize("size", SIZES)
def test_the_same_loss_passes_with_nothing_planted(size):
    x, targets = problem(size, 0)
    result = gradcheck(loss(targets, lambda g: g), x, checks=("form", "reverse"))
    assert result.passed
    assert result.resolution <= 1e-4
    assert result["reverse"].evaluations <= 5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PLANTED)
def test_no_large_error_passes_in_float32(size, name):
    for seed in range(3):
        x, targets = problem(size, seed, np.float32)
        right = loss(targets, lambda g: g.copy())(x)[1].astype(np.float64)
        planted = PLANTED[name](right.copy())
        error = np.linalg.norm(planted - right) / np.linalg.norm(right)
        wrong = loss(targets, PLANTED[name])
        result = gradcheck(wrong, x, checks="reverse", seed=seed, localise=False)
        if error >= 1e-2:
            assert result.status is Status.FAILED, str(result)
        elif result.passed:
            assert error <= result.resolution


STORIES = {
    "zero": "the gradient is zero everywhere",
    "negated": "the sign is flipped",
    "factor 1.01": "the same factor 1.01",
    "row dropped": "row 8 missing",
    "last class dropped": "column 99 missing",
}


@pytest.mark.parametrize("name", STORIES)
def test_the_failure_says_what_the_error_looks_like(name):
    x, targets = problem((16, 100), 3)
    with pytest.raises(GradientError) as caught:
        assert_gradients(loss(targets, PLANTED[name]), x, checks=("reverse",))
    story = str(caught.value)
    assert STORIES[name] in " ".join(story.split())
    assert caught.value.result["reverse"].status is Status.FAILED
    assert max(map(len, story.splitlines())) <= 80


@pytest.mark.parametrize("name", STORIES)
def test_a_large_gradient_is_localised_in_few_evaluations(name):
    x, targets = problem((64, 1000), 1)
    wrong = loss(targets, PLANTED[name])
    before = gradcheck(wrong, x, checks="reverse", localise=False)["reverse"].evaluations
    found = gradcheck(wrong, x, checks="reverse")["reverse"]
    assert found.evaluations - before <= 32
    assert STORIES[name].replace("row 8", "row 32").replace("99", "999") in found.verdict.looks


def _planted(where, factor):
    def plant(g):
        g[where] *= factor
        return g

    return plant


@pytest.mark.parametrize(
    ("where", "factor", "place", "looks"),
    [
        ((5, 77), 1.1, "x[5, 77]", "one element alone is wrong, at [5, 77]: off by the factor 1.1"),
        ((slice(5, 6),), 0.75, "x[5, ", "only row 5 wrong: there every element is off by the same"),
        ((slice(None), 7), -1.0, ", 7]", "only column 7 wrong: there the sign is flipped"),
    ],
)
def test_a_fault_in_a_large_gradient_is_bisected(where, factor, place, looks):
    x, targets = problem((64, 1000), 1)
    found = gradcheck(loss(targets, _planted(where, factor)), x, checks="reverse")["reverse"]
    assert place in found.verdict.at
    assert looks in found.verdict.looks


def test_localisation_ends_where_it_may_spend_no_more():
    x, targets = problem((64, 1000), 1)
    wrong = loss(targets, _planted((5, 77), 1.1))
    found = gradcheck(wrong, x, checks="reverse", localise=40)["reverse"]
    assert found.status is Status.FAILED
    assert "of 40 spent" in found.verdict.looks
    assert "…" in found.verdict.at or ":" in found.verdict.at


def test_rows_are_localised_by_columns():
    targets = np.arange(8) % 5

    def rows(x):
        z = np.exp(x)
        p = z / z.sum(axis=1, keepdims=True)
        p[np.arange(8), targets] -= 1.0
        p[3] *= 0.5
        return np.log(z.sum(1)) - x[np.arange(8), targets], p

    result = gradcheck(rows, np.random.default_rng(0).standard_normal((8, 5)), checks="reverse")
    assert "only row 3 wrong" in result["reverse"].verdict.looks
    assert result["reverse"].verdict.at.startswith("x[3, ")


def test_the_wrong_argument_is_named():
    def function(a, b):
        return np.sum(a * b**2), (b**2, 2.02 * a * b)

    result = gradcheck(function, np.arange(1.0, 4.0), np.arange(2.0, 5.0), checks="reverse")
    assert result["reverse"].verdict.summary == "the gradient of b is wrong"


def test_a_small_gradient_is_not_hidden_by_a_large_one():
    def function(a, b):
        return np.sum(a**2) * 1e8 + np.sum(b**3), (2e8 * a, 3.001 * b**2)

    assert gradcheck(function, np.ones(3), np.ones(3), checks="reverse").status is not Status.PASSED


def test_the_check_can_show_its_teeth():
    x, targets = problem((16, 100), 1)
    result = gradcheck(loss(targets, lambda g: g), x, checks="reverse", teeth=True)
    assert len(result.teeth) == 7
    assert all("caught" in tooth or "too small" in tooth for tooth in result.teeth)


def test_among_many_columns_the_faulty_one_is_named():
    targets = np.arange(8) % 5

    def rows(x):
        z = np.exp(x)
        p = z / z.sum(axis=1, keepdims=True)
        p[np.arange(8), targets] -= 1.0
        p[:, 170] = 0.0
        return np.log(z.sum(1)) - x[np.arange(8), targets], p

    found = gradcheck(rows, np.random.default_rng(0).standard_normal((8, 200)), checks="reverse")
    verdict = found["reverse"].verdict
    assert "column 170 missing" in verdict.looks
    assert "the other columns agree" in verdict.looks
    assert found["reverse"].evaluations < 500


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("plant", ["factor 1.01", "negated", "zero"])
def test_one_percent_is_seen_in_float32_at_every_seed(plant, dtype):
    """A layer of tanh with a squared error: its value is large beside its derivatives."""
    rng = np.random.default_rng(2)
    x, w, y = (rng.standard_normal(shape).astype(dtype) for shape in ((32, 16), (8, 4), (32, 4)))

    def error(v):
        hidden = np.tanh(x @ v)
        residual = hidden @ w - y
        value = np.mean(residual**2, dtype=dtype)
        back = (residual @ w.T) * (1.0 - hidden**2) * dtype(2.0 / residual.size)
        return value, PLANTED[plant](x.T @ back)

    for seed in range(12):
        v = (np.random.default_rng(seed).standard_normal((16, 8)) / 4.0).astype(dtype)
        result = gradcheck(error, v, checks="reverse", seed=seed, localise=False)
        assert result.status is Status.FAILED, str(result)
