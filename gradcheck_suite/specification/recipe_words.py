"""A recipe in words: what a case exercises, for people who read about a clause."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from gradcheck_suite.layout import LAYOUTS
from gradcheck_suite.specification.logits import LOGITS
from gradcheck_suite.specification.recipe import Recipe

_REDUCTIONS = {"none": "rows", "sum": "sum", "mean": "mean"}
_TARGETS = {
    "index": "class indices",
    "one-hot": "one-hot probabilities",
    "probabilities": "probabilities, some 0",
    "unnormalised": "probabilities whose sum is not 1",
    "zero-mass": "probability 0 where the logit is −inf",
}
_UPSTREAM = {
    "signed": "a signed upstream, another one in every row",
    "three": "upstream 3",
    "negative": "upstream −3/4",
    "zero": "upstream 0",
}
_ZERO_WEIGHTS = {
    "none": "class weights",
    "last-class": "class weights, 0 for the last class",
    "targets": "class weights, 0 at every target",
}
_MASKS = {
    "shared": "classes masked, the same in every row",
    "rows": "classes masked, others in every row",
    "above": "masked classes whose logits are 1000 above the others",
    "poisoned": "masked classes that hold NaN, inf or −inf",
}


def in_words(recipe: Recipe) -> str:
    """One line: ``mean of 4 rows of 5 classes, class indices, 1 row ignored (−100)``."""
    shape = "×".join(map(str, recipe.batch)) if recipe.batch else str(recipe.rows)
    classes = "1 class" if recipe.classes == 1 else f"{recipe.classes} classes"
    size = f"{shape} row{'s' * (recipe.rows != 1)} of {classes}"
    reduced = _REDUCTIONS[recipe.reduction]
    head = size if recipe.reduction == "none" else f"{reduced} of {size}"
    return ", ".join([head, *_parts(recipe)])


def _parts(recipe: Recipe) -> Iterator[str]:
    yield _TARGETS[recipe.targets]
    if recipe.weight:
        yield _ZERO_WEIGHTS[recipe.zero_weights]
    if recipe.ignored:
        count = "every row" if recipe.ignored == recipe.rows else str(recipe.ignored)
        yield f"{count} ignored ({_which(recipe)})"
    if recipe.features:
        bias = " and a bias" if recipe.linear_bias else ""
        yield f"from a linear head of {recipe.features} features{bias}"
    if recipe.outside:
        yield f"the last is {'C + 1' if recipe.outside == 'past' else 'C'}: no class"
    if recipe.poisoned:
        yield "those hold NaN, inf or −inf"
    if recipe.smoothing:
        yield f"ε = {recipe.smoothing:g}"
    if recipe.softcap is not None:
        yield f"softcap {recipe.softcap:g}"
    if recipe.logit_scale != 1.0:
        yield f"logits times {recipe.logit_scale:g}"
    if recipe.z_loss is not None:
        yield f"z-loss {recipe.z_loss:g}"
    if recipe.mask != "none":
        yield _MASKS[recipe.mask]
    if recipe.axis is not None:
        yield f"classes on axis {recipe.axis}".replace("-", "−")
    if recipe.upstream != "one":
        yield _UPSTREAM[recipe.upstream]
    if recipe.logits != "normal":
        yield f"{recipe.logits} logits: {_family(recipe.logits)}"
    for what, layout in (("logits", recipe.layout), ("the others", recipe.beside)):
        if layout != "contiguous":
            yield f"{what} {layout}: {LAYOUTS[layout].meaning}"


def _which(recipe: Recipe) -> str:
    """Where ignore_index lies: the three places in which losses treat it differently."""
    index = str(recipe.ignore_index).replace("-", "−")
    if recipe.ignore_index >= recipe.classes:
        return f"index {index}, past the last class"
    return f"class {index}" if recipe.ignore_index >= 0 else f"index {index}"


def _family(name: str) -> str:
    """The first line of the family's docstring, as the rest of a sentence."""
    first = (inspect.getdoc(LOGITS[name]) or name).splitlines()[0].rstrip(".")
    return first[:1].lower() + first[1:] if first[1:2].islower() else first
