"""Derivatives of an implementation: reverse mode, forward mode, second order, as NumPy has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray, LinearHead
from gradcheck_suite.errors import Unsupported
from gradcheck_suite.protocols import Array, Arrays, Gradients
from gradcheck_suite.subject import returned
from gradcheck_suite.subject.calling import CalledLoss
from gradcheck_suite.subject.inputs import PRIMALS


def gradients(subject: CalledLoss, case: Case, *, targets: bool = False) -> Gradients:
    """Value, and gradient of ⟨upstream, value⟩ in the logits (and in the targets).

    Raises:
        Unsupported: the implementation has no gradient.
        ImplementationError: the gradient in the logits is None or no array.
    """
    if subject.gradient_kind == "none":
        raise Unsupported("the implementation returns a value only")
    with subject.backend.precision(case.dtype):
        if subject.gradient_kind == "autodiff":
            return _derived(subject, case, targets=targets)
        return _given(subject, case)


def _derived(subject: CalledLoss, case: Case, *, targets: bool) -> Gradients:
    function, primals = subject.differentiable(case, targets=targets)
    (value,), pulled = subject.backend.vjp(function, primals, (subject.arrays.upstream(case),))
    in_targets = pulled[1] if targets else None
    return Gradients(
        value=subject.rows(case, value),
        logits=subject.gradient_array(case, pulled[0]),
        targets=None if in_targets is None else subject.rows(case, in_targets),
        described={"logits": subject.backend.describe(pulled[0])},
        **_in_head(subject, case, pulled[1:]),
    )


def _given(subject: CalledLoss, case: Case) -> Gradients:
    """A gradient that is returned or supplied: row i is ∂L_i/∂f_i, scaled by u here."""
    value, (gradient, *in_head) = subject.given(case, subject.inputs(case))
    return Gradients(
        value=subject.rows(case, value),
        logits=subject.pulled_array(case, "logits", gradient),
        described={"logits": subject.backend.describe(gradient)},
        **_in_head(subject, case, in_head),
    )


def _in_head(subject: CalledLoss, case: Case, found: Sequence[Any]) -> dict[str, FloatArray]:
    """The gradients in W and b that came, by name; none where the case has no linear head."""
    if case.head is None:
        return {}
    named = zip(PRIMALS[2:], found, strict=False)
    return {
        name: subject.pulled_array(case, name, each) for name, each in named if each is not None
    }


def weight_gradient(subject: CalledLoss, case: Case) -> FloatArray | None:
    """Gradient of ⟨upstream, value⟩ in the class weights, (C,); None where none came.

    Raises:
        Unsupported: the gradient is given, not derived: there is none in the weights.
    """
    _require_autodiff(subject)
    with subject.backend.precision(case.dtype):
        inputs = subject.inputs(case)

        def function(weight: Array) -> Arrays:
            return subject.function(case, replace(inputs, weight=weight))(
                inputs.logits, inputs.targets
            )

        primals, cotangents = (inputs.weight,), (inputs.upstream,)
        _, (pulled,) = subject.backend.vjp(function, primals, cotangents)
        return None if pulled is None else subject.backend.asnumpy(pulled)


def jvp(
    subject: CalledLoss, case: Case, tangent: npt.ArrayLike | LinearHead
) -> tuple[FloatArray, FloatArray]:
    """Value, and its derivative along ``tangent`` in the logits, by forward mode.

    Where the case has a linear head: along a tangent in X, W and b.
    """
    _require_autodiff(subject)
    with subject.backend.precision(case.dtype):
        function, primals = subject.differentiable(case)
        if isinstance(tangent, LinearHead):
            parts = (tangent.hidden, *tangent.parameters())
            tangents = tuple(subject.arrays.floating(part) for part in parts)
        else:
            tangents = (_tangent(subject, case, tangent),)
        (value,), (pushed,) = subject.backend.jvp(function, primals, tangents)
        return subject.rows(case, value), subject.rows(case, pushed)


def hvp(
    subject: CalledLoss,
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
    _require_autodiff(subject)
    with subject.backend.precision(case.dtype):
        function, primals = subject.differentiable(case, targets=target_tangent is not None)
        tangents = [_tangent(subject, case, tangent)]
        if target_tangent is not None:
            tangents.append(_tangent(subject, case, target_tangent))
        gradients, seconds = subject.backend.hvp(
            function, primals, (subject.arrays.upstream(case),), tuple(tangents)
        )
        first = subject.gradient_array(case, gradients[0])
        zeros = np.zeros(case.logits.shape)
        pushed = [zeros if s is None else subject.rows(case, s) for s in seconds]
        return first, pushed[0], pushed[1] if target_tangent is not None else None


def squared_hvp(subject: CalledLoss, case: Case, tangent: npt.ArrayLike) -> FloatArray:
    """Hessian times v of φ = Σ L²/2, whose upstream u = L depends on the logits.

    φ'' v = (J v)ᵀ-weighted gradients plus Σ L_i H_i v: a loss whose backward treats the
    gradient it stored as a constant loses the second part, or answers with no graph.
    """
    _require_autodiff(subject)
    with subject.backend.precision(case.dtype):
        function, primals = subject.differentiable(case)

        def squared(*arrays: Array) -> Arrays:
            (value,) = function(*arrays)
            return ((value * value).sum() / 2,)

        one, along = subject.arrays.floating(1.0), _tangent(subject, case, tangent)
        _, (second,) = subject.backend.hvp(squared, primals, (one,), (along,))
        if second is None:
            raise Unsupported("second order: the gradient has no graph")
        return subject.rows(case, second)


def buffer_gradient(subject: CalledLoss, case: Case) -> FloatArray:
    """Gradient of ⟨upstream, value⟩ in the buffer of which the logits are a view.

    The logits are no leaf here: as those of a linear head are the transpose of its output.
    The shape is the buffer's; what lies between the logits has the gradient 0.
    """
    _require_autodiff(subject)
    with subject.backend.precision(case.dtype):
        function, _ = subject.differentiable(case)

        def of_buffer(buffer: Array) -> Arrays:
            return function(subject.arrays.logits_of(case, buffer))

        buffer, upstream = subject.arrays.buffer(case), subject.arrays.upstream(case)
        _, (pulled,) = subject.backend.vjp(of_buffer, (buffer,), (upstream,))
        shape = subject.backend.describe(buffer).shape
        return returned.gradient(subject.backend, pulled, shape, "buffer of the logits")


def _require_autodiff(subject: CalledLoss) -> None:
    if subject.gradient_kind != "autodiff":
        raise Unsupported(f"the gradient is {subject.gradient_kind}, not differentiable")


def _tangent(subject: CalledLoss, case: Case, tangent: npt.ArrayLike) -> Array:
    return subject.arrays.floating(subject.arrays.shaped(case, np.asarray(tangent)))
