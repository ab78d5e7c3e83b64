"""A clause explained: what it asks, why, from where, with which cases and within which bound."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from gradcheck_suite.numerics.forward_error.formulas import EXTENSIONS, FORMULAS, LETTERS
from gradcheck_suite.runner import checks
from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.dialect import CHOICES
from gradcheck_suite.specification.recipe_words import in_words

_LABEL = 9
_INDENT = " " * (2 + _LABEL)
#: Parts of several entries: the second line of an entry stands further in.
_LISTS = ("origin", "bound", "cases")
_CHECKS = "gradcheck_suite.checks."
#: What a failure is explained with, and never decided by.
_AFTERWARDS = frozenset({f"{_CHECKS}triangulation", f"{_CHECKS}judgement"})
#: How threads are written in ``Clause.origin`` → the repository they are in.
_REPOSITORIES = {
    "pytorch": "pytorch/pytorch",
    "optax": "google-deepmind/optax",
    "tensorflow": "tensorflow/tensorflow",
    "Paddle": "PaddlePaddle/Paddle",
    "Liger": "linkedin/Liger-Kernel",
    "TE": "NVIDIA/TransformerEngine",
    "Megatron": "NVIDIA/Megatron-LM",
    "transformers": "huggingface/transformers",
    "torchtune": "pytorch/torchtune",
    "burn": "tracel-ai/burn",
    "iree": "iree-org/iree",
    "chainer": "chainer/chainer",
    "mlx": "ml-explore/mlx",
    "sklearn": "scikit-learn/scikit-learn",
    "unsloth": "unslothai/unsloth",
    "flash-attn": "Dao-AILab/flash-attention",
    "quack": "Dao-AILab/quack",
}


def explain(clause: Clause, width: int = 80) -> str:
    """The clause as text, at most ``width`` columns wide."""
    lines = [f"{clause.id}  ({clause.level})"]
    for label, paragraphs in _parts(clause):
        for number, paragraph in enumerate(paragraphs):
            hanging = "  " if label in _LISTS else ""
            lines.append(_filled("" if number else label, paragraph, width, hanging))
    return "\n".join(lines)


def bounds_of(clause: Clause) -> tuple[str, ...]:
    """The formulas of the bounds that the clause's check reads, in the order of the formulas."""
    named = set(_names(checks()[clause.check].run))
    return tuple(formula for name, formula in FORMULAS.items() if name in named)


def _parts(clause: Clause) -> Iterator[tuple[str, list[str]]]:
    yield "asks", [clause.statement]
    if clause.why:
        yield "because", [clause.why]
    if clause.origin:
        yield "origin", [clause.origin, *_threads(clause.origin)]
    if clause.choice:
        values = ", ".join(CHOICES[clause.choice])
        yield "dialect", [f"{clause.choice}: {values}; advice until declared"]
    decided = inspect.getdoc(checks()[clause.check].run) or ""
    yield "decided", [f"by the check {clause.check}: {decided}"]
    formulas = bounds_of(clause)
    if formulas:
        if any(recipe.extended for recipe in clause.cases):
            formulas = (*formulas, EXTENSIONS)
        yield "bound", [*formulas, f"with {LETTERS} (docs/bounds.md)"]
    else:
        yield "bound", ["none: compared exactly, or by kind"]
    yield "cases", [f"{recipe.id}: {in_words(recipe)}" for recipe in clause.cases]


def _threads(origin: str) -> Iterator[str]:
    """Where the threads that ``origin`` names can be read: ``TE#2139 #2402`` names two."""
    name = ""
    for found in re.finditer(r"([A-Za-z][\w-]*)?#(\d+)", origin):
        name = found[1] or name
        if name in _REPOSITORIES:
            yield f"https://github.com/{_REPOSITORIES[name]}/issues/{found[2]}"


def _names(function: Any) -> Iterator[str]:
    """Names in the function and in whatever functions of the checks it calls, each once."""
    seen: set[str] = set()
    waiting = [inspect.unwrap(function)]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, FunctionType) or not current.__module__.startswith(_CHECKS):
            continue
        if current.__module__ in _AFTERWARDS or f"{current.__module__}:{current.__name__}" in seen:
            continue
        seen.add(f"{current.__module__}:{current.__name__}")
        for name in _co_names(current.__code__):
            yield name
            waiting.append(current.__globals__.get(name))


def _co_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _co_names(constant)


def _filled(label: str, text: str, width: int, hanging: str) -> str:
    return textwrap.fill(
        " ".join(text.split()),
        width,
        initial_indent=f"  {label:<{_LABEL}}",
        subsequent_indent=_INDENT + hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )
