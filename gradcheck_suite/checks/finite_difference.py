"""The gradient against the finite difference of the implementation's own value."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks import noisy_difference
from gradcheck_suite.checks.evidence import A_DIRECTION, along_direction, error_map, step_curve
from gradcheck_suite.checks.judgement import looks, number, place, plain
from gradcheck_suite.checks.triangulation import (
    bounded_noise,
    draw,
    first_step,
    slice_of_value,
    slope,
    unit_direction,
)
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.numerics.finite_difference import (
    measured_noise,
    promised_resolution,
    resolution,
)
from gradcheck_suite.numerics.localise import columns, row_independent
from gradcheck_suite.numerics.tolerance import Bound
from gradcheck_suite.outcome import Failed, Inconclusive, Inequality, Passed, Verdict
from gradcheck_suite.protocols import Check, Subject, machine_epsilon

#: Directions by dtype: as many as the promised resolution takes at the noise of the dtype.
DIRECTIONS = {"float64": 2, "float32": 6, "float16": 8, "bfloat16": 8}
_LOCALISED_AT_MOST = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """⟨g, v⟩ against the slope along v: per row where the value has rows, else one number.

    Attributes:
        analytic: ⟨g_i, v_i⟩, shape (N,) or (1,).
        difference: the slope of the value times u, same shape.
        terms: the tolerance, term by term.
    """

    analytic: FloatArray
    difference: FloatArray
    terms: tuple[tuple[str, FloatArray], ...]

    @property
    def tolerance(self) -> FloatArray:
        return np.asarray(sum(term for _, term in self.terms))

    @property
    def worst(self) -> int:
        with np.errstate(all="ignore"):
            ratio = np.abs(self.analytic - self.difference) / self.tolerance
        return int(np.argmax(np.where(np.isnan(ratio), np.inf, ratio)))

    @property
    def inequality(self) -> Inequality:
        """The row that comes closest to its tolerance, or goes beyond it."""
        at = self.worst
        left, right = float(self.analytic[at]), float(self.difference[at])
        return Inequality(
            f"|⟨g,v⟩ − slope| = |{number(left)} − {number(right)}|",
            abs(left - right),
            float(self.tolerance[at]),
            tuple((label, float(term[at])) for label, term in self.terms),
        )


def finite_difference(subject: Subject, case: Case) -> Verdict:
    """⟨g, v⟩ against the slope of the value along Gaussian directions v.

    Three tolerances, the sharpest first: the rounding of a value that is right to the last
    bit; noise as measured; the value's forward-error bound. A comparison that the first or
    second lets pass has passed at the resolution of that tolerance; one that only the last
    lets pass is inconclusive; one that none lets pass is a failure. The resolution is the
    relative gradient error that all directions together miss with probability 1e-6. In half
    precisions none of the three resolves anything: see ``noisy_difference``.
    """
    yardstick = Yardstick.of(subject, case)
    gradient = subject.gradients(case).logits
    if not np.all(np.isfinite(gradient)):
        specified = np.asarray(yardstick.reference.gradient, np.float64)
        bound = yardstick.gradient_bound
        return Failed(
            "the gradient is not finite",
            looks=looks(gradient, specified, bound, None),
            error_map=error_map(gradient, specified, bound.total),
        )
    if case.dtype in noisy_difference.DTYPES:
        verdict = noisy_difference.noisy_difference(subject, case, yardstick, gradient)
        if isinstance(verdict, Failed):
            return _localised(verdict, subject, case, yardstick, gradient)
        if verdict is not None:
            return verdict
    comparisons = []
    for stream in range(DIRECTIONS[case.dtype]):
        comparison = _compare(subject, case, yardstick, gradient, stream)
        if not comparison.inequality.holds:
            noise = _measured(subject, case, stream)
            comparison = _compare(subject, case, yardstick, gradient, stream, noise)
        if not comparison.inequality.holds:
            noise = bounded_noise(yardstick.value_bound.total)
            return _convict(
                subject,
                case,
                yardstick,
                gradient,
                _compare(subject, case, yardstick, gradient, stream, noise),
            )
        comparisons.append(comparison)
    return _resolved(case, gradient, comparisons)


def _compare(
    subject: Subject,
    case: Case,
    yardstick: Yardstick,
    gradient: FloatArray,
    stream: int,
    noise: FloatArray | None = None,
) -> Comparison:
    """One direction at one level of noise."""
    direction = draw(case, stream, step=first_step(case))
    estimate = slope(subject, case, direction, noise)
    axis = 1 if case.options.reduction == "none" else None
    projected = np.sum(gradient.astype(np.longdouble) * direction, axis=axis)
    slack = np.sum(yardstick.gradient_bound.total * np.abs(direction), axis=axis)
    size = np.abs(case.upstream)
    terms = (
        ("truncation", size * estimate.truncation_error),
        ("rounding of the value / step", size * estimate.rounding_error),
        ("rounding of the gradient", slack),
    )
    return Comparison(
        np.atleast_1d(projected).astype(np.float64),
        np.atleast_1d(case.upstream * estimate.derivative),
        tuple((label, np.atleast_1d(term)) for label, term in terms),
    )


def _measured(subject: Subject, case: Case, stream: int) -> FloatArray:
    """Standard deviation of the value's noise along a direction."""
    direction = draw(case, stream, step=first_step(case))
    along = slice_of_value(subject, case, direction)
    return measured_noise(along, subject.value(case), first_step(case) / 8)


def _resolved(case: Case, gradient: FloatArray, comparisons: list[Comparison]) -> Verdict:
    """Passed, with the resolution that was reached, if that is as good as promised.

    Direction i misses an error δg with probability 0.8·tol_i/‖δg‖, so that k independent ones
    miss it with the product of these: what counts is the geometric mean of the tolerances.
    """
    tightest = max((each.inequality for each in comparisons), key=lambda each: each.margin)
    length = float(np.std(draw(case, 0, step=first_step(case)))) if case.logits.size else 0.0
    norm = float(np.linalg.norm(gradient)) * length
    if norm == 0.0:
        return Passed(tightest, note="the gradient is zero, and so is the slope")
    tolerances = [float(np.linalg.norm(each.tolerance)) for each in comparisons]
    mean = float(np.exp(np.mean(np.log(tolerances))))
    reached = resolution(mean, norm, len(comparisons))
    promised = promised_resolution(case.dtype)
    if reached > promised:
        return Inconclusive(
            f"the finite difference resolves {reached:.0e} of the gradient; "
            f"{promised:.0e} is promised",
            tightest,
            reached,
            promised,
        )
    return Passed(tightest, resolution=reached)


def _convict(
    subject: Subject,
    case: Case,
    yardstick: Yardstick,
    gradient: FloatArray,
    comparison: Comparison,
) -> Verdict:
    """A failure if no tolerance lets it pass; the element is then looked for."""
    inequality = comparison.inequality
    if inequality.holds:
        return Inconclusive("the value is noisier than measured: nothing can be told", inequality)
    at = comparison.worst
    failed = Failed(
        "the gradient is not the slope of the value",
        at=place((at,), comparison.analytic.shape) if case.options.reduction == "none" else "",
        inequality=inequality,
        sides=(
            ("⟨g,v⟩", number(float(comparison.analytic[at]))),
            ("slope of the value", number(float(comparison.difference[at]))),
        ),
    )
    return _localised(failed, subject, case, yardstick, gradient)


def _localised(
    failed: Failed, subject: Subject, case: Case, yardstick: Yardstick, gradient: FloatArray
) -> Failed:
    """The element, if it can be found, and the V-curve along it or along a Gaussian direction."""
    specified = yardstick.reference.gradient
    found = _at_element(failed, subject, case, yardstick, gradient)
    if found.error_map is None:
        bound = yardstick.gradient_bound.total
        found = replace(found, error_map=error_map(gradient, specified, bound))
    direction, along = draw(case, 0, step=first_step(case)), A_DIRECTION
    if len(found.index) == 2:
        direction, along = unit_direction(case, found.index), found.at
    got, right = (along_direction(each, direction) for each in (gradient, specified))
    curve = step_curve(subject, case, direction, got=got, specified=right, along=along)
    return replace(found, step_curve=curve)


def _at_element(
    failed: Failed, subject: Subject, case: Case, yardstick: Yardstick, gradient: FloatArray
) -> Failed:
    """Names the element by columns: rows of the loss are independent (verified first)."""
    rows = plain(case)
    if subject.supports(rows) or case.logits.size > _LOCALISED_AT_MOST:
        return failed

    def function(logits: FloatArray) -> FloatArray:
        return subject.value(rows.with_(logits=logits))

    if not row_independent(function, case.logits):
        return replace(failed, looks="rows of the value depend on each other")
    jacobian = columns(
        function, case.logits, machine_epsilon=machine_epsilon(case.dtype), dtype=case.dtype
    )
    scale = yardstick.reference.scale[:, None]
    expected = scale * jacobian.derivative
    error = np.abs(scale) * jacobian.error + yardstick.gradient_bound.total
    with np.errstate(all="ignore"):
        excess = np.nan_to_num(np.abs(gradient - expected) / error, nan=-1.0)
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), excess.shape))
    sides = (
        ("got", number(float(gradient[worst]))),
        (
            "finite difference of its own value",
            f"{number(float(expected[worst]))} ± {float(error[worst]):.0e}",
        ),
    )
    return replace(
        failed,
        at=place(worst, expected.shape),
        index=worst,
        sides=sides,
        looks=looks(gradient, expected, Bound.of(error.shape, [("", error)]), yardstick.reference),
        error_map=error_map(gradient, expected, error, against=sides[1][0]),
    )


CHECKS = (
    Check(
        "finite-difference",
        finite_difference,
        cost=20,
        needs=("value", "gradient"),
        convicts=("value", "gradient"),
    ),
)
