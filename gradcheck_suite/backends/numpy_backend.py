"""NumPy: evaluates; differentiates nothing by itself.

An implementation on NumPy returns its gradient beside the value, or supplies a function for
it; the subject handles both. So ``vjp`` here raises ``Unsupported`` with that remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.errors import Unsupported, UsageError
from gradcheck_suite.layout import LAYOUTS, np_expand
from gradcheck_suite.protocols import (
    ArrayDescription,
    Arrays,
    BackendFactory,
    Function,
)

_REMEDY = "NumPy has no autodiff: return (value, gradient), or give gradient="


class NumPyBackend:
    """Evaluates functions of NumPy arrays."""

    name = "numpy"
    distribution = "numpy"
    modes: frozenset[str] = frozenset()
    conjugates = True
    layouts = frozenset(LAYOUTS)
    compiles_shapes = False

    def version(self) -> str:
        return metadata.version("numpy")

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def owns(self, value: object) -> bool:
        return isinstance(value, np.ndarray | np.generic)

    def asarray(self, values: npt.ArrayLike, dtype: str, device: str) -> npt.NDArray[Any]:
        return np.array(values, dtype=_numpy_dtype(dtype), copy=True, order="C")

    def asnumpy(self, array: Any) -> npt.NDArray[Any]:
        return widened(np.asarray(array))

    def view(self, array: Any) -> npt.NDArray[Any]:
        values = np.asarray(array)
        return values if values.dtype.kind in "fciub" else widened(values)

    def adopt(self, values: npt.NDArray[Any], dtype: str, device: str) -> npt.NDArray[Any]:
        return np.asarray(values, dtype=_numpy_dtype(dtype))

    def viewed(
        self, buffer: npt.NDArray[Any], layout: str, shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        view: npt.NDArray[Any] = LAYOUTS[layout].view(buffer, shape, np_expand)
        return view

    def describe(self, array: Any) -> ArrayDescription:
        array = np.asarray(array)
        return ArrayDescription(tuple(array.shape), str(array.dtype), "cpu")

    def flatten(self, tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
        return flatten(tree)

    @contextmanager
    def precision(self, dtype: str) -> Iterator[None]:
        yield

    def evaluate(self, function: Function, primals: Arrays) -> Arrays:
        return function(*primals)

    def vjp(self, function: Function, primals: Arrays, cotangents: Arrays | None) -> Any:
        raise Unsupported(_REMEDY)

    def recorded(self, function: Function, primals: Arrays) -> Any:
        return function(*primals), lambda cotangents: self.vjp(function, primals, cotangents)

    def moved(self, primal: Any, tangent: Any, step: float) -> Any:
        reached = np.asarray(step * tangent)
        reached += primal  # in place: one array less
        return reached if isinstance(primal, np.ndarray) else reached[()]

    def jvp(self, function: Function, primals: Arrays, tangents: Arrays) -> Any:
        raise Unsupported(_REMEDY)

    def hvp(self, function: Function, primals: Arrays, cotangents: Arrays, tangents: Arrays) -> Any:
        raise Unsupported(_REMEDY)

    def pullback(
        self,
        function: Function,
        primals: Arrays,
        wanted: Sequence[bool] | None = None,
        *,
        keep_graph: bool = False,
    ) -> Any:
        raise Unsupported(_REMEDY)

    def batched_vjp(
        self, function: Function, primals: Arrays, cotangents: Arrays, constants: Arrays = ()
    ) -> Any:
        raise Unsupported("NumPy has no vmap")

    def compiled(self, function: Callable[..., Any], compiler: str = "") -> Callable[..., Any]:
        raise Unsupported("NumPy has no compiler")

    def overwrite(self, array: Any, values: npt.ArrayLike) -> None:
        array[...] = values

    def healthy(self) -> bool:
        return True

    def global_state(self) -> Mapping[str, Any]:
        return {}  # NumPy's settings are the process's own: see process_state.py

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


def widened(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy in the widest type of its kind: floats to float64, complex to complex128."""
    if np.issubdtype(array.dtype, np.complexfloating):
        return array.astype(np.complex128)
    if np.issubdtype(array.dtype, np.floating) or array.dtype.kind == "V":
        return array.astype(np.float64)
    return array.copy()


def flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """Leaves of nested tuples, named tuples, lists and dicts (keys sorted), and the inverse."""
    if isinstance(tree, tuple | list):
        parts = [flatten(child) for child in tree]
        kind = type(tree)

        def build(children: Sequence[Any]) -> Any:
            return kind(*children) if hasattr(kind, "_fields") else kind(children)
    elif isinstance(tree, dict):
        keys = sorted(tree, key=str)
        parts = [flatten(tree[key]) for key in keys]

        def build(children: Sequence[Any]) -> Any:
            return dict(zip(keys, children, strict=True))
    else:
        return [tree], lambda leaves: leaves[0]
    leaves = [leaf for part, _ in parts for leaf in part]

    def rebuild(new: Sequence[Any]) -> Any:
        children, start = [], 0
        for part, rebuild_child in parts:
            children.append(rebuild_child(new[start : start + len(part)]))
            start += len(part)
        return build(children)

    return leaves, rebuild


def _numpy_dtype(dtype: str) -> npt.DTypeLike:
    if dtype != "bfloat16":
        return np.dtype(dtype)
    try:
        import ml_dtypes
    except ImportError:
        raise UsageError(
            "dtype: NumPy has no bfloat16 of its own; pip install ml_dtypes, or choose float32"
        ) from None
    bfloat16: npt.DTypeLike = np.dtype(ml_dtypes.bfloat16)
    return bfloat16


BACKENDS = (BackendFactory("numpy", "numpy", "numpy", NumPyBackend),)
