"""Directions are Gaussian, and x ± h·v is exact."""

import numpy as np
import pytest

from gradcheck_suite.numerics.directions import (
    FARTHEST,
    euclidean_norm,
    gaussian,
    gaussian_on_lattice,
    generator,
    natural_scale,
    representable,
)
from gradcheck_suite.numerics.finite_difference import natural_step

DTYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16}
STEPS = {"float64": 2.0**-10, "float32": 2.0**-5, "float16": 0.25}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, 1.0, 30.0, 1000.0])
def test_the_steps_round_far_less_than_unprepared_ones(dtype, offset):
    kind, step = DTYPES[dtype], STEPS[dtype]
    x = (offset + generator(1).standard_normal(400)).astype(kind)
    drawn = natural_scale(x, step, dtype) * gaussian(generator(2), (400,))
    prepared = representable(x, drawn, step, dtype).values

    def rounding(v):
        v = v.astype(kind)
        exact = x.astype(np.float64) + step * v.astype(np.float64)
        return euclidean_norm((x + kind(step) * v).astype(np.float64) - exact)

    assert rounding(prepared) <= 0.6 * rounding(drawn)


def test_rounding_leaves_a_direction_gaussian():
    drawn = gaussian(generator(3), (1000,))
    rounded = representable(np.ones(1000), drawn, 2.0**-10, "float64").values
    assert np.allclose(rounded, drawn, atol=1e-6)


def test_an_element_far_larger_than_the_rest_does_not_freeze_the_rest():
    x = np.ones(50, dtype=np.float32)
    x[0] = 1e6
    v = representable(x, gaussian(generator(4), (50,)), 2.0**-5, "float32").values
    assert np.all(v != 0.0)


@pytest.mark.parametrize(
    ("primal", "scale"),
    [
        (np.zeros(3), 1.0),
        (np.ones(3), 1.0),
        (np.full(3, 1e6), 1.0),
        (np.full(3, 2.0**-40), 2.0**-40),
    ],
)
def test_the_scale_is_the_primals_and_at_most_one(primal, scale):
    assert natural_scale(primal, 2.0**-10, "float64") == scale


def test_the_same_seed_draws_the_same():
    assert np.array_equal(gaussian(generator(1, 2), (5,)), gaussian(generator(1, 2), (5,)))
    assert not np.array_equal(gaussian(generator(1, 2), (5,)), gaussian(generator(1, 3), (5,)))


def test_the_norm_is_euclidean():
    assert euclidean_norm(np.array([3.0, 4.0])) == pytest.approx(5.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gaussian_numbers_from_the_table_are_gaussian_and_on_the_lattice(dtype):
    step = natural_step(2.0**-52 if dtype == "float64" else 2.0**-23)
    drawn = gaussian_on_lattice(
        generator(0, 1), 1_000_001, dtype, scale=0.5, largest=4.0, step=step
    ).astype(np.float64)
    z = drawn / 0.5
    assert abs(z.mean()) < 5e-3
    assert abs(z.std() - 1.0) < 5e-3
    assert abs(np.mean(z**4) - 3.0) < 5e-2
    assert np.max(np.abs(z)) < FARTHEST
    x = np.asarray(4.0, dtype)
    moved = x + (step * drawn).astype(dtype)
    assert np.array_equal(moved.astype(np.float64), 4.0 + step * drawn)


def test_elements_of_a_direction_seldom_vanish_or_tie():
    drawn = gaussian_on_lattice(
        generator(0), 1_000_000, "float32", scale=1.0, largest=4.0, step=2.0**-5
    )
    assert np.mean(drawn == 0.0) < 1e-3
    assert np.mean(drawn[::2] == drawn[1::2]) < 1e-3


@pytest.mark.parametrize("places", [(3, 4), (0, 4095), (5, 30_000)])
def test_an_error_of_opposite_signs_is_seen_whichever_the_seed(places):
    seen = []
    for seed in range(5000):
        v = gaussian_on_lattice(
            generator(seed), 40_000, "float64", scale=1.0, largest=4.0, step=2.0**-10
        )
        seen.append(v[places[0]] - v[places[1]])
    seen = np.array(seen) / np.sqrt(2.0)
    assert abs(seen.std() - 1.0) < 0.05
    assert np.mean(np.abs(seen) < 0.01) < 0.02
    assert np.mean(np.abs(seen) > 2.0) > 0.03


def test_directions_and_their_elements_are_not_correlated():
    drawn = [
        gaussian_on_lattice(
            generator(0, seed), 20_000, "float64", scale=1.0, largest=4.0, step=2.0**-10
        )
        for seed in range(200)
    ]
    between = np.corrcoef(drawn)[np.triu_indices(200, 1)]
    # Two pieces may share a run of one table, never of both.
    assert np.max(np.abs(between)) < 0.7
    assert np.mean(np.abs(between) > 6.0 / np.sqrt(20_000)) < 1e-3
    for lag in (1, 128, 4096, 12_288):
        assert abs(np.mean([np.mean(v[lag:] * v[:-lag]) for v in drawn])) < 0.01


def test_a_short_direction_or_a_coarse_dtype_has_no_table():
    common = {"scale": 1.0, "largest": 1.0, "step": 0.5}
    assert gaussian_on_lattice(generator(0), 100, "float64", **common) is None
    assert gaussian_on_lattice(generator(0), 20_000, "bfloat16", **common) is None
