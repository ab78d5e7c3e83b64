"""Stateful modules opened up: their parameters become primals like any other.

The one place of the engine that knows a framework's class model: a ``torch.nn.Module`` is
recognised by what it offers and called through ``torch.func.functional_call``, with its
buffers copied for each call, so that checking it leaves its running statistics alone.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any


def opened(
    function: Any, primals: tuple[Any, ...]
) -> tuple[Callable[..., Any], tuple[Any, ...], tuple[str, ...]]:
    """The function to call, its arguments, and a name for each argument.

    A module gets one argument more, in front: the parameters that require a gradient, whose
    names stand for themselves (the argument's own name is empty).
    """
    if not _is_module(function):
        return function, primals, _names(function)
    torch = sys.modules["torch"]
    # Detached, so that nothing among them asks for a gradient more than the rest does.
    trained = {
        name: parameter.detach()
        for name, parameter in function.named_parameters()
        if parameter.requires_grad
    }
    inputs = torch.utils._pytree.tree_map(
        lambda leaf: leaf.detach() if isinstance(leaf, torch.Tensor) else leaf, primals
    )
    buffers = dict(function.named_buffers())

    def call(parameters: dict[str, Any], *arguments: Any) -> Any:
        state = {name: buffer.detach().clone() for name, buffer in buffers.items()}
        return torch.func.functional_call(function, {**parameters, **state}, arguments)

    return call, (trained, *inputs), ("", *_names(function.forward))


def registered_leaves(tree: Any) -> Iterator[Any]:
    """Fields of a dataclass; anything else is its own leaf."""
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        for field in dataclasses.fields(tree):
            value = getattr(tree, field.name)
            if dataclasses.is_dataclass(value):
                yield from registered_leaves(value)
            else:
                yield value
    else:
        yield tree


def _is_module(function: Any) -> bool:
    return "torch" in sys.modules and hasattr(function, "named_parameters")


def _names(function: Any) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(one.name for one in parameters if one.kind in kinds)
