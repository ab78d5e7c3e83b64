"""The bounds accuse no correct implementation, and are within a factor of thirty of what happens.

The reference is NumPy's longdouble (64-bit significand here), so a float64 evaluation is judged
by numbers 2000 times finer than itself. This is a slice; ``python -m benchmarks.bounds`` runs ten
thousand evaluations per dtype.
"""

from __future__ import annotations

import numpy as np
import pytest

for _library in ("torch", "jax", "optax", "scipy"):
    pytest.importorskip(_library)

from evaluations.problem import EXACT  # noqa: E402
from evaluations.sweep import ARITHMETICS, Scored, sweep, worst  # noqa: E402

from gradcheck_suite.numerics.tolerance import Arithmetic  # noqa: E402

pytestmark = pytest.mark.skipif(
    np.finfo(EXACT).nmant < 63, reason="the reference needs a longdouble wider than float64"
)
EVERYDAY = ("plain", "all", "unnormalised")


@pytest.fixture(scope="module", params=ARITHMETICS, ids=lambda each: f"{each[0]}-in-{each[1]}")
def scored(request: pytest.FixtureRequest) -> list[Scored]:
    dtype, accumulation = request.param
    wide = dtype in ("float64", "float32")
    return sweep(
        dtype,
        Arithmetic.of(dtype, accumulation),
        options=EVERYDAY if wide else ("plain", "unnormalised"),
        reductions=("none", "mean") if dtype == "float64" else ("mean",),
        shapes=((4, 5),),
    )


def test_no_correct_evaluation_exceeds_its_bound(scored: list[Scored]) -> None:
    assert worst(scored).ratio <= 1.0, worst(scored)


def test_bounds_are_within_a_factor_of_thirty_of_what_happens(scored: list[Scored]) -> None:
    for family in {each.family for each in scored}:
        found = worst([each for each in scored if each.family == family])
        assert found.ratio >= 1 / 30, found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_long_rows_in_any_order_of_summation(dtype: str, library: str) -> None:
    found = sweep(
        dtype,
        Arithmetic.of(dtype),
        families=("just-below-u", "equal", "normal", "saturated", "rare"),
        options=EVERYDAY,
        reductions=("none",),
        shapes=((3, 4097),),
        chosen=library,
    )
    assert worst(found).ratio <= 1.0, worst(found)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_and_means_over_many_rows(dtype: str) -> None:
    found = sweep(
        dtype,
        Arithmetic.of(dtype),
        families=("normal", "equal", "saturated"),
        options=("plain", "weight", "all"),
        reductions=("sum", "mean"),
        shapes=((1025, 3),),
        chosen="numpy",
    )
    assert worst(found).ratio <= 1.0, worst(found)


def test_compiled_compositions() -> None:
    found = sweep(
        "float32",
        Arithmetic.of("float32"),
        families=("rare",),
        options=("all",),
        chosen="jax.log_softmax.jit",
        compiled=True,
    )
    assert found
    assert worst(found).ratio <= 1.0, worst(found)
