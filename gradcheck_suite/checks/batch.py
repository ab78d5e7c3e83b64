"""Batches: rows are independent, chunks recombine, and small shapes are no exceptions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case
from gradcheck_suite.checks.gradient import reduction
from gradcheck_suite.checks.judgement import judge, number, worst_of
from gradcheck_suite.checks.sized import sized
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.errors import ImplementationError
from gradcheck_suite.outcome import Failed, Passed, Skipped, Verdict
from gradcheck_suite.protocols import Check, Subject
from gradcheck_suite.specification.recipe import representable
from gradcheck_suite.specification.reference import Reference


def independence(subject: Subject, case: Case) -> Verdict:
    """Half of the rows move far away; the other half keeps its values and gradient."""
    before = subject.value(case)
    differentiable = not subject.supports(case, "gradient")
    kept_gradient = subject.gradients(case).logits if differentiable else None
    here = Yardstick.of(subject, case)
    verdicts = []
    for parity, move in ((0, 50.0), (1, -50.0)):
        moving = np.arange(case.rows) % 2 == parity
        logits = np.where(moving[:, None], -0.5 * case.logits + move, case.logits)
        moved = case.with_(logits=representable(logits, case.dtype))
        there = Yardstick.of(subject, moved)
        stays = ~moving
        if case.options.reduction == "none":
            verdicts.append(
                judge(
                    "value of the rows that stayed",
                    subject.value(moved)[stays],
                    before[stays],
                    (here.value_bound + there.value_bound).take(stays),
                    names=("with the other rows moved", "before"),
                    against_itself=True,
                )
            )
        if kept_gradient is not None:
            verdicts.append(
                judge(
                    "gradient of the rows that stayed",
                    subject.gradients(moved).logits[stays],
                    kept_gradient[stays],
                    (here.gradient_bound + there.gradient_bound).take(stays),
                    names=("with the other rows moved", "before"),
                    against_itself=True,
                )
            )
    if not verdicts:
        return Skipped("a reduced value without a gradient does not show its rows")
    return worst_of(verdicts)


def concatenation(subject: Subject, case: Case) -> Verdict:
    """Chunks of unequal size and unequal valid rows recombine to the whole.

    Under ``mean`` the chunks weigh as their denominators: Σ den_k J_k / Σ den_k, and the
    gradient of chunk k is den_k/den of its own.
    """
    whole = Yardstick.of(subject, case)
    for first in (case.rows - 1, 1):
        cuts = (slice(0, first), slice(first, case.rows))
        chunks = [_chunk(case, cut) for cut in cuts]
        weights = [Reference(chunk, subject.dialect).denominator for chunk in chunks]
        if all(weights):  # a chunk without a valid row has no mean
            break
    parts = [sized(subject, chunk) for chunk in chunks]
    values = [
        part.value(chunk).astype(np.longdouble) for part, chunk in zip(parts, chunks, strict=True)
    ]
    bounds = [Yardstick.of(subject, chunk) for chunk in chunks]
    total = whole.reference.denominator
    recombined: npt.ArrayLike
    if case.options.reduction == "none":
        recombined = np.concatenate(values)
    elif case.options.reduction == "sum":
        recombined = np.sum(values)
    else:
        recombined = np.sum([w * v for w, v in zip(weights, values, strict=True)]) / total
    verdicts = [
        judge(
            "recombined value",
            recombined,
            whole.reference.value,
            whole.value_bound * 2.0,
            reference=whole.reference,
            names=("from chunks", "specified for the whole"),
        ),
        judge(
            "value of the whole",
            subject.value(case),
            recombined,
            whole.value_bound * 3.0,
            reference=whole.reference,
            names=("from the whole", "from chunks"),
            against_itself=True,
        ),
    ]
    if not subject.supports(case, "gradient"):
        together = subject.gradients(case).logits
        for k, (chunk, cut) in enumerate(zip(chunks, cuts, strict=True)):
            weight, chunk_bound = weights[k], bounds[k]
            share = weight / total if case.options.reduction == "mean" else 1.0
            verdicts.append(
                judge(
                    "gradient of a chunk",
                    parts[k].gradients(chunk).logits.astype(np.longdouble) * share,
                    whole.reference.gradient[cut],
                    chunk_bound.gradient_bound * share + whole.gradient_bound.take(cut),
                    names=("from the chunk", "specified for the whole"),
                )
            )
            verdicts.append(
                judge(
                    "gradient of the whole",
                    together[cut],
                    whole.reference.gradient[cut],
                    whole.gradient_bound.take(cut),
                    names=("from the whole", "specified"),
                )
            )
    return worst_of(verdicts)


def degenerate(subject: Subject, case: Case) -> Verdict:
    """N = 1 keeps its axis, C = 1 gives zeros, N = 0 is empty and its mean is declared."""
    if case.rows == 0:
        return _empty(subject, case)
    return reduction(sized(subject, case), case)


def _empty(subject: Subject, case: Case) -> Verdict:
    choice = subject.dialect.empty_mean if case.options.reduction == "mean" else ""
    try:
        value = subject.value(case)
    except ImplementationError:
        raise
    except Exception as error:
        # A refusal is no lie: 0/0 in plain Python raises where NumPy's gives NaN.
        if choice == "raise" or (choice and not subject.declares("empty_mean")):
            return Passed(note=f"the mean of no rows raises {type(error).__name__}")
        return Failed(
            "raises on a batch of no rows",
            sides=(
                ("got", f"{type(error).__name__}: {error}"),
                ("specified", choice or "an empty result"),
            ),
        )
    if case.options.reduction == "none":
        return Passed(note="rows of shape (0,)")
    specified = {"sum": 0.0, "nan": np.nan, "zero": 0.0}.get(choice or "sum")
    if specified is None:
        return Failed(
            "the mean of no rows is declared to raise, and does not",
            sides=(("got", number(float(value))), ("declared", "raise")),
        )
    holds = bool(np.isnan(value)) if np.isnan(specified) else float(value) == specified
    if holds:
        return Passed(note=f"{case.options.reduction} of no rows is {specified:g}")
    return Failed(
        f"the {case.options.reduction} of no rows is not what is declared",
        sides=(("got", number(float(value))), ("specified", number(specified))),
        looks="declare it with dialect={'empty_mean': …} if it is meant" if choice else "",
    )


def _chunk(case: Case, cut: slice) -> Case:
    upstream = case.upstream[cut] if case.upstream.ndim else case.upstream
    return case.with_(logits=case.logits[cut], targets=case.targets[cut], upstream=upstream)


CHECKS = (
    Check("independence", independence, cost=5),
    Check("concatenation", concatenation, cost=5),
    Check("degenerate", degenerate, cost=3),
)
