"""A linear head before the loss, f = X Wᵀ + b: its output, and what the chain rule makes of it.

With G = u/den · (T p − τ), the gradient in the logits:

    ∂L/∂X = G W  (N, H)      ∂L/∂W = Gᵀ X  (C, H)      ∂L/∂b = Σ_n G_n  (C,)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, LinearHead

if TYPE_CHECKING:
    from gradcheck_suite.specification.reference import Reference

ExtendedArray = npt.NDArray[np.longdouble]


def output(head: LinearHead) -> ExtendedArray:
    """f = X Wᵀ + b in extended precision, (N, C)."""
    product = _extended(head.hidden) @ _extended(head.linear_weight).T
    return product if head.linear_bias is None else product + _extended(head.linear_bias)


def behind(case: Case, head: LinearHead) -> Case:
    """The case with another linear head, and the logits that are its output."""
    return case.with_(head=head, logits=np.asarray(output(head), np.float64))


def pushed(head: LinearHead, tangent: LinearHead) -> ExtendedArray:
    """ḟ = Ẋ Wᵀ + X Ẇᵀ + ḃ, the tangent of the logits, (N, C)."""
    through = _extended(tangent.hidden) @ _extended(head.linear_weight).T
    through = through + _extended(head.hidden) @ _extended(tangent.linear_weight).T
    return through if tangent.linear_bias is None else through + _extended(tangent.linear_bias)


def gradients(reference: Reference) -> dict[str, ExtendedArray]:
    """∂L/∂X, ∂L/∂W and, where there is a bias, ∂L/∂b, at a case that has a linear head."""
    head, logits = reference.case.head, _extended(reference.gradient)
    assert head is not None  # the caller has seen to it
    found = {
        "hidden": logits @ _extended(head.linear_weight),
        "linear_weight": logits.T @ _extended(head.hidden),
    }
    return found if head.linear_bias is None else {**found, "linear_bias": logits.sum(axis=0)}


def _extended(values: npt.NDArray[Any]) -> ExtendedArray:
    return np.asarray(values, dtype=np.longdouble)
