"""NumPy mutants of the extensions: soft cap, scale, z-loss, masks over classes.

They return (loss, gradient). ``loss`` is written out step by step, and every step can be
replaced: a mutant replaces one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mutants.mutant import Registry

mutant = Registry("numpy")
MUTANTS = mutant.mutants


def capped(f: Any, scale: float, cap: float | None) -> Any:
    """z = cap·tanh(s f/cap)."""
    z = f * f.dtype.type(scale)
    return z if cap is None else f.dtype.type(cap) * np.tanh(z / f.dtype.type(cap))


def slope(z: Any, scale: float, cap: float | None) -> Any:
    """∂z/∂f from z."""
    one = np.full_like(z, scale)
    return one if cap is None else one * (1 - (z / z.dtype.type(cap)) ** 2)


def masked(z: Any, mask: Any) -> Any:
    return z if mask is None else np.where(mask, z, -np.inf)


def log_sum_exp(z: Any) -> Any:
    top = z.max(axis=1, keepdims=True, initial=-np.inf)
    return top + np.log(np.exp(z - top).sum(axis=1, keepdims=True))


def log_sum_exp_capped(z: Any, cap: float | None) -> Any:
    """As ``log_sum_exp``, and told of the cap."""
    return log_sum_exp(z)


def probabilities(z: Any, lse: Any, every: Any) -> Any:
    """p over the classes that take part; ``every`` has z before the mask."""
    return np.exp(z - lse)


def square(lse: Any, z: Any) -> Any:
    return lse**2


def of_rows(weight: Any, valid: Any, w: Any) -> Any:
    """λ of every row, (N, 1): valid rows pay it, whatever the class weight of their target."""
    return np.where(valid, weight, 0)


def pull(weight: Any, lse: Any, p: Any) -> Any:
    return 2 * weight * lse * p


def valid_rows(valid: Any, denominator: Any) -> Any:
    """What the z-loss is divided by under mean."""
    return denominator


def loss(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    logit_scale: float = 1.0,
    z_loss: float = 0.0,
    class_mask: Any = None,
    reduction: str = "mean",
    cap: Callable[..., Any] = capped,
    bend: Callable[..., Any] = slope,
    hide: Callable[..., Any] = masked,
    smooth_over: Callable[..., Any] = lambda f, z: z,
    lse_of: Callable[..., Any] = log_sum_exp_capped,
    p_of: Callable[..., Any] = probabilities,
    squared: Callable[..., Any] = square,
    pays: Callable[..., Any] = of_rows,
    pulls: Callable[..., Any] = pull,
    divisor: Callable[..., Any] = valid_rows,
) -> Any:
    """Correct unless a step is replaced."""
    rows, classes = logits.shape
    dtype = logits.dtype
    index = targets.ndim == 1
    valid = (targets != ignore_index if index else np.ones(rows, bool))[:, None]
    if index and np.any(valid[:, 0] & ((targets < 0) | (targets >= classes))):
        raise IndexError(f"targets: class indices must lie in [0, {classes})")
    f = np.where(valid, logits, 0)
    f = f if class_mask is None else np.where(class_mask, f, 0)
    t = (targets[:, None] == np.arange(classes)).astype(dtype) if index else targets
    w = np.ones(classes, dtype) if weight is None else weight
    every = cap(f, logit_scale, softcap)
    z = hide(every, class_mask)
    lse = lse_of(z, softcap)
    p = p_of(z, lse, every)
    hard, soft = w * (1 - label_smoothing) * t, w * np.full_like(t, label_smoothing / classes)
    hard, soft = (np.where(valid, part, 0).astype(dtype) for part in (hard, soft))
    with np.errstate(invalid="ignore"):
        costs = np.where(hard == 0, 0, hard * (lse - z))
        costs = costs + np.where(soft == 0, 0, soft * (lse - smooth_over(f, z)))
    tau = hard + soft
    gradient = tau.sum(axis=1, keepdims=True) * p - tau
    counted = np.maximum(targets, 0) % classes if index else targets.argmax(axis=1)
    paid = pays(dtype.type(z_loss), valid, w[counted][:, None])
    extra = paid * squared(lse, z)
    pulled = pulls(np.where(valid, dtype.type(z_loss), 0), lse, p)
    factor = bend(every, logit_scale, softcap)
    rowwise = costs.sum(axis=1) + extra[:, 0]
    if reduction == "none":
        return rowwise, (gradient + pulled) * factor
    if reduction == "sum":
        return rowwise.sum(), (gradient + pulled) * factor
    den = (t * w)[valid[:, 0]].sum() if index else dtype.type(rows)
    own = divisor(valid, den)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = costs.sum() / den + extra.sum() / own
        return value, np.where(valid, (gradient / den + pulled / own) * factor, 0)


def plant(clause: str, mechanism: str, name: str, *, origin: str = "", **steps: Any) -> None:
    """A mutant: ``loss`` with other steps."""

    def planted(
        logits: Any,
        targets: Any,
        *,
        weight: Any = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        softcap: float | None = None,
        logit_scale: float = 1.0,
        z_loss: float = 0.0,
        class_mask: Any = None,
        reduction: str = "mean",
    ) -> Any:
        return loss(
            logits,
            targets,
            weight=weight,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            softcap=softcap,
            logit_scale=logit_scale,
            z_loss=z_loss,
            class_mask=class_mask,
            reduction=reduction,
            **steps,
        )

    planted.__name__ = name
    mutant(clause, mechanism, origin=origin)(planted)


# --- the soft cap ------------------------------------------------------------------------------


def by_exponentials(f: Any, scale: float, cap: float | None) -> Any:
    if cap is None:
        return capped(f, scale, cap)
    with np.errstate(over="ignore", invalid="ignore"):
        up, down = np.exp(f * scale / cap), np.exp(-f * scale / cap)
        return (cap * (up - down) / (up + down)).astype(f.dtype)


def over_blocks_of_32(z: Any, cap: float | None) -> Any:
    """log Σ exp over whole blocks; a cap turns the −inf of the lanes beyond to −cap."""
    lanes = np.full((len(z), -z.shape[1] % 32), -np.inf if cap is None else -cap, z.dtype)
    return log_sum_exp(np.concatenate([z, lanes], axis=1))


plant(
    "softcap.value",
    "tanh is taken of the logit itself, and not of the logit over the cap",
    "tanh_of_the_logit",
    cap=lambda f, s, cap: capped(f, s, None) if cap is None else cap * np.tanh(f * s),
    bend=lambda z, s, cap: slope(z, s, cap) if cap is None else s * cap * (1 - (z / cap) ** 2),
)
plant(
    "softcap.gradient",
    "the gradient of the capped logits is returned as that of the logits: no 1 − tanh²",
    "cap_without_its_derivative",
    bend=lambda z, s, cap: slope(z, s, None),
)
plant(
    "softcap.gradient",
    "the derivative of the cap is 1 − z² of the capped logit, and not 1 − (z/cap)²",
    "one_minus_the_square_of_z",
    bend=lambda z, s, cap: slope(z, s, None) if cap is None else s * (1 - z**2),
)
plant(
    "softcap.saturated",
    "tanh is a quotient of exponentials, which is inf/inf far beyond the cap",
    "tanh_by_exponentials",
    cap=by_exponentials,
)
plant(
    "softcap.padding",
    "lanes past the last class are −inf before the cap, so −cap after it, and are in the sum",
    "padding_lanes_are_capped",
    origin="Liger before 0.8.3",
    lse_of=over_blocks_of_32,
)
plant(
    "softcap.combined",
    "the smoothing term adds up the logits as they were before the cap",
    "smoothing_of_the_uncapped",
    smooth_over=lambda f, z: f,
)

# --- the scale ---------------------------------------------------------------------------------

plant(
    "scale.gradient",
    "the gradient in s·f is returned as that in f: the factor s is missing",
    "scale_missing_in_backward",
    bend=lambda z, s, cap: slope(z, 1.0, cap),
)
plant(
    "scale.gradient",
    "the chain rule's s is multiplied in twice, by the backward and by its caller",
    "scale_twice_in_backward",
    bend=lambda z, s, cap: slope(z, s * s, cap),
)
plant(
    "scale.combined",
    "the logits are capped first and scaled afterwards",
    "scaled_after_the_cap",
    cap=lambda f, s, cap: capped(f, 1.0, cap) * f.dtype.type(s),
    bend=lambda z, s, cap: slope(z / z.dtype.type(s), 1.0, cap) * z.dtype.type(s),
)

# --- the z-loss --------------------------------------------------------------------------------

plant(
    "z-loss.value",
    "the log-sum-exp that is squared is that of the shifted logits: the maximum is not added back",
    "z_loss_of_the_shifted",
    squared=lambda lse, z: (lse - z.max(axis=1, keepdims=True, initial=-np.inf)) ** 2,
)
plant(
    "z-loss.gradient",
    "the z-loss adds λ·lse·p to the gradient: the 2 of the square is missing",
    "z_loss_gradient_halved",
    pulls=lambda weight, lse, p: weight * lse * p,
)
plant(
    "z-loss.gradient",
    "the z-loss adds 2λ·lse to every class alike: p is missing",
    "z_loss_gradient_without_p",
    pulls=lambda weight, lse, p: 2 * weight * lse * np.ones_like(p) / p.shape[1],
)
plant(
    "z-loss.ignored",
    "an ignored row pays the z-loss of its logits, since that needs no target",
    "ignored_rows_pay_z_loss",
    pays=lambda weight, valid, w: np.broadcast_to(weight, valid.shape),
)
plant(
    "z-loss.normalisation",
    "the z-loss is a mean over all rows, ignored ones too, beside a mean over the valid",
    "z_loss_over_all_rows",
    divisor=lambda valid, den: den.dtype.type(len(valid)),
)
plant(
    "z-loss.combined",
    "the z-loss is multiplied by the class weight of the row's target",
    "z_loss_is_weighted",
    pays=lambda weight, valid, w: np.where(valid, weight * w, 0),
)

# --- masks over classes ------------------------------------------------------------------------

plant(
    "mask.value",
    "the mask is put on after the sum of exponentials, which is over every class",
    "mask_after_the_sum",
    hide=lambda z, mask: z,
)
plant(
    "mask.gradient",
    "the mask is in the value alone: the gradient has the p of every class",
    "mask_in_the_value_alone",
    p_of=lambda z, lse, every: np.exp(every - log_sum_exp(every)),
)
plant(
    "mask.range",
    "masked logits are filled with −1e4, which is above logits at an offset of −1e6",
    "mask_fills_with_minus_ten_thousand",
    hide=lambda z, mask: z if mask is None else np.where(mask, z, z.dtype.type(-1e4)),
)

# --- the axis of the classes -------------------------------------------------------------------


def along(
    logits: Any,
    targets: Any,
    *,
    axis: int = -1,
    label_smoothing: float = 0.0,
    classes: Any = None,
    count: Callable[..., int] = lambda losses, logits: losses.size,
    reduction: str = "mean",
) -> Any:
    """A loss of either kind of target along an axis; ``classes`` and ``count`` can be replaced."""
    top = logits.max(axis=axis, keepdims=True)
    e = np.exp(logits - top)
    s = e.sum(axis=axis, keepdims=True)
    log_p = logits - top - np.log(s)
    t = targets
    if np.issubdtype(targets.dtype, np.integer):
        t = np.moveaxis(np.eye(logits.shape[axis], dtype=logits.dtype)[targets], -1, axis)
    spread = logits.shape[axis] if classes is None else classes(logits)
    t = (1 - label_smoothing) * t + label_smoothing / spread
    t = t.astype(logits.dtype)
    losses = -(t * np.where(t == 0, 0, log_p)).sum(axis=axis)
    gradient = t.sum(axis=axis, keepdims=True) * (e / s) - t
    if reduction == "none":
        return losses, gradient
    den = logits.dtype.type(count(losses, logits) if reduction == "mean" else 1)
    return losses.sum() / den, gradient / den


_ALONG = {"options": ("axis", "label_smoothing"), "ranks": (2, 3)}


@mutant(
    "axis.combined",
    "the smoothing mass is divided by the length of the last axis, whatever axis= says",
    origin="Keras 3.15.1",
    **_ALONG,
)
def smoothing_over_the_last_axis(
    logits: Any,
    targets: Any,
    *,
    axis: int = -1,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    return along(
        logits,
        targets,
        axis=axis,
        label_smoothing=label_smoothing,
        classes=lambda logits: logits.shape[-1],
        reduction=reduction,
    )


@mutant(
    "axis.first",
    "the mean divides by the length of the first axis, which is the classes' with axis=0",
    **_ALONG,
)
def mean_over_the_classes_axis(
    logits: Any,
    targets: Any,
    *,
    axis: int = -1,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    return along(
        logits,
        targets,
        axis=axis,
        label_smoothing=label_smoothing,
        count=lambda losses, logits: logits.shape[0],
        reduction=reduction,
    )
