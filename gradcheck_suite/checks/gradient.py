"""The gradient in the logits, element by element, against the closed form."""

from dataclasses import replace

import numpy as np

from gradcheck_suite.case import Case
from gradcheck_suite.checks.judgement import judge, worst_of
from gradcheck_suite.checks.triangulation import with_finite_difference
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.outcome import Failed, Inequality, Passed, Skipped, Verdict
from gradcheck_suite.protocols import Check, Subject

_NEEDS = ("value", "gradient")


def gradient(subject: Subject, case: Case) -> Verdict:
    """|gradient − u/den·(T·p − τ)| within the bound; a failure asks the value's own slope."""
    yardstick = Yardstick.of(subject, case)
    got = subject.gradients(case).logits
    verdict = judge(
        "gradient",
        got,
        yardstick.reference.gradient,
        yardstick.gradient_bound,
        reference=yardstick.reference,
    )
    return with_finite_difference(verdict, subject, yardstick, got, yardstick.reference.gradient)


def reduction(subject: Subject, case: Case) -> Verdict:
    """Value and gradient over one and the same denominator, the declared one."""
    yardstick = Yardstick.of(subject, case)
    value = judge(
        "value",
        subject.value(case),
        yardstick.reference.value,
        yardstick.value_bound,
        reference=yardstick.reference,
    )
    if isinstance(value, Failed) or subject.supports(case, "gradient"):
        return value
    return worst_of([value, gradient(subject, case)])


def unnormalised(subject: Subject, case: Case) -> Verdict:
    """Σt ≠ 1: value and gradient as specified, or declared to be outside the contract."""
    if subject.dialect.unnormalised_targets == "assumes-one":
        return Skipped("declared: assumes that target probabilities sum to 1")
    verdict = reduction(subject, case)
    if isinstance(verdict, Failed) and _assumes_one(subject, case):
        return replace(
            verdict,
            looks="the gradient is p − t: Σt = 1 is assumed; declare "
            "dialect={'unnormalised_targets': 'assumes-one'} if that is the contract",
        )
    return verdict


def _assumes_one(subject: Subject, case: Case) -> bool:
    """Whether the gradient is u/den·(p − t), with T = 1 for every row."""
    yardstick = Yardstick.of(subject, case)
    reference = yardstick.reference
    tau = np.asarray(reference.effective_targets)
    assumed = reference.scale[:, None] * (np.asarray(reference.softmax.p) - tau)
    off = np.abs(subject.gradients(case).logits - assumed).astype(np.float64)
    return bool(np.all(off <= yardstick.gradient_bound.total))


def mean_gradient(subject: Subject, case: Case) -> Verdict:
    """Row i of ∂J/∂f against (p^(i) − t^(i))/m, written out as the seed does."""
    yardstick = Yardstick.of(subject, case)
    reference = yardstick.reference
    distribution = reference.loss.distribution(reference.logits, reference.targets)
    specified = (reference.softmax.p - distribution) / case.rows
    got = subject.gradients(case).logits
    verdict = judge(
        "gradient of the mean",
        got,
        specified,
        yardstick.gradient_bound,
        reference=reference,
        names=("got", "(p − t)/m"),
    )
    return with_finite_difference(verdict, subject, yardstick, got, specified)


def sign(subject: Subject, case: Case) -> Verdict:
    """sign(u)·gradient < 0 at the target, > 0 elsewhere, where that exceeds the bound."""
    yardstick = Yardstick.of(subject, case)
    reference, bound = yardstick.reference, yardstick.gradient_bound
    got = subject.gradients(case).logits
    exact = np.asarray(reference.gradient, np.float64)
    tells = np.abs(exact) > bound.total
    wrong = tells & (np.sign(got) != np.sign(exact))
    if not wrong.any():
        return Passed(note=f"{int(tells.sum())} of {tells.size} signs are determined, all right")
    row, column = (int(part) for part in np.argwhere(wrong)[0])
    target = bool(case.targets[row] == column)
    want = "negative" if exact[row, column] < 0 else "positive"
    return Failed(
        f"the gradient has the wrong sign: it must be {want} "
        f"{'at the target' if target else 'away from the target'}",
        at=f"row {row}, class {column}",
        sides=(
            ("got", f"{got[row, column]:+.6g}"),
            ("specified", f"{exact[row, column]:+.6g}"),
        ),
        inequality=Inequality(
            "|got − specified|",
            abs(got[row, column] - exact[row, column]),
            float(bound.total[row, column]),
        ),
        looks="every sign is flipped" if bool(np.all(wrong == tells)) else "",
    )


def row_sum_zero(subject: Subject, case: Case) -> Verdict:
    """|Σ_i gradient_ri| at most the sum of the elements' bounds."""
    yardstick = Yardstick.of(subject, case)
    sums = np.asarray(subject.gradients(case).logits.astype(np.longdouble).sum(axis=1))
    return judge(
        "row sum of the gradient",
        sums,
        np.zeros(case.rows),
        yardstick.gradient_bound.sum(axis=1),
        names=("Σ of the row", "specified"),
        against_itself=True,
    )


def chain_rule(subject: Subject, case: Case) -> Verdict:
    """Σ_j (−τ_j/p_j)·p_j(δ_ij − p_i), summed over the classes with p_j > 0, times u/den."""
    yardstick = Yardstick.of(subject, case)
    reference = yardstick.reference
    p = reference.softmax.p
    tau = reference.loss.effective_targets(reference.logits, reference.targets)
    with np.errstate(all="ignore"):
        loss_by_p = np.where(p > 0, -tau / p, 0)
        jacobian = p[:, :, None] * (np.eye(case.classes) - p[:, None, :])  # ∂p_j/∂f_i
        long_way = np.einsum("nj,nji->ni", loss_by_p, jacobian)
    scale = np.asarray(reference.scale)[:, None]
    return judge(
        "gradient",
        subject.gradients(case).logits,
        scale * long_way,
        yardstick.gradient_bound,
        reference=reference,
        names=("got", "by the chain rule"),
    )


def upstream(subject: Subject, case: Case) -> Verdict:
    """The gradient at u, and at −2u, against the specification: linear in u, row by row."""
    if subject.gradient_kind in ("returned", "function"):
        return Skipped("the gradient is given, not derived: it takes no upstream")
    verdicts = []
    for factor in (1.0, -2.0):
        scaled = case.with_(upstream=case.upstream * factor)
        yardstick = Yardstick.of(subject, scaled)
        verdicts.append(
            judge(
                "gradient at this upstream",
                subject.gradients(scaled).logits,
                yardstick.reference.gradient,
                yardstick.gradient_bound,
                reference=yardstick.reference,
            )
        )
    verdict = worst_of(verdicts)
    if isinstance(verdict, Failed):
        return _explained_by_upstream(verdict, subject, case)
    return verdict


def _explained_by_upstream(verdict: Failed, subject: Subject, case: Case) -> Verdict:
    """Says whether the gradient ignores u, or takes one row's for all."""
    ones = case.with_(upstream=np.ones_like(case.upstream))
    unit = subject.gradients(ones).logits
    got = subject.gradients(case).logits
    looks = verdict.looks
    if np.array_equal(unit, got):
        looks = "the upstream is ignored: the gradient is that of u = 1"
    elif case.upstream.ndim and np.allclose(got, unit * float(case.upstream[0])):
        looks = "the first row's upstream is used for every row"
    return replace(verdict, looks=looks)


def target_gradient(subject: Subject, case: Case) -> Verdict:
    """The gradient in target probabilities, −(1−ε)w log p · u/den, also where t_j = 0."""
    if subject.dialect.target_gradient == "absent":
        return Skipped("declared: no gradient in the targets")
    if subject.gradient_kind != "autodiff":
        return Skipped("the gradient is given, not derived: there is none in the targets")
    yardstick = Yardstick.of(subject, case)
    got = subject.gradients(case, targets=True).targets
    if got is None:
        return Failed(
            "no gradient in the target probabilities: None, a cut graph",
            sides=(("got", "None"), ("specified", "−(1−ε) w log p · u / den")),
            looks="declare dialect={'target_gradient': 'absent'} if targets are constants",
        )
    return judge(
        "gradient in the targets",
        got,
        yardstick.reference.target_gradient,
        yardstick.target_gradient_bound,
        reference=yardstick.reference,
    )


def shared_bias(subject: Subject, case: Case) -> Verdict:
    """Σ_i of the gradient's rows: what a bias b with f + b receives."""
    yardstick = Yardstick.of(subject, case)
    got = subject.gradients(case).logits.astype(np.longdouble).sum(axis=0)
    return judge(
        "gradient of a shared bias",
        got[None, :],
        np.asarray(yardstick.reference.gradient).sum(axis=0)[None, :],
        yardstick.gradient_bound.sum(axis=0).take(None),
        names=("Σ over rows", "(1/m) Σ (p − t)" if case.options.reduction == "mean" else "Σ"),
    )


CHECKS = (
    Check("gradient", gradient, cost=2, needs=_NEEDS, convicts=("gradient",)),
    Check("reduction", reduction, cost=3, convicts=("value", "gradient")),
    Check("unnormalised", unnormalised, cost=3, needs=_NEEDS),
    Check("mean-gradient", mean_gradient, cost=2, needs=_NEEDS),
    Check("sign", sign, cost=2, needs=_NEEDS),
    Check("row-sum-zero", row_sum_zero, cost=2, needs=_NEEDS),
    Check("chain-rule", chain_rule, cost=2, needs=_NEEDS),
    Check("upstream", upstream, cost=4, needs=_NEEDS, convicts=("gradient",)),
    Check("target-gradient", target_gradient, cost=2, needs=_NEEDS),
    Check("shared-bias", shared_bias, cost=2, needs=_NEEDS),
)
