"""An implementation bound to a backend, a device and a dtype: what a check talks to.

Everything goes in and comes out as NumPy float64; a check knows no framework.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite import process_state
from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.errors import Unsupported
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.protocols import (
    Answer,
    Array,
    ArrayDescription,
    Arrays,
    Backend,
    Change,
    Function,
    Gradients,
)
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.presets import expanded
from gradcheck_suite.subject import arrays, capabilities, modes, purity, returned
from gradcheck_suite.subject.inputs import Inputs

_LOW_PRECISION = ("float16", "bfloat16")


@dataclass(eq=False)
class BoundSubject:
    """Implements the ``Subject`` protocol; build it with ``bind``.

    Attributes:
        implementation: the declaration.
        backend: evaluates and differentiates.
        device, dtype: where and in what.
        dialect: the declared choices over the backend's defaults.
        loss: the function, where there is no factory.
        keywords: the option keywords of its signature; None if it takes any.
        gradient_kind: ``autodiff``, ``returned``, ``function`` or ``none``.
        least: the plainest case that it is known to take.
        own_reduction: its one reduction, where it has no such keyword.
    """

    implementation: Implementation
    backend: Backend
    device: str
    dtype: str
    dialect: Dialect
    loss: Callable[..., Any] | None
    keywords: frozenset[str] | None
    gradient_kind: str = ""
    least: Case | None = None
    own_reduction: str = ""
    _reasons: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        class_axis = self.implementation.class_axis
        self.arrays = arrays.CaseArrays(self.backend, self.device, self.dtype, class_axis)

    @property
    def name(self) -> str:
        return self.implementation.name

    @property
    def accumulation(self) -> str | None:
        """What it declares for half precisions (see ``Implementation``); else None."""
        return self.implementation.accumulation if self.dtype in _LOW_PRECISION else None

    def declares(self, choice: str) -> bool:
        """Whether the implementation itself declares a choice of the dialect."""
        return choice in expanded(self.implementation.dialect)

    # --- what checks call --------------------------------------------------------------

    def value(self, case: Case) -> FloatArray:
        """The loss at a case: rows (N,) under ``none``, else ().

        Raises:
            ImplementationError: the loss returned something that is no array.
            WrongShape: it returned another shape than the reduction asks for.
        """
        with self.backend.precision(case.dtype):
            function = self._function(case, self._targets(case))
            (value,) = self.backend.evaluate(function, (self._logits(case),))
            return self.rows(case, value)

    def gradients(self, case: Case, *, targets: bool = False) -> Gradients:
        """Value, and gradient of ⟨upstream, value⟩ in the logits (and in the targets).

        Raises:
            Unsupported: the implementation has no gradient.
            ImplementationError: the gradient in the logits is None or no array.
        """
        if self.gradient_kind == "none":
            raise Unsupported("the implementation returns a value only")
        with self.backend.precision(case.dtype):
            if self.gradient_kind == "autodiff":
                return self._autodiff_gradients(case, targets=targets)
            return self._given_gradients(case)

    def weight_gradient(self, case: Case) -> FloatArray | None:
        """Gradient of ⟨upstream, value⟩ in the class weights, (C,); None where none came.

        Raises:
            Unsupported: the gradient is given, not derived: there is none in the weights.
        """
        self._require_autodiff()
        with self.backend.precision(case.dtype):
            logits, targets = self._logits(case), self._targets(case)

            def function(weight: Array) -> Arrays:
                return (self.held(case, self.closed(case, weight)(logits, targets)),)

            primals, cotangents = (self.arrays.weight(case),), (self.arrays.upstream(case),)
            _, (pulled,) = self.backend.vjp(function, primals, cotangents)
            return None if pulled is None else self.backend.asnumpy(pulled)

    def jvp(self, case: Case, tangent: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Value, and its derivative along ``tangent`` in the logits, by forward mode."""
        self._require_autodiff()
        with self.backend.precision(case.dtype):
            function, primals = self._differentiable(case, targets=False)
            tangents = (self._tangent(case, tangent),)
            (value,), (pushed,) = self.backend.jvp(function, primals, tangents)
            return self.rows(case, value), self.rows(case, pushed)

    def hvp(
        self,
        case: Case,
        tangent: npt.ArrayLike,
        *,
        target_tangent: npt.ArrayLike | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Gradient in the logits, and the derivative of the gradients along the tangents.

        Args:
            case: where.
            tangent: direction v in the logits, (N, C).
            target_tangent: direction s in the target probabilities, (N, C); makes the targets
                differentiable as well.

        Returns:
            ∂/∂f, its derivative along (v, s), and the derivative of ∂/∂t along (v, s) (None
            without ``target_tangent``). A derivative that the graph does not reach is 0: the
            chain through it does not exist.
        """
        self._require_autodiff()
        with self.backend.precision(case.dtype):
            function, primals = self._differentiable(case, targets=target_tangent is not None)
            tangents = [self._tangent(case, tangent)]
            if target_tangent is not None:
                tangents.append(self._tangent(case, target_tangent))
            gradients, seconds = self.backend.hvp(
                function, primals, (self.arrays.upstream(case),), tuple(tangents)
            )
            first = self._gradient_array(case, gradients[0])
            zeros = np.zeros(case.logits.shape)
            pushed = [zeros if s is None else self.rows(case, s) for s in seconds]
            return first, pushed[0], pushed[1] if target_tangent is not None else None

    def squared_hvp(self, case: Case, tangent: npt.ArrayLike) -> FloatArray:
        """Hessian times v of φ = Σ L²/2, whose upstream u = L depends on the logits.

        φ'' v = (J v)ᵀ-weighted gradients plus Σ L_i H_i v: a loss whose backward treats the
        gradient it stored as a constant loses the second part, or answers with no graph.
        """
        self._require_autodiff()
        with self.backend.precision(case.dtype):
            function, primals = self._differentiable(case, targets=False)

            def squared(*arrays: Array) -> Arrays:
                (value,) = function(*arrays)
                return ((value * value).sum() / 2,)

            one, along = self._float(1.0), self._tangent(case, tangent)
            _, (second,) = self.backend.hvp(squared, primals, (one,), (along,))
            if second is None:
                raise Unsupported("second order: the gradient has no graph")
            return self.rows(case, second)

    def buffer_gradient(self, case: Case) -> FloatArray:
        """Gradient of ⟨upstream, value⟩ in the buffer of which the logits are a view.

        The logits are no leaf here: as those of a linear head are the transpose of its output.
        The shape is the buffer's; what lies between the logits has the gradient 0.
        """
        self._require_autodiff()
        with self.backend.precision(case.dtype):
            function = self._function(case, self._targets(case))

            def of_buffer(buffer: Array) -> Arrays:
                return function(self.arrays.logits_of(case, buffer))

            buffer, upstream = self.arrays.buffer(case), self.arrays.upstream(case)
            _, (pulled,) = self.backend.vjp(of_buffer, (buffer,), (upstream,))
            shape = self.backend.describe(buffer).shape
            return returned.gradient(self.backend, pulled, shape, "buffer of the logits")

    def described(self, case: Case) -> dict[str, ArrayDescription]:
        """Shape, dtype and device of the ``value`` and of the gradient in the ``logits``.

        A bare number of Python has none of these and is left out.
        """
        with self.backend.precision(case.dtype):
            function = self._function(case, self._targets(case))
            (value,) = self.backend.evaluate(function, (self._logits(case),))
            found = {"value": self.backend.describe(value)} if self.backend.owns(value) else {}
            if self.supports(case, "gradient"):
                return found
            return {**found, **self.gradients(case).described}

    def healthy(self) -> bool:
        """Whether the device can go on computing."""
        return self.backend.healthy()

    def unheld_value(self, case: Case) -> npt.NDArray[Any]:
        """The loss as it comes, held to no shape: what questions outside the contract get."""
        with self.backend.precision(case.dtype):
            answer: npt.NDArray[Any] = capabilities.number_of(self, case)
            return answer

    def state_changes(self, case: Case) -> dict[str, tuple[Any, Any]]:
        """Process-wide settings that forward and backward change: name → (before, after).

        Called once before it counts: a framework may import parts of itself on first use,
        and those may add warnings filters. What the code under test changes, it changes
        again.
        """
        with process_state.preserved(self.backend):
            self._forward_and_backward(case)
        before = process_state.capture(self.backend)
        self._forward_and_backward(case)
        after = process_state.capture(self.backend)
        process_state.restore(before, self.backend)
        return {name: (before[name], after[name]) for name in before if before[name] != after[name]}

    def _forward_and_backward(self, case: Case) -> None:
        self.answer(case)  # as it is called, in no scope that puts a setting back
        self.value(case)
        if not self.supports(case, "gradient"):
            self.gradients(case)

    def input_changes(self, case: Case) -> tuple[Change, ...]:
        """The inputs that forward (untracked, then tracked) and backward change, in that order."""
        return purity.input_changes(self, case)

    def repeated(self, case: Case, other: Case) -> tuple[Answer, ...]:
        """Calls and backward passes again, over graphs and arrays that live on."""
        return purity.repeated(self, case, other)

    def composed(self, case: Case) -> tuple[Answer, ...]:
        """Σ u·L(f) + Σ f²/2 at f = exp x, with either term first: values, and gradients in x."""
        return purity.composed(self, case)

    def partial_gradients(self, case: Case) -> tuple[Answer, ...]:
        """One answer for every subset of (logits, targets) that requires a gradient."""
        return modes.partial_gradients(self, case)

    def compiled(self, case: Case) -> tuple[Answer, ...]:
        """The answer under the framework's compiler, and to an index that is no class."""
        return modes.compiled(self, case)

    def at_this_size(self, case: Case) -> Gradients:
        """Value and gradient, at a size that is asked for once: the cheapest way there is."""
        found = modes.in_one_program(self, case)
        if found is None or found.value is None or found.logits is None:
            return self.gradients(case)
        return Gradients(value=found.value, logits=found.logits)

    def batched(self, cases: Sequence[Case]) -> tuple[Answer, ...]:
        """The answers to cases of one shape and one upstream, computed together by ``vmap``."""
        return modes.batched(self, cases)

    def elsewhere(self) -> tuple[BoundSubject, ...]:
        """The same implementation on every other device there is."""
        devices = (device for device in self.backend.devices() if device != self.device)
        return tuple(replace(self, device=device) for device in devices)

    def supports(self, case: Case, mode: str = "value") -> str:
        """Empty if the implementation takes this case in this mode, else why it does not."""
        options = case.options
        place = (case.layout, case.beside, case.rank)
        question = (case.target_kind, options.reduction, options.used(), mode, *place)
        if question not in self._reasons:
            self._reasons[question] = capabilities.why_not(self, case, mode)
        return self._reasons[question]

    def takes(self, keyword: str) -> bool:
        """Whether its signature has the option (under the name it is renamed to)."""
        if self.keywords is None:
            return True
        return self.implementation.rename.get(keyword, keyword) in self.keywords

    def answer(self, case: Case) -> Any:
        """What the implementation returns for a case, as it is and unlooked at."""
        with self.backend.precision(case.dtype):
            return self.closed(case)(self._logits(case), self._targets(case))

    # --- calling the implementation ----------------------------------------------------

    def inputs(self, case: Case) -> Inputs:
        """Fresh arrays for a case."""
        return Inputs(
            self._logits(case),
            self._targets(case),
            None if case.options.weight is None else self.arrays.weight(case),
            self.arrays.upstream(case),
        )

    def options(self, case: Case, weight: Array | None = None) -> dict[str, Any]:
        """The keywords for a case: ``reduction`` always, the others where they are used.

        Args:
            case: the case.
            weight: the array of its class weights, where the caller holds on to it.
        """
        options = case.options
        given: dict[str, Any] = {}
        if self.takes("reduction"):
            given["reduction"] = options.reduction
        if options.weight is not None:
            given["weight"] = self.arrays.weight(case) if weight is None else weight
        if options.ignore_index is not None:
            given["ignore_index"] = options.ignore_index
        if options.label_smoothing:
            given["label_smoothing"] = options.label_smoothing
        rename = self.implementation.rename
        return {rename.get(name, name): value for name, value in given.items()}

    def closed(self, case: Case, weight: Array | None = None) -> Callable[..., Any]:
        """The implementation with its options set: a function of (logits, targets) alone."""
        options = self.options(case, weight)
        if self.implementation.factory is not None:
            return self.implementation.factory(**options)
        assert self.loss is not None  # bind() has seen to it
        return partial(self.loss, **options)

    def _function(self, case: Case, targets: Array) -> Function:
        """The loss as a function of the logits (and of the targets, where given)."""
        whole = self.function(case)
        return lambda logits, varied=targets: whole(logits, varied)

    def function(self, case: Case, weight: Array | None = None) -> Function:
        """The loss as a function of (logits, targets), its shape held to the reduction's."""

        def function(logits: Array, targets: Array) -> Arrays:
            return (self.held(case, self.closed(case, weight)(logits, targets)),)

        return function

    def held(self, case: Case, result: Any) -> Array:
        """The loss itself in what came back, its shape held to the reduction's.

        Raises:
            ImplementationError: it is no array.
            WrongShape: it has another shape.
        """
        if self.implementation.value is not None:
            result = self.implementation.value(result)
        elif self.gradient_kind == "returned":
            result = returned.pair(result)[0]
        expected = self.arrays.value_shape(case)
        return returned.loss(self.backend, result, expected, case.options.reduction)

    def _differentiable(self, case: Case, *, targets: bool) -> tuple[Function, Arrays]:
        logits, given = self._logits(case), self._targets(case)
        return self._function(case, given), (logits, given) if targets else (logits,)

    def _autodiff_gradients(self, case: Case, *, targets: bool) -> Gradients:
        function, primals = self._differentiable(case, targets=targets)
        (value,), pulled = self.backend.vjp(function, primals, (self.arrays.upstream(case),))
        in_targets = pulled[1] if targets else None
        return Gradients(
            value=self.rows(case, value),
            logits=self._gradient_array(case, pulled[0]),
            targets=None if in_targets is None else self.rows(case, in_targets),
            described={"logits": self.backend.describe(pulled[0])},
        )

    def _given_gradients(self, case: Case) -> Gradients:
        """A gradient that is returned or supplied: row i is ∂L_i/∂f_i, scaled by u here."""
        value, gradient = self.given(case, self.inputs(case))
        return Gradients(
            value=self.rows(case, value),
            logits=self.scaled(case, gradient),
            described={"logits": self.backend.describe(gradient)},
        )

    def given(self, case: Case, inputs: Inputs) -> tuple[Array, Any]:
        """Value and gradient as they come from a loss that returns it or is supplied one."""
        result = self.closed(case, inputs.weight)(inputs.logits, inputs.targets)
        value = self.held(case, result)
        if self.gradient_kind == "returned":
            return value, returned.pair(result)[1]
        supplied = self.implementation.gradient
        assert callable(supplied)
        options = self.options(case, inputs.weight)
        return value, supplied(inputs.logits, inputs.targets, **options)

    def scaled(self, case: Case, gradient: Any) -> FloatArray:
        """Row i of a given gradient, ∂L_i/∂f_i, times its upstream."""
        array = self._gradient_array(case, gradient)
        return array * (case.upstream[:, None] if case.upstream.ndim else case.upstream)

    def _gradient_array(self, case: Case, gradient: Any) -> FloatArray:
        """The gradient in the logits as rows, its shape held to the logits'."""
        shaped = returned.gradient(self.backend, gradient, self.arrays.shape(case), "logits")
        return self.arrays.rows(case, shaped)

    def _require_autodiff(self) -> None:
        if self.gradient_kind != "autodiff":
            raise Unsupported(f"the gradient is {self.gradient_kind}, not differentiable")

    def _float(self, values: npt.ArrayLike) -> Array:
        return self.arrays.floating(values)

    def _tangent(self, case: Case, tangent: npt.ArrayLike) -> Array:
        return self._float(self.arrays.shaped(case, np.asarray(tangent)))

    def rows(self, case: Case, array: Array) -> FloatArray:
        """What came back as the case has it: (N,), (N, C) or (), NumPy float64."""
        return self.arrays.rows(case, self.backend.asnumpy(array))

    def _logits(self, case: Case) -> Array:
        return self.arrays.logits(case)

    def _targets(self, case: Case) -> Array:
        return self.arrays.targets(case)
