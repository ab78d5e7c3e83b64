"""JAX mutants of the extensions: stopped gradients, and formulas that are nearly right."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mutants.mutant import Registry

mutant = Registry("jax")
MUTANTS = mutant.mutants


def rows_of(z: Any, targets: Any) -> Any:
    log_p = jax.nn.log_softmax(z, axis=-1)
    return -jnp.take_along_axis(log_p, targets[:, None], axis=-1)[:, 0]


def reduced(values: Any, reduction: str, count: Any) -> Any:
    if reduction == "none":
        return values
    return jnp.sum(values) if reduction == "sum" else jnp.sum(values) / count


@mutant(
    "softcap.value",
    "the logits are clipped at ±cap instead of bent towards it",
    targets=("index",),
)
def hard_cap(
    logits: Any, targets: Any, *, softcap: float | None = None, reduction: str = "mean"
) -> Any:
    z = logits if softcap is None else jnp.clip(logits, -softcap, softcap)
    return reduced(rows_of(z, targets), reduction, len(targets))


@mutant(
    "softcap.gradient",
    "the cap is a straight-through estimator: its effect is added under stop_gradient",
    targets=("index",),
)
def straight_through_cap(
    logits: Any, targets: Any, *, softcap: float | None = None, reduction: str = "mean"
) -> Any:
    z = logits
    if softcap is not None:
        z = logits + jax.lax.stop_gradient(softcap * jnp.tanh(logits / softcap) - logits)
    return reduced(rows_of(z, targets), reduction, len(targets))


@mutant(
    "scale.gradient",
    "the loss is divided by the scale, as distillation balances its gradient by the temperature",
    targets=("index",),
)
def loss_balanced_by_the_scale(
    logits: Any, targets: Any, *, logit_scale: float = 1.0, reduction: str = "mean"
) -> Any:
    values = rows_of(logits * logit_scale, targets) / logit_scale
    return reduced(values, reduction, len(targets))


@mutant("z-loss.value", "the z-loss is the square of the loss, and not of lse", targets=("index",))
def square_of_the_loss(
    logits: Any, targets: Any, *, z_loss: float = 0.0, reduction: str = "mean"
) -> Any:
    values = rows_of(logits, targets)
    return reduced(values + z_loss * values**2, reduction, len(targets))


@mutant("z-loss.value", "the z-loss is λ·|lse|: it is not squared", targets=("index",))
def z_loss_not_squared(
    logits: Any, targets: Any, *, z_loss: float = 0.0, reduction: str = "mean"
) -> Any:
    lse = jax.nn.logsumexp(logits, axis=-1)
    values = rows_of(logits, targets) + z_loss * jnp.abs(lse)
    return reduced(values, reduction, len(targets))


@mutant(
    "z-loss.normalisation",
    "under mean the z-loss is the sum over the rows",
    targets=("index",),
)
def z_loss_is_summed(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    z_loss: float = 0.0,
    reduction: str = "mean",
) -> Any:
    valid = targets != ignore_index
    values = jnp.where(valid, rows_of(logits, jnp.where(valid, targets, 0)), 0)
    squares = z_loss * jnp.where(valid, jax.nn.logsumexp(logits, axis=-1) ** 2, 0)
    if reduction == "none":
        return values + squares
    return reduced(values, reduction, valid.sum()) + squares.sum()


@mutant(
    "z-loss.ignored",
    "the z-loss of ignored rows is taken off again under stop_gradient: its gradient stays",
    targets=("index",),
)
def ignored_z_loss_subtracted(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    z_loss: float = 0.0,
    reduction: str = "mean",
) -> Any:
    valid = targets != ignore_index
    values = jnp.where(valid, rows_of(logits, jnp.where(valid, targets, 0)), 0)
    squares = z_loss * jax.nn.logsumexp(logits, axis=-1) ** 2
    squares = squares - jax.lax.stop_gradient(jnp.where(valid, 0, squares))
    return reduced(values + squares, reduction, valid.sum())


@mutant(
    "mask.range",
    "the maximum is taken over every class: one that is masked and far above leaves log 0",
    targets=("index",),
)
def maximum_over_every_class(
    logits: Any, targets: Any, *, class_mask: Any = None, reduction: str = "mean"
) -> Any:
    shifted = logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    powers = jnp.exp(shifted)
    powers = powers if class_mask is None else jnp.where(class_mask, powers, 0)
    picked = jnp.take_along_axis(shifted, targets[:, None], axis=-1)[:, 0]
    return reduced(jnp.log(powers.sum(-1)) - picked, reduction, len(targets))


@mutant(
    "mask.combined",
    "the z-loss is over every class, masked ones too",
    targets=("index",),
)
def z_loss_without_the_mask(
    logits: Any,
    targets: Any,
    *,
    z_loss: float = 0.0,
    class_mask: Any = None,
    reduction: str = "mean",
) -> Any:
    z = logits if class_mask is None else jnp.where(class_mask, logits, -jnp.inf)
    values = rows_of(z, targets) + z_loss * jax.nn.logsumexp(logits, axis=-1) ** 2
    return reduced(values, reduction, len(targets))


@mutant(
    "axis.first",
    "axis goes to the softmax alone: the target is always looked up in the last axis",
    targets=("index",),
    options=("axis",),
)
def target_of_the_last_axis(
    logits: Any, targets: Any, *, axis: int = -1, reduction: str = "mean"
) -> Any:
    log_p = jax.nn.log_softmax(logits, axis=axis)
    rows = jnp.arange(len(targets))
    return reduced(-log_p[rows, targets], reduction, len(targets))


@mutant(
    "axis.combined",
    "the mask is not moved with the logits: its rows are taken for the classes' axis",
    targets=("index",),
    options=("axis", "class_mask"),
)
def mask_is_not_moved(
    logits: Any,
    targets: Any,
    *,
    axis: int = -1,
    class_mask: Any = None,
    reduction: str = "mean",
) -> Any:
    z = jnp.moveaxis(logits, axis, -1)
    if class_mask is not None:
        z = jnp.where(class_mask.reshape(z.shape), z, -jnp.inf)
    return reduced(rows_of(z, targets), reduction, len(targets))
