"""A case's arrays as the framework has them, and what it gives back as the case has it.

Going in: the rows take their rank (N rows of C classes become (N, C, d…) where the case says
so), their dtype and device, and their layout in memory. Coming out: rows again, NumPy float64.

An implementation with a linear head gets hidden features where others get logits. A case that has
no head is put to it through the identity: X = f and W = I, whose products f·1 + 0·… are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.layout import LAYOUTS
from gradcheck_suite.protocols import Array, Arrays, Backend


@dataclass(frozen=True, slots=True)
class CaseArrays:
    """The bridge for one backend, device and dtype.

    Attributes:
        class_axis: axis of the classes in logits of rank 3 and above; 2-D ones are (N, C). A
            case's own ``axis`` comes before it, in any rank.
    """

    backend: Backend
    device: str
    dtype: str
    class_axis: int = -1

    def logits(self, case: Case) -> Array:
        """The first argument: the logits, or the hidden features of the case's linear head."""
        return self._laid_out(self.shaped(case, _first(case)), self.dtype, case.layout)

    def head(self, case: Case) -> Arrays:
        """W, and b where the case has one; the identity where it has no linear head."""
        if case.head is None:
            return (self.floating(np.eye(case.classes)),)
        return tuple(self.floating(values) for values in case.head.parameters())

    def buffer(self, case: Case) -> Array:
        """The buffer of which the logits are a view; ``logits_of`` takes that view."""
        values = LAYOUTS[case.layout].buffer(self.shaped(case, _first(case)))
        return self.backend.asarray(values, self.dtype, self.device)

    def logits_of(self, case: Case, buffer: Array) -> Array:
        return self.backend.viewed(buffer, case.layout, self.shape(case))

    def targets(self, case: Case) -> Array:
        values = self.shaped(case, case.targets)
        if case.target_kind == "probabilities":
            return self._laid_out(values, self.dtype, case.beside)
        index = "int64" if self.backend.name != "jax" or self.dtype == "float64" else "int32"
        return self._laid_out(values, index, case.beside)

    def weight(self, case: Case) -> Array:
        assert case.options.weight is not None  # the caller has seen to it
        return self._laid_out(case.options.weight, self.dtype, case.beside)

    def class_mask(self, case: Case) -> Array:
        """(C,), or with the axes of the logits."""
        mask = case.options.class_mask
        assert mask is not None  # the caller has seen to it
        shaped = mask if mask.ndim == 1 else self.shaped(case, mask)
        return self.backend.asarray(shaped, "bool", self.device)

    def upstream(self, case: Case) -> Array:
        values = case.upstream
        shaped = values if values.ndim == 0 else self.shaped(case, values)
        return self._laid_out(shaped, self.dtype, case.beside)

    def floating(self, values: npt.ArrayLike) -> Array:
        return self.backend.asarray(values, self.dtype, self.device)

    def shape(self, case: Case) -> tuple[int, ...]:
        """The shape of the first argument: (N, C), (N, H), or what ``batch`` makes of it."""
        return self.shaped(case, _first(case)).shape

    def value_shape(self, case: Case) -> tuple[int, ...]:
        """The shape of the loss: that of the rows under ``none``, else ()."""
        if case.options.reduction != "none":
            return ()
        return (case.rows,) if case.batch is None else case.batch

    def shaped(self, case: Case, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(N,) or (N, C) in the case's rank: (…batch), and (…batch) with the classes' axis in."""
        if case.batch is None and case.options.axis is None:
            return values
        batch = (case.rows,) if case.batch is None else case.batch
        if values.ndim == 1:
            return values.reshape(batch)
        spread = values.reshape(*batch, values.shape[1])
        return np.moveaxis(spread, -1, self._axis(case))

    def rows(self, case: Case, array: npt.NDArray[Any]) -> FloatArray:
        """The inverse of ``shaped``: (N,) of a value, (N, C) of a gradient, () of a scalar."""
        if case.batch is None and case.options.axis is None:
            return array
        if array.shape == self.shape(case):
            return np.moveaxis(array, self._axis(case), -1).reshape(_first(case).shape)
        return array.reshape(case.rows) if case.options.reduction == "none" else array

    def _axis(self, case: Case) -> int:
        if case.options.axis is not None:
            return case.options.axis
        return self.class_axis if case.rank > 2 else -1

    def _laid_out(self, values: npt.NDArray[Any], dtype: str, layout: str) -> Array:
        if layout == "contiguous":
            return self.backend.asarray(values, dtype, self.device)
        buffer = self.backend.asarray(LAYOUTS[layout].buffer(values), dtype, self.device)
        return self.backend.viewed(buffer, layout, values.shape)


def _first(case: Case) -> FloatArray:
    return case.logits if case.head is None else case.head.hidden
