"""The softmax negative log-likelihood, written once, over the Array API.

Notation: N rows, C classes, logits f (N×C), targets as class indices c (N) or target
probabilities t (N×C). With p_i = e^{f_i} / Σ_j e^{f_j},

    τ_j = w_j ((1−ε) t_j + ε/C)         effective targets;  τ = 0 in an ignored row
    T   = Σ_j τ_j                       T = 1 for a distribution without options
    L   = −Σ_j τ_j log p_j              value of a row;  lse − f_c for a class without options
    ∂L/∂f_i = T p_i − τ_i               p − t for a distribution without options
    J   = Σ_rows L / den                den by the reduction and the dialect

The extensions: logits z of ``logit_transform.py`` in the place of f, with derivatives in f by the
chain rule; and the z-loss, λ lse(z)² more for every valid row, with gradient 2λ lse p in z.

The same text runs on NumPy, PyTorch and JAX. Two forms live here:

*   ``SoftmaxNLL.loss`` is the composed form, which a framework's autodiff differentiates:
    the project's own implementation on every backend.
*   The other methods are the closed form, the reference. Every quantity in them is formed
    without cancellation: 1 − p_i is a sum over the other classes, log p is −(log1p(s) − d)
    with d = f − max f ≤ 0 and s = Σ_{j≠argmax} e^{d_j}. Evaluated in extended precision it
    judges float64 (see ``reference.py``); tests hold it against mpmath at 50 digits.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from array_api_compat import array_namespace, device

from gradcheck_suite.case import Options
from gradcheck_suite.specification.class_axis import as_given, in_rows
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.logit_transform import LogitTransform
from gradcheck_suite.specification.softmax import Softmax, class_numbers, others

Array = Any


def loss(
    logits: Array,
    targets: Array,
    *,
    weight: Array | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    logit_scale: float = 1.0,
    z_loss: float = 0.0,
    class_mask: Array | None = None,
    axis: int = -1,
    reduction: str = "mean",
) -> Array:
    """Softmax negative log-likelihood in its composed, differentiable form.

    L = T·lse − Σ_j τ_j z_j + λ·lse² with a shifted log-sum-exp, on any Array API backend; z = f
    without the extensions.

    Args:
        logits: f, shape (N, C), floating; or more axes, with the classes on ``axis``.
        targets: class indices, shape (N,), integer; or probabilities t, shape (N, C). With more
            axes: the shape of the logits, for indices without the classes' axis.
        weight: class weights w, shape (C,).
        ignore_index: class index of rows that do not count (index targets only).
        label_smoothing: ε in [0, 1]; t' = (1−ε)t + ε/C.
        softcap: cap > 0 of z = cap·tanh(s·f/cap).
        logit_scale: s of z = s·f, which is 1/temperature.
        z_loss: λ; every valid row pays λ·lse(z)² more, whatever the class weights.
        class_mask: bool, (C,) or the logits' shape: True where the class takes part; others
            have p = 0.
        axis: of the classes.
        reduction: ``none`` (rows, shape (N,)), ``sum`` or ``mean`` (shape ()).

    Returns:
        The loss in the dtype of ``logits``.

    Raises:
        ValueError: shapes, dtypes or ``reduction`` do not fit; the message says which.
    """
    _validate(logits, targets, axis, reduction)
    rows, row_targets, mask = in_rows(logits, targets, class_mask, axis)
    transform = LogitTransform(softcap, logit_scale, mask)
    form = SoftmaxNLL(
        weight, ignore_index, label_smoothing, reduction, transform=transform, z_loss=z_loss
    )
    value = form.loss(rows, row_targets)
    return as_given(value, logits, axis) if reduction == "none" else value


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxNLL:
    """The loss with its options fixed: the composed form and the closed form.

    Attributes:
        weight: class weights w, shape (C,), or None for ones.
        ignore_index: target index of rows that do not count, or None.
        label_smoothing: ε.
        reduction: ``none``, ``sum`` or ``mean``.
        dialect: denominators, and where the smoothing mass goes.
        transform: the logits z as a function of f.
        z_loss: λ.

    ``upstream`` in every method is the cotangent u of the (reduced) value: shape (N,) or ()
    under ``none``, else ().
    """

    weight: Array | None = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0
    reduction: str = "mean"
    dialect: Dialect = Dialect()
    transform: LogitTransform = field(default_factory=LogitTransform)
    z_loss: float = 0.0

    @classmethod
    def of(cls, options: Options, dialect: Dialect, weight: Array | None = None) -> SoftmaxNLL:
        """The loss for a case's options; ``weight`` replaces the options' (another dtype)."""
        chosen = options.weight if weight is None else weight
        return cls(
            chosen,
            options.ignore_index,
            options.label_smoothing,
            options.reduction,
            dialect,
            LogitTransform.of(options),
            options.z_loss or 0.0,
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
        one_hot = xp.astype(class_numbers(xp, logits) == targets[:, None], logits.dtype)
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
        tau = xp.where(self.valid(logits, targets)[:, None], tau, xp.zeros_like(tau))
        return self.transform.where_masked(tau, 0.0)

    def scored(self, logits: Array, targets: Array) -> Array:
        """z, shape (N, C), of the logits with 0 in ignored rows: what they hold reaches nothing."""
        return self.transform(self._counted(logits, targets))

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
        z = self.scored(logits, targets)
        tau = self.effective_targets(logits, targets)
        maximum = xp.max(z, axis=-1, keepdims=True)
        shifted = z - maximum
        lse = xp.log(xp.sum(xp.exp(shifted), axis=-1))
        # Asked of the logits: isinf(z − max z) in float16 aborts XLA on a CPU (docs/findings.md).
        absent = xp.isinf(z) & (tau == 0)
        present = xp.where(absent, xp.zeros_like(shifted), shifted)
        rows = xp.sum(tau, axis=-1) * lse - xp.sum(tau * present, axis=-1)
        if self.z_loss:
            rows = rows + self.z_loss_weight(logits, targets) * (maximum[:, 0] + lse) ** 2
        return self._reduced(rows, self.denominator(logits, targets))

    # --- closed form -------------------------------------------------------------------

    def rows(self, logits: Array, targets: Array) -> Array:
        """L_i = −Σ_j τ_j log p_j + λ_i lse² for every row, shape (N,); 0·log 0 = 0."""
        xp = array_namespace(logits)
        tau = self.effective_targets(logits, targets)
        softmax = Softmax.of(self.scored(logits, targets))
        parts = xp.where(tau == 0, xp.zeros_like(tau), tau * softmax.log_p)
        rows = -xp.sum(parts, axis=-1)
        if self.z_loss:
            rows = rows + self.z_loss_weight(logits, targets) * softmax.log_sum_exp[:, 0] ** 2
        return rows

    def value(self, logits: Array, targets: Array) -> Array:
        """The rows, their sum, or their sum over den."""
        return self._reduced(self.rows(logits, targets), self.denominator(logits, targets))

    def scale(self, logits: Array, targets: Array, upstream: Array | float = 1.0) -> Array:
        """∂⟨u, value⟩/∂L_i = u_i / den, shape (N,)."""
        xp = array_namespace(logits)
        ones = xp.ones(logits.shape[:1], dtype=logits.dtype, device=device(logits))
        return ones * upstream / self.denominator(logits, targets)

    def gradient(self, logits: Array, targets: Array, upstream: Array | float = 1.0) -> Array:
        """∂⟨u, value⟩/∂f = u/den · ((T + 2λ lse) p − τ) ∂z/∂f, shape (N, C).

        It is 0 in an ignored row, whatever its logits and the denominator are.
        """
        xp = array_namespace(logits)
        valid = self.valid(logits, targets)[:, None]
        gradient = self._score_gradient(logits, targets) * self._slope(logits, targets)
        scaled = self.scale(logits, targets, upstream)[:, None] * gradient
        return xp.where(valid, scaled, xp.zeros_like(scaled))

    def jvp(self, logits: Array, targets: Array, tangent: Array) -> Array:
        """Derivative of the value along v: rows Σ_i ∂L/∂f_i v_i, reduced like the value."""
        xp = array_namespace(logits)
        along = self._slope(logits, targets) * tangent
        rows = xp.sum(self._score_gradient(logits, targets) * along, axis=-1)
        return self._reduced(rows, self.denominator(logits, targets))

    def hvp(
        self, logits: Array, targets: Array, tangent: Array, upstream: Array | float = 1.0
    ) -> Array:
        """Hessian times v, shape (N, C): u/den · T (diag p − p pᵀ) v = u/den · T p_i (v_i − p·v).

        With the extensions, and w = ∂z/∂f v: u/den · (∂z/∂f [(T + 2λ lse) p_i (w_i − p·w)
        + 2λ p_i p·w] + ∂²z/∂f² v_i ∂L/∂z_i).
        """
        xp = array_namespace(logits)
        total = xp.sum(self.effective_targets(logits, targets), axis=-1, keepdims=True)
        softmax = Softmax.of(self.scored(logits, targets))
        p, slope = softmax.p, self._slope(logits, targets)
        along = slope * tangent
        mean = xp.sum(p * along, axis=-1, keepdims=True)
        product = total * p * (along - mean)
        if self.z_loss:
            pull = 2 * self.z_loss_weight(logits, targets)[:, None]
            product = product + pull * p * (softmax.log_sum_exp * (along - mean) + mean)
        if not self.transform.is_identity:
            bend = self.transform.curvature(self._counted(logits, targets)) * tangent
            product = slope * product + bend * self._score_gradient(logits, targets)
        return self.scale(logits, targets, upstream)[:, None] * product

    def target_gradient(
        self, logits: Array, targets: Array, upstream: Array | float = 1.0
    ) -> Array:
        """∂⟨u, value⟩/∂t = −(1−ε) w_j log p_j · u/den, shape (N, C), also where t_j = 0.

        The denominators of every dialect are constants here (PyTorch's are).
        """
        per_class = self.target_weights(logits)
        scale = self.scale(logits, targets, upstream)[:, None]
        log_p = self.transform.where_masked(Softmax.of(self.scored(logits, targets)).log_p, 0.0)
        return -scale * per_class * log_p

    def weight_gradient(
        self, logits: Array, targets: Array, upstream: Array | float = 1.0
    ) -> Array:
        """∂⟨u, value⟩/∂w, shape (C,), where class weights are differentiable.

        ∂L_i/∂w_j = t'_ij (−log p_ij) with the smoothed t'. A mean over weights depends on them
        through its denominator too: ∂J/∂w_j = (Σ_i t'_ij (−log p_ij) − J Σ_i t_ij) / den, J
        without a z-loss that is divided by the valid rows.
        """
        xp = array_namespace(logits)
        valid = self.valid(logits, targets)[:, None]
        mass = self.distribution(logits, targets)
        zero = xp.zeros_like(mass)
        smoothed = self.transform.where_masked(xp.where(valid, self._smoothed(mass), zero), 0.0)
        log_p = Softmax.of(self.scored(logits, targets)).log_p
        rows = xp.where(smoothed == 0, zero, -smoothed * log_p)
        gradient = xp.sum(self.scale(logits, targets, upstream)[:, None] * rows, axis=0)
        if not self.divides_by_weights(targets):
            return gradient
        counted = xp.sum(xp.where(valid, mass, zero), axis=0)
        divided = replace(self, z_loss=0.0) if self.z_loss_is_over_valid else self
        through = divided.value(logits, targets) * counted / self.denominator(logits, targets)
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

        ∂²L/∂f∂t = p 1ᵀ − I times weights: u/den · (p_i Σ_j τ̇_j − τ̇_i) ∂z/∂f, τ̇ = (1−ε) w s.
        """
        xp = array_namespace(logits)
        pushed = self.target_weights(logits) * tangent
        total = xp.sum(pushed, axis=-1, keepdims=True)
        scale = self.scale(logits, targets, upstream)[:, None] * self._slope(logits, targets)
        return scale * (Softmax.of(self.scored(logits, targets)).p * total - pushed)

    def mixed_transposed(
        self, logits: Array, targets: Array, tangent: Array, upstream: Array | float = 1.0
    ) -> Array:
        """Derivative of the gradient in t along a tangent v of the logits, shape (N, C).

        The other order of differentiation: u/den · (1−ε) w_j (p·w − w_j), w = ∂z/∂f v.
        """
        xp = array_namespace(logits)
        along = self._slope(logits, targets) * tangent
        p = Softmax.of(self.scored(logits, targets)).p
        mean = xp.sum(p * along, axis=-1, keepdims=True)
        scale = self.scale(logits, targets, upstream)[:, None]
        return scale * self.target_weights(logits) * (mean - along)

    # --- pieces ------------------------------------------------------------------------

    def z_loss_weight(self, logits: Array, targets: Array) -> Array:
        """λ_i, shape (N,): 0 in an ignored row; λ·den/(valid rows) where the mean is over these.

        So written, the z-loss has the denominator of the rows in every dialect.
        """
        xp = array_namespace(logits)
        weight = xp.astype(self.valid(logits, targets), logits.dtype)
        if self.z_loss_is_over_valid:
            weight = weight * (self.denominator(logits, targets) / xp.sum(weight))
        return weight * self.z_loss

    @property
    def z_loss_is_over_valid(self) -> bool:
        """Whether the z-loss has a denominator of its own: the number of valid rows."""
        valid = self.dialect.z_loss_mean == "valid"
        return bool(self.z_loss) and self.reduction == "mean" and valid

    def _score_gradient(self, logits: Array, targets: Array) -> Array:
        """∂L/∂z = (T + 2λ lse) p − τ of every row, shape (N, C).

        Formed as p_i (Σ_{j≠i} τ_j + 2λ lse) − τ_i Σ_{j≠i} p_j, which is the same and cancels
        nothing for a single class: the target's entry is −τ_c Σ_{j≠c} p_j without a z-loss.
        """
        tau = self.effective_targets(logits, targets)
        softmax = Softmax.of(self.scored(logits, targets))
        pull = others(tau)
        if self.z_loss:
            pull = pull + 2 * self.z_loss_weight(logits, targets)[:, None] * softmax.log_sum_exp
        return softmax.p * pull - tau * softmax.rest

    def _slope(self, logits: Array, targets: Array) -> Array:
        """∂z/∂f, shape (N, C)."""
        return self.transform.slope(self._counted(logits, targets))

    def _smoothed(self, distribution: Array) -> Array:
        if not self.label_smoothing:
            return distribution
        classes, epsilon = self._classes(distribution), self._epsilon(distribution)
        if self.dialect.smoothing_mass == "over-others":
            return (1 - epsilon) * distribution + epsilon * (1 - distribution) / (classes - 1)
        return (1 - epsilon) * distribution + epsilon / classes

    def _classes(self, like: Array) -> Any:
        """C, or (N, 1) or (1,): how many classes take part."""
        mask = self.transform.class_mask
        if mask is None:
            return like.shape[-1]
        xp = array_namespace(like)
        return xp.sum(xp.astype(mask, like.dtype), axis=-1, keepdims=True)

    def target_weights(self, logits: Array) -> Array:
        """∂τ_j/∂t_j: (1−ε) w_j, shape (N, C); less ε/(C−1) with ``over-others``; 0 if masked."""
        xp = array_namespace(logits)
        epsilon = self._epsilon(logits)
        slope = 1 - epsilon
        if self.label_smoothing and self.dialect.smoothing_mass == "over-others":
            slope = slope - epsilon / (self._classes(logits) - 1)
        slopes = self.transform.where_masked(xp.ones_like(logits) * slope, 0.0)
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


def _validate(logits: Array, targets: Array, axis: int, reduction: str) -> None:
    xp = array_namespace(logits)
    if logits.ndim < 2 or not xp.isdtype(logits.dtype, "real floating"):
        raise ValueError(
            f"logits: expected a floating array of shape (N, C), got {logits.dtype} of shape "
            f"{tuple(logits.shape)}"
        )
    index = xp.isdtype(targets.dtype, "integral")
    if not -logits.ndim <= axis < logits.ndim:
        raise ValueError(f"axis: {axis} is no axis of logits of shape {tuple(logits.shape)}")
    batch = list(logits.shape)
    del batch[axis]
    expected = tuple(batch) if index else tuple(logits.shape)
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
