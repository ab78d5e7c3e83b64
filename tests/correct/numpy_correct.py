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


IMPLEMENTATIONS = (
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
