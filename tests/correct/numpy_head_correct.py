"""NumPy losses over a linear head that return (loss, gradients): of X alone, of W, of b as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcheck_suite.implementation import Implementation
from gradcheck_suite.implementations.numpy_reference import softmax_nll


def behind(gradients: Callable[..., Any]) -> Callable[..., Any]:
    """The reference behind a linear head; ``gradients`` is (X, W, G) → what is returned."""

    def loss(
        hidden: Any, linear_weight: Any, targets: Any, *, linear_bias: Any = None, **options: Any
    ) -> Any:
        logits = hidden @ linear_weight.T
        if linear_bias is not None:
            logits = logits + linear_bias
        value, gradient = softmax_nll(logits, targets, **options)
        return value, gradients(hidden, linear_weight, gradient)

    return loss


def of_hidden(hidden: Any, weight: Any, gradient: Any) -> Any:
    return gradient @ weight


def of_hidden_and_weight(hidden: Any, weight: Any, gradient: Any) -> Any:
    return gradient @ weight, gradient.T @ hidden


def of_all(hidden: Any, weight: Any, gradient: Any) -> Any:
    return gradient @ weight, gradient.T @ hidden, gradient.sum(axis=0)


IMPLEMENTATIONS = tuple(
    Implementation(
        f"numpy-head-{name}",
        behind(gradients),
        backend="numpy",
        gradient="returned",
        head="linear",
        dialect={"out_of_range": "raise"},
    )
    for name, gradients in {
        "hidden": of_hidden,
        "hidden-and-weight": of_hidden_and_weight,
        "all": of_all,
    }.items()
)
