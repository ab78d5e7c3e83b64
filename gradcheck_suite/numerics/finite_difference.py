"""Directional derivatives by finite differences, with the error of each estimate.

A four-point central stencil is used throughout,

    D(h) = (8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / (12 h) = f'(0) − h⁴ f⁽⁵⁾(0)/30 + …

for ``f(h)`` standing for ``f(x + h·v)``. The same five values (the stencil's four and
``f(0)``) give the Taylor terms h f', h² f''/2, h³ f'''/6 and h⁴ f''''/24, from whose decay
the fifth, which is the truncation error, is extrapolated. Rounding is machine epsilon
times the values times the sum of the stencil's coefficients over the step.

Sources: numerics.md, rules 1, 3, 7 and 10; Moré and Wild, "Estimating computational
noise", SIAM J. Sci. Comput. 33 (2011), for ``measured_noise``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Slice = Callable[[float], npt.ArrayLike]
"""A function along a line: ``slice(h)`` is f(x + h·v), widened to float64."""

STENCIL_WEIGHT = 18.0 / 12.0
"""Sum of the absolute coefficients of the stencil."""
STENCIL_ORDER = 4
"""Power of h with which the truncation error grows."""
TRUNCATION_WEIGHT = 4.0
"""D(h) − f' = −4 a₅/h, where a₅ = h⁵ f⁽⁵⁾/120 is the fifth Taylor term."""
DECAY_SAFETY = 4.0
"""Taylor terms do not decay quite geometrically: tanh's fifth is 1.2 times what is extrapolated."""
SMOOTHNESS_FLOOR = 2.0**-10
"""Taylor terms are never assumed to decay faster than this per order: an accidental zero
of the third derivative (x + x⁵ at 0) must not make the estimate blind."""
PROMISED_RESOLUTION = {"float64": 1e-4, "float32": 1e-2, "float16": 1e-1, "bfloat16": 1e-1}
MISS_PROBABILITY = 1e-6
STEEPEST_CUSP = 4.5
"""One-sided slopes of √|x| grow by 4 from one step to a sixteenth of it."""
NOISE_SAFETY = 6.0
"""Measured noise is a standard deviation from few samples; this many of them are allowed."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A derivative with the error of its estimation; arrays have f's output shape.

    Attributes:
        derivative: d f(x + h·v) / dh at h = 0.
        truncation_error: estimated size of the neglected Taylor term.
        rounding_error: bound of what rounding (or measured noise) can contribute.
        step: the step h of the estimate (of most elements, if they differ).
        evaluations: how many values of f were used beside f(x).
        roughness: the third and fourth Taylor terms over the first two. About h² for a smooth
            function; 0.1 or more where the stencil saw noise, a kink or an oscillation
            shorter than itself, and its error estimate proves nothing; 1 where no value
            differs from another (a plateau, which may be rounding's).
    """

    derivative: FloatArray
    truncation_error: FloatArray
    rounding_error: FloatArray
    step: float
    evaluations: int
    roughness: FloatArray = field(default_factory=lambda: np.zeros(()))

    @property
    def error(self) -> FloatArray:
        """``truncation_error + rounding_error``."""
        return np.asarray(self.truncation_error + self.rounding_error)


@dataclass(frozen=True, slots=True)
class Slopes:
    """One-sided derivatives with their errors, and whether they tell of a kink.

    Attributes:
        left, right: the slopes at h → 0⁻ and h → 0⁺.
        left_error, right_error: estimated errors of the two.
        step: the smaller of the two steps looked at.
        kink: where the slopes disagree beyond their errors at both steps.
        evaluations: how many values of f were used beside f(x).
    """

    left: FloatArray
    right: FloatArray
    left_error: FloatArray
    right_error: FloatArray
    step: float
    kink: npt.NDArray[np.bool_]
    evaluations: int


def natural_step(machine_epsilon: float) -> float:
    """The power of two nearest to ε^(1/5), where h⁴ and ε/h balance for unit scales.

    2⁻¹⁰ in float64, 2⁻⁵ in float32, 1/4 in float16, 1/2 in bfloat16.
    """
    return float(2.0 ** round(math.log2(machine_epsilon) / 5.0))


def promised_resolution(dtype: str) -> float:
    """The relative gradient error that a pass in ``dtype`` promises to have seen.

    Complex dtypes promise what their real parts do.
    """
    real = {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
    return PROMISED_RESOLUTION.get(real, 1e-1)


def resolution(tolerance: float, gradient_norm: float, directions: int = 1) -> float:
    """Resolution r = 0.8·(tolerance/‖g‖)·(1e-6)^(−1/k): the error missed with probability 1e-6.

    A Gaussian direction projects an error δg to ⟨δg, v⟩ ~ N(0, ‖δg‖²), which lies within
    ``tolerance`` with probability about 0.8·tolerance/‖δg‖ = √(2/π)·tolerance/‖δg‖.

    Args:
        tolerance: the tolerance of one direction, in the units of ⟨g, v⟩.
        gradient_norm: ‖g‖ in the same units; 0 gives infinity.
        directions: k, the number of independent directions.
    """
    if not gradient_norm > 0.0 or math.isnan(tolerance):
        return math.inf
    # Divided first: tolerance/‖g‖ neither overflows nor underflows where r itself does not.
    return float(0.8 * (tolerance / gradient_norm) * MISS_PROBABILITY ** (-1.0 / directions))


def directional_derivative(
    function: Slice,
    *,
    value: npt.ArrayLike | None = None,
    step: float | None = None,
    machine_epsilon: float,
    noise: npt.ArrayLike | None = None,
    magnitude: float = 0.0,
    target_error: npt.ArrayLike | None = None,
    max_evaluations: int = 8,
) -> Estimate:
    """The derivative of ``function`` at 0 with its error, in 4 evaluations where they do.

    Args:
        function: f(h) = f(x + h·v) as float64, of any shape.
        value: f(x); without it the even Taylor terms are not seen and kinks at x hide.
        step: h of the first stencil; default ``natural_step(machine_epsilon)``.
        machine_epsilon: spacing at 1 of the dtype in which f is evaluated.
        noise: standard deviation of f's noise (``measured_noise``), where it exceeds rounding.
        magnitude: size of what is summed inside f, where that is larger than |f| (the norm of
            the terms of an inner product that cancels).
        target_error: where the error exceeds it, further stencils are taken at the step
            that balances truncation against rounding (or inside the domain, where f was
            not finite); each element keeps its best estimate.
        max_evaluations: never exceeded; at least 4.

    Returns:
        The estimate. Where f was not finite at every step tried, the error is infinite.
    """
    h = natural_step(machine_epsilon) if step is None else float(step)
    at_zero = None if value is None else np.asarray(value, dtype=np.float64)
    best = _stencil(function, h, at_zero, machine_epsilon, noise, magnitude)
    current, used, lowest, highest = best, 4, h, h
    while target_error is not None and used + 4 <= max_evaluations:
        if bool(np.all(best.error <= np.asarray(target_error))):
            break
        h = _next_step(current, lowest, highest)
        if lowest <= h <= highest:
            break
        current = _stencil(function, h, at_zero, machine_epsilon, noise, magnitude)
        best = _better(best, current)
        used, lowest, highest = used + 4, min(lowest, h), max(highest, h)
    return replace(best, evaluations=used)


def measured_noise(function: Slice, value: npt.ArrayLike, step: float) -> FloatArray:
    """Standard deviation of f's noise from a difference table of seven values.

    σ_k² = (k!)²/(2k)! · mean (Δᵏf)²; the differences of order 4 to 6 are used, in which the
    smooth part has vanished if ``step`` is short against f's own scale. Where it has not,
    the result is too large, which costs resolution and never a false accusation.

    Args:
        function: f(h) = f(x + h·v).
        value: f(x).
        step: spacing of the table; a fraction of the stencil's step.

    Returns:
        σ, of f's shape. Six evaluations.
    """
    nodes = (-3, -2, -1, 1, 2, 3)
    values = [np.asarray(function(node * step), dtype=np.float64) for node in nodes]
    values.insert(3, np.asarray(value, dtype=np.float64))
    table = np.stack(values)
    levels: list[FloatArray] = []
    with np.errstate(all="ignore"):
        for order in range(1, 7):
            table = np.diff(table, axis=0)
            scale = math.factorial(order) ** 2 / math.factorial(2 * order)
            levels.append(np.sqrt(scale * np.mean(table**2, axis=0)))
    return np.asarray(np.max(np.stack(levels[3:]), axis=0))


def one_sided_slopes(
    function: Slice,
    value: npt.ArrayLike,
    step: float,
    *,
    machine_epsilon: float = 2.0**-52,
    finer: float = 16.0,
) -> Slopes:
    """Left and right derivatives at 0, at ``step`` and ``step/finer``, and the kink decision.

    Each is (−11 f₀ + 18 f₁ − 9 f₂ + 2 f₃)/(6h), its error the difference to the formula one
    order lower plus rounding. A kink is where both steps show slopes that disagree beyond
    twice the errors, by an amount that does not shrink with the step: the difference of a
    smooth function's one-sided slopes shrinks like h³, and noise does not survive its own
    rounding estimate. Each side must be smooth by itself: its slope stays where it is, or
    grows as a cusp's does (four times for √|x|), and is not drawn anew at each step as that
    of an oscillation too fast for both. Twelve evaluations.
    """
    at_zero = np.asarray(value, dtype=np.float64)
    coarse = _slopes(function, at_zero, step, machine_epsilon)
    fine = _slopes(function, at_zero, step / finer, machine_epsilon)
    with np.errstate(all="ignore"):
        jumps = [np.abs(right - left) for left, right, _, _ in (coarse, fine)]
        margins = [2.0 * (wrong + error) for _, _, wrong, error in (coarse, fine)]
        kink = (jumps[0] > margins[0]) & (jumps[1] > margins[1]) & (jumps[1] > 0.5 * jumps[0])
        for far, near in zip(coarse[:2], fine[:2], strict=True):
            stays = np.abs(near - far) <= 0.5 * jumps[1]
            growth = np.divide(near, far, out=np.zeros_like(near), where=far != 0.0)
            kink &= stays | ((growth >= 1.0) & (growth <= STEEPEST_CUSP))
    left, right, left_error, right_error = fine
    return Slopes(left, right, left_error, right_error, step / finer, np.asarray(kink), 12)


def _stencil(
    function: Slice,
    h: float,
    at_zero: FloatArray | None,
    machine_epsilon: float,
    noise: npt.ArrayLike | None,
    magnitude: float,
) -> Estimate:
    """One four-point stencil at step h with both error estimates."""
    up, down, far_up, far_down = (
        np.asarray(function(node * h), dtype=np.float64) for node in (1.0, -1.0, 2.0, -2.0)
    )
    with np.errstate(all="ignore"):
        near, far = up - down, far_up - far_down
        derivative = np.asarray((8.0 * near - far) / (12.0 * h))
        values = (up, down, far_up, far_down, *(() if at_zero is None else (at_zero,)))
        level = machine_epsilon * np.maximum.reduce([np.abs(one) for one in values])
        level = np.maximum(level, machine_epsilon * magnitude)
        fifth, roughness = _fifth_term(near, far, up + down, far_up + far_down, at_zero, level, h)
        rounding = STENCIL_WEIGHT * level / h
        if noise is not None:
            rounding = np.maximum(rounding, NOISE_SAFETY * np.asarray(noise) / h)
        truncation = TRUNCATION_WEIGHT * fifth / h
        # Said by the values themselves: the terms of equal values need not cancel to 0.
        still = (up == down) & (far_up == up) & (far_down == up)
        roughness = np.where(still, 1.0, roughness)
    bad = ~np.isfinite(derivative)
    return Estimate(
        derivative=derivative,
        truncation_error=np.where(bad, np.inf, truncation),
        rounding_error=np.where(bad, 0.0, rounding),
        step=h,
        evaluations=4,
        roughness=np.where(bad, np.inf, roughness),
    )


def _fifth_term(
    near: FloatArray,
    far: FloatArray,
    near_sum: FloatArray,
    far_sum: FloatArray,
    at_zero: FloatArray | None,
    level: FloatArray,
    h: float,
) -> tuple[FloatArray, FloatArray]:
    """|h⁵ f⁽⁵⁾/120| and the roughness, from the Taylor terms that the stencil does show.

    The terms a₁, a₃ (odd) and b₂, b₄ (even) decay by a ratio ρ² per two orders, so
    a₅ ≈ |a₃| ρ² ≈ |b₄| ρ ≈ |a₁| ρ⁴. Single terms vanish by accident (sin and every odd
    function at 0, x⁵ at 0, even functions), so the largest of the three is taken, with the
    slowest decay seen, and ρ is not believed to be below ``SMOOTHNESS_FLOOR``.
    """
    first = np.abs(8.0 * near - far) / 12.0
    third = np.maximum(np.abs(far - 2.0 * near) / 12.0 - 0.5 * level, 0.0)
    floor = min(max(h, SMOOTHNESS_FLOOR), 2.0**-5)
    decay = np.maximum(_ratio(third, first), floor**2)
    candidates = [first * floor**4]
    lower, higher = first, third
    if at_zero is not None:
        second = np.abs(16.0 * near_sum - far_sum - 30.0 * at_zero) / 24.0
        fourth = np.abs(far_sum - 4.0 * near_sum + 6.0 * at_zero) / 24.0
        fourth = np.maximum(fourth - (2.0 / 3.0) * level, 0.0)
        decay = np.maximum(decay, _ratio(fourth, second))
        candidates.append(DECAY_SAFETY * fourth * np.sqrt(decay))
        lower, higher = np.maximum(first, second), np.maximum(third, fourth)
    candidates.append(DECAY_SAFETY * third * decay)
    roughness = np.where(lower > 0.0, _ratio(higher, lower), 1.0)
    return np.asarray(np.maximum.reduce(candidates)), roughness


def _ratio(higher: FloatArray, lower: FloatArray) -> FloatArray:
    """higher/lower, at most 1; 0 where the higher term vanishes."""
    safe = np.where(higher < lower, lower, 1.0)
    return np.where(higher < lower, higher / safe, np.where(higher > 0.0, 1.0, 0.0))


def _next_step(estimate: Estimate, lowest: float, highest: float) -> float:
    """The power of two that balances truncation ∝ h⁴ against rounding ∝ 1/h."""
    bad = ~np.isfinite(estimate.error)
    if bool(np.any(bad)):
        return lowest * 2.0**-10  # outside the domain: sqrt near 0
    truncation = float(np.sum(estimate.truncation_error))
    rounding = float(np.sum(estimate.rounding_error))
    if truncation <= 0.0:
        factor = 2.0**10
    elif rounding <= 0.0:
        factor = 2.0**-10
    else:
        # min over s of T s⁴ + R/s is at s = (R / 4T)^(1/5); far from it T is only the floor
        # that smoothness is allowed, and a longer stride finds the function's own scale.
        ratio = rounding / (4.0 * truncation)
        factor = ratio ** (0.4 if ratio > 1e3 else 0.2)
    power = round(math.log2(min(max(factor, 2.0**-20), 2.0**20)))
    h = estimate.step * 2.0**power
    if power < 0:
        return min(h, lowest / 2.0)
    return max(h, highest * 2.0) if power > 0 else estimate.step


def _better(first: Estimate, second: Estimate) -> Estimate:
    """Element by element the estimate with the smaller error, made to face the other.

    Where the coarser one is kept and the finer disagrees beyond both errors, the coarser's
    truncation estimate is refuted and the disagreement is added to it. Where the finer is
    kept, the coarser one's truncation is what disagreed (a kink inside its stencil).
    """
    with np.errstate(all="ignore"):
        take = second.error < first.error
        gap = np.abs(first.derivative - second.derivative)
        excess = np.maximum(gap - first.error - second.error, 0.0)
        coarse_kept = take if second.step > first.step else ~take
        excess = np.where(coarse_kept & np.isfinite(excess), excess, 0.0)
        truncation = np.where(take, second.truncation_error, first.truncation_error) + excess
    return Estimate(
        derivative=np.where(take, second.derivative, first.derivative),
        truncation_error=truncation,
        rounding_error=np.where(take, second.rounding_error, first.rounding_error),
        step=second.step if 2 * int(np.sum(take)) > take.size else first.step,
        evaluations=first.evaluations + second.evaluations,
        roughness=np.where(take, second.roughness, first.roughness),
    )


def _slopes(
    function: Slice, at_zero: FloatArray, h: float, machine_epsilon: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Left and right slope at one step, and the error of each."""
    slopes, errors = [], []
    for sign in (-1.0, 1.0):
        one, two, three = (
            np.asarray(function(sign * node * h), dtype=np.float64) for node in (1, 2, 3)
        )
        with np.errstate(all="ignore"):
            slope = sign * (-11.0 * at_zero + 18.0 * one - 9.0 * two + 2.0 * three) / (6.0 * h)
            lower = sign * (-3.0 * at_zero + 4.0 * one - two) / (2.0 * h)
            magnitude = np.maximum(np.abs(at_zero), np.abs(three))
            rounding = (40.0 / 6.0) * machine_epsilon * magnitude / h
            slopes.append(np.asarray(slope))
            errors.append(np.asarray(np.abs(slope - lower) + rounding))
    return slopes[0], slopes[1], errors[0], errors[1]
