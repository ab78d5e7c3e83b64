"""What a course asks for: the mean over a batch and its gradient, in the homework's dialect."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck_suite.implementation import Deviation, Implementation


def softmax_loss(scores: Any, y: Any) -> tuple[Any, Any]:
    """Mean of −log softmax(scores)[y], and (p − one_hot(y))/N.

    Args:
        scores: f, shape (N, C).
        y: class indices, shape (N,).
    """
    rows = np.arange(len(y))
    shifted = scores - scores.max(axis=1, keepdims=True, initial=-np.inf)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    with np.errstate(invalid="ignore", divide="ignore"):  # the mean of nothing is NaN
        loss = -(shifted[rows, y] - np.log(total[:, 0])).sum() / np.float64(len(y))
        p[rows, y] -= 1
        return loss, p / scores.dtype.type(len(y))


IMPLEMENTATIONS = (
    Implementation(
        "numpy-softmax-loss",
        softmax_loss,
        backend="numpy",
        gradient="returned",
        dialect="numpy-homework",
        deviations=(
            Deviation(
                "reject.target-range",
                reason="a class index of −1 counts from the end, as everywhere in NumPy's indexing",
            ),
        ),
        description="a homework's mean loss that returns (loss, (p − one_hot)/N)",
    ),
)
