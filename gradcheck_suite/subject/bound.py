"""An implementation bound to a backend, a device and a dtype: what a check talks to.

Everything goes in and comes out as NumPy float64; a check knows no framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt

from gradcheck_suite import process_state
from gradcheck_suite.case import Case, FloatArray, LinearHead
from gradcheck_suite.protocols import Answer, ArrayDescription, Change, Gradients
from gradcheck_suite.subject import capabilities, derivatives, modes, purity
from gradcheck_suite.subject.calling import CalledLoss


@dataclass(eq=False)
class BoundSubject(CalledLoss):
    """Implements the ``Subject`` protocol; build it with ``bind``."""

    _reasons: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def value(self, case: Case) -> FloatArray:
        """The loss at a case: rows (N,) under ``none``, else ().

        Raises:
            ImplementationError: the loss returned something that is no array.
            WrongShape: it returned another shape than the reduction asks for.
        """
        with self.backend.precision(case.dtype):
            (value,) = self.backend.evaluate(*self.differentiable(case))
            return self.rows(case, value)

    def gradients(self, case: Case, *, targets: bool = False) -> Gradients:
        """Value, and gradient of ⟨upstream, value⟩ in the logits (and in the targets)."""
        return derivatives.gradients(self, case, targets=targets)

    def weight_gradient(self, case: Case) -> FloatArray | None:
        """Gradient of ⟨upstream, value⟩ in the class weights, (C,); None where none came."""
        return derivatives.weight_gradient(self, case)

    def jvp(self, case: Case, tangent: npt.ArrayLike | LinearHead) -> tuple[FloatArray, FloatArray]:
        """Value, and its derivative along ``tangent`` in the logits, by forward mode."""
        return derivatives.jvp(self, case, tangent)

    def hvp(
        self,
        case: Case,
        tangent: npt.ArrayLike,
        *,
        target_tangent: npt.ArrayLike | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Gradient in the logits, and the derivative of the gradients along the tangents."""
        return derivatives.hvp(self, case, tangent, target_tangent=target_tangent)

    def squared_hvp(self, case: Case, tangent: npt.ArrayLike) -> FloatArray:
        """Hessian times v of φ = Σ L²/2, whose upstream u = L depends on the logits."""
        return derivatives.squared_hvp(self, case, tangent)

    def buffer_gradient(self, case: Case) -> FloatArray:
        """Gradient of ⟨upstream, value⟩ in the buffer of which the logits are a view."""
        return derivatives.buffer_gradient(self, case)

    def described(self, case: Case) -> dict[str, ArrayDescription]:
        """Shape, dtype and device of the ``value`` and of the gradient in the ``logits``.

        A bare number of Python has none of these and is left out.
        """
        with self.backend.precision(case.dtype):
            (value,) = self.backend.evaluate(*self.differentiable(case))
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
        if reason := capabilities.by_head(self, case) or capabilities.by_range(self, case):
            return reason
        options = case.options
        with_bias = None if case.head is None else case.head.linear_bias is not None
        place = (case.layout, case.beside, case.rank, with_bias)
        kind = (case.target_kind, capabilities.mask_kind(case), options.axis)
        question = (*kind, options.reduction, options.used(), mode, *place)
        if question not in self._reasons:
            self._reasons[question] = capabilities.why_not(self, case, mode)
        return self._reasons[question]
