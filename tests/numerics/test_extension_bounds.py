"""The bounds of the extensions accuse nobody, and are within a factor of thirty of what happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

for _library in ("torch", "jax"):
    pytest.importorskip(_library)

from evaluations.exact import QUANTITIES  # noqa: E402
from evaluations.extended_forms import extended_forms  # noqa: E402
from evaluations.torch_forms import quietly  # noqa: E402

from gradcheck_suite.case import Case  # noqa: E402
from gradcheck_suite.checks.yardstick import Yardstick  # noqa: E402
from gradcheck_suite.numerics.tolerance import Arithmetic  # noqa: E402
from gradcheck_suite.specification.dialect import Dialect  # noqa: E402
from gradcheck_suite.specification.recipe import Recipe, representable  # noqa: E402
from gradcheck_suite.specification.reference import Reference  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        np.finfo(np.longdouble).nmant < 63, reason="the reference needs a wide longdouble"
    ),
]
DTYPES = ("float64", "float32", "bfloat16", "float16")
EXTENSIONS: dict[str, dict[str, Any]] = {
    "softcap": {"softcap": 2.0},
    "scale": {"logit_scale": 3.0},
    "z-loss": {"z_loss": 0.25},
    "mask": {"mask": "rows"},
    "everything": {"softcap": 2.0, "logit_scale": 3.0, "z_loss": 0.25, "mask": "rows"},
}
FAMILIES = ("normal", "wide", "offset", "saturated", "rare", "equal")
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"reduction": "mean"},
    "weighted": {"weight": True, "ignored": 1, "upstream": "signed"},
    "probabilities": {"targets": "probabilities", "upstream": "signed"},
}


@dataclass(frozen=True)
class Scored:
    """The worst error / bound of one evaluation's quantity, and where it was found."""

    ratio: float
    quantity: str
    evaluation: str
    case: str


def scored(dtype: str, extension: str) -> list[Scored]:
    found = []
    for family in FAMILIES:
        for options in OPTIONS.values():
            if (dtype, family) == ("float16", "offset"):
                continue  # lse² of 300 is beyond its range
            recipe = Recipe(logits=family, **EXTENSIONS[extension], **options)
            found += list(_scored(recipe.build(17, dtype)))
    return found


def _scored(case: Case) -> Iterator[Scored]:
    yardstick = Yardstick(Reference(case, Dialect()), Arithmetic.of(case.dtype))
    reference = yardstick.reference
    drawn = np.random.default_rng(3).standard_normal(case.logits.shape)
    v = representable(drawn, case.dtype)
    exact = {
        "value": (reference.value, yardstick.value_bound),
        "gradient": (reference.gradient, yardstick.gradient_bound),
        "target_gradient": (reference.target_gradient, yardstick.target_gradient_bound),
        "jvp": (reference.jvp(v), yardstick.jvp_bound(v)),
        "hvp": (reference.hvp(v), yardstick.hvp_bound(v)),
    }
    for name, evaluate in extended_forms(case):
        results = quietly(lambda case, evaluate=evaluate: evaluate(case, v), case)
        for quantity in QUANTITIES:
            got = getattr(results, quantity)
            if got is None:
                continue
            specified, bound = exact[quantity]
            error = np.abs(got - specified)
            judged = error != 0
            if quantity == "target_gradient" and case.options.class_mask is not None:
                judged = judged & case.options.class_mask  # elsewhere it is the caller's 0·(−inf)
            far = np.divide(error, bound.total, out=np.zeros(error.shape), where=judged)
            assert np.isfinite(far).all(), (case.id, name, quantity)
            yield Scored(float(np.max(far)), quantity, name, case.id)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_correct_evaluation_stays_within_its_bound_and_not_far(
    dtype: str, extension: str
) -> None:
    found = scored(dtype, extension)

    worst = max(found, key=lambda each: each.ratio)
    assert worst.ratio <= 1.0, worst
    for quantity in ("value", "gradient"):
        largest = max(each.ratio for each in found if each.quantity == quantity)
        assert largest >= 1 / 30, quantity


def planted(case: Case, **changed: Any) -> float:
    """error / bound of the gradient of a loss with other options, held against the case's own."""
    yardstick = Yardstick(Reference(case, Dialect()), Arithmetic.of(case.dtype))
    wrong = Reference(case.with_(**changed), Dialect()).gradient
    return float(
        np.max(np.abs(wrong - yardstick.reference.gradient) / yardstick.gradient_bound.total)
    )


@pytest.mark.parametrize(("dtype", "relative"), [("float64", 1e-12), ("float32", 1e-4)])
@pytest.mark.parametrize("option", ["softcap", "logit_scale", "z_loss"])
def test_an_option_that_is_off_by_little_is_caught(
    dtype: str, relative: float, option: str
) -> None:
    recipe = Recipe(softcap=2.0, logit_scale=3.0, z_loss=0.25)
    value = getattr(recipe, option)

    assert planted(recipe.build(17, dtype), **{option: value * (1.0 + relative)}) > 1.0
