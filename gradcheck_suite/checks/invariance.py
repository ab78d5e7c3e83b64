"""What must not change the value: another spelling of the target, a shift, a permutation."""

from typing import Any

import numpy as np

from gradcheck_suite.case import Case, IndexArray
from gradcheck_suite.checks.judgement import judge, worst_of
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.outcome import Skipped, Verdict
from gradcheck_suite.protocols import Check, Subject
from gradcheck_suite.specification.recipe import representable


def one_hot_equals_index(subject: Subject, case: Case) -> Verdict:
    """loss(f, one-hot(c)) against loss(f, c), both within their bounds of one value.

    Their means differ by definition where class weights enter the denominator of one and
    not of the other, so weights are compared by rows.
    """
    index = case.with_(targets=case.targets.argmax(axis=1))
    reason = subject.supports(index)
    if reason:
        return Skipped(f"index targets: {reason}")
    by_index, by_one_hot = Yardstick.of(subject, index), Yardstick.of(subject, case)
    return judge(
        "value",
        subject.value(case),
        subject.value(index),
        by_index.value_bound + by_one_hot.value_bound,
        reference=by_one_hot.reference,
        names=("with one-hot targets", "with index targets"),
        against_itself=True,
    )


def shift_invariance(subject: Subject, case: Case) -> Verdict:
    """loss(f + a_i) against loss(f), a different a_i in every row.

    The shifted logits are rounded to the dtype, so the specification's change by that
    rounding is part of what is expected.
    """
    before, offsets = subject.value(case), np.linspace(-64.0, 64.0, case.rows)
    verdicts = []
    for offset in (offsets[:, None], -offsets[::-1, None]):
        moved = case.with_(logits=representable(case.logits + offset, case.dtype))
        here, there = Yardstick.of(subject, case), Yardstick.of(subject, moved)
        drift = there.reference.value - here.reference.value
        verdicts.append(
            judge(
                "value",
                subject.value(moved),
                before + drift,
                here.value_bound + there.value_bound,
                names=("with shifted rows", "without"),
                against_itself=True,
            )
        )
    return worst_of(verdicts)


def permutation(subject: Subject, case: Case) -> Verdict:
    """Permuted classes change nothing, permuted rows permute the rows, in value and gradient."""
    rng = np.random.default_rng(case.seed)
    verdicts = []
    for classes, rows in (
        (rng.permutation(case.classes), np.arange(case.rows)),
        (np.roll(np.arange(case.classes), 1), np.roll(np.arange(case.rows), 1)),
        (np.arange(case.classes), rng.permutation(case.rows)),
    ):
        permuted = permute(case, rows, classes)
        here, there = Yardstick.of(subject, case), Yardstick.of(subject, permuted)
        keeps_rows = case.options.reduction == "none"
        expected = subject.value(case)
        bound = here.value_bound
        if keeps_rows:
            expected = expected[rows]
            bound = bound.take(rows)
        verdicts.append(
            judge(
                "value",
                subject.value(permuted),
                expected,
                bound + there.value_bound,
                names=("permuted", "as it was"),
                against_itself=True,
            )
        )
    return worst_of(verdicts)


def permute(case: Case, rows: IndexArray, classes: IndexArray) -> Case:
    """The case with rows and classes in another order: logits, targets, weights, upstream."""
    options, upstream = case.options, case.upstream
    changes: dict[str, Any] = {"logits": case.logits[rows][:, classes]}
    if case.target_kind == "probabilities":
        changes["targets"] = case.targets[rows][:, classes]
    else:
        inverse = np.argsort(classes)
        ignored = options.ignore_index
        if ignored is not None and 0 <= ignored < case.classes:  # a class like the others
            changes["ignore_index"] = int(inverse[ignored])
        valid = (case.targets >= 0) & (case.targets < case.classes)
        targets = np.where(valid, inverse[np.where(valid, case.targets, 0)], case.targets)
        changes["targets"] = targets[rows]
    if options.weight is not None:
        changes["weight"] = options.weight[classes]
    if upstream.ndim:
        changes["upstream"] = upstream[rows]
    return case.with_(**changes)


CHECKS = (
    Check("one-hot-equals-index", one_hot_equals_index, cost=2),
    Check("shift-invariance", shift_invariance, cost=3),
    Check("permutation", permutation, cost=4),
)
