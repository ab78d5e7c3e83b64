"""NumPy mutants of a linear head: they return (loss, (∂/∂X, ∂/∂W, ∂/∂b)), one of them wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from correct.numpy_head_correct import behind, of_all

from mutants.mutant import Registry

mutant = Registry("numpy")
MUTANTS = mutant.mutants


def head_mutant(clause: str, mechanism: str) -> Any:
    """Registers a loss with a linear head that returns its gradients."""
    return mutant(
        clause, mechanism, head="linear", gradient="returned", dialect={"out_of_range": "raise"}
    )


def returning(gradients: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return behind(gradients)(*arguments, **options)


@head_mutant("head.value", "the bias enters with half its size")
def half_a_bias(*arguments: Any, **options: Any) -> Any:
    bias = options.pop("linear_bias", None)
    return behind(of_all)(*arguments, linear_bias=None if bias is None else bias / 2, **options)


@head_mutant("head.weight-gradient", "the weight's gradient is Xᵀ G, of the shape (H, C)")
def weight_transposed(*arguments: Any, **options: Any) -> Any:
    def gradients(hidden: Any, weight: Any, gradient: Any) -> Any:
        return gradient @ weight, hidden.T @ gradient, gradient.sum(axis=0)

    return returning(gradients, arguments, options)


@head_mutant("head.weight-gradient", "the weight's gradient is divided by the rows once more")
def divided_twice(*arguments: Any, **options: Any) -> Any:
    def gradients(hidden: Any, weight: Any, gradient: Any) -> Any:
        in_hidden, in_weight, in_bias = of_all(hidden, weight, gradient)
        return in_hidden, in_weight / len(hidden), in_bias

    return returning(gradients, arguments, options)


@head_mutant(
    "head.weight-gradient", "weight decay is part of what is returned as the weight's gradient"
)
def weight_decay_included(*arguments: Any, **options: Any) -> Any:
    def gradients(hidden: Any, weight: Any, gradient: Any) -> Any:
        in_hidden, in_weight, in_bias = of_all(hidden, weight, gradient)
        return in_hidden, in_weight + 1e-3 * weight, in_bias

    return returning(gradients, arguments, options)


@head_mutant("head.bias-gradient", "the bias's gradient is that of the last row")
def bias_of_the_last_row(*arguments: Any, **options: Any) -> Any:
    def gradients(hidden: Any, weight: Any, gradient: Any) -> Any:
        return (*of_all(hidden, weight, gradient)[:2], gradient[-1])

    return returning(gradients, arguments, options)


@head_mutant("head.hidden-gradient", "W is rounded to half precision on the way back")
def weight_rounded_on_the_way_back(*arguments: Any, **options: Any) -> Any:
    def gradients(hidden: Any, weight: Any, gradient: Any) -> Any:
        rounded = weight.astype(np.float16).astype(weight.dtype)
        return (gradient @ rounded, *of_all(hidden, weight, gradient)[1:])

    return returning(gradients, arguments, options)


@head_mutant("head.ignored", "the weight's gradient takes ignored rows for rows of class 0")
def ignored_rows_are_class_0(
    hidden: Any, linear_weight: Any, targets: Any, *, ignore_index: int = -100, **options: Any
) -> Any:
    arguments = (hidden, linear_weight)
    value, found = behind(of_all)(*arguments, targets, ignore_index=ignore_index, **options)
    if targets.ndim == 1 and np.any(targets == ignore_index):
        counted = np.where(targets == ignore_index, 0, targets)
        found = (found[0], behind(of_all)(*arguments, counted, **options)[1][1], found[2])
    return value, found


@head_mutant("head.sizes", "the weight's gradient is added up over whole blocks of 8 rows")
def rows_past_the_last_block(*arguments: Any, **options: Any) -> Any:
    def gradients(hidden: Any, weight: Any, gradient: Any) -> Any:
        in_hidden, in_weight, in_bias = of_all(hidden, weight, gradient)
        whole = len(hidden) // 8 * 8
        if whole:
            in_weight = gradient[:whole].T @ hidden[:whole]
        return in_hidden, in_weight, in_bias

    return returning(gradients, arguments, options)
