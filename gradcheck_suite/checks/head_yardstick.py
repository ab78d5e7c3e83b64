"""The yardstick of a case with a linear head: value, and gradients in X, W and b, each bounded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradcheck_suite.case import Case, FloatArray, LinearHead
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.numerics import forward_error
from gradcheck_suite.numerics.forward_error import Perturbed
from gradcheck_suite.numerics.tolerance import Bound
from gradcheck_suite.protocols import Subject
from gradcheck_suite.specification import linear_head
from gradcheck_suite.specification.linear_head import ExtendedArray
from gradcheck_suite.specification.reference import Reference


@dataclass(frozen=True, eq=False)
class HeadYardstick:
    """What is specified behind a linear head, and how far a stable algorithm may be from it.

    Attributes:
        at_logits: the yardstick of the loss at the exact logits.
        head: X, W and b.
    """

    at_logits: Yardstick
    head: LinearHead

    @classmethod
    def of(cls, subject: Subject, case: Case) -> HeadYardstick:
        assert case.head is not None  # the clauses of this check have one
        return cls(Yardstick.of(subject, case), case.head)

    @property
    def reference(self) -> Reference:
        return self.at_logits.reference

    @cached_property
    def head_value_bound(self) -> Bound:
        """Of the value: rows, or the reduced scalar."""
        tau = self.reference.effective_targets
        rows = forward_error.head_row_bound(self.at_logits.row_bound, self._perturbed, tau)
        return self.at_logits.reduced(np.asarray(self.reference.rows, np.float64), rows)

    @cached_property
    def gradients(self) -> dict[str, ExtendedArray]:
        """∂L/∂X, ∂L/∂W and ∂L/∂b by name; the last where there is a bias."""
        return linear_head.gradients(self.reference)

    def head_gradient_bound(self, name: str) -> Bound:
        """Of one of the gradients, of its shape."""
        error = self._logit_gradient_bound.total
        logits = np.asarray(self.reference.gradient, np.float64)
        arithmetic = self.at_logits.arithmetic
        if name == "hidden":
            found = forward_error.product_bound(logits, error, self.head.linear_weight, arithmetic)
        elif name == "linear_weight":
            found = forward_error.product_bound(logits.T, error.T, self.head.hidden, arithmetic)
        else:
            ones = np.ones((len(logits), 1))
            column = forward_error.product_bound(logits.T, error.T, ones, arithmetic.backward)
            found = column.take((slice(None), 0))
        return self.at_logits.inflated(found)

    def unit(self, name: str) -> FloatArray:
        """What one |u/den| in the logits' gradient amounts to: the scale of an element, ()."""
        size = np.max(np.abs(self.reference.scale), initial=0.0)
        right = {"hidden": self.head.linear_weight, "linear_weight": self.head.hidden}.get(name)
        return np.asarray(size * (1.0 if right is None else np.max(np.abs(right), initial=0.0)))

    def jvp(self, tangent: LinearHead) -> ExtendedArray:
        """The derivative of the value along a tangent in X, W and b."""
        return self.reference.jvp(linear_head.pushed(self.head, tangent))

    def head_jvp_bound(self, tangent: LinearHead) -> Bound:
        """Of that derivative: rows, or the reduced scalar."""
        pushed = np.asarray(linear_head.pushed(self.head, tangent), np.float64)
        case, tau = self.reference.case, self.reference.effective_targets
        arithmetic = self.at_logits.arithmetic
        along = forward_error.jvp_bound(case.logits, tau, pushed, arithmetic)
        rows = forward_error.head_jvp_bound(
            along, self._perturbed, tau, self.head, tangent, pushed, arithmetic
        )
        plain = Reference(case.with_(reduction="none", upstream=1.0), self.reference.dialect)
        slopes = np.asarray(plain.jvp(pushed), np.float64)
        return self.at_logits.reduced(slopes, self.at_logits.inflated(rows))

    @cached_property
    def _perturbed(self) -> Perturbed:
        return forward_error.perturbed(
            self.reference.case.logits,
            np.asarray(self.reference.softmax.p, np.float64),
            self.head,
            self.at_logits.arithmetic,
        )

    @cached_property
    def _logit_gradient_bound(self) -> Bound:
        """Of G (N, C), as a fused loss has it on the way and as autodiff hands it on."""
        return forward_error.head_gradient_bound(
            self.at_logits.gradient_bound,
            self._perturbed,
            self.reference.effective_targets,
            self.reference.scale,
        )
