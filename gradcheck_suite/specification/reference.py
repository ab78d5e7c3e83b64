"""The closed form at a case, in extended precision: what an implementation is held against.

NumPy's ``longdouble`` has a 64-bit significand on x86 and more elsewhere; where it is only
a float64, the reference carries the same rounding error as what it judges, and
``inflation`` widens every bound by exactly that share. Large cases are evaluated in blocks of
rows, and below float64 their elements are held in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray, row_blocks
from gradcheck_suite.protocols import machine_epsilon
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.linear_head import output
from gradcheck_suite.specification.softmax import Softmax
from gradcheck_suite.specification.softmax_nll import SoftmaxNLL

ExtendedArray = npt.NDArray[np.longdouble]


@dataclass(frozen=True, eq=False)
class Reference:
    """The specification's answers to one case, as longdouble arrays (see ``_held``).

    Attributes:
        case: the case.
        dialect: the choices the answers follow.
    """

    case: Case
    dialect: Dialect

    @property
    def inflation(self) -> float:
        """1 + (unit roundoff of the reference / of the dtype): the reference's own error."""
        own = float(np.finfo(self._held).eps)
        return 1.0 + own / machine_epsilon(self.case.dtype)

    @cached_property
    def loss(self) -> SoftmaxNLL:
        options = self.case.options
        weight = None if options.weight is None else _extended(options.weight)
        return SoftmaxNLL.of(options, self.dialect, weight)

    @cached_property
    def logits(self) -> ExtendedArray:
        return _extended(self.case.logits) if self.case.head is None else output(self.case.head)

    @cached_property
    def targets(self) -> npt.NDArray[Any]:
        targets = self.case.targets
        return targets if self.case.target_kind == "index" else _extended(targets)

    @cached_property
    def upstream(self) -> ExtendedArray:
        return _extended(self.case.upstream)

    @cached_property
    def effective_targets(self) -> FloatArray:
        """τ as float64, shape (N, C): what the bounds are written in."""
        return np.asarray(self._elements("effective_targets", held=np.float64), dtype=np.float64)

    @cached_property
    def denominator(self) -> float:
        return float(self._denominator)

    @cached_property
    def scale(self) -> FloatArray:
        """u/den, shape (N,)."""
        return np.asarray(self._scale, dtype=np.float64)

    @cached_property
    def rows(self) -> ExtendedArray:
        """The rows' values, shape (N,), whatever the reduction."""
        return self._elements("rows", held=np.longdouble)

    @cached_property
    def value(self) -> ExtendedArray:
        return self._reduced(self.rows)

    @cached_property
    def gradient(self) -> ExtendedArray:
        return self._elements("gradient", self._scale)

    @cached_property
    def target_gradient(self) -> ExtendedArray:
        return self._elements("target_gradient", self._scale)

    @cached_property
    def weight_gradient(self) -> ExtendedArray:
        """In the class weights, shape (C,)."""
        with np.errstate(all="ignore"):
            found = self.loss.weight_gradient(self.logits, self.targets, self.upstream)
        return np.asarray(found, dtype=np.longdouble)

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which rows are not ignored, shape (N,)."""
        return np.asarray(self.loss.valid(self.case.logits, self.case.targets), dtype=np.bool_)

    @cached_property
    def scores(self) -> ExtendedArray:
        """z, shape (N, C): the logits f, or what an extension makes of them."""
        return self._elements("scored", held=np.longdouble)

    @cached_property
    def softmax(self) -> Softmax:
        """Of z."""
        with np.errstate(all="ignore"):
            return Softmax.of(self.scores)

    @cached_property
    def z_loss(self) -> np.longdouble:
        """λ of a z-loss that is divided as the rows are, whatever it is divided by."""
        weight = np.longdouble(self.case.options.z_loss or 0.0)
        if not self.loss.z_loss_is_over_valid:
            return weight
        with np.errstate(all="ignore"):
            return np.longdouble(weight * (self._denominator / np.sum(self.valid)))

    def jvp(self, tangent: npt.ArrayLike) -> ExtendedArray:
        return self._reduced(self._elements("jvp", self._tangent(tangent), held=np.longdouble))

    def hvp(self, tangent: npt.ArrayLike) -> ExtendedArray:
        return self._elements("hvp", self._tangent(tangent), self._scale)

    def mixed(self, tangent: npt.ArrayLike) -> ExtendedArray:
        return self._elements("mixed", self._tangent(tangent), self._scale)

    def mixed_transposed(self, tangent: npt.ArrayLike) -> ExtendedArray:
        return self._elements("mixed_transposed", self._tangent(tangent), self._scale)

    @cached_property
    def _denominator(self) -> Any:
        if self.case.options.reduction != "mean":
            return np.longdouble(1)
        with np.errstate(all="ignore"):
            parts = [self.loss.denominator(*self._block(rows)) for rows in self._blocks]
        return np.sum(np.asarray(parts, np.longdouble))

    @cached_property
    def _scale(self) -> ExtendedArray:
        with np.errstate(all="ignore"):
            scale = np.ones(self.case.rows, np.longdouble) * self.upstream / self._denominator
        return np.asarray(scale, np.longdouble)

    def _tangent(self, tangent: npt.ArrayLike) -> FloatArray:
        return np.broadcast_to(np.asarray(tangent, np.float64), self.case.logits.shape)

    @property
    def _blocks(self) -> tuple[slice, ...]:
        return tuple(row_blocks(self.case.rows, self.case.classes))

    @property
    def _held(self) -> type[np.floating[Any]]:
        """What the elements of an answer are held in: float64 is enough for a large float32."""
        large = len(self._blocks) > 1 and self.case.dtype != "float64"
        return np.float64 if large else np.longdouble

    def _loss_of(self, rows: slice) -> SoftmaxNLL:
        """The loss of these rows, not reduced; their z-loss is what the reduction takes for one."""
        transform = self.loss.transform.of_rows(rows)
        weight: Any = self.z_loss  # of more digits than a float
        return replace(self.loss, reduction="none", transform=transform, z_loss=weight)

    def _block(self, rows: slice) -> tuple[ExtendedArray, npt.NDArray[Any]]:
        targets: npt.NDArray[Any] = self.case.targets[rows]
        if self.case.target_kind == "probabilities":
            targets = _extended(targets)
        if self.case.head is not None:
            return self.logits[rows], targets
        return _extended(self.case.logits[rows]), targets

    def _elements(
        self, method: str, *arrays: npt.NDArray[Any], held: type[np.floating[Any]] | None = None
    ) -> ExtendedArray:
        """A method of the loss for every row by itself, in blocks of rows; u/den is an array."""
        # 0·log 0 is written as a where(): the discarded branch may be non-finite.
        with np.errstate(all="ignore"):
            parts = [
                getattr(self._loss_of(rows), method)(
                    *self._block(rows), *(_extended(array[rows]) for array in arrays)
                ).astype(held or self._held, copy=False)
                for rows in self._blocks
            ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _reduced(self, rows: ExtendedArray) -> ExtendedArray:
        if self.case.options.reduction == "none":
            return rows
        with np.errstate(all="ignore"):
            return np.asarray(np.sum(rows) / self._denominator, dtype=np.longdouble)


def _extended(values: npt.ArrayLike) -> ExtendedArray:
    return np.asarray(values, dtype=np.longdouble)
