"""What came back from an implementation, held to what it must be: an array, and of which shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck_suite.case import FloatArray
from gradcheck_suite.errors import ImplementationError, WrongShape
from gradcheck_suite.protocols import Array, Backend


def loss(backend: Backend, result: Any, expected: tuple[int, ...], reduction: str) -> Array:
    """The loss itself, unchanged.

    Raises:
        ImplementationError: it is no array of the backend (nor, on NumPy, a number).
        WrongShape: it has another shape than the reduction asks for.
    """
    if isinstance(result, tuple | list) or not _is_array(backend, result):
        several = isinstance(result, tuple)
        hint = ", or (value, gradient); value= picks the loss out of several" if several else ""
        raise ImplementationError(
            f"loss returned {_described(result)}; expected a {backend.name} array{hint}"
        )
    shape = tuple(np.shape(result))
    if shape != expected:
        raise WrongShape(
            f"loss returned shape {shape} under reduction={reduction!r}; specified {expected}"
        )
    return result


def pair(result: Any) -> tuple[Any, Any]:
    """(value, gradient), for a loss that returns both.

    Raises:
        ImplementationError: it is no pair.
    """
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ImplementationError(f"loss returned {_described(result)}; expected (value, gradient)")
    return result[0], result[1]


def gradients(found: Any) -> tuple[Any, ...]:
    """What a loss with a linear head returns as its gradient: ∂/∂X, then ∂/∂W and ∂/∂b if it does.

    Raises:
        ImplementationError: there is none, or more than three.
    """
    several = tuple(found) if isinstance(found, tuple | list) else (found,)
    if not 1 <= len(several) <= 3:
        raise ImplementationError(
            f"gradient is {_described(found)}; expected that in the hidden features, or (hidden, "
            "linear_weight), or (hidden, linear_weight, linear_bias)"
        )
    return several


def gradient(backend: Backend, found: Any, expected: tuple[int, ...], argument: str) -> FloatArray:
    """A gradient as NumPy has it.

    Raises:
        ImplementationError: it is None (a cut graph), or no array.
        WrongShape: it has another shape than the argument.
    """
    if found is None:
        raise ImplementationError(
            f"no gradient in the {argument}: the result does not depend on them (a cut graph)"
        )
    if not backend.owns(found):
        raise ImplementationError(
            f"gradient in the {argument} is {_described(found)}; expected an array"
        )
    array = backend.asnumpy(found)
    if array.shape != expected:
        raise WrongShape(
            f"gradient in the {argument} has shape {array.shape}; specified {expected}"
        )
    return array


def _is_array(backend: Backend, value: object) -> bool:
    plain = backend.name == "numpy" and isinstance(value, float | int)
    return plain or backend.owns(value)


def _described(value: object) -> str:
    if value is None or isinstance(value, str | bool | float | int):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__module__}.{type(value).__qualname__}"
