"""A case: one concrete question put to an implementation. Frozen values only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradcheck_suite.errors import UsageError
from gradcheck_suite.layout import LayoutName

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
MaskArray = npt.NDArray[np.bool_]

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
        softcap: cap > 0 of z = cap·tanh(s·f/cap), or None.
        logit_scale: s, what the logits are multiplied by: 1/temperature.
        z_loss: λ ≥ 0; every valid row pays λ·lse(z)² more. None for none, as 0 is; a 0 is given
            to the implementation.
        class_mask: bool, (C,) or (N, C), True where the class takes part; None for all.
        axis: on which axis of its logits an implementation finds the classes; None where it is not
            told. The case's own arrays are rows of classes whatever it is.
    """

    reduction: Reduction = "mean"
    weight: FloatArray | None = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0
    softcap: float | None = None
    logit_scale: float = 1.0
    z_loss: float | None = None
    class_mask: MaskArray | None = None
    axis: int | None = None

    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults, by name; ``reduction`` left out."""
        values = ((option, getattr(self, option.name)) for option in fields(self))
        return {
            option.name: value
            for option, value in values
            if option.name != "reduction"
            and value is not None
            and (isinstance(value, np.ndarray) or value != option.default)
        }

    def used(self) -> tuple[str, ...]:
        """Names of the options that differ from their defaults (``reduction`` left out)."""
        return tuple(self.given())

    def extended(self) -> bool:
        """Whether the loss is another one than the plain: z is not f, or there is a z-loss."""
        return any(name in EXTENSIONS and name != "axis" for name in self.given())


#: Options of the loss, and those of them that are extensions, which only some losses have.
OPTIONS = tuple(option.name for option in fields(Options) if option.name != "reduction")
EXTENSIONS = OPTIONS[3:]
#: Options whose names mean other things in signatures too: only who declares one has it.
DECLARED_ALONE = ("axis",)


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """A linear layer before the loss: logits f = X Wᵀ + b.

    Attributes:
        hidden: X, hidden features, shape (N, H).
        linear_weight: W, shape (C, H).
        linear_bias: b, shape (C,), or None.
    """

    hidden: FloatArray
    linear_weight: FloatArray
    linear_bias: FloatArray | None = None

    def parameters(self) -> tuple[FloatArray, ...]:
        """(W, b), or (W,) without a bias."""
        bias = self.linear_bias
        return (self.linear_weight,) if bias is None else (self.linear_weight, bias)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One concrete question: arrays, options, an upstream cotangent, a dtype, a seed.

    Arrays are float64 (int64 for class indices) and read-only; every floating value is
    exactly representable in ``dtype``, so that the reference and the implementation see
    the same numbers. (But for the logits that a linear head makes of them, which neither sees.)

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
        head: the linear layer before the loss, or None. Where there is one, the implementation
            gets its arrays, and ``logits`` are its output rounded to float64.
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
    head: LinearHead | None = None

    @property
    def rank(self) -> int:
        """Number of axes of the logits as the implementation gets them."""
        return 2 if self.batch is None else len(self.batch) + 1

    @classmethod
    def of(
        cls,
        logits: npt.ArrayLike,
        targets: npt.ArrayLike,
        *,
        reduction: Reduction = "none",
        weight: npt.ArrayLike | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        upstream: npt.ArrayLike | None = None,
        dtype: str = "float64",
        seed: int = 0,
    ) -> Case:
        """A case of your own, from lists or arrays; ``gs.conformance(…, cases=case)`` asks it.

        Args:
            logits: f, shape (N, C).
            targets: class indices (N,), integers; or target probabilities (N, C).
            reduction: ``none``, ``sum`` or ``mean``.
            weight: class weights, shape (C,).
            ignore_index: target index of rows that do not count.
            label_smoothing: ε in [0, 1].
            upstream: cotangent u: shape (N,) under ``none``, else a scalar; default 1.
            dtype: working dtype.
            seed: of what a check draws (directions, permutations).

        Raises:
            UsageError: shapes do not fit, or an option is none of its values.
        """
        f, c = np.asarray(logits, dtype=np.float64), np.asarray(targets)
        if f.ndim != 2:
            raise UsageError(f"logits: shape {f.shape} is not (N, C); give rows of class scores")
        index = c.ndim == 1 and (np.issubdtype(c.dtype, np.integer) or not c.size)
        if c.shape != (f.shape[:1] if index else f.shape):
            raise UsageError(
                f"targets: {c.dtype} of shape {c.shape} for logits {f.shape}; give integers of "
                f"shape {f.shape[:1]} or probabilities of shape {f.shape}"
            )
        if reduction not in REDUCTIONS:
            raise UsageError(f"reduction: {reduction!r} is unknown; use {', '.join(REDUCTIONS)}")
        w = None if weight is None else frozen(weight, np.float64)
        if w is not None and w.shape != f.shape[1:]:
            raise UsageError(f"weight: shape {w.shape}; expected one per class, {f.shape[1:]}")
        if not 0.0 <= label_smoothing <= 1.0:
            raise UsageError(f"label_smoothing: {label_smoothing} is not in [0, 1]")
        shape = f.shape[:1] if reduction == "none" else ()
        u = np.ones(shape) if upstream is None else np.asarray(upstream, dtype=np.float64)
        if u.shape not in (shape, ()):
            raise UsageError(f"upstream: shape {u.shape} under {reduction}; expected {shape}")
        return cls(
            id="given",
            logits=frozen(f, np.float64),
            targets=frozen(c, np.int64 if index else np.float64),
            options=Options(reduction, w, ignore_index, float(label_smoothing)),
            upstream=frozen(np.broadcast_to(u, shape), np.float64),
            dtype=dtype,
            seed=seed,
        )

    @property
    def rows(self) -> int:
        return int(self.logits.shape[0])

    @property
    def classes(self) -> int:
        return int(self.logits.shape[1])

    @property
    def target_kind(self) -> TargetKind:
        return "index" if np.issubdtype(self.targets.dtype, np.integer) else "probabilities"

    def without_options(self) -> Case:
        """The case with its reduction and no other option."""
        return replace(self, options=Options(self.options.reduction))

    def with_(self, **changes: Any) -> Case:
        """A case with some fields replaced; arrays are copied and frozen.

        ``reduction`` and the names of options (``OPTIONS``) go to the options.
        """
        names = ("reduction", *OPTIONS)
        options = {name: changes.pop(name) for name in names if name in changes}
        if options.get("weight") is not None:
            options["weight"] = frozen(options["weight"], np.float64)
        if options.get("class_mask") is not None:
            options["class_mask"] = frozen(options["class_mask"], np.bool_)
        for name in ("logits", "upstream"):
            if name in changes:
                changes[name] = frozen(changes[name], np.float64)
        if "targets" in changes:
            integral = np.issubdtype(np.asarray(changes["targets"]).dtype, np.integer)
            changes["targets"] = frozen(changes["targets"], np.int64 if integral else np.float64)
        return replace(self, options=replace(self.options, **options), **changes)
