"""A case: one concrete question put to an implementation. Frozen values only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradcheck_suite.layout import LayoutName

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

Reduction = Literal["none", "sum", "mean"]
REDUCTIONS: tuple[Reduction, ...] = ("none", "sum", "mean")
TargetKind = Literal["index", "probabilities"]
TARGET_KINDS: tuple[TargetKind, ...] = ("index", "probabilities")


def frozen(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A read-only private copy: a case never changes under an implementation's hands."""
    copy = np.array(array, dtype=dtype, copy=True)
    copy.setflags(write=False)
    return copy


BLOCK = 1 << 17
"""Elements of a block of rows: 1 MiB in float64, of which a bound makes some thirty."""


def row_blocks(rows: int, classes: int) -> Iterator[slice]:
    """Slices of rows with at most ``BLOCK`` elements each, or one row; all rows where they fit."""
    step = max(1, BLOCK // max(classes, 1))
    if rows <= step:
        yield slice(None)
        return
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """The options of the loss, in the words the field uses.

    Attributes:
        reduction: ``none``, ``sum`` or ``mean``.
        weight: class weights w, shape (C,), or None.
        ignore_index: target index of rows that do not count, or None.
        label_smoothing: ε in [0, 1].
    """

    reduction: Reduction = "mean"
    weight: FloatArray | None = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0

    def used(self) -> tuple[str, ...]:
        """Names of the options that differ from their defaults (``reduction`` left out)."""
        names = []
        if self.weight is not None:
            names.append("weight")
        if self.ignore_index is not None:
            names.append("ignore_index")
        if self.label_smoothing:
            names.append("label_smoothing")
        return tuple(names)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One concrete question: arrays, options, an upstream cotangent, a dtype, a seed.

    Arrays are float64 (int64 for class indices) and read-only; every floating value is
    exactly representable in ``dtype``, so that the reference and the implementation see
    the same numbers.

    Attributes:
        id: name within its clause, for example ``rows4-classes5-mean-ignored1``.
        logits: f, shape (N, C).
        targets: class indices c, shape (N,), or target probabilities t, shape (N, C).
        options: options of the loss.
        upstream: cotangent u: shape (N,) under ``none``, else a scalar.
        dtype: working dtype, for example ``float32``.
        seed: seed from which the arrays were drawn.
        layout: how the logits lie in memory.
        beside: how targets, class weights and upstream do.
        batch: shape of the axes other than the classes' of which the N rows are the
            flattening, or None for (N,); ``()`` for logits of shape (C,), (N, d) for K-D ones.
    """

    id: str
    logits: FloatArray
    targets: FloatArray | IndexArray
    options: Options = field(default_factory=Options)
    upstream: FloatArray = field(default_factory=lambda: frozen(1.0, np.float64))
    dtype: str = "float64"
    seed: int = 0
    layout: LayoutName = "contiguous"
    beside: LayoutName = "contiguous"
    batch: tuple[int, ...] | None = None

    @property
    def rank(self) -> int:
        """Number of axes of the logits as the implementation gets them."""
        return 2 if self.batch is None else len(self.batch) + 1

    @property
    def rows(self) -> int:
        return int(self.logits.shape[0])

    @property
    def classes(self) -> int:
        return int(self.logits.shape[1])

    @property
    def target_kind(self) -> TargetKind:
        return "index" if np.issubdtype(self.targets.dtype, np.integer) else "probabilities"

    def with_(self, **changes: Any) -> Case:
        """A case with some fields replaced; arrays are copied and frozen.

        ``reduction``, ``weight``, ``ignore_index`` and ``label_smoothing`` go to the options.
        """
        names = ("reduction", "weight", "ignore_index", "label_smoothing")
        options = {name: changes.pop(name) for name in names if name in changes}
        if options.get("weight") is not None:
            options["weight"] = frozen(options["weight"], np.float64)
        for name in ("logits", "upstream"):
            if name in changes:
                changes[name] = frozen(changes[name], np.float64)
        if "targets" in changes:
            integral = np.issubdtype(np.asarray(changes["targets"]).dtype, np.integer)
            changes["targets"] = frozen(changes["targets"], np.int64 if integral else np.float64)
        return replace(self, options=replace(self.options, **options), **changes)
