"""The value against the specification."""

import numpy as np

from gradcheck_suite.case import Case
from gradcheck_suite.checks.judgement import judge, worst_of
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.outcome import Verdict
from gradcheck_suite.protocols import Check, Subject


def value(subject: Subject, case: Case) -> Verdict:
    """|value − specified| within the forward-error bound of a stable algorithm."""
    yardstick = Yardstick.of(subject, case)
    return judge(
        "value",
        subject.value(case),
        yardstick.reference.value,
        yardstick.value_bound,
        reference=yardstick.reference,
    )


def likelihood(subject: Subject, case: Case) -> Verdict:
    """Σ_i L_i · scale against −log Π_i Π_j p_j^t_j, with the product formed from p itself.

    The likelihood comes from p (a quotient of exponentials), not from the reference's own
    rows, so that the definition is not compared with itself.
    """
    yardstick = Yardstick.of(subject, case)
    reference = yardstick.reference
    with np.errstate(all="ignore"):
        powers = np.power(reference.softmax.p, reference.effective_targets)
        log_likelihood = np.sum(np.log(np.prod(powers, axis=1)))
    got = np.sum(subject.value(case).astype(np.longdouble)) * reference.denominator
    bound = yardstick.value_bound.sum() * reference.denominator
    return judge(
        "sum of the rows",
        got,
        -log_likelihood,
        bound,
        reference=reference,
        names=("Σ L_i", "−log likelihood"),
    )


def non_negative(subject: Subject, case: Case) -> Verdict:
    """value ≥ 0 within the bound; 0 where p_c → 1, and log C for equal logits."""
    yardstick = Yardstick.of(subject, case)
    got = subject.value(case)
    verdicts = [
        judge(
            "value",
            got,
            yardstick.reference.value,
            yardstick.value_bound,
            names=("got", "specified in the limit"),
        ),
        judge(
            "value",
            got,
            np.maximum(got, 0.0),
            yardstick.value_bound,
            names=("got", "at least"),
            against_itself=True,
        ),
    ]
    if bool(np.all(case.logits == case.logits[:, :1])):
        constant = np.full(got.shape, np.log(np.longdouble(case.classes)))
        if case.options.reduction == "sum":
            constant = constant * case.rows
        verdicts.append(
            judge("value", got, constant, yardstick.value_bound, names=("got", "log C"))
        )
    return worst_of(verdicts)


CHECKS = (
    Check("value", value, convicts=("value",)),
    Check("likelihood", likelihood),
    Check("non-negative", non_negative),
)
