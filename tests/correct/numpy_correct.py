"""NumPy homework: what a course asks for, and returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck_suite.implementation import Implementation


def homework(scores: Any, y: Any) -> Any:
    """The mean over index targets, and its gradient: no options, positional names of its own."""
    rows = np.arange(len(y))
    shifted = scores - scores.max(axis=1, keepdims=True, initial=-np.inf)
    p = np.exp(shifted)
    p /= p.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_p = shifted[rows, y] - np.log(np.exp(shifted).sum(axis=1))
        loss = -log_p.sum() / np.float64(len(y))
        p[rows, y] -= 1
        return loss, p / np.float64(len(y)).astype(scores.dtype)


def value(logits: Any, targets: Any, reduction: str = "mean") -> Any:
    """The value of probability targets alone; its gradient is a function of its own."""
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    lse = np.log(np.exp(shifted).sum(axis=1))
    present = np.where(targets == 0, 0, shifted)
    rows = targets.sum(axis=1) * lse - (targets * present).sum(axis=1)
    return rows if reduction == "none" else rows.sum()


def gradient(logits: Any, targets: Any, reduction: str = "mean") -> Any:
    """T·softmax(f) − t."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    p /= p.sum(axis=1, keepdims=True)
    return targets.sum(axis=1, keepdims=True) * p - targets


def average_of_logaddexp(logits: Any, targets: Any) -> Any:
    """Rows by np.logaddexp.reduce, without a gradient."""
    rows = np.arange(len(targets))
    return np.logaddexp.reduce(logits, axis=1) - logits[rows, targets]


def row_by_row(
    scores: Any,
    y: Any,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """A loop over the rows, as one writes it first: every option, index targets."""
    classes = scores.shape[1]
    w = np.ones(classes, scores.dtype) if weight is None else weight
    losses, gradient = np.zeros(len(y), scores.dtype), np.zeros_like(scores)
    total = scores.dtype.type(0)
    for i, c in enumerate(y):
        if c == ignore_index:
            continue
        shifted = scores[i] - scores[i].max()
        log_p = shifted - np.log(np.exp(shifted).sum())
        tau = w * (label_smoothing / classes)
        tau[c] += w[c] * (1 - label_smoothing)
        losses[i] = -sum(tau[j] * log_p[j] for j in range(classes) if tau[j])
        gradient[i] = tau.sum() * np.exp(log_p) - tau
        total += w[c]
    if reduction == "none":
        return losses, gradient
    if reduction == "sum":
        return losses.sum(), gradient
    if not total:
        return np.float64("nan"), np.zeros_like(gradient)
    return losses.sum() / total, gradient / total


def extended(
    logits: Any,
    targets: Any,
    softcap: float | None = None,
    logit_scale: float = 1.0,
    z_loss: float = 0.0,
    class_mask: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """Every extension, in the way of a kernel: the cap's slope from its own tanh."""
    f, dtype = logits * logits.dtype.type(logit_scale), logits.dtype
    slope = np.full_like(f, logit_scale)
    if softcap is not None:
        bent = np.tanh(f / dtype.type(softcap))
        f, slope = dtype.type(softcap) * bent, slope * (1 - bent) * (1 + bent)
    if class_mask is not None:
        f, slope = np.where(class_mask, f, -np.inf), np.where(class_mask, slope, 0)
    rows, valid = np.arange(len(targets)), targets != ignore_index
    c = np.where(valid, targets, 0)
    top = f.max(axis=1, initial=-np.inf)
    e = np.exp(f - top[:, None])
    lse = top + np.log(e.sum(axis=1))
    losses = np.where(valid, lse - f[rows, c] + z_loss * lse * lse, 0).astype(dtype)
    gradient = (1 + 2 * dtype.type(z_loss) * lse)[:, None] * (e / e.sum(axis=1, keepdims=True))
    gradient[rows, c] -= 1
    gradient = np.where(valid[:, None], gradient * slope, 0)
    if reduction == "none":
        return losses, gradient
    if reduction == "sum":
        return losses.sum(), gradient
    count = dtype.type(valid.sum())
    with np.errstate(invalid="ignore"):
        return losses.sum() / count, np.where(valid[:, None], gradient / max(count, 1), 0)


def swallows_what_it_does_not_know(logits: Any, targets: Any, **options: Any) -> Any:
    """Takes any keyword, and knows of the plain loss's alone: no extension is asked of it."""
    plain = ("weight", "ignore_index", "label_smoothing", "reduction")
    return row_by_row(logits, targets, **{name: options[name] for name in plain if name in options})


def over_rows(logits: Any, targets: Any, *, axis: int = 0, reduction: str = "mean") -> Any:
    """A keyword of the same name that means the axis of the rows: none of ours, unless declared."""
    assert axis == 0
    return row_by_row(logits, targets, reduction=reduction)


IMPLEMENTATIONS = (
    Implementation("numpy-over-rows", over_rows, backend="numpy", targets=("index",)),
    Implementation("numpy-extended", extended, backend="numpy", targets=("index",)),
    Implementation(
        "numpy-swallows",
        swallows_what_it_does_not_know,
        backend="numpy",
        targets=("index",),
    ),
    Implementation("numpy-row-by-row", row_by_row, backend="numpy", targets=("index",)),
    Implementation("numpy-homework", homework, backend="numpy"),
    Implementation(
        "numpy-value-and-gradient-apart",
        value,
        backend="numpy",
        gradient=gradient,
        reductions=("none", "sum"),
        targets=("probabilities",),
    ),
    Implementation(
        "numpy-value-only",
        average_of_logaddexp,
        backend="numpy",
        gradient=None,
        reductions=("none",),
        targets=("index",),
    ),
)
