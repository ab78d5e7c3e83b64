"""PyTorch: reverse mode, forward mode and double backward, on the CPU and on CUDA."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.errors import Unsupported, UsageError
from gradcheck_suite.layout import LAYOUTS
from gradcheck_suite.protocols import (
    Array,
    ArrayDescription,
    Arrays,
    Backend,
    BackendFactory,
    Function,
    Pullback,
)

# What PyTorch raises where a derivative does not exist: a Function without jvp or
# double backward (NotImplementedError, RuntimeError), an untraceable one under functorch.
_UNSUPPORTED = (NotImplementedError, RuntimeError)
_RECOMPILE_LIMITS = ("recompile_limit", "accumulated_recompile_limit")
_CUDNN = ("benchmark", "deterministic", "allow_tf32")


class TorchBackend:
    """Evaluates and differentiates functions of ``torch.Tensor``."""

    name = "torch"
    distribution = "torch"
    modes = frozenset({"reverse", "forward", "second", "compiled", "batched"})
    conjugates = True
    layouts = frozenset(LAYOUTS) - {"reversed"}
    compiles_shapes = False

    def __init__(self) -> None:
        import torch
        import torch.autograd.forward_ad

        self.torch: Any = torch
        self._forward_mode_is_loaded = False

    def version(self) -> str:
        return str(self.torch.__version__)

    def devices(self) -> tuple[str, ...]:
        cuda = self.torch.cuda
        count = cuda.device_count() if cuda.is_available() else 0
        return ("cpu", *(f"cuda:{index}" for index in range(count)))

    def owns(self, value: object) -> bool:
        return isinstance(value, self.torch.Tensor)

    def asarray(self, values: npt.ArrayLike, dtype: str, device: str) -> Array:
        # Through float64, because NumPy has no bfloat16: the values are representable.
        source = self.torch.from_numpy(np.array(values, copy=True, order="C"))
        return source.to(dtype=getattr(self.torch, dtype), device=device)

    def asnumpy(self, array: Array) -> npt.NDArray[Any]:
        tensor = array.detach().cpu().resolve_conj().resolve_neg()
        if tensor._is_zerotensor():  # autograd's symbolic zero has no memory to be read
            tensor = tensor.clone()
        if tensor.is_floating_point():
            tensor = tensor.to(self.torch.float64)
        elif tensor.is_complex():
            tensor = tensor.to(self.torch.complex128)
        return np.array(tensor.numpy(), copy=True)

    def view(self, array: Array) -> npt.NDArray[Any]:
        tensor = array.detach().cpu().resolve_conj().resolve_neg()
        if tensor._is_zerotensor():  # autograd's symbolic zero has no memory to be read
            tensor = tensor.clone()
        if tensor.dtype in (self.torch.bfloat16, self.torch.float16):
            tensor = tensor.to(self.torch.float64)
        values: npt.NDArray[Any] = tensor.numpy()
        return values

    def adopt(self, values: npt.NDArray[Any], dtype: str, device: str) -> Array:
        # NumPy's scalars and read-only or reversed arrays are not torch's to take over.
        if type(values) is not np.ndarray or not (
            values.flags.c_contiguous and values.flags.writeable
        ):
            return self.asarray(values, dtype, device)
        return self.torch.from_numpy(values).to(dtype=getattr(self.torch, dtype), device=device)

    def viewed(self, buffer: Array, layout: str, shape: tuple[int, ...]) -> Array:
        if layout not in self.layouts:
            raise Unsupported(f"layout: torch has no negative strides: {layout} is none of its own")
        return LAYOUTS[layout].view(buffer, shape, lambda array, to: array.expand(to))

    def describe(self, array: Array) -> ArrayDescription:
        device = array.device
        name = str(device.type) if device.type == "cpu" else str(device)
        return ArrayDescription(tuple(array.shape), str(array.dtype).removeprefix("torch."), name)

    def flatten(self, tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
        from torch.utils import _pytree

        leaves, spec = _pytree.tree_flatten(tree)
        return leaves, lambda new: _pytree.tree_unflatten(list(new), spec)

    @contextmanager
    def precision(self, dtype: str) -> Iterator[None]:
        # A loss under torch.compile is compiled anew for other options, shapes and modes. After 8
        # times it would be run uncompiled without a word: it would no longer be what is judged.
        config: Any = getattr(sys.modules.get("torch._dynamo"), "config", None)
        limits = [name for name in _RECOMPILE_LIMITS if hasattr(config, name)]
        if not limits:
            yield
            return
        with config.patch(dict.fromkeys(limits, sys.maxsize)):
            yield

    def evaluate(self, function: Function, primals: Arrays) -> Arrays:
        with self.torch.no_grad():
            return function(*(p.detach() if p.requires_grad else p for p in primals))

    def vjp(
        self, function: Function, primals: Arrays, cotangents: Arrays | None
    ) -> tuple[Arrays, tuple[Array | None, ...]]:
        values, pull = self.recorded(function, primals)
        return values, pull(cotangents)

    def recorded(
        self, function: Function, primals: Arrays
    ) -> tuple[Arrays, Callable[[Arrays | None], tuple[Array | None, ...]]]:
        leaves = self._leaves(primals)
        with self.torch.enable_grad():
            graph = [(function(*leaves), leaves)]

        def pull(cotangents: Arrays | None) -> tuple[Array | None, ...]:
            return self._pullback(*graph.pop(), cotangents, create_graph=False)

        return tuple(value.detach() for value in graph[0][0]), pull

    def moved(self, primal: Array, tangent: Array, step: float) -> Array:
        return self.torch.add(primal, tangent, alpha=step)

    def pullback(
        self,
        function: Function,
        primals: Arrays,
        wanted: Sequence[bool] | None = None,
        *,
        keep_graph: bool = False,
    ) -> tuple[Arrays, Pullback]:
        """Sets ``requires_grad`` of the primals, which are leaves, to what is wanted."""
        chosen = tuple(wanted or (True,) * len(primals))
        for primal, want in zip(primals, chosen, strict=True):
            primal.requires_grad_(want)
        leaves = tuple(primal for primal in primals if primal.requires_grad)
        with self.torch.enable_grad():
            values = function(*primals)

        def pulled(cotangents: Arrays) -> tuple[Array | None, ...]:
            gradients = iter(self._pullback(values, leaves, cotangents, retain_graph=keep_graph))
            return tuple(next(gradients) if want else None for want in chosen)

        return tuple(value.detach() for value in values), pulled

    def jvp(self, function: Function, primals: Arrays, tangents: Arrays) -> tuple[Arrays, Arrays]:
        forward_ad = self.torch.autograd.forward_ad
        self._load_forward_mode()
        try:
            # Leaves that require a gradient: a custom Function whose jvp is missing
            # would otherwise be run as plain code and its own backward never consulted.
            with forward_ad.dual_level(), self.torch.enable_grad():
                duals = [
                    forward_ad.make_dual(leaf, tangent.detach())
                    for leaf, tangent in zip(self._leaves(primals), tangents, strict=True)
                ]
                pairs = [forward_ad.unpack_dual(value) for value in function(*duals)]
                values = tuple(pair.primal.detach() for pair in pairs)
                # A missing tangent means that the output does not depend on the primals.
                pushed = tuple(
                    self.torch.zeros_like(value) if pair.tangent is None else pair.tangent.detach()
                    for pair, value in zip(pairs, values, strict=True)
                )
        except _UNSUPPORTED as error:
            # torch.func tracks nothing, and an operator that refuses dual numbers where a
            # gradient is tracked may answer there: with a number that is judged as any other.
            answered = self._functional_jvp(function, primals, tangents)
            if answered is None:
                raise Unsupported(f"forward mode: {_first_line(error)}") from error
            return answered
        return values, pushed

    def _functional_jvp(
        self, function: Function, primals: Arrays, tangents: Arrays
    ) -> tuple[Arrays, Arrays] | None:
        """What ``torch.func.jvp`` answers; None where it refuses."""
        given = (tuple(array.detach() for array in arrays) for arrays in (primals, tangents))
        try:
            values, pushed = self.torch.func.jvp(function, *given)
        except Exception:
            return None
        return tuple(v.detach() for v in values), tuple(p.detach() for p in pushed)

    def hvp(
        self, function: Function, primals: Arrays, cotangents: Arrays, tangents: Arrays
    ) -> tuple[tuple[Array | None, ...], tuple[Array | None, ...]]:
        """Double backward: the gradient of ⟨g(x), v⟩ is Hᵀv, with g(x) = J(x)ᵀu.

        An upstream that requires a gradient would only add a term that is not asked for;
        one that does not lets a ``once_differentiable`` backward answer with a gradient
        that has no graph, which is reported as unsupported.
        """
        leaves = self._leaves(primals)
        try:
            with self.torch.enable_grad():
                gradients = self._pullback(function(*leaves), leaves, cotangents, create_graph=True)
                pairing = sum(
                    (gradient * tangent).sum()
                    for gradient, tangent in zip(gradients, tangents, strict=True)
                    if gradient is not None
                )
                if not getattr(pairing, "requires_grad", False):
                    raise Unsupported("second order: the gradient has no graph")
                seconds = self.torch.autograd.grad(pairing, leaves, allow_unused=True)
        except _UNSUPPORTED as error:
            raise Unsupported(f"second order: {_first_line(error)}") from error
        detached = tuple(None if g is None else g.detach() for g in gradients)
        return detached, tuple(seconds)

    def batched_vjp(
        self, function: Function, primals: Arrays, cotangents: Arrays, constants: Arrays = ()
    ) -> tuple[Arrays, Arrays]:
        def pulled(inner: Arrays, fixed: Arrays) -> Any:
            values, pullback = self.torch.func.vjp(lambda *given: function(*given, *fixed), *inner)
            return values, pullback(cotangents)

        detached = tuple(primal.detach() for primal in primals)
        try:
            together = self.torch.func.vmap(pulled)(detached, constants)
        except _UNSUPPORTED as error:
            raise Unsupported(f"vmap: {_first_line(error)}") from error
        values, gradients = (tuple(one.detach() for one in part) for part in together)
        return values, gradients

    def compiled(self, function: Callable[..., Any], compiler: str = "") -> Callable[..., Any]:
        def called(*arguments: Any, **keywords: Any) -> Any:
            return function(*arguments, **keywords)

        # Dynamo counts recompilations per code object, and from the eighth on runs the
        # function uncompiled without a word: every function gets a code object of its own.
        called.__code__ = called.__code__.replace()
        try:
            compiled: Callable[..., Any] = self.torch.compile(
                called, backend=compiler or "aot_eager"
            )
        except RuntimeError as error:  # no such backend; a Python that Dynamo does not know
            if compiler:
                raise UsageError(f"compiler: {_first_line(error)}") from error
            raise Unsupported(f"torch.compile: {_first_line(error)}") from error
        return compiled

    def overwrite(self, array: Array, values: npt.ArrayLike) -> None:
        with self.torch.no_grad():
            array.copy_(self.torch.from_numpy(np.array(values, copy=True, order="C")))

    def healthy(self) -> bool:
        cuda = self.torch.cuda
        if not cuda.is_initialized():
            return True
        try:
            cuda.synchronize()
        except RuntimeError:  # a device-side assert: every later call on the device fails too
            return False
        return True

    def global_state(self) -> Mapping[str, Any]:
        torch, cudnn = self.torch, self.torch.backends.cudnn
        return {
            "torch.get_default_dtype()": torch.get_default_dtype(),
            "torch.is_grad_enabled()": torch.is_grad_enabled(),
            "torch.get_num_threads()": torch.get_num_threads(),
            "torch.are_deterministic_algorithms_enabled()": (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            "torch.is_anomaly_enabled()": torch.is_anomaly_enabled(),
            "torch.get_default_device()": str(torch.get_default_device()),
            "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
            "torch.is_autocast_enabled('cpu')": torch.is_autocast_enabled("cpu"),
            "torch.is_warn_always_enabled()": torch.is_warn_always_enabled(),
            "torch.backends.cudnn": tuple(getattr(cudnn, flag) for flag in _CUDNN),
            "torch random state": bytes(torch.random.get_rng_state().numpy()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        torch = self.torch
        torch.set_default_dtype(state["torch.get_default_dtype()"])
        torch.set_grad_enabled(state["torch.is_grad_enabled()"])
        if torch.get_num_threads() != state["torch.get_num_threads()"]:
            torch.set_num_threads(state["torch.get_num_threads()"])
        mode, warn_only = state["torch.are_deterministic_algorithms_enabled()"]
        torch.use_deterministic_algorithms(mode, warn_only=warn_only)
        torch.autograd.set_detect_anomaly(state["torch.is_anomaly_enabled()"])
        if str(torch.get_default_device()) != state["torch.get_default_device()"]:
            device = state["torch.get_default_device()"]
            # None leaves no mode on, which "cpu" would.
            torch.set_default_device(None if device == "cpu" else device)
        precision = state["torch.get_float32_matmul_precision()"]
        if torch.get_float32_matmul_precision() != precision:
            torch.set_float32_matmul_precision(precision)
        torch.set_autocast_enabled("cpu", state["torch.is_autocast_enabled('cpu')"])
        torch.set_warn_always(state["torch.is_warn_always_enabled()"])
        for flag, value in zip(_CUDNN, state["torch.backends.cudnn"], strict=True):
            if getattr(torch.backends.cudnn, flag) != value:
                setattr(torch.backends.cudnn, flag, value)
        seed = np.frombuffer(state["torch random state"], dtype=np.uint8).copy()
        torch.random.set_rng_state(torch.from_numpy(seed))

    def _load_forward_mode(self) -> None:
        """The first dual number imports torch's decompositions, and that import warns."""
        if not self._forward_mode_is_loaded:
            with warnings.catch_warnings(), self.torch.autograd.forward_ad.dual_level():
                warnings.simplefilter("ignore")
                one = self.torch.ones(())
                self.torch.autograd.forward_ad.make_dual(one, one)
            self._forward_mode_is_loaded = True

    def _leaves(self, primals: Arrays) -> tuple[Array, ...]:
        """Leaves with the primals' values *and strides*, each requiring a gradient.

        Fresh ones, where a clone lies as the original does. One that has a step, a stride of 0,
        an offset or something between its rows would be laid out anew, so it stays where it is.
        """
        return tuple(self._leaf(primal.detach()) for primal in primals)

    def _leaf(self, primal: Array) -> Array:
        if primal.layout is not self.torch.strided or self._fills_its_storage(primal):
            primal = primal.clone(memory_format=self.torch.preserve_format)
        return primal.requires_grad_(True)

    def _fills_its_storage(self, primal: Array) -> bool:
        entries = primal.untyped_storage().nbytes() // primal.element_size()
        return bool(entries == primal.numel())

    def _pullback(
        self,
        values: Arrays,
        leaves: Arrays,
        cotangents: Arrays | None,
        *,
        create_graph: bool = False,
        retain_graph: bool | None = None,
    ) -> tuple[Array | None, ...]:
        if cotangents is None:
            cotangents = tuple(self.torch.ones_like(value) for value in values)
        reached = [
            (value, cotangent)
            for value, cotangent in zip(values, cotangents, strict=True)
            if value.requires_grad
        ]
        if not reached or not leaves:
            return (None,) * len(leaves)
        outputs, upstream = zip(*reached, strict=True)
        gradients: tuple[Array | None, ...] = self.torch.autograd.grad(
            outputs,
            leaves,
            upstream,
            allow_unused=True,
            create_graph=create_graph,
            retain_graph=retain_graph,
        )
        return gradients


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _load() -> Backend:
    return TorchBackend()


BACKENDS = (BackendFactory("torch", "torch", "torch", _load),)
