"""Faults are found by structure, and described in words."""

import numpy as np
import pytest

from gradcheck_suite.numerics.directions import generator
from gradcheck_suite.numerics.localise import (
    bisect,
    columns,
    describe_pattern,
    row_independent,
    suspects,
)
from gradcheck_suite.numerics.pairing import pairing

N, C = 6, 9
LOGITS = 3.0 * generator(1).standard_normal((N, C))
TARGETS = np.arange(N) % C


def rows(x):
    shift = x.max(axis=1)
    return np.log(np.exp(x - shift[:, None]).sum(1)) + shift - x[np.arange(N), TARGETS]


def gradient(x):
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(N), TARGETS] -= 1.0
    return p


def test_columns_give_the_whole_jacobian_with_its_error():
    found = columns(rows, LOGITS, machine_epsilon=2.0**-52)
    assert found.evaluations == 4 * C + 12
    # An estimate, not a bound: noise is measured from a dozen values.
    assert np.all(np.abs(found.derivative - gradient(LOGITS)) <= 2.0 * found.error)
    assert found.error.max() < 1e-10


def test_columns_that_were_not_asked_for_are_unknown():
    found = columns(rows, LOGITS, machine_epsilon=2.0**-52, classes=[2])
    assert np.isnan(found.derivative[:, 3]).all()
    assert np.isinf(found.error[:, 3]).all()
    assert np.isfinite(found.derivative[:, 2]).all()


def test_row_independence_is_verified_to_the_last_bit():
    assert row_independent(rows, LOGITS)
    assert not row_independent(lambda x: rows(x) + 1e-13 * x[0, 0] * (np.arange(N) == 5), LOGITS)
    assert not row_independent(lambda x: rows(x).sum(), LOGITS)


def seen_along(error, noise=0.0):
    """A probe of an error: Σ error·v over the block, for Gaussian v, with some noise."""
    rng = generator(9)

    def probe(block, draw):
        v = generator(8, draw).standard_normal(len(error))[block]
        return float(np.sum(error[block] * v)) + noise * rng.standard_normal(), 6.0 * noise

    return probe


@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-2])
@pytest.mark.parametrize("fault", [0, 1, 511, 700, 999])
def test_bisection_finds_a_single_fault_in_logarithmic_time(fault, noise):
    error = np.zeros(1000)
    error[fault] = 1.0
    found = bisect(seen_along(error, noise), 1000)
    assert found.block == slice(fault, fault + 1)
    assert found.probes <= 2 * 10 + 3
    if not noise:
        assert found.probes <= 11
    assert not found.widespread


def test_bisection_says_when_the_fault_is_everywhere():
    found = bisect(seen_along(np.ones(64), 1e-3), 64)
    assert found.widespread
    assert found.block.stop - found.block.start == 1


def test_bisection_stops_at_what_it_can_see():
    found = bisect(seen_along(np.where(np.arange(64) < 32, 1.0, 0.0), 0.3), 64)
    assert found.block.stop <= 32
    assert found.block.stop - found.block.start > 1


def test_bisection_stops_when_nothing_is_left_to_spend():
    found = bisect(seen_along(np.ones(64), 1e-3), 64, affordable=lambda: False)
    assert found.stopped
    assert found.block == slice(0, 64)


def test_nothing_is_found_where_nothing_is_wrong():
    assert bisect(seen_along(np.zeros(64), 1e-3), 64).block is None


RIGHT = gradient(LOGITS)
PATTERNS = {
    "zero everywhere": 0.0 * RIGHT,
    "sign is flipped": -RIGHT,
    "same factor 0.75 = 3/4": 0.75 * RIGHT,
    "1/rows = 1/6": RIGHT / N,
    "factor 1.0001": 1.0001 * RIGHT,
    "shifted by one along axis 0": np.roll(RIGHT, 1, axis=0),
    "row 3 missing": np.where(np.arange(N)[:, None] == 3, 0.0, RIGHT),
    "column 8 missing": np.where(np.arange(C) == C - 1, 0.0, RIGHT),
    "each row is off by a factor of its own": RIGHT * np.arange(1, N + 1)[:, None],
    "one element alone is wrong, at [2, 4]: it is zero": np.where(
        np.arange(N * C).reshape(N, C) == 2 * C + 4, 0.0, RIGHT
    ),
    "same amount 0.1": RIGHT + 0.1,
    "no simple pattern": RIGHT + 1e-3 * generator(2).standard_normal((N, C)),
    "not finite in 1 of 54 elements, first at [0, 0]": np.where(
        np.arange(N * C).reshape(N, C) == 0, np.nan, RIGHT
    ),
}


@pytest.mark.parametrize("words", PATTERNS)
def test_the_pattern_of_an_error_is_put_in_words(words):
    assert words in describe_pattern(PATTERNS[words], RIGHT, 1e-11, counts={"rows": N})


def test_a_transposed_gradient_is_recognised():
    square = RIGHT[:, :N]
    assert "transposed" in describe_pattern(square.T, square, 1e-11)


def test_no_words_are_made_of_an_error_within_the_tolerance():
    assert describe_pattern(RIGHT + 1e-13, RIGHT, 1e-11) == ""


def test_a_sample_keeps_its_true_addresses():
    wrong = RIGHT.copy()
    wrong[3] = 0.0
    index = [[0, 3, 5], [1, 2, 8]]
    mesh = np.ix_(*index)
    words = describe_pattern(wrong[mesh], RIGHT[mesh], 1e-11, index=index)
    assert words.startswith("row 3 missing")


def test_forward_and_reverse_are_paired_within_rounding():
    rng = generator(7)
    matrix, v, u = rng.standard_normal((40, 30)), rng.standard_normal(30), rng.standard_normal(40)
    right = pairing([u], [matrix @ v], [matrix.T @ u], [v], machine_epsilon=2.0**-52)
    assert right.holds
    wrong = pairing([u], [matrix @ v], [1.00001 * (matrix.T @ u)], [v], machine_epsilon=2.0**-52)
    assert not wrong.holds


def rows_of(x):
    return np.log(np.exp(x).sum(axis=1))


def softmax_of(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def test_the_columns_that_hold_faults_are_found_among_many():
    x = np.random.default_rng(0).standard_normal((6, 300))
    g = softmax_of(x)
    g[4, 17] *= 1.001
    g[:, 211] = 0.0
    found = suspects(rows_of, x, g, machine_epsilon=2.0**-52)
    assert found.columns == [17, 211]
    assert not found.widespread


def test_a_widespread_fault_is_sampled_and_a_right_gradient_is_not_suspect():
    x = np.random.default_rng(1).standard_normal((6, 300))
    g = softmax_of(x)
    assert suspects(rows_of, x, g, machine_epsilon=2.0**-52).columns == []
    found = suspects(rows_of, x, 1.01 * g, machine_epsilon=2.0**-52)
    assert found.widespread
    assert {0, 299} <= set(found.columns)
