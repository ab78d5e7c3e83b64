"""The softmax negative log-likelihood, written once, over the Array API.

Notation: N rows, C classes, logits f (N×C), targets as class indices c (N) or target
probabilities t (N×C). With p_i = e^{f_i} / Σ_j e^{f_j},

    τ_j = w_j ((1−ε) t_j + ε/C)         effective targets;  τ = 0 in an ignored row
    T   = Σ_j τ_j                       T = 1 for a distribution without options
    L   = −Σ_j τ_j log p_j              value of a row;  lse − f_c for a class without options
    ∂L/∂f_i = T p_i − τ_i               p − t for a distribution without options
    J   = Σ_rows L / den                den by the reduction and the dialect

The same text runs on NumPy, PyTorch and JAX. Two forms live here:

*   ``SoftmaxNLL.loss`` is the composed form, which a framework's autodiff differentiates:
    the project's own implementation on every backend.
*   The other methods are the closed form, the reference. Every quantity in them is formed
    without cancellation: 1 − p_i is a sum over the other classes, log p is −(log1p(s) − d)
    with d = f − max f ≤ 0 and s = Σ_{j≠argmax} e^{d_j}. Evaluated in extended precision it
    judges float64 (see ``reference.py``); tests hold it against mpmath at 50 digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

from gradcheck_suite.case import Options
from gradcheck_suite.specification.dialect import Dialect

Array = Any


def loss(
    logits: Array,
    targets: Array,
    *,
    weight: Array | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Array:
    """Softmax negative log-likelihood in its composed, differentiable form.

    L = T·lse − Σ_j τ_j f_j with a shifted log-sum-exp, on any Array API backend.

    Args:
        logits: f, shape (N, C), floating.
        targets: class indices, shape (N,), integer; or probabilities t, shape (N, C).
        weight: class weights w, shape (C,).
        ignore_index: class index of rows that do not count (index targets only).
        label_smoothing: ε in [0, 1]; t' = (1−ε)t + ε/C.
        reduction: ``none`` (rows, shape (N,)), ``sum`` or ``mean`` (shape ()).

    Returns:
        The loss in the dtype of ``logits``.

    Raises:
        ValueError: shapes, dtypes or ``reduction`` do not fit; the message says which.
    """
    _validate(logits, targets, reduction)
    return SoftmaxNLL(weight, ignore_index, label_smoothing, reduction).loss(logits, targets)


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """p and its companions, formed without cancellation; all of shape (N, C).

    Attributes:
        p: e^{f_i} / Σ_j e^{f_j}.
        rest: 1 − p_i as Σ_{j≠i} p_j.
        log_p: f_i − lse.
    """

    p: Array
    rest: Array
    log_p: Array

    @classmethod
    def of(cls, logits: Array) -> Softmax:
        xp = array_namespace(logits)
        top = xp.argmax(logits, axis=-1, keepdims=True)
        is_top = _class_numbers(xp, logits) == top
        shifted = logits - xp.max(logits, axis=-1, keepdims=True)
        exponentials = xp.exp(shifted)
        zero = xp.zeros_like(exponentials)
        tail = xp.sum(xp.where(is_top, zero, exponentials), axis=-1, keepdims=True)
        total = 1 + tail
        others = xp.where(is_top, tail + zero, total - exponentials)
        return cls(exponentials / total, others / total, shifted - xp.log1p(tail))


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxNLL:
    """The loss with its options fixed: the composed form and the closed form.

    Attributes:
        weight: class weights w, shape (C,), or None for ones.
        ignore_index: target index of rows that do not count, or None.
        label_smoothing: ε.
        reduction: ``none``, ``sum`` or ``mean``.
        dialect: denominators, and where the smoothing mass goes.

    ``upstream`` in every method is the cotangent u of the (reduced) value: shape (N,) or ()
    under ``none``, else ().
    """

    weight: Array | None = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0
    reduction: str = "mean"
    dialect: Dialect = Dialect()

    @classmethod
    def of(cls, options: Options, dialect: Dialect, weight: Array | None = None) -> SoftmaxNLL:
        """The loss for a case's options; ``weight`` replaces the options' (another dtype)."""
        chosen = options.weight if weight is None else weight
        return cls(
            chosen, options.ignore_index, options.label_smoothing, options.reduction, dialect
        )

    # --- targets -----------------------------------------------------------------------

    def valid(self, logits: Array, targets: Array) -> Array:
        """Which rows count, shape (N,): an ignored row has the target ``ignore_index``."""
        xp = array_namespace(logits)
        if targets.ndim == 1 and self.ignore_index is not None:
            return targets != self.ignore_index
        return xp.ones(logits.shape[:1], dtype=xp.bool, device=device(logits))

    def distribution(self, logits: Array, targets: Array) -> Array:
        """t, shape (N, C): an index is its one-hot row; no weights, no smoothing."""
        xp = array_namespace(logits)
        if targets.ndim != 1:
            return xp.astype(targets, logits.dtype)
        one_hot = xp.astype(_class_numbers(xp, logits) == targets[:, None], logits.dtype)
        in_range = (targets >= 0) & (targets < logits.shape[-1])
        # An index that is no class has no distribution: NaN, never a neighbour's value. It
        # cannot raise, because a traced program cannot.
        return xp.where(in_range[:, None], one_hot, xp.full_like(one_hot, float("nan")))

    def effective_targets(self, logits: Array, targets: Array) -> Array:
        """τ_j = w_j ((1−ε) t_j + ε/C), and 0 in ignored rows; shape (N, C)."""
        xp = array_namespace(logits)
        tau = self._smoothed(self.distribution(logits, targets))
        if self.weight is not None:
            tau = tau * xp.astype(self.weight, logits.dtype)
        return xp.where(self.valid(logits, targets)[:, None], tau, xp.zeros_like(tau))

    def denominator(self, logits: Array, targets: Array) -> Array:
        """den: what the sum of the rows is divided by, shape ()."""
        xp = array_namespace(logits)
        one = xp.ones((), dtype=logits.dtype, device=device(logits))
        if self.reduction != "mean":
            return one
        index = targets.ndim == 1
        choice = self.dialect.mean_index if index else self.dialect.mean_probabilities
        if choice == "batch":
            return one * logits.shape[0]
        valid = self.valid(logits, targets)
        if choice == "valid" or (index and self.weight is None):
            return xp.sum(xp.astype(valid, logits.dtype))
        mass = self.distribution(logits, targets)
        if self.weight is not None:
            mass = mass * xp.astype(self.weight, logits.dtype)
        return xp.sum(xp.where(valid[:, None], mass, xp.zeros_like(mass)))

    # --- composed form -----------------------------------------------------------------

    def loss(self, logits: Array, targets: Array) -> Array:
        """The value as a composition that autodiff differentiates: T·lse − Σ_j τ_j f_j.

        Ignored rows are replaced *before* anything is computed, so that an infinity or NaN
        in them reaches neither value nor gradient; a class without mass contributes 0 even
        where its logit is −inf.
        """
        xp = array_namespace(logits)
        logits = self._counted(logits, targets)
        tau = self.effective_targets(logits, targets)
        shifted = logits - xp.max(logits, axis=-1, keepdims=True)
        lse = xp.log(xp.sum(xp.exp(shifted), axis=-1))
        # Asked of the logits: isinf(f − max f) in float16 aborts XLA on a CPU (docs/findings.md).
        absent = xp.isinf(logits) & (tau == 0)
        present = xp.where(absent, xp.zeros_like(shifted), shifted)
        rows = xp.sum(tau, axis=-1) * lse - xp.sum(tau * present, axis=-1)
        return self._reduced(rows, self.denominator(logits, targets))

    # --- closed form -------------------------------------------------------------------

    def rows(self, logits: Array, targets: Array) -> Array:
        """L_i = −Σ_j τ_j log p_j for every row, shape (N,); 0·log 0 = 0."""
        xp = array_namespace(logits)
        logits = self._counted(logits, targets)
        tau = self.effective_targets(logits, targets)
        log_p = Softmax.of(logits).log_p
        return -xp.sum(xp.where(tau == 0, xp.zeros_like(tau), tau * log_p), axis=-1)

    def value(self, logits: Array, targets: Array) -> Array:
        """The rows, their sum, or their sum over den."""
        return self._reduced(self.rows(logits, targets), self.denominator(logits, targets))

    def scale(self, logits: Array, targets: Array, upstream: Array | float = 1.0) -> Array:
        """∂⟨u, value⟩/∂L_i = u_i / den, shape (N,)."""
        xp = array_namespace(logits)
        ones = xp.ones(logits.shape[:1], dtype=logits.dtype, device=device(logits))
        return ones * upstream / self.denominator(logits, targets)

    def gradient(self, logits: Array, targets: Array, upstream: Array | float = 1.0) -> Array:
        """∂⟨u, value⟩/∂f = u/den · (T p − τ), shape (N, C).

        Formed as p_i Σ_{j≠i} τ_j − τ_i Σ_{j≠i} p_j, which is the same and cancels nothing for
        a single class: the target's entry is −τ_c Σ_{j≠c} p_j. It is 0 in an ignored row,
        whatever its logits and the denominator are.
        """
        xp = array_namespace(logits)
        valid = self.valid(logits, targets)[:, None]
        logits = self._counted(logits, targets)
        tau = self.effective_targets(logits, targets)
        softmax = Softmax.of(logits)
        gradient = softmax.p * _others(tau) - tau * softmax.rest
        scaled = self.scale(logits, targets, upstream)[:, None] * gradient
        return xp.where(valid, scaled, xp.zeros_like(scaled))

    def jvp(self, logits: Array, targets: Array, tangent: Array) -> Array:
        """Derivative of the value along v: rows Σ_i (T p_i − τ_i) v_i, reduced like the value."""
        xp = array_namespace(logits)
        tau = self.effective_targets(logits, targets)
        softmax = Softmax.of(logits)
        gradient = softmax.p * _others(tau) - tau * softmax.rest
        rows = xp.sum(gradient * tangent, axis=-1)
        return self._reduced(rows, self.denominator(logits, targets))

    def hvp(
        self, logits: Array, targets: Array, tangent: Array, upstream: Array | float = 1.0
    ) -> Array:
        """Hessian times v: u/den · T (diag p − p pᵀ) v = u/den · T p_i (v_i − p·v), (N, C)."""
        xp = array_namespace(logits)
        total = xp.sum(self.effective_targets(logits, targets), axis=-1, keepdims=True)
        p = Softmax.of(logits).p
        centred = tangent - xp.sum(p * tangent, axis=-1, keepdims=True)
        return self.scale(logits, targets, upstream)[:, None] * total * p * centred

    def target_gradient(
        self, logits: Array, targets: Array, upstream: Array | float = 1.0
    ) -> Array:
        """∂⟨u, value⟩/∂t = −(1−ε) w_j log p_j · u/den, shape (N, C), also where t_j = 0.

        The denominators of every dialect are constants here (PyTorch's are).
        """
        per_class = self.target_weights(logits)
        scale = self.scale(logits, targets, upstream)[:, None]
        return -scale * per_class * Softmax.of(logits).log_p

    def weight_gradient(
        self, logits: Array, targets: Array, upstream: Array | float = 1.0
    ) -> Array:
        """∂⟨u, value⟩/∂w, shape (C,), where class weights are differentiable.

        ∂L_i/∂w_j = t'_ij (−log p_ij) with the smoothed t'. A mean over weights depends on them
        through its denominator too: ∂J/∂w_j = (Σ_i t'_ij (−log p_ij) − J Σ_i t_ij) / den.
        """
        xp = array_namespace(logits)
        valid = self.valid(logits, targets)[:, None]
        mass = self.distribution(logits, targets)
        zero = xp.zeros_like(mass)
        logits = self._counted(logits, targets)
        smoothed = xp.where(valid, self._smoothed(mass), zero)
        log_p = Softmax.of(logits).log_p
        rows = xp.where(smoothed == 0, zero, -smoothed * log_p)
        gradient = xp.sum(self.scale(logits, targets, upstream)[:, None] * rows, axis=0)
        if not self.divides_by_weights(targets):
            return gradient
        counted = xp.sum(xp.where(valid, mass, zero), axis=0)
        through = self.value(logits, targets) * counted / self.denominator(logits, targets)
        return gradient - upstream * through

    def divides_by_weights(self, targets: Array) -> bool:
        """Whether the mean's denominator is a sum of class weights."""
        index = targets.ndim == 1
        choice = self.dialect.mean_index if index else self.dialect.mean_probabilities
        return self.reduction == "mean" and self.weight is not None and choice == "weights"

    def mixed(
        self, logits: Array, targets: Array, tangent: Array, upstream: Array | float = 1.0
    ) -> Array:
        """Derivative of the gradient in f along a tangent s of the targets, shape (N, C).

        ∂²L/∂f∂t = p 1ᵀ − I times weights: u/den · (p_i Σ_j τ̇_j − τ̇_i), τ̇ = (1−ε) w s.
        """
        xp = array_namespace(logits)
        pushed = self.target_weights(logits) * tangent
        total = xp.sum(pushed, axis=-1, keepdims=True)
        scale = self.scale(logits, targets, upstream)[:, None]
        return scale * (Softmax.of(logits).p * total - pushed)

    def mixed_transposed(
        self, logits: Array, targets: Array, tangent: Array, upstream: Array | float = 1.0
    ) -> Array:
        """Derivative of the gradient in t along a tangent v of the logits, shape (N, C).

        The other order of differentiation: u/den · (1−ε) w_j (p·v − v_j).
        """
        xp = array_namespace(logits)
        mean = xp.sum(Softmax.of(logits).p * tangent, axis=-1, keepdims=True)
        scale = self.scale(logits, targets, upstream)[:, None]
        return scale * self.target_weights(logits) * (mean - tangent)

    # --- pieces ------------------------------------------------------------------------

    def _smoothed(self, distribution: Array) -> Array:
        if not self.label_smoothing:
            return distribution
        classes, epsilon = distribution.shape[-1], self._epsilon(distribution)
        if self.dialect.smoothing_mass == "over-others":
            return (1 - epsilon) * distribution + epsilon * (1 - distribution) / (classes - 1)
        return (1 - epsilon) * distribution + epsilon / classes

    def target_weights(self, logits: Array) -> Array:
        """∂τ_j/∂t_j: (1−ε) w_j, shape (N, C); less ε/(C−1) with ``over-others``."""
        xp = array_namespace(logits)
        epsilon = self._epsilon(logits)
        slope = 1 - epsilon
        if self.label_smoothing and self.dialect.smoothing_mass == "over-others":
            slope = slope - epsilon / (logits.shape[-1] - 1)
        slopes = xp.ones_like(logits) * slope
        if self.weight is None:
            return slopes
        return slopes * xp.astype(self.weight, logits.dtype)

    def _epsilon(self, like: Array) -> Array:
        """ε in the dtype of the computation, so that 1 − ε is rounded in that and no other."""
        xp = array_namespace(like)
        return xp.ones((), dtype=like.dtype, device=device(like)) * self.label_smoothing

    def _counted(self, logits: Array, targets: Array) -> Array:
        """The logits with 0 in ignored rows: what they hold reaches nothing."""
        xp = array_namespace(logits)
        return xp.where(self.valid(logits, targets)[:, None], logits, xp.zeros_like(logits))

    def _reduced(self, rows: Array, denominator: Array) -> Array:
        xp = array_namespace(rows)
        if self.reduction == "none":
            return rows
        return xp.sum(rows) / denominator


def _class_numbers(xp: Any, logits: Array) -> Array:
    return xp.arange(logits.shape[-1], device=device(logits))


def _others(tau: Array) -> Array:
    """Σ_{j≠i} τ_j for every i, without cancellation: prefix sums plus suffix sums."""
    xp = array_namespace(tau)
    zero = xp.zeros_like(tau[:, :1])
    before = xp.concat([zero, xp.cumulative_sum(tau, axis=-1)[:, :-1]], axis=-1)
    after = xp.flip(xp.cumulative_sum(xp.flip(tau, axis=-1), axis=-1), axis=-1)
    return before + xp.concat([after[:, 1:], zero], axis=-1)


def _validate(logits: Array, targets: Array, reduction: str) -> None:
    xp = array_namespace(logits)
    if logits.ndim != 2 or not xp.isdtype(logits.dtype, "real floating"):
        raise ValueError(
            f"logits: expected a floating array of shape (N, C), got {logits.dtype} of shape "
            f"{tuple(logits.shape)}"
        )
    index = xp.isdtype(targets.dtype, "integral")
    expected = tuple(logits.shape[:1]) if index else tuple(logits.shape)
    if tuple(targets.shape) != expected or not (
        index or xp.isdtype(targets.dtype, "real floating")
    ):
        raise ValueError(
            "targets: expected class indices (N,) of an integer dtype or probabilities (N, C) of "
            f"a floating one, got {targets.dtype} of shape {tuple(targets.shape)} for logits of "
            f"shape {tuple(logits.shape)}"
        )
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"reduction: {reduction!r} is unknown; use 'none', 'sum' or 'mean'")
