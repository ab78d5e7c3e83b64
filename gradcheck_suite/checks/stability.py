"""Range: at the ends of the dtype, beside infinities and NaN, where p underflows or saturates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.judgement import coarse_note, judge, number, place, worst_of
from gradcheck_suite.checks.sized import sized
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.errors import ImplementationError, Unsupported
from gradcheck_suite.numerics.tolerance import Bound
from gradcheck_suite.outcome import Failed, Passed, Skipped, Verdict
from gradcheck_suite.protocols import Check, Subject
from gradcheck_suite.specification.dialect import CHOICES, gradient_filter
from gradcheck_suite.specification.recipe import LARGEST_BLOCK

Rows = npt.NDArray[np.bool_]
_ANSWERS = tuple(CHOICES["minus_inf_target"])


def value_in_range(subject: Subject, case: Case) -> Verdict:
    """|value − specified| within the bound; what the bound does not resolve must be finite."""
    yardstick = Yardstick.of(subject, case)
    bound = yardstick.value_bound
    verdict = judge(
        "value",
        subject.value(case),
        yardstick.reference.value,
        bound,
        reference=yardstick.reference,
    )
    unit = float(case.rows) if case.options.reduction == "sum" else 1.0
    return with_resolution(verdict, bound, yardstick.reference.value, unit, case.dtype)


def gradient_in_range(subject: Subject, case: Case) -> Verdict:
    """|gradient − specified| within the bound; what the bound does not resolve must be finite."""
    yardstick = Yardstick.of(subject, case)
    bound, specified = yardstick.gradient_bound, yardstick.reference.gradient
    verdict = judge(
        "gradient",
        subject.gradients(case).logits,
        specified,
        bound,
        reference=yardstick.reference,
    )
    unit = np.abs(yardstick.reference.scale)[:, None]
    return with_resolution(verdict, bound, specified, unit, case.dtype)


def in_range(subject: Subject, case: Case) -> Verdict:
    """Value and gradient at the ends of the range: right, and finite where rounding hides right."""
    verdict = value_in_range(subject, case)
    if isinstance(verdict, Failed) or subject.supports(case, "gradient"):
        return verdict
    return worst_of([verdict, gradient_in_range(subject, case)])


def with_resolution(
    verdict: Verdict, bound: Bound, exact: npt.ArrayLike, unit: npt.ArrayLike, dtype: str
) -> Verdict:
    """The pass with its resolution, and with what it was too coarse to judge.

    A bound that the offset or the size makes wider than the dtype's promised resolution (of
    the exact result, or of one nat where that is larger; of |u|/den for a gradient) says
    nothing about digits: there the result is known to be finite and of the right shape alone.
    """
    if not isinstance(verdict, Passed):
        return verdict
    note = coarse_note(exact, bound, unit, dtype) or verdict.note
    return replace(verdict, resolution=bound.resolution(exact), note=note)


def strict_offset(subject: Subject, case: Case) -> Verdict:
    """Value and gradient within the bound that does not grow with the offset."""
    yardstick = Yardstick.of(subject, case, explicit_lse=False)
    verdict = judge(
        "value",
        subject.value(case),
        yardstick.reference.value,
        yardstick.value_bound,
        reference=yardstick.reference,
    )
    if isinstance(verdict, Passed) and not subject.supports(case, "gradient"):
        gradient = judge(
            "gradient",
            subject.gradients(case).logits,
            yardstick.reference.gradient,
            yardstick.gradient_bound,
            reference=yardstick.reference,
        )
        verdict = worst_of([verdict, gradient])
    if isinstance(verdict, Failed):
        shift = "log-sum-exp is formed at the logits' own magnitude: subtract the maximum first"
        return replace(verdict, looks=verdict.looks or shift)
    return verdict


def rare_class(subject: Subject, case: Case) -> Verdict:
    """Every element of the gradient to relative accuracy, down to the smallest normal numbers."""
    verdict = gradient_in_range(subject, case)
    threshold = gradient_filter(subject.dialect, case.dtype)
    if isinstance(verdict, Failed) or not threshold:
        return verdict
    # Held to what is declared, and shown as that: a filtered element was not judged.
    exact = np.abs(np.asarray(Yardstick.of(subject, case).reference.gradient, np.float64))
    dropped = int(np.sum((subject.gradients(case).logits == 0.0) & (exact > 0.0)))
    return Skipped(
        f"declared: elements of the gradient below {threshold:.2g} of u/den may be 0; here "
        f"{dropped} of {exact.size} are"
    )


def saturated(subject: Subject, case: Case) -> Verdict:
    """The target's entry of the gradient, −Σ_{j≠c} p_j, to relative accuracy."""
    yardstick = Yardstick.of(subject, case)
    row = np.arange(case.rows)
    here = (row, case.targets)
    verdict = judge(
        "gradient at the target",
        subject.gradients(case).logits[here],
        yardstick.reference.gradient[here],
        yardstick.saturated_bound.take(here),
        names=("got", "−Σ of the others' p"),
    )
    if isinstance(verdict, Failed):
        return replace(
            verdict,
            summary="the target's gradient is p_c − 1 after rounding, not −Σ of the others' p",
            looks=verdict.looks,
        )
    return verdict


def minus_inf(subject: Subject, case: Case) -> Verdict:
    """−inf beside the target: value and gradient as specified, the gradient exactly 0 there."""
    if case.classes > LARGEST_BLOCK:
        subject = sized(subject, case)
    verdict = in_range(subject, case)
    if isinstance(verdict, Failed):
        here = "NaN beside a logit of −inf is 0·(−inf), or (−inf) − (−inf) in a masked block"
        return replace(verdict, looks=here if verdict.sides[0][1] == "nan" else verdict.looks)
    if subject.supports(case, "gradient"):
        return verdict
    got = subject.gradients(case).logits
    wrong = np.argwhere(np.isneginf(case.logits) & (got != 0.0))
    if not len(wrong):
        return verdict
    at = (int(wrong[0][0]), int(wrong[0][1]))
    return Failed(
        "a masked class, whose logit is −inf, has a gradient",
        at=place(at, got.shape),
        sides=(("got", number(float(got[at]))), ("specified", "0")),
        index=at,
    )


def minus_inf_target(subject: Subject, case: Case) -> Verdict:
    """−inf at the target: +inf as the value, and the declared gradient in that row alone.

    Who declares nothing may answer in any of the honest ways; a finite value is none of them,
    and the other rows are as they were.
    """
    declared = subject.declares("minus_inf_target")
    choices = (subject.dialect.minus_inf_target,) if declared else _ANSWERS
    verdicts = [_masked_target(subject, case, choice) for choice in choices]
    passed = next((verdict for verdict in verdicts if isinstance(verdict, Passed)), None)
    return passed or verdicts[0]


def _masked_target(subject: Subject, case: Case, choice: str) -> Verdict:
    hit = _rows(np.isneginf(case.logits))  # the family puts it at targets alone
    yardstick = Yardstick.of(subject, case)
    value, specified = subject.value(case), yardstick.reference.value
    if choice == "nan":
        specified = np.where(np.isnan(value) & np.isinf(specified), value, specified)
    verdict = judge("value", value, specified, yardstick.value_bound)
    note = f"minus_inf_target={choice}"
    if isinstance(verdict, Failed):
        return verdict
    if subject.supports(case, "gradient"):
        return replace(verdict, note=note) if isinstance(verdict, Passed) else verdict
    got, gradient = subject.gradients(case).logits, yardstick.reference.gradient.copy()
    if choice == "nan":
        plausible = _poisoned("gradient", got, hit)
        if plausible is not None:
            return replace(plausible, summary="NaN is declared for the row, and it is finite")
    if choice == "zero":
        gradient[hit] = 0.0
    judged = ~hit if choice == "nan" else np.ones_like(hit)
    verdict = judge(
        "gradient",
        got[judged],
        gradient[judged],
        yardstick.gradient_bound.take(judged),
        names=("got", f"declared ({choice})"),
    )
    if isinstance(verdict, Failed):
        remedy = "dialect={'minus_inf_target': …} declares another gradient in such a row"
        return replace(verdict, looks=verdict.looks or remedy)
    return replace(verdict, note=note) if isinstance(verdict, Passed) else verdict


def non_finite(subject: Subject, case: Case) -> Verdict:
    """NaN or +inf in a row: not finite in that row's value and gradient, and nowhere else.

    Refusing such logits with an exception is as honest as answering with NaN.
    """
    hit = _rows(~np.isfinite(case.logits))
    got, note = _answer(lambda: subject.value(case))
    if got is None:
        return Passed(note=note)
    yardstick = Yardstick.of(subject, case)
    verdicts: list[Verdict] = []
    if case.options.reduction == "none":
        plausible = _poisoned("value", got, hit)
        clean = yardstick.value_bound.take(~hit)
        specified = yardstick.reference.value[~hit]
        verdicts.append(judge("value of another row", got[~hit], specified, clean))
    else:
        plausible = _poisoned("value", got[None], np.ones(1, bool))
        verdicts.append(Passed(note="the reduced value is not finite"))
    if plausible is not None:
        return plausible
    if not subject.supports(case, "gradient"):
        gradient, note = _answer(lambda: subject.gradients(case).logits)
        if gradient is None:
            return Passed(note=note)
        plausible = _poisoned("gradient", gradient, hit)
        if plausible is not None:
            return plausible
        verdicts.append(
            judge(
                "gradient of another row",
                gradient[~hit],
                yardstick.reference.gradient[~hit],
                yardstick.gradient_bound.take(~hit),
            )
        )
    return worst_of(verdicts)


def _answer(ask: Callable[[], FloatArray]) -> tuple[FloatArray | None, str]:
    """What came back, or None and how it was refused."""
    try:
        return ask(), ""
    except (ImplementationError, Unsupported):
        raise
    except Exception as error:
        return None, f"refused: raises {type(error).__name__}"


def _rows(places: Rows) -> Rows:
    """The rows (N,) in which one of the places (N, C) is."""
    return np.asarray(places.any(axis=1))


def _poisoned(what: str, got: FloatArray, hit: Rows) -> Failed | None:
    """A failure if some row that was hit holds finite numbers alone."""
    finite = np.isfinite(got) if got.ndim == 1 else np.isfinite(got).all(axis=1)
    wrong = np.flatnonzero(finite & hit)
    if not len(wrong):
        return None
    row = int(wrong[0])
    answer = got[row] if got.ndim == 1 else got[row, np.argmax(np.abs(got[row]))]
    return Failed(
        f"a logit that is no number is answered with a plausible {what}",
        at=f"row {row}" if len(got) > 1 else "",
        sides=((what, number(float(answer))), ("specified", "NaN or an infinity")),
    )


_NEEDS = ("value", "gradient")

CHECKS = (
    Check("in-range", in_range, cost=3),
    Check("strict-offset", strict_offset, cost=3),
    Check("rare-class", rare_class, cost=2, needs=_NEEDS),
    Check("saturated", saturated, cost=2, needs=_NEEDS),
    Check("minus-inf", minus_inf, cost=4),
    Check("minus-inf-target", minus_inf_target, cost=3),
    Check("non-finite", non_finite, cost=3),
)
