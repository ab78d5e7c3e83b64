"""The gradient against the slope of a value that is coarse: half precisions.

In bfloat16 a value of 3 is a multiple of 1/64, and a bound that adds up worst cases resolves
nothing of its slope. Three things do:

*   long steps, f ± 2v, with the closed form as control variate: the exact difference of the loss is
    taken away and its exact slope put back, so that what is differenced is the value's error
    alone and no step is too long. Where the value is not what is specified, this does not hold;
*   many directions, whose root mean square is judged instead of the worst;
*   rounding as it is instead of as it might be: a gradient may err by k times what stable
    evaluations in the dtype err by (``numerics.same_dtype``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.judgement import place
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.numerics.directions import generator, natural_scale
from gradcheck_suite.numerics.finite_difference import promised_resolution
from gradcheck_suite.numerics.same_dtype import TOLERATED
from gradcheck_suite.outcome import Failed, Inconclusive, Inequality, Passed, Verdict
from gradcheck_suite.protocols import Subject
from gradcheck_suite.specification.recipe import representable
from gradcheck_suite.specification.reference import Reference

DTYPES = ("bfloat16", "float16")
SLOPES = (256, 1024)
"""Slopes that are looked at (directions, times rows where the value has rows), and how many more
where the first do not resolve what is promised."""
STEP = 2.0
CERTAIN_OF_ROW, CERTAIN = 4.0, 2.0
"""A row fails beyond four times what a batch is granted, since the roundings of one row are few
and may all go one way; a batch beyond twice that. In between it has not passed."""
_MISSED = -4.753  # the quantile of 1e-6
_ACCUSED = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """Slopes of the value along M directions, one per row or one in all (M, N or 1).

    Attributes:
        analytic: ⟨g, w⟩.
        own: the slope of the implementation's own value, by differences.
        noise: that part of it which is the value's error.
        length: root mean square of the directions' elements.
    """

    analytic: FloatArray
    own: FloatArray
    noise: FloatArray
    length: float

    @property
    def count(self) -> int:
        return self.analytic.size

    def error(self, axis: int | None) -> FloatArray:
        """Root mean square of ⟨g, w⟩ − slope: of each row (axis 0), or of all."""
        return np.asarray(np.sqrt(_summed(self.analytic - self.own, axis) / len(self.own)))

    def tolerance(self, rounding: FloatArray, axis: int | None) -> FloatArray:
        """What that may be where the gradient errs by ``rounding``, a Euclidean norm.

        √((x a)² + V² + (6/√M) x a V): a = ‖δg‖ times the directions' length and V the root mean
        square of the noise, x the square root of chi-squared/M at six standard deviations.
        """
        count = len(self.own) if axis == 0 else self.count
        part = _root_chi_squared(count, _ACCUSED) * rounding * self.length
        noise = np.sqrt(_summed(self.noise, axis) / len(self.own))
        mixed = (_ACCUSED / math.sqrt(count)) * part * noise
        return np.asarray(np.sqrt(part**2 + noise**2 + mixed))


def noisy_difference(
    subject: Subject, case: Case, yardstick: Yardstick, gradient: FloatArray
) -> Verdict | None:
    """⟨g, w⟩ against the slope of the value along many directions, in root mean square.

    Passed where all of it is within what k times a stable evaluation's error and the noise of
    the value come to, failed where a row or the batch is beyond any doubt. None where the
    value is not what is specified: its slope is then for a shorter step to find.
    """
    error = np.abs(subject.value(case) - yardstick.reference.value)
    if not np.all(error <= yardstick.value_bound.total):
        return None
    verdict: Verdict | None = None
    for count in SLOPES:
        slopes = _slopes(subject, case, yardstick, gradient, count)
        if slopes is None:
            return None
        verdict = _judged(case, yardstick, gradient, slopes)
        if not isinstance(verdict, Inconclusive):
            break
    return verdict


def _judged(case: Case, yardstick: Yardstick, gradient: FloatArray, slopes: Slopes) -> Verdict:
    """Row by row for a failure, all rows together for a pass."""
    allowed = TOLERATED * yardstick.same_dtype_error.gradient
    rows = case.options.reduction == "none"
    batch = np.atleast_1d(CERTAIN * np.linalg.norm(allowed))
    certain = CERTAIN_OF_ROW * allowed if rows else batch
    found, granted = slopes.error(0), slopes.tolerance(certain, 0)
    worst = int(np.argmax(found / granted))
    if found[worst] > granted[worst]:
        return Failed(
            "the gradient is not the slope of the value",
            at=place((worst,), found.shape) if rows else "",
            inequality=_inequality(slopes, found[worst], granted[worst]),
        )
    total = float(slopes.error(None))
    tolerance = float(slopes.tolerance(np.asarray(np.linalg.norm(allowed)), None))
    return _resolved(case, gradient, slopes, total, tolerance)


def _resolved(
    case: Case, gradient: FloatArray, slopes: Slopes, error: float, tolerance: float
) -> Verdict:
    """The verdict on all slopes together, with the error of the gradient that they resolve."""
    inequality = _inequality(slopes, error, tolerance)
    size = float(np.linalg.norm(gradient)) * slopes.length
    if size == 0.0:
        return Passed(inequality, note="the gradient is zero, and so is the slope")
    reached = tolerance / (_root_chi_squared(slopes.count, _MISSED) * size)
    promised = promised_resolution(case.dtype)
    if not inequality.holds:
        reason = "the gradient differs from the slope of the value by more than roundings would"
        return Inconclusive(reason, inequality, reached, promised)
    if reached > promised:
        reason = (
            f"the finite difference resolves {reached:.0e} of the gradient; "
            f"{promised:.0e} is promised"
        )
        return Inconclusive(reason, inequality, reached, promised)
    return Passed(inequality, resolution=reached)


def _slopes(
    subject: Subject, case: Case, yardstick: Yardstick, gradient: FloatArray, count: int
) -> Slopes | None:
    """Values at f + w and f − w for Gaussian w; None where one is not finite."""
    rows = case.options.reduction == "none"
    directions = -(-count // max(case.rows, 1)) if rows else count
    reach = STEP * natural_scale(case.logits, STEP, case.dtype)
    gaussian = generator(case.seed, count).standard_normal((directions, *case.logits.shape))
    up, down = (
        representable(case.logits + sign * reach * gaussian, case.dtype) for sign in (1.0, -1.0)
    )
    with np.errstate(invalid="ignore"):
        along = np.where(np.isfinite(case.logits), (up - down) / 2.0, 0.0)
    values = np.stack([subject.value(case.with_(logits=f)) for f in (*up, *down)])
    error = (values - _exact(yardstick.reference, np.concatenate([up, down]))).astype(np.float64)
    if not np.all(np.isfinite(error)):
        return None
    noise = case.upstream * (error[:directions] - error[directions:]) / 2.0
    axis = 2 if rows else (1, 2)
    closed = np.sum(yardstick.reference.gradient * along, axis=axis)
    analytic = np.sum(gradient.astype(np.longdouble) * along, axis=axis)
    shape = (directions, -1)
    return Slopes(
        analytic.astype(np.float64).reshape(shape),
        (closed + noise).astype(np.float64).reshape(shape),
        noise.reshape(shape),
        float(np.sqrt(np.mean(along**2))),
    )


def _exact(reference: Reference, logits: FloatArray) -> npt.NDArray[np.longdouble]:
    """The specified values (K, N) or (K,) at K arrays of logits, as one case of K·N rows."""
    case = reference.case
    count, classes = len(logits), case.classes
    targets = np.tile(case.targets, (count, *(1,) * (case.targets.ndim - 1)))
    stacked = case.with_(
        logits=logits.reshape(-1, classes), targets=targets, reduction="none", upstream=1.0
    )
    rows = np.asarray(Reference(stacked, reference.dialect).rows).reshape(count, case.rows)
    if case.options.reduction == "none":
        return rows
    return np.asarray(rows.sum(axis=1) / reference.denominator)


def _summed(values: FloatArray, axis: int | None) -> FloatArray:
    return np.asarray(np.sum(values**2, axis=axis))


def _root_chi_squared(count: int, deviations: float) -> float:
    """√(χ²/M) of M degrees of freedom at a quantile of N(0, 1) (Wilson and Hilferty, 1931)."""
    variance = 2.0 / (9.0 * count)
    return float(max(1.0 - variance + deviations * math.sqrt(variance), 0.0) ** 1.5)


def _inequality(slopes: Slopes, error: float, tolerance: float) -> Inequality:
    noise = float(np.sqrt(np.sum(slopes.noise**2) / len(slopes.own)))
    terms = (("rounding of the value", noise), ("rounding of the gradient", tolerance - noise))
    quantity = f"root mean square of ⟨g,v⟩ − slope, {len(slopes.own)} directions"
    return Inequality(quantity, float(error), float(tolerance), terms)
