"""Compositions of ``jax.nn``, as people write them."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation

_WRAPS = Deviation(
    "reject.target-range",
    reason="a class index of −1 counts from the end, as everywhere in JAX's indexing; one past "
    "the end gives NaN, and a gradient of 0",
)
_CLAMPS = Deviation(
    "reject.target-range",
    reason="a class index of −1 counts from the end, and one past it reads the last class",
)
_LSE_AT_THE_OFFSET = Deviation(
    "stability.offset",
    reason="lse is formed at the logits' own magnitude and the label's logit is subtracted from it",
)
_COLUMN = Deviation(
    "reject.shape",
    reason="a column of targets gives a column of losses",
)
_ONE_HOT_ZERO = Deviation(
    "reject.target-range",
    reason="jax.nn.one_hot gives a row of zeros for an index that is no class: value 0",
)
_BROADCASTS = Deviation(
    "reject.shape",
    reason="whatever has two axes is taken for probabilities, and broadcast against the logits",
)
_COMPARES = Deviation(
    "reject.dtype",
    reason="jax.nn.one_hot compares: an index that is no integer gives a row of zeros, value 0",
)
_ZERO_TIMES_INFINITY = Deviation(
    "value.zero-times-log-zero",
    reason="a target probability of 0 at a logit of −inf gives NaN (0·−inf)",
)
_MASK_TIMES_ZERO = Deviation(
    "stability.minus-inf",
    reason="a product with one-hot rows: a masked class, whose logit is −inf, gives NaN (0·−inf)",
)
_ROUNDED_COMPLEMENT = Deviation(
    "stability.saturated",
    reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
)


def log_softmax_gather(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """``−log_softmax(f)[c]``: the composition with a gather, for class indices."""
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(logits, axis=-1)
    rows = -jnp.take_along_axis(log_p, targets[:, None], axis=-1)[:, 0]
    return _reduced(rows, reduction)


def one_hot(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """``−Σ t log_softmax(f)`` with ``jax.nn.one_hot`` where the targets are indices."""
    import jax
    import jax.numpy as jnp

    if targets.ndim == 1:
        targets = jax.nn.one_hot(targets, logits.shape[-1], dtype=logits.dtype)
    rows = -jnp.sum(targets * jax.nn.log_softmax(logits, axis=-1), axis=-1)
    return _reduced(rows, reduction)


def log_softmax_gather_jit(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """``log_softmax_gather`` under ``jax.jit``."""
    import jax

    return jax.jit(log_softmax_gather, static_argnames="reduction")(
        logits, targets, reduction=reduction
    )


def vmapped(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """The loss of one example, ``logsumexp(f) − f[c]``, under ``jax.vmap``."""
    import jax

    rows = jax.vmap(lambda f, c: jax.nn.logsumexp(f) - f[c])(logits, targets)
    return _reduced(rows, reduction)


def _reduced(rows: Any, reduction: str) -> Any:
    if reduction == "none":
        return rows
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction: {reduction!r} is unknown; use 'none', 'sum' or 'mean'")
    return rows.sum() if reduction == "sum" else rows.mean()


IMPLEMENTATIONS = (
    Implementation(
        "jax-log-softmax",
        log_softmax_gather,
        backend="jax",
        targets=("index",),
        dialect="jax",
        deviations=(_WRAPS, _ROUNDED_COMPLEMENT),
        requires=("jax",),
        description="−jax.nn.log_softmax(f)[c]",
    ),
    Implementation(
        "jax-log-softmax-jit",
        log_softmax_gather_jit,
        backend="jax",
        targets=("index",),
        dialect="jax",
        deviations=(_WRAPS, _ROUNDED_COMPLEMENT),
        requires=("jax",),
        description="−jax.nn.log_softmax(f)[c] under jax.jit",
    ),
    Implementation(
        "jax-one-hot",
        one_hot,
        backend="jax",
        targets=("index", "probabilities"),
        dialect="jax",
        deviations=(
            _ONE_HOT_ZERO,
            _BROADCASTS,
            _COMPARES,
            _ZERO_TIMES_INFINITY,
            _MASK_TIMES_ZERO,
            _ROUNDED_COMPLEMENT,
        ),
        requires=("jax",),
        description="−Σ one_hot(c)·jax.nn.log_softmax(f)",
    ),
    Implementation(
        "jax-logsumexp-vmap",
        vmapped,
        backend="jax",
        targets=("index",),
        dialect="jax",
        deviations=(_CLAMPS, _LSE_AT_THE_OFFSET, _ROUNDED_COMPLEMENT, _COLUMN),
        requires=("jax",),
        description="jax.nn.logsumexp(f) − f[c] of one example, under jax.vmap",
    ),
)
