"""JAX: reverse mode, forward mode, second order and jit. x64 is scoped, never set globally."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.errors import Unsupported, UsageError
from gradcheck_suite.protocols import (
    Array,
    ArrayDescription,
    Arrays,
    Backend,
    BackendFactory,
    Function,
    Pullback,
)

# What JAX raises where a derivative does not exist: a custom_vjp in forward mode, a host
# callback or a while_loop in reverse mode.
_UNSUPPORTED = (TypeError, NotImplementedError, ValueError)
_WIDE = ("float64", "complex128", "int64")


class JaxBackend:
    """Evaluates and differentiates functions of ``jax.Array``."""

    name = "jax"
    distribution = "jax"
    modes = frozenset({"reverse", "forward", "second", "compiled", "batched"})
    conjugates = False
    layouts = frozenset({"contiguous"})
    compiles_shapes = True

    def __init__(self) -> None:
        import jax
        import jax.numpy

        self.jax: Any = jax
        self._enable_x64: Any = getattr(jax, "enable_x64", None)
        if self._enable_x64 is None:  # before jax 0.8
            from jax.experimental import enable_x64

            self._enable_x64 = enable_x64

        # Every setting that JAX has, but for the few that can be written and not read.
        self._settings = [name for name in jax.config.values if hasattr(jax.config, name)]

    def version(self) -> str:
        return str(self.jax.__version__)

    def devices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_device_name(device) for device in self._all_devices()))

    def owns(self, value: object) -> bool:
        return isinstance(value, self.jax.Array)

    def asarray(self, values: npt.ArrayLike, dtype: str, device: str) -> Array:
        # Converted before it reaches JAX: outside x64 jnp would cut float64 to float32
        # itself, and warn.
        converted = np.asarray(values).astype(self.jax.numpy.dtype(dtype))
        return self.jax.device_put(converted, self._device(device))

    def asnumpy(self, array: Array) -> npt.NDArray[Any]:
        values = np.asarray(array)
        if self.jax.numpy.issubdtype(values.dtype, np.complexfloating):
            return values.astype(np.complex128)
        if self.jax.numpy.issubdtype(values.dtype, np.floating):
            return values.astype(np.float64)
        return values.copy()

    def view(self, array: Array) -> npt.NDArray[Any]:
        values = np.asarray(array)
        return values if values.dtype.kind in "fciub" else values.astype(np.float64)

    def adopt(self, values: npt.NDArray[Any], dtype: str, device: str) -> Array:
        return self.asarray(values, dtype, device)

    def viewed(self, buffer: Array, layout: str, shape: tuple[int, ...]) -> Array:
        if layout not in self.layouts:
            raise Unsupported(f"layout: a JAX array has no strides, so none is {layout}")
        return buffer

    def describe(self, array: Array) -> ArrayDescription:
        array = array if self.owns(array) else self.jax.numpy.asarray(array)
        (device, *_) = array.devices()
        return ArrayDescription(tuple(array.shape), str(array.dtype), _device_name(device))

    def flatten(self, tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
        leaves, structure = self.jax.tree_util.tree_flatten(tree)
        return leaves, lambda new: self.jax.tree_util.tree_unflatten(structure, list(new))

    @contextmanager
    def precision(self, dtype: str) -> Iterator[None]:
        """x64 exactly while a 64-bit dtype is at work; the user's setting comes back."""
        wide = dtype in _WIDE or bool(self.jax.config.jax_enable_x64)
        with self._enable_x64(wide):
            yield

    def evaluate(self, function: Function, primals: Arrays) -> Arrays:
        return function(*primals)

    def vjp(
        self, function: Function, primals: Arrays, cotangents: Arrays | None
    ) -> tuple[Arrays, tuple[Array | None, ...]]:
        values, pullback = self.jax.vjp(function, *primals)
        if cotangents is None:
            cotangents = tuple(self.jax.numpy.ones_like(value) for value in values)
        return values, pullback(self._matching(cotangents, values))

    def recorded(
        self, function: Function, primals: Arrays
    ) -> tuple[Arrays, Callable[[Arrays | None], tuple[Array | None, ...]]]:
        # Not traced for a gradient before one is wanted: not every function has one.
        return function(*primals), lambda cotangents: self.vjp(function, primals, cotangents)[1]

    def moved(self, primal: Array, tangent: Array, step: float) -> Array:
        return primal + step * tangent

    def pullback(
        self,
        function: Function,
        primals: Arrays,
        wanted: Sequence[bool] | None = None,
        *,
        keep_graph: bool = False,
    ) -> tuple[Arrays, Pullback]:
        chosen = tuple(wanted or (True,) * len(primals))
        given = [primal for primal, want in zip(primals, chosen, strict=True) if want]
        if not given:
            return function(*primals), lambda cotangents: (None,) * len(primals)

        def restricted(*inner: Array) -> Arrays:
            varied, pairs = iter(inner), zip(primals, chosen, strict=True)
            return function(*(next(varied) if want else primal for primal, want in pairs))

        values, pull = self.jax.vjp(restricted, *given)

        def pulled(cotangents: Arrays) -> tuple[Array | None, ...]:
            gradients = iter(pull(self._matching(cotangents, values)))
            return tuple(next(gradients) if want else None for want in chosen)

        return values, pulled

    def jvp(self, function: Function, primals: Arrays, tangents: Arrays) -> tuple[Arrays, Arrays]:
        try:
            return self.jax.jvp(function, primals, tangents)  # type: ignore[no-any-return]
        except _UNSUPPORTED as error:  # custom_vjp has no forward mode
            raise Unsupported(f"forward mode: {_first_line(error)}") from error

    def hvp(
        self, function: Function, primals: Arrays, cotangents: Arrays, tangents: Arrays
    ) -> tuple[tuple[Array | None, ...], tuple[Array | None, ...]]:
        """Forward over reverse; reverse over reverse where a custom_vjp has no forward mode."""

        def gradient(*inner: Array) -> Arrays:
            values, pullback = self.jax.vjp(function, *inner)
            pulled: Arrays = pullback(self._matching(cotangents, values))
            return pulled

        try:
            return self.jax.jvp(gradient, primals, tangents)  # type: ignore[no-any-return]
        except _UNSUPPORTED:
            pass
        try:
            gradients, pullback = self.jax.vjp(gradient, *primals)
            return gradients, pullback(tangents)
        except _UNSUPPORTED as error:
            raise Unsupported(f"second order: {_first_line(error)}") from error

    def batched_vjp(
        self, function: Function, primals: Arrays, cotangents: Arrays, constants: Arrays = ()
    ) -> tuple[Arrays, Arrays]:
        def pulled(inner: Arrays, fixed: Arrays) -> tuple[Arrays, Arrays]:
            values, pullback = self.jax.vjp(lambda *given: function(*given, *fixed), *inner)
            return values, pullback(self._matching(cotangents, values))

        try:
            return self.jax.vmap(pulled)(primals, constants)  # type: ignore[no-any-return]
        except _UNSUPPORTED as error:
            raise Unsupported(f"vmap: {_first_line(error)}") from error

    def compiled(self, function: Callable[..., Any], compiler: str = "") -> Callable[..., Any]:
        if compiler:
            raise UsageError(f"compiler: JAX has XLA alone, and no {compiler!r}; leave it out")
        compiled: Callable[..., Any] = self.jax.jit(function)
        return compiled

    def overwrite(self, array: Array, values: npt.ArrayLike) -> None:
        raise Unsupported("JAX's arrays cannot be written to")

    def healthy(self) -> bool:
        return True  # XLA raises where CUDA would assert

    def global_state(self) -> Mapping[str, Any]:
        config = self.jax.config
        return {f"jax.config.{name}": getattr(config, name) for name in self._settings}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name in self._settings:
            value = state[f"jax.config.{name}"]
            if getattr(self.jax.config, name) != value:
                self.jax.config.update(name, value)

    def _matching(self, cotangents: Arrays, values: Arrays) -> Arrays:
        """JAX asks for cotangents of exactly the output's dtype."""
        return tuple(
            self.jax.numpy.asarray(cotangent, dtype=value.dtype)
            for cotangent, value in zip(cotangents, values, strict=True)
        )

    def _all_devices(self) -> list[Any]:
        """The default platform's devices, and the host's where JAX was allowed to have them."""
        found = list(self.jax.devices())
        with suppress(RuntimeError):  # JAX_PLATFORMS may leave the CPU out
            found.extend(self.jax.devices("cpu"))
        return found

    def _device(self, name: str) -> Any:
        for device in self._all_devices():
            if name in (_device_name(device), device.platform):
                return device
        raise Unsupported(f"device: JAX has no device {name!r}; it has {', '.join(self.devices())}")


def _device_name(device: Any) -> str:
    platform = {"gpu": "cuda"}.get(device.platform, device.platform)
    return "cpu" if (platform, device.id) == ("cpu", 0) else f"{platform}:{device.id}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _load() -> Backend:
    return JaxBackend()


BACKENDS = (BackendFactory("jax", "jax", "jax", _load),)
