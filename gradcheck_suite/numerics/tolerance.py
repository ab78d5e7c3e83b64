"""What a tolerance is made of: the arithmetic it assumes and a bound that keeps its terms.

docs/bounds.md derives the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, SupportsIndex

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray
from gradcheck_suite.errors import UsageError

_UNIT_ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "bfloat16": 2.0**-8,
    "float16": 2.0**-11,
}
# The smallest number that is sure to be kept. The wide formats are flushed at their smallest
# normal by some (XLA on the CPU); float16 has subnormals everywhere, down to 2^-24.
_SMALLEST = {
    "float64": 2.0**-1022,
    "float32": 2.0**-126,
    "bfloat16": 2.0**-126,
    "float16": 2.0**-24,
}
_NOT_KEPT = "forward error"

Index = SupportsIndex | tuple[SupportsIndex, ...]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The arithmetic an implementation declares: what each of its operations may err by.

    Attributes:
        unit_roundoff: u, relative error of one operation of the computation.
        summation_roundoff: u_s, that of one addition inside a sum over classes or rows.
        storage_roundoff: U, relative error of storing a result in a narrower dtype, else 0.
        log_probability_roundoff: U_s, the same for log-probabilities (and the cotangents
            that flow through them) that are stored on the way, else 0.
        smallest_normal: ω of the computation; what is smaller may be flushed to 0.
        output_smallest_normal: ω_out, the same for the result.
    """

    unit_roundoff: float
    summation_roundoff: float
    storage_roundoff: float
    log_probability_roundoff: float
    smallest_normal: float
    output_smallest_normal: float

    @classmethod
    def of(cls, dtype: str, accumulation: str | None = None) -> Arithmetic:
        """The arithmetic of a dtype: ``float64``, ``float32``, ``bfloat16`` or ``float16``.

        A half precision has three. ``accumulation="float32"`` computes in float32 and stores
        the results (and perhaps log-probabilities) in ``dtype``: a fused kernel. None, which is
        what is assumed of those who declare nothing, may round every operation to ``dtype``,
        with sums accumulated in float32: a composition in PyTorch or JAX. ``dtype`` itself also
        accumulates sums in ``dtype``.

        Raises:
            UsageError: an unknown dtype, or an accumulation that is neither the dtype nor,
                for a half precision, float32.
        """
        if dtype not in _UNIT_ROUNDOFF:
            known = ", ".join(_UNIT_ROUNDOFF)
            raise UsageError(f"dtype: no bounds are known for {dtype!r}; use one of {known}")
        half = dtype in ("bfloat16", "float16")
        if accumulation not in (None, dtype) and not (half and accumulation == "float32"):
            raise UsageError(
                f"accumulation: {accumulation!r} with dtype {dtype!r}; use the dtype itself"
                + (" or 'float32'" if half else "")
            )
        computed = "float32" if accumulation == "float32" else dtype
        summed = "float32" if half and accumulation is None else computed
        stored = _UNIT_ROUNDOFF[dtype] if computed != dtype else 0.0
        return cls(
            unit_roundoff=_UNIT_ROUNDOFF[computed],
            summation_roundoff=_UNIT_ROUNDOFF[summed],
            storage_roundoff=stored,
            log_probability_roundoff=stored,
            smallest_normal=_SMALLEST[computed],
            output_smallest_normal=_SMALLEST[dtype],
        )

    @property
    def backward(self) -> Arithmetic:
        """The same for sums that automatic differentiation makes: accumulated in u.

        XLA adds up bfloat16 in a tree of bfloat16 sums on the CPU where the program says
        ``lax.reduce``, as the transpose of a broadcast does; ``jnp.sum`` and PyTorch use float32.
        """
        return replace(self, summation_roundoff=self.unit_roundoff)


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A bound on absolute errors, element by element, that keeps its derivation.

    Attributes:
        total: the bound; infinite where it says nothing (see docs/bounds.md, Vacuity).
        terms: what it is the sum of, as (label, array) with arrays of the total's shape. Those
            of a large case are not kept.
        detail: derives the bound of one row (1, C) with its terms again, where they were not
            kept.
    """

    __array_ufunc__: ClassVar[None] = None  # array * bound is a Bound, not an array of objects

    total: FloatArray
    terms: tuple[tuple[str, FloatArray], ...]
    detail: Callable[[int], Bound] | None = None

    @classmethod
    def of(cls, shape: tuple[int, ...], terms: Iterable[tuple[str, npt.ArrayLike]]) -> Bound:
        """The sum of ``terms``, each broadcast to ``shape``."""
        spread = tuple(
            (label, np.broadcast_to(np.asarray(value, np.float64), shape)) for label, value in terms
        )
        total = np.zeros(shape)
        for _, value in spread:
            total += value
        return cls(total, spread)

    @classmethod
    def concatenated(cls, parts: Sequence[Bound]) -> Bound:
        """Bounds of consecutive rows as one; all have the same terms."""
        labels = [label for label, _ in parts[0].terms]
        terms = (
            (label, np.concatenate([part.terms[position][1] for part in parts]))
            for position, label in enumerate(labels)
        )
        return cls(np.concatenate([part.total for part in parts]), tuple(terms))

    @property
    def vacuous(self) -> npt.NDArray[np.bool_]:
        """Where the bound is infinite: no result could be judged there."""
        return ~np.isfinite(self.total)

    def at(self, index: Index) -> tuple[float, tuple[tuple[str, float], ...]]:
        """The bound of one element and its terms."""
        if self.detail is not None and isinstance(index, tuple):
            return self.detail(int(index[0])).at((0, *index[1:]))
        terms = tuple((label, float(value[index])) for label, value in self.terms)
        return float(self.total[index]), terms

    def resolution(self, exact: npt.ArrayLike) -> float:
        """The smallest r such that ``exact`` × (1 + r) is told from ``exact`` somewhere."""
        size = np.abs(np.asarray(exact, np.float64))
        seen = np.isfinite(size) & (size > 0.0)
        return float(np.min(self.total[seen] / size[seen])) if np.any(seen) else np.inf

    def sum(self, axis: int | None = None) -> Bound:
        """The bound of an exact sum of the elements, over one axis or over all."""
        return self._each(lambda value: np.sum(value, axis=axis))

    def take(self, index: Any) -> Bound:
        """The bound of some of the elements: ``index`` is whatever indexes the arrays."""
        return self._each(lambda value: value[index])

    def __add__(self, other: Bound) -> Bound:
        shape = np.broadcast_shapes(self.total.shape, other.total.shape)
        mine, theirs = self._with_terms(), other._with_terms()
        labels = dict.fromkeys(label for label, _ in mine.terms + theirs.terms)
        pairs = ((label, mine._term(label) + theirs._term(label)) for label in labels)
        return Bound.of(shape, pairs)

    def __mul__(self, factor: npt.ArrayLike) -> Bound:
        """The bound of the result × factor; the factor's sign does not matter."""
        size = np.abs(np.asarray(factor, np.float64))
        scaled = self._each(lambda value: vanishing_product(size, value))
        if self.detail is None or size.ndim:
            return scaled
        detail = self.detail
        return Bound(scaled.total, (), lambda row: detail(row) * size)

    __rmul__ = __mul__

    def _term(self, label: str) -> FloatArray:
        return sum((value for name, value in self.terms if name == label), start=np.zeros(()))

    def _with_terms(self) -> Bound:
        """Itself, or one term for all where they were not kept."""
        return self if self.detail is None else Bound(self.total, ((_NOT_KEPT, self.total),))

    def _each(self, function: Callable[[FloatArray], npt.ArrayLike]) -> Bound:
        if self.detail is not None:
            total = np.asarray(function(self.total))
            return Bound(total, ((_NOT_KEPT, total),))
        terms = tuple((label, np.asarray(function(value))) for label, value in self.terms)
        return Bound(np.asarray(function(self.total)), terms)


def vanishing_product(factor: npt.ArrayLike, value: npt.ArrayLike) -> FloatArray:
    """factor × value, where a factor of 0 also cancels an infinite value."""
    factor, value = np.broadcast_arrays(np.asarray(factor, float), np.asarray(value, float))
    product = np.zeros(factor.shape)
    np.multiply(factor, value, out=product, where=factor != 0.0)
    return product
