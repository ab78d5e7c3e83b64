"""Forward mode and second order against the closed form, each other, and differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.evidence import A_DIRECTION, step_curve
from gradcheck_suite.checks.judgement import judge, judge_scalar, number, worst_of
from gradcheck_suite.checks.triangulation import bounded_noise, draw, first_step
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.errors import Unsupported
from gradcheck_suite.numerics import forward_error
from gradcheck_suite.numerics.finite_difference import directional_derivative
from gradcheck_suite.numerics.tolerance import Bound
from gradcheck_suite.outcome import Failed, Passed, Skipped, Verdict
from gradcheck_suite.protocols import Check, Subject, machine_epsilon


def jvp(subject: Subject, case: Case) -> Verdict:
    """|jvp(v) − Σ (T·p − τ)·v| within the bound, along two Gaussian directions."""
    verdicts = []
    for stream in (0, 1):
        tangent = draw(case, stream, step=first_step(case))
        yardstick = Yardstick.of(subject, case)
        pushed, specified = subject.jvp(case, tangent)[1], yardstick.reference.jvp(tangent)
        verdict = judge(
            "derivative by forward mode",
            pushed,
            specified,
            yardstick.jvp_bound(tangent),
            reference=yardstick.reference,
        )
        if isinstance(verdict, Failed):
            got, right = (float(np.sum(case.upstream * each)) for each in (pushed, specified))
            curve = step_curve(subject, case, tangent, got=got, specified=right, along=A_DIRECTION)
            verdict = replace(verdict, step_curve=curve)
        verdicts.append(verdict)
    return worst_of(verdicts)


def pairing(subject: Subject, case: Case) -> Verdict:
    """|⟨u, jvp(v)⟩ − ⟨vjp(u), v⟩| at most what rounding can do to both."""
    tangent = draw(case, 0, step=first_step(case))
    yardstick = Yardstick.of(subject, case)
    pushed = subject.jvp(case, tangent)[1].astype(np.longdouble)
    pulled = subject.gradients(case).logits.astype(np.longdouble)
    forward = float(np.sum(case.upstream * pushed))
    reverse = float(np.sum(pulled * tangent))
    tolerance = float(
        np.sum(np.abs(case.upstream) * yardstick.jvp_bound(tangent).total)
        + np.sum(yardstick.gradient_bound.total * np.abs(tangent))
    )
    return judge_scalar(
        "|⟨u, jvp(v)⟩ − ⟨vjp(u), v⟩|",
        abs(forward - reverse),
        tolerance,
        sides=(("⟨u, jvp(v)⟩", number(forward)), ("⟨vjp(u), v⟩", number(reverse))),
    )


def hessian(subject: Subject, case: Case) -> Verdict:
    """H·v against T·(p∘v − p(p·v)); H·1 = 0; ⟨w, Hv⟩ = ⟨v, Hw⟩; ⟨v, Hv⟩ ≥ 0 for u ≥ 0."""
    yardstick = Yardstick.of(subject, case)
    reference = yardstick.reference
    tangents = [draw(case, stream, step=first_step(case)) for stream in (0, 1)]
    tangents.append(np.ones(case.logits.shape))
    products, verdicts = [], []
    for tangent in tangents:
        product = subject.hvp(case, tangent)[1]
        products.append(product)
        verdicts.append(
            judge(
                "Hessian times a vector",
                product,
                reference.hvp(tangent),
                yardstick.hvp_bound(tangent),
                reference=reference,
            )
        )
    v, w, _ = tangents
    slack = np.sum(yardstick.hvp_bound(v).total * abs(w) + yardstick.hvp_bound(w).total * abs(v))
    left, right = float(np.sum(w * products[0])), float(np.sum(v * products[1]))
    verdicts.append(
        judge_scalar(
            "|⟨w, Hv⟩ − ⟨v, Hw⟩|",
            abs(left - right),
            float(slack),
            sides=(("⟨w, Hv⟩", number(left)), ("⟨v, Hw⟩", number(right))),
        )
    )
    if bool(np.all(case.upstream >= 0)):
        curvature = np.sum(v * products[0], axis=1)
        allowed = (yardstick.hvp_bound(v) * v).sum(axis=1)
        verdicts.append(
            judge(
                "curvature ⟨v, Hv⟩ of a row",
                curvature,
                np.maximum(curvature, 0.0),
                allowed,
                names=("got", "at least"),
                against_itself=True,
            )
        )
    return worst_of(verdicts)


def hessian_finite_difference(subject: Subject, case: Case) -> Verdict:
    """H·v against the finite difference of the implementation's own gradient along v."""
    yardstick = Yardstick.of(subject, case)
    tangent = draw(case, 0, step=first_step(case))
    gradient, product, _ = subject.hvp(case, tangent)

    def along(step: float) -> FloatArray:
        return subject.gradients(case.with_(logits=case.logits + step * tangent)).logits

    estimate = directional_derivative(
        along,
        value=gradient,
        step=first_step(case),
        machine_epsilon=machine_epsilon(case.dtype),
        noise=bounded_noise(yardstick.gradient_bound.total),
    )
    bound = yardstick.hvp_bound(tangent) + Bound.of(
        product.shape,
        [
            ("truncation", estimate.truncation_error),
            ("rounding of the gradient / step", estimate.rounding_error),
        ],
    )
    return judge(
        "Hessian times a vector",
        product,
        estimate.derivative,
        bound,
        names=("got", "slope of its own gradient"),
        against_itself=True,
    )


def mixed(subject: Subject, case: Case) -> Verdict:
    """∂²L/∂f∂t = p1ᵀ − I in both orders of differentiation."""
    if subject.dialect.target_gradient == "absent":
        return Skipped("declared: no gradient in the targets")
    yardstick = Yardstick.of(subject, case)
    reference = yardstick.reference
    in_targets = draw(case, 3, step=first_step(case))
    in_logits = draw(case, 4, step=first_step(case))
    zero = np.zeros(case.logits.shape)
    first = subject.hvp(case, zero, target_tangent=in_targets)[1]
    second = subject.hvp(case, in_logits, target_tangent=zero)[2]
    if second is None:
        return Failed("the gradient in the targets does not depend on the logits: a cut graph")
    slopes = np.asarray(reference.loss.target_weights(reference.logits), np.float64)
    return worst_of(
        [
            judge(
                "∂/∂t of the gradient in f",
                first,
                reference.mixed(in_targets),
                forward_error.gradient_bound(
                    case.logits, slopes * in_targets, yardstick.arithmetic, reference.scale
                ),
                reference=reference,
            ),
            judge(
                "∂/∂f of the gradient in t",
                second,
                reference.mixed_transposed(in_logits),
                _mixed_transposed_bound(yardstick, slopes, in_logits),
                reference=reference,
            ),
        ]
    )


def _mixed_transposed_bound(yardstick: Yardstick, slopes: FloatArray, tangent: FloatArray) -> Bound:
    """Column j is w_j (p·v − v_j): the directional derivative of a row with target class j."""
    case, reference = yardstick.case, yardstick.reference
    total = np.zeros(case.logits.shape)
    for j in range(case.classes):
        tau = np.zeros(case.logits.shape)
        tau[:, j] = slopes[:, j]
        total[:, j] = forward_error.jvp_bound(
            case.logits, tau, tangent, yardstick.arithmetic, reference.scale
        ).total
    return Bound.of(total.shape, [("p·v − v_j", total)])


def unsupported_raises(subject: Subject, case: Case) -> Verdict:
    """The Hessian of φ = Σ L²/2 and the forward derivative: right, or they raise.

    φ''v = Σ_i g_i ⟨g_i, v⟩ + L_i H_i v. The upstream L depends on the logits, so a backward
    that holds its gradient for a constant answers with the first half alone.
    """
    tangent = draw(case, 0, step=first_step(case))
    raised, verdicts = [], []
    try:
        verdicts.append(_squared(subject, case, tangent))
    except Unsupported as error:
        raised.append(str(error))
    try:
        verdicts.append(jvp(subject, case))
    except Unsupported as error:
        raised.append(str(error))
    if verdicts:
        return worst_of(verdicts)
    return Passed(note="raises: " + "; ".join(raised))


def _squared(subject: Subject, case: Case, tangent: FloatArray) -> Verdict:
    got = subject.squared_hvp(case, tangent)
    one = case.with_(upstream=np.ones_like(case.upstream))
    yardstick = Yardstick.of(subject, one)
    reference = yardstick.reference
    value, slope = np.asarray(reference.value), np.asarray(reference.jvp(tangent))
    gradient, product = np.asarray(reference.gradient), np.asarray(reference.hvp(tangent))
    rows = (lambda array: np.abs(array[:, None])) if value.ndim else np.abs
    specified = gradient * (slope[:, None] if slope.ndim else slope) + product * (
        value[:, None] if value.ndim else value
    )
    wide = [yardstick.gradient_bound, yardstick.hvp_bound(tangent)]
    narrow = [yardstick.jvp_bound(tangent).total, yardstick.value_bound.total]
    parts = [
        ("gradient", wide[0].total * (rows(slope) + rows(narrow[0]))),
        ("directional derivative", np.abs(gradient) * rows(narrow[0])),
        ("Hessian", wide[1].total * (rows(value) + rows(narrow[1]))),
        ("value", np.abs(product) * rows(narrow[1])),
        # One rounding per product and for the sum, on top of the factors' own.
        (
            "products",
            2.0
            * machine_epsilon(case.dtype)
            * (np.abs(gradient) * rows(slope) + np.abs(product) * rows(value)),
        ),
    ]
    verdict = judge(
        "Hessian of Σ L²/2 times a vector",
        got,
        specified,
        Bound.of(got.shape, [(label, np.asarray(part, np.float64)) for label, part in parts]),
        reference=None,
    )
    if isinstance(verdict, Failed):
        half = gradient * (slope[:, None] if slope.ndim else slope)
        if np.allclose(got, np.asarray(half, np.float64), rtol=1e-4, atol=1e-6):
            return replace(
                verdict,
                summary="the second derivative is wrong, and nothing is raised",
                looks="the second half is missing: backward treats its gradient as a constant",
            )
    return verdict


CHECKS = (
    Check("jvp", jvp, cost=4, needs=("value", "forward")),
    Check("pairing", pairing, cost=4, needs=("value", "gradient", "forward")),
    Check("hessian", hessian, cost=8, needs=("value", "gradient", "second")),
    Check(
        "hessian-finite-difference",
        hessian_finite_difference,
        cost=10,
        needs=("value", "gradient", "second"),
    ),
    Check("mixed", mixed, cost=6, needs=("value", "gradient", "second")),
    Check("unsupported-raises", unsupported_raises, cost=6, needs=("value", "autodiff")),
)
