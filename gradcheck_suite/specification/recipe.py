"""Recipes: cases as inert descriptions, made concrete by a seed and a dtype.

A recipe costs nothing until it is built, its id is read off its fields, and building it
twice with the same seed gives the same bits. Values are drawn so that they are exact where
exactness matters: probabilities are multiples of 1/64 that sum to exactly 1, weights and
upstreams multiples of 1/8, so that T = 1 in every dtype and no implementation is accused of
the rounding of its inputs.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import (
    Case,
    FloatArray,
    LinearHead,
    MaskArray,
    Options,
    Reduction,
    frozen,
)
from gradcheck_suite.layout import LayoutName
from gradcheck_suite.specification.linear_head import output
from gradcheck_suite.specification.logits import LOGITS, Draw, TargetArray

Targets = Literal["index", "one-hot", "probabilities", "unnormalised", "zero-mass"]
Upstream = Literal["one", "signed", "three", "negative", "zero"]
ZeroWeights = Literal["none", "last-class", "targets"]
Outside = Literal["", "next", "past"]
Mask = Literal["none", "shared", "rows", "above", "poisoned"]
LARGEST_BLOCK = 1024
"""Rows or classes: the largest block that kernels in use work through at once."""
_PROBABILITY_GRAIN = 64


@dataclass(frozen=True, slots=True)
class Recipe:
    """A case without its numbers.

    Attributes:
        rows, classes: N and C; N ≠ C wherever a transposition should show.
        reduction: of the loss.
        targets: ``index``; ``one-hot`` (as probabilities); ``probabilities`` (sum 1, some
            0); ``unnormalised`` (sum ≠ 1); ``zero-mass`` (some 0 at a logit of −inf).
        logits: the family the logits are drawn from, a name in ``logits.LOGITS``.
        weight: class weights, non-uniform.
        zero_weights: which of them are 0: none; the ``last-class``'s, which occurs; those of all
            ``targets``, so that a mean over the weights has the denominator 0.
        ignored: number of rows whose target is ``ignore_index``.
        ignore_index: that index; an in-range class makes every row of that class ignored.
        poisoned: ignored rows hold NaN, +inf, or nothing but −inf, in turn.
        smoothing: ε.
        upstream: ``one``; ``signed`` (random, per row under ``none``); ``three`` …
        layout: of the logits in memory; where it repeats one row, every row is that one.
        beside: of targets, class weights and upstream, likewise.
        softcap, logit_scale, z_loss: cap, s and λ (``Options``); exact in every dtype.
        mask: over classes, never over a target: ``shared`` by all rows, (C,), where C > N; one of
            its own for each of the ``rows``, (N, C), which hide one class to all but two; the
            same, with the hidden logits far ``above`` the others, or ``poisoned``: NaN and ±inf.
        axis: where the implementation finds the classes (``Options``).
        features: H of a linear head before the loss, f = X Wᵀ + b with X and W drawn normal so
            that f has the standard deviation 2; 0 for none.
        linear_bias: whether that head has b.
        outside: the last row's index is no class: C (``next``) or C + 1 (``past``).
        batch: shape that the rows are given in, for ranks other than 2; sets ``rows``.
        name: replaces the id read off the fields.
    """

    rows: int = 4
    classes: int = 5
    reduction: Reduction = "none"
    targets: Targets = "index"
    logits: str = "normal"
    weight: bool = False
    zero_weights: ZeroWeights = "none"
    ignored: int = 0
    ignore_index: int = -100
    poisoned: bool = False
    smoothing: float = 0.0
    upstream: Upstream = "one"
    layout: LayoutName = "contiguous"
    beside: LayoutName = "contiguous"
    batch: tuple[int, ...] | None = None
    features: int = 0
    linear_bias: bool = False
    outside: Outside = ""
    softcap: float | None = None
    logit_scale: float = 1.0
    z_loss: float | None = None
    mask: Mask = "none"
    axis: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.batch is not None:
            object.__setattr__(self, "rows", math.prod(self.batch))

    @property
    def arrangement(self) -> tuple[object, ...]:
        """What has code of its own whatever the question is: a quick run asks each once.

        The kind of target, which options are in use, on which side of the classes the index of
        ignored rows lies, the layout in memory, the rank, the size (nothing at all, one class,
        more rows or classes than a block has), and a linear head with its bias.
        """
        kind = "index" if self.targets == "index" else "probabilities"
        options = (self.weight, self.smoothing > 0.0, self.ignored > 0)
        beyond = self.ignored > 0 and (self.ignore_index >= 0, self.ignore_index >= self.classes)
        axes = 1 if self.batch is None else len(self.batch)
        least = (self.rows == 0, self.classes == 1)
        large = (self.rows > LARGEST_BLOCK, self.classes > LARGEST_BLOCK)
        capped, scaled = self.softcap is not None, self.logit_scale != 1.0
        extensions = (capped, scaled, self.z_loss, self.mask, self.axis)
        head = (self.features > 0, self.linear_bias)
        place = (self.layout, self.beside, axes)
        return (kind, options, beyond, *place, least, large, extensions, head)

    @property
    def extended(self) -> bool:
        """Whether the loss is another one than the plain (``Options.extended``)."""
        extension = (self.softcap, self.z_loss) != (None, None) or self.logit_scale != 1.0
        return extension or self.mask != "none"

    @property
    def id(self) -> str:
        """``rows4-classes5-mean-ignored1``: what differs from the plainest case."""
        if self.name:
            return self.name
        parts = [f"rows{self.rows}", f"classes{self.classes}", self.reduction]
        if self.targets != "index":
            parts.append(self.targets)
        if self.logits != "normal":
            parts.append(self.logits)
        if self.weight:
            parts.append("weighted")
        if self.zero_weights != "none":
            parts.append(f"zero-{self.zero_weights}")
        if self.ignored:
            parts.append(f"ignored{self.ignored}")
        if self.ignore_index != -100:
            parts.append(f"index{self.ignore_index}")
        if self.poisoned:
            parts.append("poisoned")
        if self.smoothing:
            parts.append(f"smoothing{self.smoothing:g}")
        if self.upstream != "one":
            parts.append(f"upstream-{self.upstream}")
        if self.layout != "contiguous":
            parts.append(self.layout)
        if self.beside != "contiguous":
            parts.append(f"beside-{self.beside}")
        if self.batch is not None:
            parts.append(f"rank{len(self.batch) + 1}")
        if self.features:
            parts.append(f"features{self.features}")
        if self.linear_bias:
            parts.append("bias")
        if self.outside:
            parts.append(f"outside-{self.outside}")
        if self.softcap is not None:
            parts.append(f"softcap{self.softcap:g}")
        if self.logit_scale != 1.0:
            parts.append(f"scale{self.logit_scale:g}")
        if self.z_loss is not None:
            parts.append(f"z-loss{self.z_loss:g}")
        if self.mask != "none":
            parts.append(f"mask-{self.mask}")
        if self.axis is not None:
            parts.append(f"axis{self.axis}")
        return "-".join(parts)

    def build(self, seed: int, dtype: str) -> Case:
        """The case: the same bits for the same recipe, seed and dtype."""
        rng = np.random.default_rng([seed, zlib.crc32(self.id.encode())])
        targets = self._targets(rng)
        head = self._head(rng, dtype) if self.features else None
        if head is None:
            logits = LOGITS[self.logits](Draw(rng, self.rows, self.classes, targets, dtype))
        else:
            logits = np.asarray(output(head), np.float64)
        if self.targets == "zero-mass":
            logits = np.where(targets == 0, -np.inf, logits)
        if self.poisoned:
            _poison(logits, targets == self.ignore_index)
        weight = self._weight(rng, targets) if self.weight else None
        upstream = self._upstream(rng)
        class_mask = None if self.mask == "none" else self._mask(rng, targets)
        if class_mask is not None:
            targets = _moved_mass(targets, class_mask) if targets.ndim == 2 else targets
            logits = np.where(class_mask, logits, self._hidden(logits))
        if self.layout == "expanded":
            logits = _first_for_all(logits)
        if self.beside == "expanded":
            targets, upstream = _first_for_all(targets), _first_for_all(upstream)
            weight = None if weight is None else _first_for_all(weight)
        return Case(
            id=self.id,
            logits=frozen(logits if head else representable(logits, dtype), np.float64),
            targets=frozen(targets, targets.dtype),
            options=Options(
                reduction=self.reduction,
                weight=None if weight is None else frozen(weight, np.float64),
                ignore_index=self.ignore_index if self.ignored else None,
                label_smoothing=self.smoothing,
                softcap=self.softcap,
                logit_scale=self.logit_scale,
                z_loss=self.z_loss,
                class_mask=None if class_mask is None else frozen(class_mask, np.bool_),
                axis=self.axis,
            ),
            upstream=frozen(upstream, np.float64),
            dtype=dtype,
            seed=seed,
            layout=self.layout,
            beside=self.beside,
            batch=self.batch,
            head=head,
        )

    def _targets(self, rng: np.random.Generator) -> TargetArray:
        if self.logits == "seed-example":
            return np.array([2], dtype=np.int64)
        # The last class always occurs, and every class before one occurs twice: block tails and
        # off-by-one columns are where implementations break.
        first = self.classes - 1
        index = rng.permutation((first + np.arange(self.rows)) % self.classes).astype(np.int64)
        if self.targets == "index":
            index[rng.permutation(self.rows)[: self.ignored]] = self.ignore_index
            if self.outside:
                index[-1] = self.classes + (self.outside == "past")
            return index
        if self.targets == "one-hot":
            return np.eye(self.classes)[index]
        shares = rng.dirichlet(np.ones(self.classes), size=self.rows)
        if self.targets == "zero-mass":
            shares[:, 0] = 0.0
            shares /= shares.sum(axis=1, keepdims=True)
        counts = np.stack([rng.multinomial(_PROBABILITY_GRAIN, row) for row in shares])
        # Every other row has a class without mass: where t_j = 0 is a case of its own.
        for row in counts[::2] if self.classes > 1 else ():
            emptied, full = int(rng.integers(self.classes)), int(row.argmax())
            emptied = emptied if emptied != full else (full + 1) % self.classes
            row[full] += row[emptied]
            row[emptied] = 0
        if self.targets == "unnormalised":
            counts = counts + rng.integers(1, 9, counts.shape)
        return counts / _PROBABILITY_GRAIN

    def _head(self, rng: np.random.Generator, dtype: str) -> LinearHead:
        hidden = rng.standard_normal((self.rows, self.features))
        weight = rng.standard_normal((self.classes, self.features)) * (2.0 / self.features**0.5)
        arrays = [hidden, weight]
        if self.linear_bias:
            arrays.append(rng.standard_normal(self.classes))
        return LinearHead(*(frozen(representable(each, dtype), np.float64) for each in arrays))

    def _weight(self, rng: np.random.Generator, targets: TargetArray) -> FloatArray:
        weight: FloatArray = rng.integers(4, 17, self.classes) / 8
        if self.zero_weights == "last-class":
            weight[-1] = 0.0
        elif self.zero_weights == "targets":
            drawn = Draw(rng, self.rows, self.classes, targets, "float64")
            weight[drawn.target] = 0.0
        return weight

    def _mask(self, rng: np.random.Generator, targets: TargetArray) -> MaskArray:
        """True where a class takes part: at every target, and at one more of its row."""
        target = Draw(rng, self.rows, self.classes, targets, "float64").target
        if self.mask == "shared":
            free = np.setdiff1d(np.arange(self.classes), target)
            taken = np.ones(self.classes, bool)
            taken[rng.permutation(free)[: max(1, len(free) - 1)]] = False
            return taken
        distance = (np.arange(self.classes) - target[:, None]) % self.classes
        hidden = 1 + rng.permutation(self.rows) % max(1, self.classes - 2)
        return distance <= np.maximum(1, self.classes - 1 - hidden[:, None])

    def _hidden(self, logits: FloatArray) -> FloatArray:
        """What the logits of masked classes hold."""
        if self.mask == "poisoned":
            return np.resize([np.nan, np.inf, -np.inf], logits.shape)
        return logits + 1000.0 if self.mask == "above" else logits

    def _upstream(self, rng: np.random.Generator) -> FloatArray:
        shape = (self.rows,) if self.reduction == "none" else ()
        if self.upstream == "signed":
            magnitude = rng.integers(4, 17, shape) / 8
            return np.asarray(magnitude * rng.choice([-1.0, 1.0], shape))
        constant = {"one": 1.0, "three": 3.0, "negative": -0.75, "zero": 0.0}[self.upstream]
        return np.full(shape, constant)


def _moved_mass(targets: TargetArray, mask: MaskArray) -> FloatArray:
    """The probabilities with none at a masked class: its mass goes to the likeliest, exactly."""
    kept = np.where(mask, targets, 0.0)
    kept[np.arange(len(kept)), targets.argmax(axis=1)] += np.sum(targets - kept, axis=1)
    return kept


def _first_for_all(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The first row, or entry, in the place of every other."""
    return np.broadcast_to(values[:1], values.shape) if values.ndim else values


def representable(values: npt.ArrayLike, dtype: str) -> FloatArray:
    """The nearest values that ``dtype`` can hold, as float64."""
    exact = np.asarray(values, dtype=np.float64)
    if dtype == "float64":
        return exact.copy()
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):
            return exact.astype(dtype).astype(np.float64)
    # bfloat16 is the upper half of a float32; round to nearest, ties to even.
    bits = exact.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    result = rounded.view(np.float32).astype(np.float64)
    return np.asarray(np.where(np.isfinite(exact), result, exact))


def _poison(logits: FloatArray, ignored: npt.NDArray[np.bool_]) -> None:
    """Three ways not to be finite, one after the other over the ignored rows."""
    for number, row in enumerate(np.flatnonzero(ignored)):
        if number % 3 == 2:
            logits[row] = -np.inf
        else:
            logits[row, number % logits.shape[1]] = (np.nan, np.inf)[number % 3]


SEED_EXAMPLE = Recipe(
    rows=1, classes=4, reduction="mean", logits="seed-example", name="seed-example"
)
