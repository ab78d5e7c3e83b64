"""Layouts: how an array lies in memory, as a view of a buffer with something else between.

A framework's array is a buffer, a shape, strides and an offset; code that reads the buffer in
order, or trusts one stride, answers with numbers that are not in the array. So whatever lies
between the entries is planted: NaN between numbers, a class that does not occur between indices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

LayoutName = Literal[
    "contiguous", "transposed", "sliced", "stepped", "expanded", "offset", "reversed"
]
Shape = tuple[int, ...]
#: Spreads an array over a larger shape without copying: strides of 0.
Expand = Callable[[Any, Shape], Any]
_MARGIN = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """One way for an array of shape ``s`` to be a view of a buffer.

    Attributes:
        name: what cases call it.
        meaning: the same in words, for reports.
        enlarged: from ``s``, which is not (), to the shape of the buffer.
        seen: (buffer, s, expand) → the view of shape ``s``; written with indexing, ``swapaxes``
            and ``expand`` alone, so that it runs on any framework whose views have strides.
    """

    name: LayoutName
    meaning: str
    enlarged: Callable[[Shape], Shape]
    seen: Callable[[Any, Shape, Expand], Any]

    def buffer_shape(self, shape: Shape) -> Shape:
        return self.enlarged(shape) if shape else ()

    def view(self, buffer: Any, shape: Shape, expand: Expand) -> Any:
        """The view of a buffer; a scalar lies only one way, and is its own."""
        return self.seen(buffer, shape, expand) if shape else buffer

    def buffer(self, values: npt.ArrayLike) -> npt.NDArray[Any]:
        """A C-contiguous buffer whose view is ``values``, with planted entries between them.

        Raises:
            ValueError: the layout repeats an entry where ``values`` has different ones.
        """
        array = np.asarray(values)
        filled = np.full(self.buffer_shape(array.shape), _planted(array), array.dtype)
        seen = self.view(filled, array.shape, np_expand)
        seen[...] = array
        if not np.array_equal(seen, array, equal_nan=array.dtype.kind == "f"):
            raise ValueError(f"values: {self.name} rows are all one row, and these differ")
        return filled

    def between(self, shape: Shape) -> npt.NDArray[np.bool_]:
        """Which entries of the buffer are none of the array's."""
        planted = np.ones(self.buffer_shape(shape), dtype=bool)
        self.view(planted, shape, np_expand)[...] = False
        return planted


def np_expand(array: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """NumPy's stride-0 view; writable, as what a compiled kernel is handed is."""
    spread = np.broadcast_to(array, shape)
    return np.lib.stride_tricks.as_strided(array, shape, spread.strides, writeable=True)


def _planted(array: npt.NDArray[Any]) -> float | int:
    """NaN; between class indices one that does not occur (below the largest), else 0.

    An index in range: what is read by mistake gives a wrong number, and no crash that could be
    taken for a refusal.
    """
    if array.dtype.kind == "f":
        return float("nan")
    present = np.unique(array)
    absent = np.setdiff1d(np.arange(max(int(array.max(initial=0)), 0)), present)
    return int(absent[0]) if absent.size else 0


def _axes(shape: Shape) -> tuple[int, int]:
    """The axes that a transposition swaps: of (N, C), and of (N, C, d…) the last and axis 1."""
    return -1, max(min(1, len(shape) - 2), 0)


def _swapped(shape: Shape) -> Shape:
    swapped = list(shape)
    a, b = _axes(shape)
    swapped[a], swapped[b] = swapped[b], swapped[a]
    return tuple(swapped)


_LAYOUTS = (
    Layout(
        "contiguous",
        "rows one after the other, nothing between",
        lambda shape: shape,
        lambda buffer, shape, expand: buffer,
    ),
    Layout(
        "transposed",
        "the transpose of a contiguous array, as the logits of Wᵀx are",
        _swapped,
        lambda buffer, shape, expand: buffer.swapaxes(*_axes(shape)),
    ),
    Layout(
        "sliced",
        "x[:, :S] of a wider array, as with a padded vocabulary",
        lambda shape: (*shape[:-1], shape[-1] + _MARGIN),
        lambda buffer, shape, expand: buffer[..., : shape[-1]],
    ),
    Layout(
        "stepped",
        "x[::2, ::2]: every second entry along every axis",
        lambda shape: tuple(2 * length for length in shape),
        lambda buffer, shape, expand: buffer[(slice(None, None, 2),) * len(shape)],
    ),
    Layout(
        "expanded",
        "one row seen N times: stride 0 along the first axis",
        lambda shape: (min(shape[0], 1), *shape[1:]),
        lambda buffer, shape, expand: expand(buffer, shape),
    ),
    Layout(
        "offset",
        "rows from the middle of a longer array: contiguous, and not at its start",
        lambda shape: (shape[0] + 2 * _MARGIN, *shape[1:]),
        lambda buffer, shape, expand: buffer[_MARGIN : _MARGIN + shape[0]],
    ),
    Layout(
        "reversed",
        "x[::-1, ::-1]: negative strides",
        lambda shape: shape,
        lambda buffer, shape, expand: buffer[(slice(None, None, -1),) * len(shape)],
    ),
)
LAYOUTS: Mapping[str, Layout] = MappingProxyType({layout.name: layout for layout in _LAYOUTS})
assert set(LAYOUTS) == set(get_args(LayoutName))
