"""How the strategies draw: a family of logits, then what fits it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck_suite.case import Case, FloatArray, Options, frozen
from gradcheck_suite.errors import UsageError
from gradcheck_suite.specification.recipe import representable

Strategy = Any  # hypothesis.strategies.SearchStrategy, of a library that may be absent
Draw = Callable[[Strategy], Any]
Size = int | Strategy | None

OPTIONS = ("weight", "ignore_index", "label_smoothing")
#: Sizes across the block edges of kernels.
EDGES = (31, 32, 33, 63, 64, 65, 127, 128, 129)
_GRAIN = 64
_LARGEST = {"float64": 1e6, "float32": 1e6, "bfloat16": 1e6, "float16": 4096.0}


def hypothesis_strategies() -> Any:
    """``hypothesis.strategies``.

    Raises:
        UsageError: Hypothesis is not installed; with the command that does it.
    """
    try:
        from hypothesis import strategies
    except ImportError as error:
        raise UsageError(
            "strategies: Hypothesis is not installed; "
            "try: pip install 'gradcheck-suite[hypothesis]'"
        ) from error
    return strategies


def sizes(most: int) -> Strategy:
    """Mostly few, and some across the edges of blocks."""
    st = hypothesis_strategies()
    edges = [size for size in EDGES if size <= most] or [1]
    return st.one_of(
        st.integers(1, min(6, most)), st.integers(1, min(40, most)), st.sampled_from([1, *edges])
    )


def size_of(given: Size, st: Any) -> Strategy:
    """The strategy that a size, a strategy or nothing stands for."""
    if given is None:
        return sizes(40)
    return st.just(given) if isinstance(given, int) else given


def draw_logits(draw: Draw, rows: Strategy, classes: Strategy, dtype: str) -> FloatArray:
    """Behind ``logits``."""
    return _logits(draw, draw(rows), draw(classes), dtype)


def draw_index(draw: Draw, rows: Strategy, classes: Strategy) -> Any:
    """Behind ``targets`` of classes."""
    return _index(draw, draw(rows), draw(classes))


def draw_probabilities(draw: Draw, rows: Strategy, classes: Strategy, normalised: bool) -> Any:
    """Behind ``targets`` of probabilities."""
    return _probabilities(draw, draw(rows), draw(classes), normalised)


def draw_weights(draw: Draw, classes: Strategy) -> FloatArray:
    """Behind ``weights``."""
    return _weights(draw, draw(classes))


def draw_upstream(draw: Draw, rows: Strategy, reduction: str) -> FloatArray:
    """Behind ``upstreams``."""
    return _upstream(draw, draw(rows), reduction)


def draw_options(
    draw: Draw, classes: Strategy, names: tuple[str, ...], reductions: tuple[str, ...]
) -> Options:
    """Behind ``options``."""
    return _options(draw, draw(classes), names, reductions)


def draw_case(
    draw: Draw,
    rows: Strategy,
    classes: Strategy,
    dtype: str,
    kinds: tuple[str, ...],
    names: tuple[str, ...],
    reductions: tuple[str, ...],
    masks: bool,
    unnormalised: bool,
) -> Case:
    """Behind ``cases``."""
    st = hypothesis_strategies()
    N, C = draw(rows), draw(classes)
    kind = draw(st.sampled_from(kinds))
    by_index = kind == "index"
    if not by_index:
        names = tuple(name for name in names if name != "ignore_index")
    options = _options(draw, C, names, reductions)
    scaled = not by_index and unnormalised and not options.label_smoothing
    normalised = not scaled or draw(st.integers(0, 3)) < 3
    targets: Any = _index(draw, N, C) if by_index else _probabilities(draw, N, C, normalised)
    logits = _logits(draw, N, C, dtype)
    if by_index and options.ignore_index is not None:
        _ignore(draw, targets, options)
    if by_index and masks and not options.label_smoothing and C > 1:
        _mask(draw, logits, targets, options)
    if options.weight is not None and options.reduction == "mean":
        options = _with_a_denominator(options, targets)
    return Case(
        id="generated",
        logits=frozen(logits, np.float64),
        targets=frozen(targets, targets.dtype),
        options=options,
        upstream=frozen(_upstream(draw, N, options.reduction), np.float64),
        dtype=dtype,
    )


def _array(
    draw: Draw,
    shape: tuple[int, ...],
    plain: float,
    random: Callable[[np.random.Generator], Any],
    number: Strategy,
) -> Any:
    """Plain numbers, or random ones from a drawn seed, some of them then drawn one by one.

    How much is drawn does not depend on the shape, so that Hypothesis can make an array smaller
    and keep the rest.
    """
    st = hypothesis_strategies()
    seed, size = draw(st.integers(0, 2**16)), int(np.prod(shape))
    found = random(np.random.default_rng(seed)) if seed else np.full(shape, plain)
    places = st.tuples(st.integers(0, size - 1), number)
    for place, value in draw(st.lists(places, max_size=6)):
        found.flat[place] = value
    return found


def _logits(draw: Draw, rows: int, classes: int, dtype: str) -> FloatArray:
    st = hypothesis_strategies()
    family = draw(st.sampled_from(tuple(_FAMILIES)))
    shape = (rows, classes)
    quarters = st.integers(-12, 12).map(lambda number: number / 4)
    plain = _array(draw, shape, 0.0, lambda rng: rng.integers(-12, 13, shape) / 4, quarters)
    with np.errstate(over="ignore"):
        return representable(_FAMILIES[family](draw, plain, _LARGEST[dtype]), dtype)


def _plain(draw: Draw, plain: FloatArray, largest: float) -> FloatArray:
    return plain


def _gaussian(draw: Draw, plain: FloatArray, largest: float) -> FloatArray:
    rng = np.random.default_rng(draw(hypothesis_strategies().integers(0, 2**16)))
    return np.asarray(plain + rng.standard_normal(plain.shape))


def _equal(draw: Draw, plain: FloatArray, largest: float) -> FloatArray:
    return np.repeat(plain[:, :1], plain.shape[1], axis=1)


def _tied(draw: Draw, plain: FloatArray, largest: float) -> FloatArray:
    """Two or more maxima in every row, in changing places."""
    st = hypothesis_strategies()
    rows, classes = plain.shape
    found, several = plain.copy(), draw(st.integers(2, 4))
    for row in range(rows):
        for place in range(several):
            found[row, (row + place * (1 + row % 3)) % classes] = found[row].max()
    return found


def _wide(draw: Draw, plain: FloatArray, largest: float) -> FloatArray:
    return plain * 16.0


def _lifted(draw: Draw, plain: FloatArray, largest: float) -> FloatArray:
    """One class far above or below the others: saturated and rare targets, underflow."""
    st = hypothesis_strategies()
    lifts = (30.0, -30.0, 40.0, 88.0, -88.0, 104.0, 745.0, -745.0, 1000.0, -1000.0)
    found = plain.copy()
    found[:, draw(st.integers(0, plain.shape[1] - 1))] += draw(st.sampled_from(lifts))
    return found


def _offset(draw: Draw, plain: FloatArray, largest: float) -> FloatArray:
    """Rows at different offsets."""
    return plain + np.linspace(-100.0, 100.0, len(plain) + 1)[1:, None]


def _far(draw: Draw, plain: FloatArray, largest: float) -> FloatArray:
    """One row, or all of them, at a huge offset."""
    st = hypothesis_strategies()
    found = plain.copy()
    chosen = draw(st.sampled_from((slice(None), slice(0, 1), slice(1, None))))
    found[chosen] += draw(st.sampled_from((largest, -largest, largest / 16, -largest / 16)))
    return found


_FAMILIES = {
    "plain": _plain,
    "gaussian": _gaussian,
    "equal": _equal,
    "tied": _tied,
    "wide": _wide,
    "lifted": _lifted,
    "offset": _offset,
    "far": _far,
}


def _index(draw: Draw, rows: int, classes: int) -> Any:
    st = hypothesis_strategies()
    return _array(
        draw, (rows,), 0, lambda rng: rng.integers(0, classes, rows), st.integers(0, classes - 1)
    )


def _probabilities(draw: Draw, rows: int, classes: int, normalised: bool) -> FloatArray:
    st = hypothesis_strategies()
    make = draw(st.sampled_from(("one-hot", "mixed", "sparse")))
    index = _index(draw, rows, classes)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    if make == "one-hot":
        counts = _GRAIN * np.eye(classes, dtype=np.int64)[index]
    else:
        shares = rng.dirichlet(np.full(classes, 1.0 if make == "mixed" else 0.2), size=rows)
        counts = np.stack([rng.multinomial(_GRAIN, share) for share in shares])
    if not normalised:
        counts = counts + rng.integers(0, 9, counts.shape)
        counts[:, 0] += 1
    return np.asarray(counts / _GRAIN)


def _weights(draw: Draw, classes: int) -> FloatArray:
    found = _eighths(draw, (classes,), (8, 16, 4, 0, 12, 1, 24))
    if not found.any():
        found[0] = 1.0
    return found


def _upstream(draw: Draw, rows: int, reduction: str) -> FloatArray:
    return _eighths(draw, (rows,) if reduction == "none" else (), (8, -8, 24, 0, 4, -12))


def _eighths(draw: Draw, shape: tuple[int, ...], numerators: tuple[int, ...]) -> FloatArray:
    """Multiples of 1/8, the first of them where nothing else is asked for."""
    one = hypothesis_strategies().sampled_from(numerators)
    numbers = _array(draw, shape, numerators[0], lambda rng: rng.choice(numerators, shape), one)
    return np.asarray(numbers / 8)


def _options(
    draw: Draw, classes: int, names: tuple[str, ...], reductions: tuple[str, ...]
) -> Options:
    st = hypothesis_strategies()
    used = {name: name in names and draw(st.booleans()) for name in OPTIONS}
    within = (0, classes - 1) if classes > 1 else ()  # the one class cannot be ignored and asked
    indices = (-100, *within, classes, classes + 7)
    smoothings = (0.5, 0.1, 0.25, 0.9, 1.0)
    return Options(
        reduction=draw(st.sampled_from(reductions)),
        weight=frozen(_weights(draw, classes), np.float64) if used["weight"] else None,
        ignore_index=draw(st.sampled_from(indices)) if used["ignore_index"] else None,
        label_smoothing=draw(st.sampled_from(smoothings)) if used["label_smoothing"] else 0.0,
    )


def _ignore(draw: Draw, targets: Any, options: Options) -> None:
    """Some of the last rows get the ignored index; the first counts."""
    st = hypothesis_strategies()
    count = draw(st.integers(0, len(targets) - 1))
    targets[len(targets) - count :] = options.ignore_index
    if targets[0] == options.ignore_index:
        targets[0] = 1 if targets[0] == 0 else 0


def _mask(draw: Draw, logits: FloatArray, targets: Any, options: Options) -> None:
    """In one case of three some logits are −inf: single ones, or a whole block of classes."""
    st = hypothesis_strategies()
    if draw(st.integers(0, 2)) < 2:
        return
    rows, classes = logits.shape
    first, last = sorted((draw(st.integers(0, classes - 1)), draw(st.integers(0, classes))))
    every = draw(st.integers(1, 3))
    for row in range(0, rows, every):
        if targets[row] != options.ignore_index:
            kept = logits[row, targets[row]]
            logits[row, first:last] = -np.inf
            logits[row, targets[row]] = kept


def _with_a_denominator(options: Options, targets: Any) -> Options:
    """A mean over weights needs one that is not 0 where a target is."""
    assert options.weight is not None
    weight = options.weight.copy()
    if targets.ndim == 1:
        valid = targets[targets != options.ignore_index]
        mass = weight[valid].sum() if valid.size else 1.0
    else:
        mass = (targets * weight).sum()
    if mass == 0:
        weight[:] = np.maximum(weight, 1.0)
    return Options(
        options.reduction, frozen(weight, np.float64), options.ignore_index,
        options.label_smoothing,
    )  # fmt: skip
