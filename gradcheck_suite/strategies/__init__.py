"""Hypothesis strategies: logits, targets, options and whole cases, exact in their dtype.

    @given(gs.strategies.cases(dtype="float32"))
    def test_my_loss(case): ...

Every floating value is one that ``dtype`` can hold, probabilities are multiples of 1/64 and
weights and upstreams multiples of 1/8, as in ``specification/recipe.py``. Everything shrinks
towards few rows and classes, logits of 0, class 0, no options, a weight and an upstream of 1.
Arrays are plain, or random from a drawn seed, with some numbers drawn one by one.

Hypothesis is imported where a strategy is made: ``pip install 'gradcheck-suite[hypothesis]'``.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_suite.case import REDUCTIONS, TARGET_KINDS, Reduction, TargetKind
from gradcheck_suite.errors import UsageError
from gradcheck_suite.strategies.drawing import (
    OPTIONS,
    Size,
    Strategy,
    draw_case,
    draw_index,
    draw_logits,
    draw_options,
    draw_probabilities,
    draw_upstream,
    draw_weights,
    hypothesis_strategies,
    size_of,
    sizes,
)

__all__ = [
    "cases",
    "classes",
    "logits",
    "options",
    "rows",
    "targets",
    "upstreams",
    "weights",
]


def rows(*, most: int = 72) -> Strategy:
    """Numbers of rows N ≥ 1: mostly few, and some across the edges of blocks."""
    return sizes(most)


def classes(*, most: int = 129) -> Strategy:
    """Numbers of classes C ≥ 1: mostly few, and some across the edges of blocks."""
    return sizes(most)


def logits(rows: Size = None, classes: Size = None, *, dtype: str = "float64") -> Strategy:
    """Logits f of shape (N, C), as float64 arrays whose values ``dtype`` holds.

    Plain numbers on a lattice, Gaussians, equal and tied rows, saturated and rare classes,
    wide rows, rows at different offsets up to ±10⁶, gaps at which p underflows.

    Args:
        rows, classes: a size or a strategy of sizes; drawn if not given.
        dtype: what holds the values.
    """
    st = hypothesis_strategies()
    return st.composite(draw_logits)(size_of(rows, st), size_of(classes, st), dtype)


def targets(
    rows: Size = None,
    classes: Size = None,
    *,
    kind: TargetKind = "index",
    normalised: bool = True,
) -> Strategy:
    """Class indices (N,), or target probabilities (N, C).

    Args:
        rows, classes: a size or a strategy of sizes; drawn if not given.
        kind: ``index`` or ``probabilities``.
        normalised: whether the rows of probabilities sum to (exactly) 1.
    """
    st = hypothesis_strategies()
    if kind not in TARGET_KINDS:
        raise UsageError(f"kind: {kind!r} is unknown; use {', '.join(TARGET_KINDS)}")
    draw = draw_index if kind == "index" else draw_probabilities
    arguments = () if kind == "index" else (normalised,)
    return st.composite(draw)(size_of(rows, st), size_of(classes, st), *arguments)


def weights(classes: Size = None) -> Strategy:
    """Class weights w ≥ 0, shape (C,), multiples of 1/8; some are exactly 0, not all."""
    st = hypothesis_strategies()
    return st.composite(draw_weights)(size_of(classes, st))


def upstreams(rows: Size = None, *, reduction: Reduction = "none") -> Strategy:
    """Upstream cotangents u, multiples of 1/8: shape (N,) under ``none``, else ()."""
    st = hypothesis_strategies()
    return st.composite(draw_upstream)(size_of(rows, st), reduction)


def options(
    classes: Size = None,
    *,
    names: Sequence[str] = OPTIONS,
    reductions: Sequence[str] = REDUCTIONS,
) -> Strategy:
    """``Options``: a reduction, class weights, ``ignore_index``, smoothing, alone and together.

    ``ignore_index`` is −100, a class, C or more.

    Args:
        classes: C.
        names: the options that may be used.
        reductions: the reductions to choose from.
    """
    st = hypothesis_strategies()
    return st.composite(draw_options)(size_of(classes, st), tuple(names), tuple(reductions))


def cases(
    rows: Size = None,
    classes: Size = None,
    *,
    dtype: str = "float64",
    kinds: Sequence[str] = TARGET_KINDS,
    options: Sequence[str] = OPTIONS,
    reductions: Sequence[str] = REDUCTIONS,
    masks: bool = True,
    unnormalised: bool = True,
) -> Strategy:
    """Whole cases: logits, targets, options and upstream that fit each other.

    A mean has a denominator that is not 0, and what is undefined is left out: smoothing where
    a logit is −inf or targets do not sum to 1, ``ignore_index`` with probabilities.

    Args:
        rows, classes: a size or a strategy of sizes; drawn if not given.
        dtype: working dtype of the case.
        kinds: kinds of targets.
        options: the options that may be used.
        reductions: the reductions to choose from.
        masks: whether logits of −inf occur (with class indices, away from the target).
        unnormalised: whether target probabilities that do not sum to 1 occur.
    """
    st = hypothesis_strategies()
    return st.composite(draw_case)(
        size_of(rows, st), size_of(classes, st), dtype, tuple(kinds), tuple(options),
        tuple(reductions), masks, unnormalised,
    )  # fmt: skip
