"""What is to be checked, taken apart: leaves that are differentiated, and a flat function.

Whatever the user hands over (pytrees, modules, Python floats, a gradient of their own)
becomes one ``Problem``: a function of a tuple of arrays that returns a tuple of arrays,
beside the way its gradient is obtained. The checks know nothing else.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite import backends
from gradcheck_suite.engine import modules
from gradcheck_suite.engine.pieces import norm, peak
from gradcheck_suite.errors import ImplementationError, UsageError
from gradcheck_suite.protocols import Array, ArrayDescription, Arrays, Backend, machine_epsilon

REAL = {"complex64": "float32", "complex128": "float64"}
FLOATING = ("float64", "float32", "float16", "bfloat16", *REAL)
Gradients = tuple[Array | None, ...]
Pullback = Callable[[Arrays, Arrays | None], tuple[Arrays, Gradients]]


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One differentiable array among the primals.

    Attributes:
        name: where it is, for example ``x``, ``params['w']`` or ``layer.weight``.
        described: its shape, dtype and device.
        largest: the largest magnitude in it.
        rms: root mean square of its elements.
    """

    name: str
    described: ArrayDescription
    largest: float
    rms: float

    @property
    def size(self) -> int:
        return math.prod(self.described.shape)

    @property
    def real_dtype(self) -> str:
        return REAL.get(self.described.dtype, self.described.dtype)

    @property
    def is_complex(self) -> bool:
        return self.described.dtype in REAL

    def __str__(self) -> str:
        shape = "×".join(map(str, self.described.shape)) or "scalar"
        return f"{self.name}: {shape} {self.described.dtype}"


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A function of differentiable leaves and everything a check needs to know of it.

    Attributes:
        backend: the framework.
        title: the function's name.
        function: leaves → tuple of differentiable output arrays.
        pullback: (leaves, cotangents) → (values, Jᵀu per leaf).
        recorded: cotangents → Jᵀu at the primals, once, from the evaluation that gave
            ``values`` where the framework has recorded it.
        primals: the user's own arrays. They must not change: a function is given copies.
        leaves: description of each leaf.
        outputs: description of each output.
        values: f(x), as NumPy.
        handwritten: the gradient is the user's, so other modes tell nothing about it.
        notes: what the reader should be told about how the function was understood.
        beside: this is not the user's point, but one a little beside it.
        dtype: the coarsest among leaves and outputs: its machine epsilon is what rounds.
    """

    backend: Backend
    title: str
    function: Callable[..., Arrays]
    pullback: Pullback
    recorded: Callable[[Arrays | None], Gradients]
    primals: Arrays
    leaves: tuple[Leaf, ...]
    outputs: tuple[ArrayDescription, ...]
    values: tuple[npt.NDArray[Any], ...]
    handwritten: bool
    notes: tuple[str, ...] = field(default=())
    beside: bool = False
    dtype: str = field(init=False)

    def __post_init__(self) -> None:
        names = [leaf.real_dtype for leaf in self.leaves]
        names += [REAL.get(output.dtype, output.dtype) for output in self.outputs]
        object.__setattr__(self, "dtype", max(names, key=machine_epsilon))

    @property
    def machine_epsilon(self) -> float:
        return machine_epsilon(self.dtype)

    @property
    def scalar(self) -> bool:
        return len(self.outputs) == 1 and not self.outputs[0].shape

    def at(self, primals: Arrays) -> Problem:
        """The same function at another point."""
        return replace(
            self,
            primals=primals,
            values=tuple(map(self.backend.asnumpy, self.evaluate(self.copies(primals)))),
            recorded=lambda cotangents: self.pullback(self.copies(primals), cotangents)[1],
            beside=True,
        )

    def evaluate(self, primals: Arrays) -> Arrays:
        """f, of arrays that it may write into."""
        return self.backend.evaluate(self.function, primals)

    def copies(self, primals: Arrays) -> Arrays:
        """The same numbers in the same memory order, for a function that may write into them."""
        return copies(self.backend, primals)


def build(
    function: Any,
    primals: tuple[Any, ...],
    *,
    gradient: Callable[..., Any] | None = None,
    scope: ExitStack,
) -> Problem:
    """Takes ``function`` and its arguments apart.

    Args:
        function: the user's function or module.
        primals: its arguments.
        gradient: the user's own gradient, if there is one.
        scope: entered with the precision in which the primals exist (JAX: x64).

    Raises:
        UsageError: no floating array among the primals, mixed frameworks, integers only,
            an empty array, NaN or infinity in the primals.
        ImplementationError: the function returns something that has no derivative.
    """
    if not callable(function):
        raise UsageError(f"function: {function!r} is not callable")
    call, arguments, names = modules.opened(function, primals)
    backend = _backend(arguments, names)
    flat, rebuild = backend.flatten(arguments)
    if all(map(operator.is_, flat, arguments)) and len(flat) == len(arguments):
        rebuild = tuple  # plain arguments: most functions, and rebuilt for every evaluation
    paths = _paths(backend, arguments, names, len(flat))
    _refuse_held_arrays(backend, flat, paths)
    places = _differentiable(backend, flat)
    peaks = _refuse(backend, flat, places, paths)

    def full(*leaves: Array) -> Any:
        filled = list(flat)
        for place, leaf in zip(places, leaves, strict=True):
            filled[place] = float(leaf) if isinstance(flat[place], float) else leaf
        return call(*rebuild(filled))

    widest = [backend.describe(flat[p]).dtype for p in places if backend.owns(flat[p])]
    scope.enter_context(backend.precision(max(widest, key=_width, default="float64")))
    given = tuple(
        np.asarray(flat[place]) if isinstance(flat[place], float) else flat[place]
        for place in places
    )
    own = backend.evaluate(lambda *leaves: leaves, given)  # asking for no gradient themselves
    leaves = tuple(
        _leaf(backend, array, paths[place], largest)
        for array, place, largest in zip(own, places, peaks, strict=True)
    )
    seen = _Seen(backend, full, gradient)
    autodiff = gradient is None and "reverse" in backend.modes
    if autodiff:
        values, recorded = backend.recorded(seen.values, own)
    else:
        values = backend.evaluate(seen.values, copies(backend, own))
    if not autodiff and not seen.returned and gradient is None:
        raise UsageError(
            f"function: {backend.name} has no autodiff; return (value, gradient), or give "
            "gradient=, a function of the same arguments"
        )
    pullback: Pullback
    if autodiff:

        def pullback(at: Arrays, cotangents: Arrays | None) -> Any:
            return backend.vjp(seen.values, at, cotangents)

    else:
        pullback = _handwritten(backend, seen, gradient, rebuild, flat, places, leaves)

        def recorded(cotangents: Arrays | None) -> Gradients:
            return pullback(copies(backend, own), cotangents)[1]

    return Problem(
        backend=backend,
        title=_title(function),
        function=seen.values,
        pullback=pullback,
        recorded=recorded,
        primals=own,
        leaves=leaves,
        outputs=tuple(map(backend.describe, values)),
        values=tuple(map(backend.asnumpy, values)),
        handwritten=not autodiff,
        notes=("the gradient is the one the function returns",) if seen.returned else (),
    )


def copies(backend: Backend, arrays: Arrays) -> Arrays:
    """Multiplied by one: a copy with the same dtype and strides, in every framework."""
    return backend.evaluate(lambda *leaves: tuple(leaf * 1 for leaf in leaves), arrays)


class _Seen:
    """A function whose differentiable outputs are found when it is first called.

    They are found once, on real arrays: under a trace (JAX) an output has no device to be
    asked for.
    """

    def __init__(self, backend: Backend, full: Callable[..., Any], gradient: object) -> None:
        self.full, self.returned = full, False
        self._backend, self._gradient = backend, gradient
        self._part: Callable[[Any], list[Any]] | None = None
        self._kept: list[int] = []

    def values(self, *given: Array) -> Arrays:
        return self.values_of(self.full(*given))

    def values_of(self, result: Any) -> Arrays:
        if self._part is None:
            self._part, self.returned = _value_part(self._backend, result, self._gradient)
            found = self._part(result)
            self._kept = [i for i, one in enumerate(found) if _is_floating(self._backend, one)]
        else:
            found = self._part(result)
        return tuple(found[i] for i in self._kept)


def _width(dtype: str) -> int:
    return {"float64": 2, "complex128": 2}.get(dtype, 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Carries any value through ``Backend.evaluate``, which hands results on as they are."""

    kept: Any


def _hold(value: Any) -> Arrays:
    return (_Held(value),)


def _backend(arguments: Sequence[Any], names: Sequence[str]) -> Backend:
    """The framework of the arrays among the arguments; NumPy for Python floats alone."""
    leaves = list(_plain_leaves(arguments))
    try:
        return backends.owner_of(leaves)
    except UsageError as error:
        arrays = [leaf for leaf in leaves if hasattr(leaf, "shape")]
        if arrays:
            given = zip(_argument_names(arguments, names), arguments, strict=True)
            kinds = ", ".join(f"{name} is {_what(one)}" for name, one in given)
            raise UsageError(f"{error} (given: {kinds})") from None
        if not any(isinstance(leaf, float) for leaf in leaves):
            raise
        return backends.load("numpy")


def _argument_names(arguments: Sequence[Any], names: Sequence[str]) -> list[str]:
    further = (f"argument {number}" for number in range(len(names), len(arguments)))
    return [*names, *further][: len(arguments)]


def _refuse_held_arrays(backend: Backend, flat: Sequence[Any], paths: Sequence[str]) -> None:
    """Refuses NumPy's floating arrays beside a framework's: they would be held constant."""
    for path, leaf in zip(paths, flat, strict=True):
        if type(leaf) is np.ndarray and leaf.dtype.kind in "fc" and not backend.owns(leaf):
            raise UsageError(
                f"primals: {path} is a NumPy array of {leaf.dtype} beside arrays of "
                f"{backend.name}, which would have no gradient in it; mixed frameworks are not "
                f"checked: convert it to {backend.name}, or close over it if it is a constant"
            )


def _plain_leaves(tree: Any) -> Iterator[Any]:
    """Leaves as far as plain containers go, and through registered ones by each framework."""
    if isinstance(tree, tuple | list):
        for child in tree:
            yield from _plain_leaves(child)
    elif isinstance(tree, dict):
        for child in tree.values():
            yield from _plain_leaves(child)
    elif hasattr(tree, "shape") or tree is None or isinstance(tree, int | float | str):
        yield tree
    else:
        yield from modules.registered_leaves(tree)


def _differentiable(backend: Backend, flat: Sequence[Any]) -> tuple[int, ...]:
    """Floating arrays and Python floats; if any asks for a gradient itself, only those do."""
    floating = [
        place
        for place, leaf in enumerate(flat)
        if _is_floating(backend, leaf) or (isinstance(leaf, float) and _no_arrays(backend, flat))
    ]
    asking = [place for place in floating if getattr(flat[place], "requires_grad", False)]
    return tuple(asking or floating)


def _no_arrays(backend: Backend, flat: Sequence[Any]) -> bool:
    """Python floats beside arrays are options (a label smoothing), alone they are primals."""
    return not any(_is_floating(backend, leaf) for leaf in flat if not isinstance(leaf, float))


def _is_floating(backend: Backend, leaf: Any) -> bool:
    if isinstance(leaf, float) and not backend.owns(leaf):
        return False
    return backend.owns(leaf) and backend.describe(leaf).dtype in FLOATING


def _refuse(
    backend: Backend, flat: Sequence[Any], places: Sequence[int], paths: Sequence[str]
) -> list[float]:
    """Refuses what has no derivative; returns the largest magnitude per differentiable leaf."""
    peaks = []
    if not places:
        integers = [
            f"{path} is {backend.describe(leaf).dtype}"
            for path, leaf in zip(paths, flat, strict=True)
            if backend.owns(leaf)
        ]
        found = "; ".join(integers) or "no array was given"
        raise UsageError(
            f"primals: nothing to differentiate ({found}); give a floating array, for example "
            "x.astype(float) or x.double()"
        )
    for place in places:
        values = np.asarray(flat[place]) if isinstance(flat[place], float) else flat[place]
        shape = backend.describe(values).shape
        if math.prod(shape) == 0:
            raise UsageError(
                f"primals: {paths[place]} is empty (shape {shape}); an empty array has no "
                "derivative to check, give at least one element"
            )
        peaks.append(peak(backend, values))
        if not math.isfinite(peaks[-1]):
            array = backend.asnumpy(values)
            at = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
            raise UsageError(
                f"primals: {paths[place]} holds {array[tuple(at)]} at {at}; derivatives are "
                "checked at finite points only"
            )
    return peaks


def _leaf(backend: Backend, array: Array, name: str, largest: float) -> Leaf:
    described = backend.describe(array)
    size = math.prod(described.shape)
    rms = norm(backend, array) / math.sqrt(size)
    return Leaf(name, described, largest, rms)


def _value_part(
    backend: Backend, result: Any, gradient: object
) -> tuple[Callable[[Any], list[Any]], bool]:
    """How to get the differentiable outputs out of a result; whether it returns a gradient."""
    returned = (
        gradient is None
        and "reverse" not in backend.modes
        and isinstance(result, tuple)
        and len(result) == 2
    )
    values, _ = backend.flatten(result[0] if returned else result)
    if not any(_is_floating(backend, one) or isinstance(one, float) for one in values):
        raise ImplementationError(
            f"function: it returned {_what(result)}; a derivative needs at least one floating "
            f"array of {backend.name} in the result"
        )

    def part(result: Any) -> list[Any]:
        if not returned and backend.owns(result):
            return [result]
        found, _ = backend.flatten(result[0] if returned else result)
        return [np.asarray(one) if type(one) in (float, complex) else one for one in found]

    return part, returned


def _what(result: Any) -> str:
    if result is None:
        return "None (is a return missing?)"
    if isinstance(result, str):
        return f"the string {result!r}"
    kind = f"{type(result).__module__}.{type(result).__qualname__}".removeprefix("builtins.")
    dtype = getattr(result, "dtype", None)
    return kind + (f" of {dtype}" if dtype is not None else "")


def _handwritten(
    backend: Backend,
    seen: _Seen,
    gradient: Callable[..., Any] | None,
    rebuild: Callable[[Sequence[Any]], Any],
    flat: Sequence[Any],
    places: Sequence[int],
    leaves: tuple[Leaf, ...],
) -> Pullback:
    """The pullback of a gradient (or Jacobian) that the user's own code computes."""

    def both(*at: Array) -> Arrays:
        if gradient is None:
            result = seen.full(*at)
            return _hold((seen.values_of(result), result[1]))
        filled = list(flat)
        for place, leaf in zip(places, at, strict=True):
            filled[place] = float(leaf) if isinstance(flat[place], float) else leaf
        return _hold((seen.values(*at), gradient(*rebuild(filled))))

    def pullback(at: Arrays, cotangents: Arrays | None) -> Any:
        values, given = backend.evaluate(both, at)[0].kept
        parts = _parts(backend, given, len(flat), places)
        if cotangents is None:
            return values, tuple(parts)
        (value,), (cotangent,) = values, cotangents
        return values, tuple(
            None if part is None else _contract(backend, part, cotangent, value, leaf)
            for part, leaf in zip(parts, leaves, strict=True)
        )

    return pullback


def _parts(backend: Backend, given: Any, all_leaves: int, places: Sequence[int]) -> list[Any]:
    parts, _ = backend.flatten(given)
    parts = [np.asarray(part) if isinstance(part, float) else part for part in parts]
    if len(parts) == len(places):
        return parts
    if len(parts) == all_leaves:
        return [parts[place] for place in places]
    raise ImplementationError(
        f"gradient: it holds {len(parts)} arrays for {len(places)} differentiable primals; "
        "return one gradient per primal, in their order"
    )


def _contract(backend: Backend, part: Array, cotangent: Array, value: Array, leaf: Leaf) -> Array:
    """Jᵀu from a gradient (scalar value), row gradients (rows × …) or a full Jacobian."""
    u = np.asarray(backend.asnumpy(cotangent))
    shape, rows = tuple(part.shape), tuple(value.shape)
    if not rows:
        return part * float(u)
    target = leaf.described.shape
    values = backend.asnumpy(part)
    if shape == rows + target:
        pulled = np.tensordot(u, values, axes=u.ndim)
    elif shape == target and shape[: len(rows)] == rows:
        pulled = values * u.reshape(rows + (1,) * (len(shape) - len(rows)))
    else:
        raise ImplementationError(
            f"gradient: shape {shape} for an output of shape {rows} and {leaf}; return row "
            f"gradients of shape {target} or the Jacobian of shape {rows + target}"
        )
    described = backend.describe(part)
    return backend.asarray(pulled, described.dtype, described.device)


def _title(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type) and function.__name__ == "apply":
        return owner.__name__  # torch.autograd.Function
    if isinstance(function, functools.partial):
        return _title(function.func)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    if name.startswith("_VariableFunctionsClass."):
        return name.replace("_VariableFunctionsClass", "torch")
    return str(name).rpartition("<locals>.")[2]


def _paths(
    backend: Backend, arguments: tuple[Any, ...], names: Sequence[str], count: int
) -> tuple[str, ...]:
    """A name per leaf: the framework flattens a tree of names as it flattened the arguments."""
    given = zip(arguments, _argument_names(arguments, names), strict=True)
    tree = tuple(_named(backend, one, name) for one, name in given)
    paths, _ = backend.flatten(tree)
    if len(paths) != count:
        return tuple(f"leaf {number}" for number in range(count))
    return tuple(map(str, paths))


def _named(backend: Backend, tree: Any, name: str) -> Any:
    if type(tree) is dict:
        return {
            key: _named(backend, child, f"{name}[{key!r}]" if name else str(key))
            for key, child in tree.items()
        }
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        fields = zip(tree._fields, tree, strict=True)
        return type(tree)(*(_named(backend, child, f"{name}.{key}") for key, child in fields))
    if isinstance(tree, tuple | list):
        return tuple(_named(backend, child, f"{name}[{i}]") for i, child in enumerate(tree))
    leaves, _ = backend.flatten(tree)
    if len(leaves) == 1 and leaves[0] is tree:
        return name
    return tuple(f"{name}.{_field_of(tree, leaf, i)}" for i, leaf in enumerate(leaves))


def _field_of(tree: Any, leaf: Any, number: int) -> str:
    """The attribute of a registered container that holds the leaf, else its number."""
    for key, value in getattr(tree, "__dict__", {}).items():
        if value is leaf:
            return str(key)
    return str(number)
