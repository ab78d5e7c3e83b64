"""Calling an implementation: its arrays, its keywords, what came back held to what it must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.protocols import Array, Arrays, Backend, Function
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.presets import expanded
from gradcheck_suite.subject import arrays, returned
from gradcheck_suite.subject.inputs import Inputs

_LOW_PRECISION = ("float16", "bfloat16")


@dataclass(eq=False)
class CalledLoss:
    """An implementation on a backend, a device and in a dtype, as a function that can be called.

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

    def takes(self, keyword: str) -> bool:
        """Whether its signature has the option (under the name it is renamed to)."""
        if self.keywords is None:
            return True
        return self.implementation.rename.get(keyword, keyword) in self.keywords

    def answer(self, case: Case) -> Any:
        """What the implementation returns for a case, as it is and unlooked at."""
        with self.backend.precision(case.dtype):
            return self.closed(case)(self.arrays.logits(case), self.arrays.targets(case))

    def inputs(self, case: Case) -> Inputs:
        """Fresh arrays for a case."""
        return Inputs(
            self.arrays.logits(case),
            self.arrays.targets(case),
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
        array = self.gradient_array(case, gradient)
        return array * (case.upstream[:, None] if case.upstream.ndim else case.upstream)

    def gradient_array(self, case: Case, gradient: Any) -> FloatArray:
        """The gradient in the logits as rows, its shape held to the logits'."""
        shaped = returned.gradient(self.backend, gradient, self.arrays.shape(case), "logits")
        return self.arrays.rows(case, shaped)

    def rows(self, case: Case, array: Array) -> FloatArray:
        """What came back as the case has it: (N,), (N, C) or (), NumPy float64."""
        return self.arrays.rows(case, self.backend.asnumpy(array))

    def differentiable(self, case: Case, *, targets: bool = False) -> tuple[Function, Arrays]:
        """The loss as a function of the logits (and of the targets), and fresh arrays for it."""
        logits, given = self.arrays.logits(case), self.arrays.targets(case)
        whole = self.function(case)

        def function(logits: Array, targets: Array = given) -> Arrays:
            return whole(logits, targets)

        return function, (logits, given) if targets else (logits,)
