"""The yardstick of a case: the reference's answers, each with its forward-error bound."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.numerics import forward_error
from gradcheck_suite.numerics.same_dtype import ReferenceError, same_dtype_reference_error
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound
from gradcheck_suite.protocols import Subject
from gradcheck_suite.specification.dialect import gradient_filter
from gradcheck_suite.specification.reference import Reference


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What is specified at a case, and how far a stable algorithm may be from it.

    Attributes:
        reference: the closed form at the case, in extended precision.
        arithmetic: the unit roundoffs of the implementation's dtype.
        explicit_lse: whether lse may be formed at the logits' own magnitude and subtracted
            afterwards. Without it the bounds are strict: an offset does not widen them.
    """

    reference: Reference
    arithmetic: Arithmetic
    explicit_lse: bool = True

    @classmethod
    def of(cls, subject: Subject, case: Case, *, explicit_lse: bool = True) -> Yardstick:
        arithmetic = Arithmetic.of(case.dtype, subject.accumulation)
        return cls(Reference(case, subject.dialect), arithmetic, explicit_lse)

    @property
    def case(self) -> Case:
        return self.reference.case

    @cached_property
    def extended(self) -> forward_error.Extended | None:
        """The bounds with the case's extensions; None where it has none."""
        options, reference = self.case.options, self.reference
        if not options.extended():
            return None
        scores = forward_error.scores_of(
            np.where(reference.valid[:, None], self.case.logits, 0.0),
            self.arithmetic,
            softcap=options.softcap,
            logit_scale=options.logit_scale,
            class_mask=options.class_mask,
        )
        z_loss = np.where(reference.valid, float(reference.z_loss), 0.0)
        return forward_error.Extended(scores, reference.effective_targets, z_loss, self.arithmetic)

    @cached_property
    def row_bound(self) -> Bound:
        """Of the rows' values, shape (N,)."""
        if self.extended:
            return self.inflated(self.extended.row_value_bound())
        return self.inflated(
            forward_error.row_value_bound(
                self.case.logits,
                self.reference.effective_targets,
                self.arithmetic,
                explicit_lse=self.explicit_lse,
            )
        )

    @cached_property
    def value_bound(self) -> Bound:
        """Of the value: rows, or the reduced scalar."""
        return self.reduced(np.asarray(self.reference.rows, np.float64), self.row_bound)

    @cached_property
    def gradient_bound(self) -> Bound:
        """Of the gradient in the logits, shape (N, C); a declared filter may drop small elements.

        A filtered element errs by all of itself, and by no more.
        """
        if self.extended:
            bound = self.inflated(self.extended.gradient_bound(**self._scaling))
        else:
            bound = self._per_element(forward_error.gradient_bound)
        threshold = gradient_filter(self.reference.dialect, self.case.dtype)
        if not threshold:
            return bound
        size = np.abs(np.asarray(self.reference.gradient, np.float64))
        dropped = size < threshold * np.abs(self.reference.scale)[:, None]
        terms = [("declared filter", np.where(dropped, size, 0.0))]
        return bound + Bound.of(size.shape, terms)

    @cached_property
    def saturated_bound(self) -> Bound:
        """Of the gradient, (N, C), where the target's element is −Σ_{j≠c} p_j to its own digits.

        Relative to Σ_{j≠c} p_j, however close to 1 p_c is; ``gradient_bound`` allows p_c − 1.
        """
        return self._per_element(forward_error.saturated_bound)

    @cached_property
    def target_gradient_bound(self) -> Bound:
        """Of the gradient in target probabilities, shape (N, C)."""
        reference = self.reference
        coefficient = np.abs(np.asarray(reference.loss.target_weights(reference.logits), float))
        if self.extended:
            bound = self.extended.target_gradient_bound(coefficient, **self._scaling)
            return self.inflated(bound)
        return self.inflated(
            forward_error.target_gradient_bound(
                self.case.logits,
                coefficient,
                self.arithmetic,
                reference.scale,
                scale_error=self.denominator_error,
                explicit_lse=self.explicit_lse,
            )
        )

    def jvp_bound(self, tangent: npt.ArrayLike) -> Bound:
        """Of the derivative of the value along ``tangent``: rows, or the reduced scalar."""
        reference = self.reference
        if self.extended:
            rows = self.extended.jvp_bound(tangent)
        else:
            rows = forward_error.jvp_bound(
                self.case.logits,
                reference.effective_targets,
                tangent,
                self.arithmetic,
                explicit_lse=self.explicit_lse,
            )
        plain = Reference(self.case.with_(reduction="none", upstream=1.0), reference.dialect)
        slopes = np.asarray(plain.jvp(tangent), np.float64)
        return self.reduced(slopes, self.inflated(rows))

    def hvp_bound(self, tangent: npt.ArrayLike) -> Bound:
        """Of the Hessian-vector product, shape (N, C)."""
        if self.extended:
            return self.inflated(self.extended.hvp_bound(tangent, **self._scaling))
        return self._per_element(forward_error.hvp_bound, tangent)

    @cached_property
    def same_dtype_error(self) -> ReferenceError:
        """Root mean square errors of a stable evaluation in the same arithmetic, by row."""
        reference = self.reference
        return same_dtype_reference_error(
            self.case.logits,
            reference.effective_targets,
            reference.scale,
            self.arithmetic,
            seed=self.case.seed,
        )

    @cached_property
    def denominator_error(self) -> float:
        """Relative error of the mean's denominator where that is a sum of weights."""
        reference, case = self.reference, self.case
        if case.options.reduction != "mean" or case.options.weight is None:
            return 0.0
        loss = reference.loss
        mass = loss.distribution(reference.logits, reference.targets) * case.options.weight
        valid = loss.valid(reference.logits, reference.targets)
        return forward_error.denominator_error(
            np.asarray(mass, np.float64).sum(axis=1)[valid], self.arithmetic
        )

    @property
    def _scaling(self) -> dict[str, Any]:
        return {"scale": self.reference.scale, "scale_error": self.denominator_error}

    def _per_element(self, bound: Any, *arguments: npt.ArrayLike) -> Bound:
        reference = self.reference
        return self.inflated(
            bound(
                self.case.logits,
                reference.effective_targets,
                *arguments,
                self.arithmetic,
                reference.scale,
                scale_error=self.denominator_error,
                explicit_lse=self.explicit_lse,
            )
        )

    def reduced(self, rows: FloatArray, bound: Bound) -> Bound:
        """That of the rows under ``none``, else of their sum or mean."""
        if self.case.options.reduction == "none":
            return bound
        return forward_error.reduced_value_bound(
            rows,
            bound,
            self.reference.denominator,
            self.arithmetic,
            scale_error=self.denominator_error,
        )

    def inflated(self, bound: Bound) -> Bound:
        """Widened by the reference's own rounding, where that is not negligible."""
        return bound * self.reference.inflation
