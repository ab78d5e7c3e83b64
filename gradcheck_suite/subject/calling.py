"""Calling an implementation: its arrays, its keywords, what came back held to what it must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from gradcheck_suite.case import DECLARED_ALONE, EXTENSIONS, Case, FloatArray
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
        switched_off: what turns off the extensions that its signature has on.
        headed: whether it computes its logits itself, from hidden features and a linear layer.
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
    switched_off: Mapping[str, float] = field(default_factory=dict)
    headed: bool = False
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
        """Whether its signature has the option (under the name it is renamed to).

        ``**options`` takes the plain loss's; what is passed through it of an extension may be
        swallowed, so that one is to be declared; so is a name that has other meanings.
        """
        if keyword in DECLARED_ALONE and keyword not in (self.implementation.options or ()):
            return False
        if self.keywords is None:
            return keyword not in EXTENSIONS or keyword in (self.implementation.options or ())
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
            self.arrays.head(case) if self.headed else (),
        )

    def options(self, case: Case, inputs: Inputs | None = None) -> dict[str, Any]:
        """The keywords for a case: ``reduction`` always, the others where they are used.

        Args:
            case: the case.
            inputs: its arrays, where the caller holds on to them.
        """
        options = case.options
        given: dict[str, Any] = {}
        if self.takes("reduction"):
            given["reduction"] = options.reduction
        given |= {**self.switched_off, **options.given()}
        if options.weight is not None:
            given["weight"] = self.arrays.weight(case) if inputs is None else inputs.weight
        if options.class_mask is not None:
            given["class_mask"] = self.arrays.class_mask(case)
        return {self._keyword(name): value for name, value in given.items()}

    def closed(self, case: Case, inputs: Inputs | None = None) -> Callable[..., Any]:
        """The implementation with its options set: a function of (logits, targets) alone.

        With a linear head, of the hidden features and targets; where W (and b) are given beside
        these, they stand for the case's own.
        """
        options = self.options(case, inputs)
        if self.implementation.factory is not None:
            return self._before(self.implementation.factory(**options), case, inputs)
        assert self.loss is not None  # bind() has seen to it
        return self._before(partial(self.loss, **options), case, inputs)

    def _before(
        self, loss: Callable[..., Any], case: Case, inputs: Inputs | None
    ) -> Callable[..., Any]:
        """``loss`` with its linear head, if it has one, in its arguments' order."""
        if not self.headed:
            return loss
        own = self.arrays.head(case) if inputs is None else inputs.head

        def headed(hidden: Array, targets: Array, *head: Array) -> Any:
            weight, *bias = head or own
            named = {self._keyword("linear_bias"): bias[0]} if bias else {}
            return loss(hidden, weight, targets, **named)

        return headed

    def _keyword(self, name: str) -> str:
        return self.implementation.rename.get(name, name)

    def function(self, case: Case, inputs: Inputs | None = None) -> Function:
        """The loss as a function of ``PRIMALS``, its shape held to the reduction's."""

        def function(logits: Array, targets: Array, *head: Array) -> Arrays:
            return (self.held(case, self.closed(case, inputs)(logits, targets, *head)),)

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

    def given(self, case: Case, inputs: Inputs) -> tuple[Array, tuple[Any, ...]]:
        """Value and gradients as they come from a loss that returns or is supplied them.

        The gradient in the logits; or that in the hidden features and, where the case has a
        linear head, those in its parameters as far as they came. Those are of Σ L_i: under an
        upstream that differs from row to row they say nothing, and are left out.
        """
        result = self.closed(case, inputs)(inputs.logits, inputs.targets)
        value = self.held(case, result)
        if self.gradient_kind == "returned":
            found = returned.pair(result)[1]
        else:
            supplied = self.implementation.gradient
            assert callable(supplied)
            found = self._before(partial(supplied, **self.options(case, inputs)), case, inputs)(
                inputs.logits, inputs.targets
            )
        gradients = returned.gradients(found) if self.headed else (found,)
        of_sum = case.head is not None and len(np.unique(case.upstream)) == 1
        return value, gradients[: 1 + len(inputs.head) if of_sum else 1]

    def pulled_array(self, case: Case, name: str, gradient: Any) -> FloatArray:
        """A gradient as NumPy has it; a given one times the upstream that it does not know of.

        Row i of a gradient in the logits is ∂L_i/∂f_i. One in W or b is of Σ L_i, or of the
        scalar, and is asked for under one upstream alone.
        """
        if self.gradient_kind == "autodiff":
            in_head = name.startswith("linear")
            return self.backend.asnumpy(gradient) if in_head else self.rows(case, gradient)
        if name == "logits":
            array = self.gradient_array(case, gradient)
            return array * (case.upstream[:, None] if case.upstream.ndim else case.upstream)
        assert case.head is not None
        shape = np.shape(getattr(case.head, name))
        array = returned.gradient(self.backend, gradient, shape, name.replace("_", " "))
        return array * case.upstream.flat[0]

    def gradient_array(self, case: Case, gradient: Any) -> FloatArray:
        """The gradient in the logits as rows, its shape held to the logits'."""
        shaped = returned.gradient(self.backend, gradient, self.arrays.shape(case), "logits")
        return self.arrays.rows(case, shaped)

    def rows(self, case: Case, array: Array) -> FloatArray:
        """What came back as the case has it: (N,), (N, C) or (), NumPy float64."""
        return self.arrays.rows(case, self.backend.asnumpy(array))

    def differentiable(self, case: Case, *, targets: bool = False) -> tuple[Function, Arrays]:
        """The loss as a function of the logits (and of the targets), and fresh arrays for it.

        Where the case has a linear head: of the hidden features, W and b.
        """
        logits, given = self.arrays.logits(case), self.arrays.targets(case)
        whole = self.function(case)
        if case.head is not None:
            head = self.arrays.head(case)
            return lambda hidden, *varied: whole(hidden, given, *varied), (logits, *head)

        def function(logits: Array, targets: Array = given) -> Arrays:
            return whole(logits, targets)

        return function, (logits, given) if targets else (logits,)
