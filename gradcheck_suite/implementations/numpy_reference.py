"""A NumPy reference that returns (loss, gradient): what a homework solution looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.implementation import Implementation

FloatArray = npt.NDArray[np.floating[Any]]


def softmax_nll(
    logits: FloatArray,
    targets: npt.NDArray[Any],
    *,
    weight: FloatArray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Any, FloatArray]:
    """Softmax negative log-likelihood and its gradient in the logits, in plain NumPy.

    Args:
        logits: f, shape (N, C).
        targets: class indices (N,), or probabilities (N, C).
        weight: class weights (C,).
        ignore_index: class index of rows that do not count.
        label_smoothing: ε.
        reduction: ``none``, ``sum`` or ``mean``.

    Returns:
        (loss, gradient): rows (N,) or a scalar, and (N, C); under ``none`` row i of the
        gradient is ∂L_i/∂f_i.

    Raises:
        IndexError: a class index is neither in [0, C) nor ``ignore_index``.
        ValueError: targets of another shape, or an unknown reduction.
    """
    rows, classes = logits.shape
    if targets.shape not in ((rows,), (rows, classes)):
        raise ValueError(
            f"targets: shape {targets.shape} for logits {logits.shape}; give class indices "
            f"({rows},) or probabilities ({rows}, {classes})"
        )
    dtype = logits.dtype
    valid = np.ones(rows, bool) if targets.ndim == 2 else targets != ignore_index
    # An ignored row reaches nothing, whatever it holds: it is replaced before anything is computed.
    logits = np.where(valid[:, None], logits, 0)
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1, keepdims=True)
    log_p = shifted - np.log(totals)
    weights = np.ones(classes, dtype) if weight is None else weight
    if targets.ndim == 1:
        if np.any(valid & ((targets < 0) | (targets >= classes))):
            raise IndexError(f"targets: class indices must lie in [0, {classes})")
        t = np.zeros_like(logits)
        t[np.flatnonzero(valid), targets[valid]] = 1
        mass = (t * weights).sum()
    else:
        t, mass = targets, dtype.type(rows)
    tau = weights * ((1 - label_smoothing) * t + label_smoothing / classes)
    tau = np.where(valid[:, None], tau, 0).astype(dtype)
    losses = -np.where(tau == 0, 0, tau * log_p).sum(axis=1)
    gradient = tau.sum(axis=1, keepdims=True) * (exponentials / totals) - tau
    if reduction == "none":
        return losses, gradient
    if reduction == "sum":
        return losses.sum(), gradient
    if reduction != "mean":
        raise ValueError(f"reduction: {reduction!r} is unknown; use 'none', 'sum' or 'mean'")
    with np.errstate(invalid="ignore", divide="ignore"):  # the mean of nothing is NaN
        return losses.sum() / mass, np.where(valid[:, None], gradient / mass, 0)


IMPLEMENTATIONS = (
    Implementation(
        "numpy-reference",
        softmax_nll,
        backend="numpy",
        gradient="returned",
        dialect={"out_of_range": "raise"},
        description="plain NumPy that returns (loss, gradient)",
    ),
)
