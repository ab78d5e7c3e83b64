"""The closed form at a case, in extended precision: what an implementation is held against.

NumPy's ``longdouble`` has a 64-bit significand on x86 and more elsewhere; where it is only
a float64, the reference carries the same rounding error as what it judges, and
``inflation`` widens every bound by exactly that share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.protocols import machine_epsilon
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.softmax_nll import Softmax, SoftmaxNLL

ExtendedArray = npt.NDArray[np.longdouble]


@dataclass(frozen=True, eq=False)
class Reference:
    """The specification's answers to one case, as longdouble arrays.

    Attributes:
        case: the case.
        dialect: the choices the answers follow.
    """

    case: Case
    dialect: Dialect

    @property
    def inflation(self) -> float:
        """1 + (unit roundoff of the reference / of the dtype): the reference's own error."""
        own = float(np.finfo(np.longdouble).eps)
        return 1.0 + own / machine_epsilon(self.case.dtype)

    @cached_property
    def loss(self) -> SoftmaxNLL:
        options = self.case.options
        weight = None if options.weight is None else _extended(options.weight)
        return SoftmaxNLL.of(options, self.dialect, weight)

    @cached_property
    def logits(self) -> ExtendedArray:
        return _extended(self.case.logits)

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
        return np.asarray(self._call(self.loss.effective_targets), dtype=np.float64)

    @cached_property
    def denominator(self) -> float:
        return float(self._call(self.loss.denominator))

    @cached_property
    def scale(self) -> FloatArray:
        """u/den, shape (N,)."""
        return np.asarray(self._call(self.loss.scale, self.upstream), dtype=np.float64)

    @cached_property
    def rows(self) -> ExtendedArray:
        return self._call(self.loss.rows)

    @cached_property
    def value(self) -> ExtendedArray:
        return np.asarray(self._call(self.loss.value), dtype=np.longdouble)

    @cached_property
    def gradient(self) -> ExtendedArray:
        return self._call(self.loss.gradient, self.upstream)

    @cached_property
    def target_gradient(self) -> ExtendedArray:
        return self._call(self.loss.target_gradient, self.upstream)

    @cached_property
    def softmax(self) -> Softmax:
        with np.errstate(all="ignore"):
            return Softmax.of(self.logits)

    def jvp(self, tangent: npt.ArrayLike) -> ExtendedArray:
        return np.asarray(self._call(self.loss.jvp, _extended(tangent)), dtype=np.longdouble)

    def hvp(self, tangent: npt.ArrayLike) -> ExtendedArray:
        return self._call(self.loss.hvp, _extended(tangent), self.upstream)

    def mixed(self, tangent: npt.ArrayLike) -> ExtendedArray:
        return self._call(self.loss.mixed, _extended(tangent), self.upstream)

    def mixed_transposed(self, tangent: npt.ArrayLike) -> ExtendedArray:
        return self._call(self.loss.mixed_transposed, _extended(tangent), self.upstream)

    def _call(self, method: Any, *arguments: Any) -> ExtendedArray:
        # 0·log 0 is written as a where(): the discarded branch may be non-finite.
        with np.errstate(all="ignore"):
            answer: ExtendedArray = method(self.logits, self.targets, *arguments)
        return answer


def _extended(values: npt.ArrayLike) -> ExtendedArray:
    return np.asarray(values, dtype=np.longdouble)
