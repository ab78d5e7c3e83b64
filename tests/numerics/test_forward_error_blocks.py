"""Large cases are bounded in blocks of rows: the same bounds, and terms on request."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gradcheck_suite import case
from gradcheck_suite.numerics.forward_error import (
    gradient_bound,
    hvp_bound,
    jvp_bound,
    row_value_bound,
    saturated_bound,
    target_gradient_bound,
)
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound

_RNG = np.random.default_rng(5)
_LOGITS = 3.0 * _RNG.standard_normal((13, 7))
_TAU = np.where(np.arange(13)[:, None] < 4, np.eye(13, 7), _RNG.dirichlet(np.ones(7), size=13))
_TANGENT, _SCALE = _RNG.standard_normal((13, 7)), _RNG.standard_normal(13)

BOUNDS: dict[str, Callable[[Arithmetic], Bound]] = {
    "value": lambda arithmetic: row_value_bound(_LOGITS, _TAU, arithmetic),
    "gradient": lambda arithmetic: gradient_bound(_LOGITS, _TAU, arithmetic, _SCALE),
    "saturated": lambda arithmetic: saturated_bound(_LOGITS, _TAU, arithmetic, _SCALE),
    "targets": lambda arithmetic: target_gradient_bound(_LOGITS, np.ones(7), arithmetic, _SCALE),
    "jvp": lambda arithmetic: jvp_bound(_LOGITS, _TAU, _TANGENT, arithmetic, _SCALE),
    "hvp": lambda arithmetic: hvp_bound(_LOGITS, _TAU, _TANGENT, arithmetic, _SCALE),
}


@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS.keys())
def test_blocks_of_rows_have_the_bounds_of_the_whole(
    bound: Callable[[Arithmetic], Bound], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arithmetic = Arithmetic.of(dtype)
    whole = bound(arithmetic)
    monkeypatch.setattr(case, "BLOCK", 30)  # four rows of seven
    blocks = bound(arithmetic)
    np.testing.assert_array_equal(blocks.total, whole.total)
    place = (9, 3) if whole.total.ndim == 2 else 9
    assert dict((blocks * 2.0).at(place)[1]) == dict((whole * 2.0).at(place)[1])


def test_a_bound_without_its_terms_can_still_be_added_and_summed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arithmetic = Arithmetic.of("float32")
    whole = BOUNDS["gradient"](arithmetic)
    monkeypatch.setattr(case, "BLOCK", 30)
    blocks = BOUNDS["gradient"](arithmetic)
    np.testing.assert_allclose((blocks + whole).total, 2.0 * whole.total, rtol=1e-14)
    np.testing.assert_allclose(blocks.sum(axis=1).total, whole.sum(axis=1).total, rtol=1e-14)
    total, terms = blocks.take(slice(2, 4)).at((0, 1))
    assert terms == (("forward error", total),)


def test_one_row_is_never_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case, "BLOCK", 3)
    assert list(case.row_blocks(2, 7)) == [slice(0, 1), slice(1, 2)]
    assert list(case.row_blocks(0, 7)) == [slice(None)]
