"""Class weights: in the rows, in the denominator, and as a variable where that is declared."""

from __future__ import annotations

import numpy as np

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.gradient import reduction
from gradcheck_suite.checks.judgement import judge, number, worst_of
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.errors import ImplementationError
from gradcheck_suite.numerics import forward_error
from gradcheck_suite.numerics.tolerance import Bound
from gradcheck_suite.outcome import Failed, Passed, Verdict
from gradcheck_suite.protocols import Check, Subject


def weights(subject: Subject, case: Case) -> Verdict:
    """Value and gradient with w; a denominator of 0 gives NaN, or what is declared.

    Where class_weights=differentiable is declared, the gradient in w is judged as well.
    """
    if Yardstick.of(subject, case).reference.denominator == 0:
        return _nothing_to_divide_by(subject, case)
    verdicts = [reduction(subject, case)]
    if subject.dialect.class_weights == "differentiable" and subject.gradient_kind == "autodiff":
        verdicts.append(_in_weights(subject, case))
    return worst_of(verdicts)


def _nothing_to_divide_by(subject: Subject, case: Case) -> Verdict:
    """0/0: NaN says so; 0 or a refusal is a choice (all_ignored_mean). The gradient: 0 or NaN."""
    choice = subject.dialect.all_ignored_mean
    try:
        value = float(subject.value(case))
    except ImplementationError:
        raise
    except Exception as error:  # 0/0 in plain Python raises where NumPy's gives NaN
        return Passed(note=f"a denominator of 0 raises {type(error).__name__}")
    if not np.isnan(value) and not (choice == "zero" and value == 0):
        return Failed(
            "the mean over a denominator of 0 is a number",
            sides=(("got", number(value)), ("specified", "NaN" if choice != "zero" else "0")),
            looks="declare dialect={'all_ignored_mean': 'zero'} if it is meant" * (value == 0),
        )
    if not subject.supports(case, "gradient"):
        gradient = subject.gradients(case).logits
        if np.any(gradient[~np.isnan(gradient)] != 0):
            return Failed(
                "the mean over a denominator of 0 has a gradient that is neither 0 nor NaN",
                sides=(("got", number(float(np.nanmax(np.abs(gradient))))), ("specified", "0")),
            )
    return Passed(note=f"the mean over a denominator of 0 is {value:g}")


def _in_weights(subject: Subject, case: Case) -> Verdict:
    yardstick = Yardstick.of(subject, case)
    got = subject.weight_gradient(case)
    if got is None:
        return Failed(
            "class weights are declared differentiable and have no gradient: a cut graph",
            sides=(("got", "None"), ("specified", "Σ_i t_ij (−log p_ij) · u / den")),
        )
    return judge(
        "gradient in the class weights",
        got,
        yardstick.reference.weight_gradient,
        _weight_gradient_bound(yardstick),
    )


def _weight_gradient_bound(yardstick: Yardstick) -> Bound:
    """Of Σ_i s_i t'_ij v_ij − s J Σ_i t_ij, with v = −log p and s = u/den: a sum over N terms.

    Elements err as the gradient in target probabilities with k = t'; adding them up in any
    order by at most (N−1)u of their sizes; J by its own bound. Four more operations scale.
    """
    reference, case = yardstick.reference, yardstick.case
    loss, u = reference.loss, yardstick.arithmetic.unit_roundoff
    counted: FloatArray = np.asarray(
        loss.distribution(reference.logits, reference.targets), np.float64
    )
    counted = np.where(reference.valid[:, None], counted, 0.0)
    epsilon = case.options.label_smoothing
    uniform = epsilon / max(case.classes - 1, 1)  # the larger of the two forms of smoothing
    spread = np.where(reference.valid[:, None], (1 - epsilon) * counted + uniform, 0.0)
    elements = forward_error.target_gradient_bound(
        case.logits,
        spread,
        yardstick.arithmetic,
        reference.scale,
        scale_error=yardstick.denominator_error,
    )
    v = -np.asarray(reference.softmax.log_p, np.float64)
    sizes = np.sum(np.abs(reference.scale)[:, None] * spread * v, axis=0)
    roundings = 2.0 * (case.rows + 4) * u
    terms = [("sum over rows", roundings * sizes)]
    if loss.divides_by_weights(reference.targets):
        share = np.abs(reference.scale).max() * counted.sum(axis=0)
        mean = abs(float(reference.value))
        off = float(yardstick.value_bound.total)
        relative = roundings + yardstick.denominator_error
        terms.append(("the mean's own error", share * (off + relative * mean)))
    return elements.sum(axis=0) + Bound.of((case.classes,), terms)


CHECKS = (Check("weights", weights, cost=3),)
