"""NumPy mutants of layout and rejection: they trust strides, sizes, dtypes or their caller."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutants.mutant import Registry
from mutants.numpy_mutants import REFUSES, correct, cross, distribution, reduced, residual, softmax

mutant = Registry("numpy")
MUTANTS = mutant.mutants


def memory(array: Any) -> tuple[Any, int]:
    """The buffer that an array is a view of, flat, and the place of its first entry there."""
    base = array
    while getattr(base, "base", None) is not None:
        base = base.base
    flat = base.reshape(-1)
    return flat, (array.ctypes.data - flat.ctypes.data) // array.itemsize


def read(array: Any, strides: tuple[int, ...], offset: int | None = None) -> Any:
    """What a kernel with these strides (in entries) reads; past the end it starts again."""
    flat, start = memory(array)
    start = start if offset is None else offset
    places = sum(
        index * stride
        for index, stride in zip(np.indices(array.shape, sparse=True), strides, strict=True)
    )
    return flat[(start + places) % flat.size]


def in_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous array."""
    return tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))


def strides_of(array: Any) -> tuple[int, ...]:
    return tuple(stride // array.itemsize for stride in array.strides)


# --- layout.strided --------------------------------------------------------------------------


@mutant("layout.strided", "the logits are read in the order of their memory")
def logits_read_in_order(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(read(logits, in_order(logits.shape)), targets, reduction=reduction)


@mutant("layout.strided", "the stride of the rows is honoured, that of the classes taken for 1")
def row_stride_alone(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(read(logits, (strides_of(logits)[0], 1)), targets, reduction=reduction)


@mutant("layout.strided", "the logits are read from the start of their buffer")
def offset_ignored(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    found = read(logits, strides_of(logits), offset=0)
    return correct(found, targets, reduction=reduction)


@mutant("layout.strided", "strides are unsigned: a reversed array is read forwards")
def strides_unsigned(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    rows, classes = (abs(stride) for stride in strides_of(logits))
    return correct(read(logits, (rows, classes)), targets, reduction=reduction)


@mutant(
    "layout.strided",
    "each row is shifted in place: rows that share their memory are shifted N times over",
    origin="Liger 0.8.5 (expanded rows)",
)
def scaled_in_place(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    work, t = np.empty_like(logits), distribution(logits, targets)
    for number, row in enumerate(logits):
        row *= 0.5  # a temperature of 2, taken back below
        work[number] = 2 * row
    return reduced(cross(t, np.log(softmax(work))), residual(softmax(work), t), reduction)


@mutant(
    "layout.strided", "the gradient is written in C order into an array laid out like the logits"
)
def gradient_in_order_of_memory(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    like = np.empty_like(logits)  # keeps the order of the logits in memory
    like.reshape(-1, order="A")[:] = gradient.reshape(-1)
    return value, like


# --- layout.targets-strided ------------------------------------------------------------------


@mutant("layout.targets-strided", "class indices are read with stride 1")
def indices_read_in_order(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 1:
        targets = read(targets, (1,))
    return correct(logits, targets, reduction=reduction)


@mutant("layout.targets-strided", "class weights are read with stride 1")
def weights_read_in_order(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    weight = None if weight is None else read(weight, (1,))
    return correct(logits, targets, weight=weight, reduction=reduction)


@mutant("layout.targets-strided", "target probabilities are read with the strides of the logits")
def strides_of_the_logits(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 2:
        targets = read(targets, strides_of(logits))
    return correct(logits, targets, reduction=reduction)


@mutant("layout.targets-strided", "class indices are taken from the start of their buffer")
def indices_from_the_start(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 1:
        targets = read(targets, strides_of(targets), offset=0)
    return correct(logits, targets, reduction=reduction)


# --- layout.sizes ----------------------------------------------------------------------------


def over(entering: Any, logits: Any, targets: Any, reduction: str) -> Any:
    """Rows and gradient whose V(f) sums only the exponentials that enter, (N, C) or more."""
    t = distribution(logits, targets)
    top = logits.max(axis=1, keepdims=True)
    total = entering(np.exp(logits - top)).sum(axis=1, keepdims=True)
    log_p = logits - top - np.log(total)
    return reduced(cross(t, log_p), residual(np.exp(log_p), t), reduction)


@mutant("layout.sizes", "past 64 classes only whole blocks of 64 enter the sum")
def whole_blocks_alone(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    classes = logits.shape[1]
    whole = classes if classes <= 64 else classes - classes % 64
    return over(lambda e: e[:, :whole], logits, targets, reduction)


@mutant("layout.sizes", "a remainder of a single class after blocks of 8 is forgotten")
def single_class_forgotten(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    classes = logits.shape[1]
    kept = classes - 1 if classes > 8 and classes % 8 == 1 else classes
    return over(lambda e: e[:, :kept], logits, targets, reduction)


@mutant("layout.sizes", "the lanes that fill up a block of 32 hold 0, and exp(0) enters the sum")
def lanes_filled_with_zero(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    top = logits.max(axis=1, keepdims=True)
    lanes = -logits.shape[1] % 32 if logits.shape[1] > 32 else 0
    filling = np.repeat(np.exp(-top), lanes, axis=1)
    return over(lambda e: np.concatenate([e, filling], axis=1), logits, targets, reduction)


@mutant("layout.sizes", "a tree of halves loses the odd one out, past 512 classes")
def odd_one_lost(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    def tree(e: Any) -> Any:
        while e.shape[1] > 512:
            half = e.shape[1] // 2
            e = e[:, :half] + e[:, half : 2 * half]
        return e

    return over(tree, logits, targets, reduction)


@mutant("layout.sizes", "class indices are held in a byte")
def index_in_a_byte(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if targets.ndim == 1:
        targets = targets.astype(np.int8).astype(np.int64) % logits.shape[1]
    return correct(logits, targets, reduction=reduction)


@mutant("layout.sizes", "4096 classes at most enter the sum: the least likely are cut off")
def least_likely_cut_off(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return over(lambda e: np.sort(e, axis=1)[:, -4096:], logits, targets, reduction)


@mutant("layout.sizes", "rows past 1024 have no gradient: the grid ends there")
def grid_ends(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    gradient[1024:] = 0
    return value, gradient


@mutant("layout.sizes", "row 64 and those after it are given the answers of the rows from 0 on")
def rows_wrap_around(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value, gradient[np.arange(len(gradient)) % 64]


@mutant("layout.sizes", "from 1024 classes on another path computes in float32")
def large_path_in_float32(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if logits.shape[1] < 1024:
        return correct(logits, targets, reduction=reduction)
    value, gradient = correct(logits.astype(np.float32), targets, reduction=reduction)
    return value.astype(logits.dtype), gradient.astype(logits.dtype)


@mutant("layout.sizes", "target probabilities past the first 1024 classes are not read")
def targets_cut_off(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = distribution(logits, targets)
    if targets.ndim == 2:
        t = np.where(np.arange(t.shape[1]) < 1024, t, 0)
    return correct(logits, t, reduction=reduction)


@mutant("layout.sizes", "the mean over more than 1024 rows is the mean of block means")
def mean_of_block_means(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    if reduction != "mean" or len(logits) <= 1024:
        return correct(logits, targets, ignore_index=ignore_index, reduction=reduction)
    blocks = [
        correct(logits[cut], targets[cut], ignore_index=ignore_index)
        for cut in (slice(0, 1024), slice(1024, None))
    ]
    values, gradients = zip(*blocks, strict=True)
    return np.mean(values), np.concatenate(gradients) / len(blocks)


# --- layout.dtypes ---------------------------------------------------------------------------


@mutant("layout.dtypes", "the gradient is float32, whatever the logits are")
def gradient_in_float32(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    value, gradient = correct(logits, targets, reduction=reduction)
    return value, gradient.astype(np.float32)


@mutant(
    "layout.dtypes",
    "one-hot rows are float64, and promote what was declared to have the logits' dtype",
    dialect={"result_dtype": "logits"},
)
def one_hot_promotes(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    t = np.eye(logits.shape[1])[targets] if targets.ndim == 1 else targets
    p = softmax(logits)
    return reduced(cross(t, np.log(p)), residual(p, t), reduction)


# --- layout.rank -----------------------------------------------------------------------------


def as_rows(logits: Any, targets: Any) -> tuple[Any, Any]:
    """(N, d…, C) as rows, and their targets."""
    flat = logits.reshape(-1, logits.shape[-1])
    kind = targets.ndim == logits.ndim
    return flat, targets.reshape(flat.shape if kind else flat.shape[:1])


@mutant("layout.rank", "the mean over (N, d) rows is divided by N", ranks=(2, 3))
def mean_over_the_first_axis(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    flat, t = as_rows(logits, targets)
    value, gradient = correct(flat, t, reduction=reduction)
    rows = logits.shape[:-1]
    if reduction == "none":
        return value.reshape(rows), gradient.reshape(logits.shape)
    factor = len(flat) / len(logits) if reduction == "mean" else 1
    return value * factor, gradient.reshape(logits.shape) * factor


@mutant(
    "layout.rank",
    "(N, C, d) is reshaped to (N·d, C) without its axes being swapped",
    ranks=(2, 3),
    class_axis=1,
)
def axes_not_swapped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if logits.ndim == 2:
        return correct(logits, targets, reduction=reduction)
    flat = logits.reshape(-1, logits.shape[1])
    shape = flat.shape if targets.ndim == 3 else flat.shape[:1]
    value, gradient = correct(flat, targets.reshape(shape), reduction=reduction)
    if reduction == "none":
        value = value.reshape(logits.shape[0], logits.shape[2])
    return value, gradient.reshape(logits.shape)


# --- rejection -------------------------------------------------------------------------------


@mutant("reject.shape", "targets of shape (N, 1) pick N×N entries, and their mean is a number")
def column_of_targets(logits: Any, targets: Any) -> Any:
    p, rows = softmax(logits), np.arange(len(logits))
    t = np.eye(logits.shape[1], dtype=logits.dtype)[targets.reshape(-1)]
    return -np.log(p[rows, targets]).mean(), (p - t) / max(len(p), 1)


@mutant("reject.shape", "zip() ends with the shorter of logits and targets")
def zip_ends_early(logits: Any, targets: Any) -> Any:
    rows = min(len(logits), len(targets))
    value, gradient = correct(logits[:rows], targets[:rows])
    padding = np.zeros((len(logits) - rows, logits.shape[1]), logits.dtype)
    return value, np.concatenate([gradient, padding])


@mutant("reject.shape", "one row of probabilities is broadcast over the batch")
def one_row_for_all(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return correct(logits, np.broadcast_to(targets, logits.shape), reduction=reduction)


@mutant("reject.shape", "missing class weights are filled up with 1, and extra ones cut off")
def weights_filled_up(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    if weight is not None:
        weight = np.resize(weight, logits.shape[1])
    return correct(logits, targets, weight=weight, reduction=reduction)


@mutant("reject.dtype", "class indices are cast to integers: 2.5 is class 2", dialect=REFUSES)
def indices_cast(logits: Any, targets: Any) -> Any:
    return correct(logits, targets.astype(np.int64))


@mutant("reject.reduction", "whatever is neither none nor sum is the mean")
def falls_through_to_the_mean(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    known = reduction if reduction in ("none", "sum") else "mean"
    return correct(logits, targets, reduction=known)
