"""Layouts: the same numbers lie differently in memory, and what lies between them is planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck_suite import backends
from gradcheck_suite.errors import Unsupported
from gradcheck_suite.layout import LAYOUTS, np_expand
from gradcheck_suite.specification.recipe import Recipe
from gradcheck_suite.subject.arrays import CaseArrays

SHAPES = [(), (5,), (4, 5), (2, 5, 3), (2, 5, 3, 4)]
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def values_of(shape: tuple[int, ...], layout: str) -> Any:
    values = np.arange(1.0, 1.0 + np.prod(shape, dtype=int)).reshape(shape)
    if layout == "expanded" and shape:
        return np.broadcast_to(values[:1], shape)
    return values


@every_layout
@every_shape
def test_the_view_of_the_buffer_is_the_array(layout: Any, shape: tuple[int, ...]) -> None:
    values = values_of(shape, layout.name)

    buffer = layout.buffer(values)

    assert buffer.flags.c_contiguous
    assert np.array_equal(layout.view(buffer, shape, np_expand), values)


@every_layout
@every_shape
def test_what_lies_between_is_nan_and_nothing_else_is(layout: Any, shape: tuple[int, ...]) -> None:
    buffer = layout.buffer(values_of(shape, layout.name))

    assert np.array_equal(np.isnan(buffer), layout.between(shape))


@every_layout
def test_between_class_indices_lies_one_that_does_not_occur(layout: Any) -> None:
    targets = np.array([4, 4, 4, 4] if layout.name == "expanded" else [4, 0, 3, 1])

    planted = layout.buffer(targets)[layout.between(targets.shape)]

    assert set(planted) <= {2, 0}
    assert set(planted).isdisjoint(targets)


def test_rows_that_differ_cannot_be_expanded() -> None:
    with pytest.raises(ValueError, match="values: expanded rows are all one row"):
        LAYOUTS["expanded"].buffer([[1.0, 2.0], [1.0, 3.0]])


STRIDES = {  # of (4, 5), in entries
    "contiguous": (5, 1),
    "transposed": (1, 4),
    "sliced": (8, 1),
    "stepped": (20, 2),
    "expanded": (0, 1),
    "offset": (5, 1),
    "reversed": (-5, -1),
}


@pytest.mark.parametrize(("layout", "strides"), STRIDES.items())
def test_numpy_arrays_have_the_strides_of_their_layout(
    layout: str, strides: tuple[int, int]
) -> None:
    case = Recipe(layout=layout).build(0, "float32")  # type: ignore[arg-type]

    logits = CaseArrays(backends.load("numpy"), "cpu", "float32").logits(case)

    assert np.array_equal(logits, case.logits)
    assert tuple(stride // 4 for stride in logits.strides) == strides


@pytest.mark.parametrize("layout", [name for name in STRIDES if name != "reversed"])
def test_the_leaf_that_torch_differentiates_lies_as_the_case_says(layout: str) -> None:
    pytest.importorskip("torch")
    backend = backends.load("torch")
    case = Recipe(layout=layout).build(0, "float64")  # type: ignore[arg-type]
    met = []

    def function(logits: Any) -> tuple[Any]:
        met.append(logits)
        return ((logits * logits).sum(),)

    (_, (gradient,)) = backend.vjp(
        function, (CaseArrays(backend, "cpu", "float64").logits(case),), None
    )

    assert met[0].is_leaf
    assert met[0].stride() == STRIDES[layout]
    assert met[0].storage_offset() == (15 if layout == "offset" else 0)
    assert np.array_equal(backend.asnumpy(gradient), 2 * case.logits)


def test_torch_has_no_negative_strides_and_says_so() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(Unsupported, match="negative strides"):
        backends.load("torch").viewed(torch.ones(4, 5), "reversed", (4, 5))


def test_jax_has_no_strides_and_says_so() -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(Unsupported, match="no strides"):
        backends.load("jax").viewed(jax.numpy.ones((4, 5)), "stepped", (4, 5))


@pytest.mark.parametrize("class_axis", [1, -1])
@pytest.mark.parametrize("batch", [(), (2, 3), (2, 3, 4)], ids=str)
def test_rows_take_their_rank_and_come_back(batch: tuple[int, ...], class_axis: int) -> None:
    case = Recipe(batch=batch, classes=5).build(0, "float64")
    arrays = CaseArrays(backends.load("numpy"), "cpu", "float64", class_axis)

    logits = arrays.logits(case)

    assert logits.ndim == case.rank == len(batch) + 1
    assert logits.shape[class_axis if case.rank > 2 else -1] == 5
    assert np.array_equal(arrays.rows(case, logits), case.logits)
    assert arrays.targets(case).shape == arrays.value_shape(case) == batch
    assert np.array_equal(arrays.rows(case, arrays.targets(case)), case.targets)
