"""What the extensions add to the bounds at z: z as it is computed, the chain rule, the z-loss.

    z̃ = z + δ, |δ_j| ≤ δz_j       value   Σ|g_j| δz_j              g = T·p − τ at z
                                  p_i     relative, π_i = (1−p_i) δz_i + Σ_{j≠i} p_j δz_j
    λ lse²                        value   λ(2|lse| e + e²) + 3uλ lse², e = Λ + X + Σ p_j δz_j
                                  in z    2λ lse p_i: each factor by its own error
    ∂L/∂f = ∂L/∂z · ∂z/∂f         the bound at z times the slope, and what the slope errs by

The derivation is docs/bounds.md, Extensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray
from gradcheck_suite.numerics.forward_error.along import Tangent, hvp_bound, jvp_bound, tangent_of
from gradcheck_suite.numerics.forward_error.gradient import gradient_bound, target_gradient_bound
from gradcheck_suite.numerics.forward_error.roundings import (
    HEADROOM,
    SCALE,
    TARGET,
    column,
    finish,
    quiet,
    stored_roundoff,
    summation_error,
    without_largest,
)
from gradcheck_suite.numerics.forward_error.rows import Rows, exact_gradient, growth_of, placed
from gradcheck_suite.numerics.forward_error.scores import Scores
from gradcheck_suite.numerics.forward_error.targets import EffectiveTargets
from gradcheck_suite.numerics.forward_error.value import row_value_bound
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound, vanishing_product


@dataclass(frozen=True, eq=False)
class Extended:
    """The bounds of a loss with extensions; each is the plain one at z, and what is added to it.

    Attributes:
        scores: z and its errors.
        tau: effective targets τ (N, C).
        z_loss: λ of every row (N,): 0 where it pays none.
        arithmetic: the arithmetic of the implementation.
    """

    scores: Scores
    tau: FloatArray
    z_loss: FloatArray
    arithmetic: Arithmetic

    def row_value_bound(self) -> Bound:
        """Bound (N,) on the error of −Σ τ log p + λ lse²."""
        plain = row_value_bound(self.scores.logits, self.tau, self.arithmetic)
        return plain + self._value()

    def gradient_bound(self, scale: npt.ArrayLike = 1.0, *, scale_error: float = 0.0) -> Bound:
        """Bound (N, C) on the error of scale·∂L/∂f."""
        at_z, exact = self._gradient_at_z(scale, scale_error)
        return self._times_slope(at_z, exact)

    def target_gradient_bound(
        self, coefficient: FloatArray, scale: npt.ArrayLike = 1.0, *, scale_error: float = 0.0
    ) -> Bound:
        """Bound (N, C) on the error of −scale·k_j·log p_j; 0 where k_j is."""
        plain = target_gradient_bound(
            self.scores.logits, coefficient, self.arithmetic, scale, scale_error=scale_error
        )
        row, _, moved = self._parts()
        terms = [("logits", np.abs(coefficient) * moved)]
        return plain + self._finished(terms, np.zeros(row.probability.shape), scale, 0.0)

    def jvp_bound(self, tangent: npt.ArrayLike) -> Bound:
        """Bound (N,) on the error of Σ ∂L/∂f_i v_i."""
        v = np.broadcast_to(np.asarray(tangent, np.float64), self.scores.logits.shape)
        along = self.scores.slope * v
        plain = jvp_bound(self.scores.logits, self.tau, along, self.arithmetic)
        return plain + self._along(along, self.scores.slope_error * np.abs(v))

    def hvp_bound(
        self, tangent: npt.ArrayLike, scale: npt.ArrayLike = 1.0, *, scale_error: float = 0.0
    ) -> Bound:
        """Bound (N, C) on the error of scale·H v."""
        scores = self.scores
        v = np.broadcast_to(np.asarray(tangent, np.float64), scores.logits.shape)
        along = scores.slope * v
        plain = hvp_bound(
            scores.logits, self.tau, along, self.arithmetic, scale, scale_error=scale_error
        )
        added, exact = self._product(along, scores.slope_error * np.abs(v), scale, scale_error)
        chained = self._times_slope(plain + added, exact)
        gradient_bound, gradient = self._gradient_at_z(scale, scale_error)
        bend_error = HEADROOM * scores.curvature_error * np.abs(v)
        bent = bend_error * (np.abs(gradient) + gradient_bound.total)
        return chained + gradient_bound * (scores.curvature * v) + _of("curvature", bent)

    # --- pieces ------------------------------------------------------------------------

    def _parts(self) -> tuple[Rows, EffectiveTargets, FloatArray]:
        """Rows and targets at z, and π: the relative error of p that the error of z makes."""
        row, target = placed(self.scores.logits, self.tau, self.arithmetic, explicit_lse=True)
        return row, target, _moved(row, self.scores.error)

    def _lse_error(self, row: Rows) -> FloatArray:
        """e (N, 1), of lse itself."""
        shift = np.sum(row.probability * self.scores.error, axis=1, keepdims=True)
        return np.asarray(row.log_sum + row.explicit + shift)

    @quiet
    def _value(self) -> Bound:
        row, target, _ = self._parts()
        u, weight = self.arithmetic.unit_roundoff, np.abs(self.z_loss)[:, None]
        exact = np.abs(exact_gradient(row, self.tau, target))
        # Along the way from z to z̃ p_j grows by no more than exp(2 max δz).
        grown = np.expm1(2.0 * HEADROOM * _largest(row, self.scores.error))
        slope = exact + vanishing_product(target.mass * row.probability, grown)
        lse, error = np.abs(row.log_sum_exp), self._lse_error(row)
        square = 2.0 * lse * error + HEADROOM * error**2 + 3.0 * u * lse**2
        terms = [
            ("logits", np.sum(slope * self.scores.error, axis=1)),
            ("z-loss", vanishing_product(weight, square)[:, 0]),
        ]
        size = (weight * lse**2)[:, 0]
        one = np.ones(len(size))
        return finish(size.shape, terms, size, one, np.zeros(len(size)), self.arithmetic)

    @quiet
    def _gradient_at_z(self, scale: npt.ArrayLike, scale_error: float) -> tuple[Bound, FloatArray]:
        """The bound of scale·∂L/∂z, and its size (N, C)."""
        row, target, moved = self._parts()
        u = self.arithmetic.unit_roundoff + stored_roundoff(self.arithmetic)
        p, pull = row.probability, self._pull(row)
        plain = gradient_bound(
            self.scores.logits, self.tau, self.arithmetic, scale, scale_error=scale_error
        )
        growth, _ = growth_of(row, self.arithmetic)
        factors = np.abs(pull) * (growth + moved + SCALE * u)
        of_lse = 2.0 * np.abs(self.z_loss)[:, None] * self._lse_error(row)
        z_loss = vanishing_product(p, factors + of_lse)
        # (T + 2λ lse) p − τ is no multiple of p_c − 1: each of its parts is rounded by itself.
        apart = np.where(pull != 0.0, TARGET * u * (target.mass * p + target.size), 0.0)
        terms = [
            ("logits", vanishing_product(target.mass * p, moved)),
            ("z-loss", z_loss + apart + self._through_maximum(row, z_loss, pull * p)),
            ("denominator", scale_error * np.abs(pull * p)),
        ]
        added = self._finished(terms, pull * p, scale, np.abs(pull))
        exact = exact_gradient(row, self.tau, target) + pull * p
        return plain + added, np.abs(column(scale, len(p)) * exact)

    @quiet
    def _along(self, along: FloatArray, error: FloatArray) -> Bound:
        """What is added to the derivative along w = ∂z/∂f v, which errs by ``error``."""
        row, target, moved = self._parts()
        u = self.arithmetic.unit_roundoff + stored_roundoff(self.arithmetic)
        p, pull = row.probability, self._pull(row)
        tangent = tangent_of(row, along, self.arithmetic, through_maximum=True)
        exact = np.abs(exact_gradient(row, self.tau, target) + pull * p)
        shifted = np.sum(vanishing_product(p, moved) * (tangent.size + tangent.mean), axis=1)
        of_mean = tangent.error[:, 0] + shifted + SCALE * u * tangent.mean[:, 0]
        of_lse = 2.0 * np.abs(self.z_loss) * self._lse_error(row)[:, 0]
        terms = [
            ("logits", target.mass[:, 0] * shifted),
            ("slope", np.sum(exact * error, axis=1)),
            ("z-loss", np.abs(pull)[:, 0] * of_mean + of_lse * tangent.mean[:, 0]),
        ]
        size, one = np.abs(pull * tangent.mean)[:, 0], np.ones(len(p))
        flushed = (np.abs(pull) * _reach(tangent))[:, 0]
        return finish(size.shape, terms, size, one, flushed, self.arithmetic)

    @quiet
    def _product(
        self, along: FloatArray, error: FloatArray, scale: npt.ArrayLike, scale_error: float
    ) -> tuple[Bound, FloatArray]:
        """What is added to the Hessian of z times w, and the size of it all (N, C)."""
        row, target, moved = self._parts()
        u = self.arithmetic.unit_roundoff + stored_roundoff(self.arithmetic)
        p, pull, twice = (
            row.probability,
            np.abs(self._pull(row)),
            2.0 * np.abs(self.z_loss)[:, None],
        )
        tangent = tangent_of(row, along, self.arithmetic, through_maximum=True)
        reach = tangent.size + tangent.mean
        weight = (target.mass + pull) * reach + twice * tangent.mean
        shifted = np.sum(vanishing_product(p, moved) * reach, axis=1, keepdims=True)
        pushed = error + np.sum(p * error, axis=1, keepdims=True)
        growth, _ = growth_of(row, self.arithmetic)
        z_loss = vanishing_product(
            p,
            (growth + 2.0 * SCALE * u) * (pull * reach + twice * tangent.mean)
            + (pull + twice) * tangent.error
            + twice * self._lse_error(row) * reach,
        )
        total = target.mass + pull + twice
        terms = [
            ("logits", vanishing_product(p, moved * weight + total * shifted)),
            ("slope", p * total * pushed),
            ("z-loss", z_loss + self._through_maximum(row, z_loss, p * weight)),
            ("denominator", scale_error * p * weight),
        ]
        size = p * weight
        flushed = (pull + twice) * _reach(tangent)
        return self._finished(terms, size, scale, flushed), np.abs(column(scale, len(p))) * size

    def _times_slope(self, bound: Bound, exact: FloatArray) -> Bound:
        """The chain rule: the bound at z times ∂z/∂f, and the error of that factor."""
        slope_error = HEADROOM * self.scores.slope_error * (exact + bound.total)
        least = HEADROOM * self.arithmetic.smallest_normal + self.arithmetic.output_smallest_normal
        flushed = np.where(self.scores.slope > 0.0, least, 0.0)
        chained = bound * self.scores.slope
        return chained + _of("slope", slope_error) + _of("smallest normal", flushed)

    def _pull(self, row: Rows) -> FloatArray:
        """2λ lse (N, 1), with which p enters the gradient of the z-loss."""
        return np.asarray(2.0 * self.z_loss[:, None] * row.log_sum_exp)

    def _through_maximum(self, row: Rows, errors: FloatArray, exact: FloatArray) -> FloatArray:
        """What the maximum receives of the z-loss (N, C), in full at every tied one."""
        if not np.any(self.z_loss):
            return np.zeros(errors.shape)
        size = np.sum(np.abs(exact), axis=1, keepdims=True)
        summed = summation_error(without_largest(exact), self.arithmetic.backward, size)
        received = np.sum(errors, axis=1, keepdims=True) + summed
        return np.where(row.at_maximum, received, 0.0)

    def _finished(
        self,
        terms: list[tuple[str, FloatArray]],
        exact: FloatArray,
        scale: npt.ArrayLike,
        flushed: FloatArray | float,
    ) -> Bound:
        factor, reach = column(scale, len(exact)), np.asarray(flushed)
        return finish(exact.shape, terms, exact, factor, reach, self.arithmetic)


def _reach(tangent: Tangent) -> FloatArray:
    """What multiplies an exponential that may have been flushed (N, 1)."""
    return np.asarray(1.0 + np.max(tangent.size, axis=1, keepdims=True, initial=0.0))


def _moved(row: Rows, error: FloatArray) -> FloatArray:
    """π (N, C): |d log p_i| where z_j moves by at most ``error``; sharp where p_i → 1."""
    p = row.probability
    parts = p * error
    here = np.zeros(p.shape, bool)
    np.put_along_axis(here, row.first_maximum, True, axis=1)
    below = np.sum(np.where(here, 0.0, parts), axis=1, keepdims=True)
    top = np.sum(np.where(here, parts, 0.0), axis=1, keepdims=True)
    others = np.where(here, below, np.maximum(below - parts, 0.0) + top)
    rest = np.where(here, row.rest, 1.0 - p)
    largest = _largest(row, error)
    return np.asarray((rest * error + others) * np.exp(2.0 * HEADROOM * largest))


def _largest(row: Rows, error: FloatArray) -> FloatArray:
    """max δz (N, 1), of the classes that have a probability."""
    held = np.where(row.probability > 0.0, error, 0.0)
    return np.asarray(np.max(held, axis=1, keepdims=True, initial=0.0))


def _of(label: str, values: FloatArray) -> Bound:
    return Bound.of(values.shape, [(label, values)])
