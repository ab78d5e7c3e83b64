"""scipy's log_softmax, with the gradient written beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck_suite.implementation import Deviation, Implementation


def log_softmax_nll(logits: Any, targets: Any, *, reduction: str = "mean") -> tuple[Any, Any]:
    """``−Σ t scipy.special.log_softmax(f)`` and its gradient ``softmax(f) − t``."""
    from scipy.special import log_softmax, softmax

    rows, classes = logits.shape
    if targets.shape not in ((rows,), (rows, classes)):
        raise ValueError(f"targets: shape {targets.shape} does not fit logits {logits.shape}")
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"reduction: {reduction!r} is unknown; use 'none', 'sum' or 'mean'")
    if targets.ndim == 1:
        if not np.issubdtype(targets.dtype, np.integer):
            raise TypeError(f"targets: class indices must be integers, not {targets.dtype}")
        if np.any((targets < 0) | (targets >= classes)):
            raise IndexError(f"targets: class indices must lie in [0, {classes})")
        targets = (targets[:, None] == np.arange(classes)).astype(logits.dtype)
    log_p = log_softmax(logits, axis=1)
    losses = -np.where(targets == 0, 0, targets * log_p).sum(axis=1)
    total = targets.sum(axis=1, keepdims=True)
    gradient = total * softmax(logits, axis=1) - targets
    if reduction == "none":
        return losses, gradient
    if reduction == "sum":
        return losses.sum(), gradient
    with np.errstate(invalid="ignore", divide="ignore"):  # the mean of nothing is NaN
        return losses.sum() / np.float64(rows), gradient / np.float64(rows)


IMPLEMENTATIONS = (
    Implementation(
        "scipy-log-softmax",
        log_softmax_nll,
        backend="numpy",
        gradient="returned",
        targets=("index", "probabilities"),
        dialect={"out_of_range": "raise"},
        deviations=(
            Deviation(
                "stability.saturated",
                reason="softmax(f) − t is 0 at the target where p_c rounds to 1",
            ),
        ),
        requires=("scipy",),
        description="−Σ t·scipy.special.log_softmax(f), with softmax(f) − t beside it",
    ),
)
