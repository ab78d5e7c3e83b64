"""The interfaces between the rooms: what a backend, a subject, a check and a report are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Protocol

import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray, LinearHead
from gradcheck_suite.outcome import Record, Run, Verdict

Array = Any
Arrays = tuple[Array, ...]
Function = Callable[..., Arrays]
Pullback = Callable[[Arrays], tuple[Array | None, ...]]


@dataclass(frozen=True, slots=True)
class ArrayDescription:
    """Shape, dtype name (``float32``) and device (``cpu``, ``cuda:0``) of a framework's array."""

    shape: tuple[int, ...]
    dtype: str
    device: str


class Backend(Protocol):
    """A framework that can evaluate a function and differentiate it.

    ``Function`` takes the differentiable arrays as positional arguments and returns a
    tuple of arrays; whatever is not differentiated is closed over. Every method works on
    the framework's own arrays; ``asarray`` and ``asnumpy`` are the only bridges.
    """

    name: str
    distribution: str
    modes: frozenset[str]  # of "reverse", "forward", "second", "compiled", "batched"
    conjugates: bool  # complex gradients are paired by Re Σ ā b; without, by Re Σ a b
    layouts: frozenset[str]  # of the names in layout.py: how its arrays can lie in memory
    compiles_shapes: bool  # whether every new shape costs a compilation

    def version(self) -> str: ...

    def devices(self) -> tuple[str, ...]:
        """Names of the devices one can compute on now, the default first."""

    def owns(self, value: object) -> bool:
        """Whether ``value`` is an array of this framework."""

    def asarray(self, values: npt.ArrayLike, dtype: str, device: str) -> Array:
        """A fresh array; ``dtype`` is a name such as ``float32``, ``bfloat16``, ``int64``."""

    def asnumpy(self, array: Array) -> npt.NDArray[Any]:
        """A NumPy copy: floats widened to float64 (complex to complex128), exactly."""

    def view(self, array: Array) -> npt.NDArray[Any]:
        """The array for NumPy, its own memory where that can be; not to be written to.

        In its own dtype if NumPy has it, else widened as by ``asnumpy``.
        """

    def adopt(self, values: npt.NDArray[Any], dtype: str, device: str) -> Array:
        """As ``asarray``, but may keep the memory of ``values``, which the caller gives up."""

    def viewed(self, buffer: Array, layout: str, shape: tuple[int, ...]) -> Array:
        """The view of shape ``shape`` that ``layout`` has of a buffer; a derivative flows through.

        Raises:
            Unsupported: this framework's arrays cannot lie so.
        """

    def describe(self, array: Array) -> ArrayDescription: ...

    def flatten(self, tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
        """Leaves of a pytree and the function that rebuilds it from leaves."""

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        """The scope in which arrays of ``dtype`` exist and the code under test is called.

        JAX has x64 there, and ``torch.compile`` no limit of recompilations; restores what was.
        """

    def evaluate(self, function: Function, primals: Arrays) -> Arrays:
        """``function(*primals)``, with no gradient being tracked."""

    def vjp(
        self, function: Function, primals: Arrays, cotangents: Arrays | None
    ) -> tuple[Arrays, tuple[Array | None, ...]]:
        """The value and Jᵀu for every primal; ``None`` where the graph does not reach it.

        ``cotangents`` None stands for ones (a scalar output's own gradient).

        Raises:
            Unsupported: there is no reverse mode.
        """

    def recorded(
        self, function: Function, primals: Arrays
    ) -> tuple[Arrays, Callable[[Arrays | None], tuple[Array | None, ...]]]:
        """The value, and what pulls cotangents back through this evaluation; to be called once.

        The second costs no further evaluation where the framework records the first one
        (PyTorch); elsewhere the function is evaluated again when it is called.
        """

    def moved(self, primal: Array, tangent: Array, step: float) -> Array:
        """A fresh ``primal + step·tangent``, in the framework's own arithmetic and dtype."""

    def pullback(
        self,
        function: Function,
        primals: Arrays,
        wanted: Sequence[bool] | None = None,
        *,
        keep_graph: bool = False,
    ) -> tuple[Arrays, Pullback]:
        """The value, and u ↦ Jᵀu over the graph of one call.

        The function is given the primals themselves, so that what it does to them can be seen;
        ``vjp`` gives it copies.

        Args:
            function: the function.
            primals: where.
            wanted: for every primal whether it requires a gradient; default all. The
                pullback has ``None`` for the others.
            keep_graph: the pullback may be called again, with another u. What torch.compile
                makes refuses that with its first backward, so ask only where it is meant.

        Raises:
            Unsupported: there is no reverse mode.
        """

    def jvp(self, function: Function, primals: Arrays, tangents: Arrays) -> tuple[Arrays, Arrays]:
        """The value and Jv by forward mode.

        Raises:
            Unsupported: there is no forward mode for this function.
        """

    def hvp(
        self, function: Function, primals: Arrays, cotangents: Arrays, tangents: Arrays
    ) -> tuple[tuple[Array | None, ...], tuple[Array | None, ...]]:
        """The gradient Jᵀu and its derivative along v, for every primal.

        Raises:
            Unsupported: there is no second order for this function.
        """

    def batched_vjp(
        self, function: Function, primals: Arrays, cotangents: Arrays, constants: Arrays = ()
    ) -> tuple[Arrays, Arrays]:
        """The value and Jᵀu under ``vmap``: all but u have one axis more in front.

        ``constants`` follow the primals in the function's arguments and are not differentiated.
        Zeros where the graph does not reach a primal.

        Raises:
            Unsupported: the function cannot be batched.
        """

    def compiled(self, function: Callable[..., Any], compiler: str = "") -> Callable[..., Any]:
        """The function under the framework's compiler (``jax.jit``, ``torch.compile``).

        ``compiler`` names one where the framework has several; default the cheapest.

        Raises:
            Unsupported: there is no compiler.
            UsageError: there is none of that name.
        """

    def overwrite(self, array: Array, values: npt.ArrayLike) -> None:
        """Writes values into the array's own memory.

        Raises:
            Unsupported: arrays cannot be written to.
        """

    def healthy(self) -> bool:
        """Whether the process can go on computing: not after a device-side assert."""

    def global_state(self) -> Mapping[str, Any]:
        """The framework's process-wide settings that user code could change."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Puts back what ``global_state`` returned; other keys are not its own."""


@dataclass(frozen=True, slots=True)
class BackendFactory:
    """What a backend's file exports: a name, and how to get the backend when it is wanted.

    Attributes:
        name: what users write, for example ``torch``.
        distribution: the distribution to look for, whose metadata holds the version.
        module: the module whose presence in ``sys.modules`` means the user uses it.
        load: imports the framework and returns the backend.
    """

    name: str
    distribution: str
    module: str
    load: Callable[[], Backend]


@dataclass(frozen=True, slots=True)
class Gradients:
    """What an implementation gave for a case, as NumPy arrays with their descriptions.

    Attributes:
        value: rows (N,) or a scalar ().
        logits: gradient in the logits, shape (N, C); in the hidden features, (N, H), where the
            case has a linear head.
        targets: gradient in the target probabilities; None where none came.
        linear_weight, linear_bias: gradients in W (C, H) and b (C,); None where none came.
        described: description of the framework's array by name (``logits``).
    """

    value: FloatArray
    logits: FloatArray
    targets: FloatArray | None = None
    linear_weight: FloatArray | None = None
    linear_bias: FloatArray | None = None
    described: Mapping[str, ArrayDescription] = field(default_factory=dict)


#: Settings of answers that are judged in their own way: one may raise where the dialect says
#: so, one may be refused from the start, one must not answer with a number.
SECOND_BACKWARD = "a second backward through one graph"
KEPT_GRAPH = "a backward that keeps its graph"
OUT_OF_RANGE = "the compiled function, at an index that raises without the compiler,"


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What an implementation gave in some setting: a second call, under a compiler.

    Attributes:
        setting: in words that follow "value of" or "gradient of".
        case: the question that it answers.
        value: rows (N,) or a scalar (); None where the value is not asked for.
        logits, targets: gradients (N, C); None where they are not asked for.
        linear_weight, linear_bias: gradients in W and b of a linear head, likewise; ``logits``
            is then that in its hidden features, (N, H).
        raised: ``RuntimeError: …`` where it raised instead.
        wanted: names of the gradients that were asked for.
    """

    setting: str
    case: Case
    value: FloatArray | None = None
    logits: FloatArray | None = None
    targets: FloatArray | None = None
    linear_weight: FloatArray | None = None
    linear_bias: FloatArray | None = None
    raised: str = ""
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """An input that a call did not leave as it was.

    Attributes:
        name: ``logits``, ``targets``, ``weight`` or ``upstream``.
        during: what changed it: ``the forward pass``.
        before: what it was.
        after: what it is; None where it cannot even be read any more.
        note: why it cannot be read, or what else changed about it.
    """

    name: str
    during: str
    before: FloatArray
    after: FloatArray | None = None
    note: str = ""


class Subject(Protocol):
    """An implementation bound to its backend, device and dtype: what a check talks to.

    Everything goes in and comes out as NumPy float64, so a check knows no framework.
    """

    device: str
    dtype: str
    gradient_kind: str  # "autodiff", "returned", "function" or "none"
    dialect: Any  # gradcheck_suite.specification.dialect.Dialect

    @property
    def name(self) -> str: ...

    @property
    def accumulation(self) -> str | None:
        """The accumulation that it declares, as ``Arithmetic.of`` takes it."""

    def healthy(self) -> bool:
        """Whether the device can go on computing: not after a device-side assert."""

    def takes(self, keyword: str) -> bool:
        """Whether it has an option, or ``reduction``, by its signature."""

    def declares(self, choice: str) -> bool:
        """Whether the implementation itself declares a choice of the dialect."""

    def value(self, case: Case) -> FloatArray:
        """The loss: rows (N,) under ``none``, else a scalar ()."""

    def gradients(self, case: Case, *, targets: bool = False) -> Gradients:
        """Value, and the gradient of ⟨upstream, value⟩ in the logits (and the targets)."""

    def weight_gradient(self, case: Case) -> FloatArray | None:
        """Gradient of ⟨upstream, value⟩ in the class weights, (C,); None where none came."""

    def jvp(self, case: Case, tangent: npt.ArrayLike | LinearHead) -> tuple[FloatArray, FloatArray]:
        """Value, and its derivative along a tangent in the logits, or in X, W and b."""

    def hvp(
        self, case: Case, tangent: npt.ArrayLike, *, target_tangent: npt.ArrayLike | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Gradient in the logits and its derivative; with ``target_tangent`` see the subject."""

    def squared_hvp(self, case: Case, tangent: npt.ArrayLike) -> FloatArray:
        """Hessian times v of Σ L²/2: second order through an upstream that is no constant."""

    def buffer_gradient(self, case: Case) -> FloatArray:
        """Gradient in the buffer of which the logits are a view (see ``layout``)."""

    def described(self, case: Case) -> Mapping[str, ArrayDescription]:
        """What came back for the ``value`` and for the gradient in the ``logits``."""

    def unheld_value(self, case: Case) -> npt.NDArray[Any]:
        """The loss as it comes, held to no shape; an array of objects if it is no number."""

    def state_changes(self, case: Case) -> Mapping[str, tuple[Any, Any]]:
        """Process-wide settings that a call changes: name → (before, after)."""

    def input_changes(self, case: Case) -> tuple[Change, ...]:
        """The inputs that forward (untracked, then tracked) and backward change, in that order."""

    def repeated(self, case: Case, other: Case) -> tuple[Answer, ...]:
        """Calls and backward passes again, over graphs and arrays that live on; see the subject."""

    def composed(self, case: Case) -> tuple[Answer, ...]:
        """Σ u·L(f) + Σ f²/2 at f = exp x, with either term first: values, and gradients in x."""

    def partial_gradients(self, case: Case) -> tuple[Answer, ...]:
        """One answer for every subset of (logits, targets) that requires a gradient."""

    def compiled(self, case: Case) -> tuple[Answer, ...]:
        """The answer under the framework's compiler, and to an index that is no class.

        Raises:
            Unsupported: there is no compiler, or it does not take even the plainest case.
        """

    def at_this_size(self, case: Case) -> Gradients:
        """As ``gradients``, for a size that no other case has.

        Compiled as one program, where the backend would else compile every primitive of it.
        """

    def batched(self, cases: Sequence[Case]) -> tuple[Answer, ...]:
        """The answers to cases of one shape and one upstream, computed together by ``vmap``.

        Raises:
            Unsupported: there is no vmap, or it does not take even the plainest case.
        """

    def elsewhere(self) -> tuple[Subject, ...]:
        """The same implementation on every other device there is."""

    def supports(self, case: Case, mode: str = "value") -> str:
        """Empty if the implementation takes this case in this mode, else the reason why not."""


CheckFunction = Callable[[Subject, Case], Verdict]


@dataclass(frozen=True, slots=True)
class Check:
    """A kind of question. ``run`` looks at one subject and one case.

    Attributes:
        name: what a clause refers to.
        run: the check itself.
        cost: rough cost in evaluations; cheap checks run first.
        needs: modes the subject must support, else the case is skipped with the reason.
        asked_last: it may leave the device unusable (a device-side assert), so it comes after
            every other.
        convicts: which of the answers, ``value`` and ``gradient``, it judges so that an error
            planted anywhere in them is its to convict (see ``planting``).
    """

    name: str
    run: CheckFunction
    cost: int = 1
    needs: tuple[str, ...] = ("value",)
    asked_last: bool = False
    convicts: tuple[str, ...] = ()


class ReportFormat(Protocol):
    """Writes a run to a file. One per file suffix."""

    name: str
    suffixes: tuple[str, ...]

    def write(self, run: Run, path: str | PathLike[str]) -> None: ...


class GrowingReport(Protocol):
    """A report that is being written while its run goes on."""

    def add(self, record: Record) -> None: ...

    def finish(self, run: Run) -> None: ...


class GrowingFormat(ReportFormat, Protocol):
    """A format that is written as outcomes finish: a run that is killed leaves what it found."""

    def begin(
        self, path: str | PathLike[str], provenance: Mapping[str, Any], strict: bool
    ) -> GrowingReport: ...


def machine_epsilon(dtype: str) -> float:
    """Spacing of the dtype at 1: 2u, where u is the unit roundoff."""
    return {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[
        dtype
    ]


__all__ = [
    "KEPT_GRAPH",
    "OUT_OF_RANGE",
    "SECOND_BACKWARD",
    "Answer",
    "Array",
    "ArrayDescription",
    "Arrays",
    "Backend",
    "BackendFactory",
    "Change",
    "Check",
    "CheckFunction",
    "Function",
    "Gradients",
    "GrowingFormat",
    "GrowingReport",
    "Pullback",
    "ReportFormat",
    "Subject",
    "machine_epsilon",
]
