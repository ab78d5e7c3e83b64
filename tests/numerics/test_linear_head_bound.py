"""The bounds of a linear head: no correct evaluation exceeds them, and they are not idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradcheck_suite import backends
from gradcheck_suite.checks.head_yardstick import HeadYardstick
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.specification.recipe import Recipe
from gradcheck_suite.subject.binding import bind

pytest.importorskip("torch")

import torch
from torch.nn import functional

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        np.finfo(np.longdouble).nmant < 63, reason="needs a longdouble wider than float64"
    ),
]

RECIPES = (
    Recipe(features=3, linear_bias=True),
    Recipe(features=3, linear_bias=True, reduction="mean", ignored=1),
    Recipe(rows=7, classes=4, features=33, reduction="mean"),
    Recipe(rows=33, classes=65, features=9, linear_bias=True, reduction="sum", ignored=9),
    Recipe(rows=65, classes=3, features=2, linear_bias=True, upstream="signed"),
    Recipe(rows=2, classes=3, features=1, linear_bias=True, reduction="mean"),
)


def composed(hidden: Any, linear_weight: Any, targets: Any, **options: Any) -> Any:
    logits = functional.linear(hidden, linear_weight, options.pop("linear_bias", None))
    return functional.cross_entropy(logits, targets, **options)


def one_by_one(hidden: Any, linear_weight: Any, targets: Any, **options: Any) -> Any:
    """Every sum over features, classes and rows in its plain order: the worst one there is."""
    bias = options.pop("linear_bias", None)
    logits = torch.zeros_like(hidden[:, :1] * linear_weight[:, 0])
    for feature in range(hidden.shape[1]):
        logits = logits + hidden[:, feature, None] * linear_weight[:, feature]
    logits = logits if bias is None else logits + bias
    rows = functional.cross_entropy(
        logits, targets, ignore_index=options.get("ignore_index", -100), reduction="none"
    )
    if options["reduction"] == "none":
        return rows
    total = rows[0]
    for row in rows[1:]:
        total = total + row
    counted = (targets != options.get("ignore_index", -100)).sum()
    return total if options["reduction"] == "sum" else total / counted


def in_float32(hidden: Any, linear_weight: Any, targets: Any, **options: Any) -> Any:
    """As a fused kernel: computed in float32, results stored in the dtype of X."""
    bias = options.pop("linear_bias", None)
    wide = {} if bias is None else {"linear_bias": bias.float()}
    found = composed(hidden.float(), linear_weight.float(), targets, **wide, **options)
    return found.to(hidden.dtype)


def implementation(loss: Callable[..., Any], accumulation: str | None = None) -> Implementation:
    return Implementation(
        loss.__name__,
        loss,
        backend="torch",
        head="linear",
        targets=("index",),
        reductions=("none", "sum", "mean"),
        options=("ignore_index", "linear_bias"),
        accumulation=accumulation,
    )


def ratios(given: Implementation, dtype: str, seeds: int) -> Iterator[tuple[str, float]]:
    """What was asked, and the largest error over its bound."""
    subject = bind(given, backends.load("torch"), dtype=dtype)
    for recipe in RECIPES:
        for seed in range(seeds):
            case = recipe.build(seed, dtype)
            yardstick, found = HeadYardstick.of(subject, case), subject.gradients(case)
            off = np.abs(found.value - yardstick.reference.value)
            yield "value", float(np.max(off / yardstick.head_value_bound.total))
            came = {"hidden": found.logits, "linear_weight": found.linear_weight}
            for name, specified in yardstick.gradients.items():
                got = came.get(name, found.linear_bias)
                assert got is not None
                off = np.abs(got - specified)
                yield name, float(np.max(off / yardstick.head_gradient_bound(name).total))


CORRECT = [
    *[(loss, dtype, None) for loss in (composed, one_by_one) for dtype in ("float64", "float32")],
    *[(composed, dtype, None) for dtype in ("bfloat16", "float16")],
    *[(in_float32, dtype, "float32") for dtype in ("bfloat16", "float16")],
]


@pytest.mark.parametrize(
    ("loss", "dtype", "accumulation"),
    CORRECT,
    ids=[f"{loss.__name__}-{dtype}" for loss, dtype, _ in CORRECT],
)
def test_no_correct_evaluation_exceeds_its_bound_and_none_is_idle(
    loss: Callable[..., Any], dtype: str, accumulation: str | None
) -> None:
    worst: dict[str, float] = {}
    for name, ratio in ratios(implementation(loss, accumulation), dtype, seeds=8):
        worst[name] = max(worst.get(name, 0.0), ratio)

    assert max(worst.values()) <= 1.0, worst
    assert min(worst.values()) >= 1 / 30, worst


@pytest.mark.parametrize(("dtype", "relative"), [("float64", 1e-12), ("float32", 1e-4)])
@pytest.mark.parametrize("name", ["logits", "linear_weight", "linear_bias"])
def test_a_small_relative_error_in_any_gradient_exceeds_the_bound(
    dtype: str, relative: float, name: str
) -> None:
    subject = bind(implementation(composed), backends.load("torch"), dtype=dtype)
    case = RECIPES[1].build(3, dtype)
    yardstick, right = HeadYardstick.of(subject, case), getattr(subject.gradients(case), name)
    key = "hidden" if name == "logits" else name

    off = np.abs(right * (1.0 + relative) - yardstick.gradients[key])

    assert np.max(off / yardstick.head_gradient_bound(key).total) > 1.0


def test_a_bound_of_many_rows_in_half_precision_is_wide_and_finite() -> None:
    subject = bind(implementation(composed), backends.load("torch"), dtype="bfloat16")
    case = Recipe(rows=1025, features=3, linear_bias=True, reduction="mean").build(0, "bfloat16")

    bound = HeadYardstick.of(subject, case).head_gradient_bound("linear_bias")

    assert np.all(np.isfinite(bound.total))
