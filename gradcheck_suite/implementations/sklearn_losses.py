"""scikit-learn's ``log_loss``: a metric of probabilities, here of softmax(f)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck_suite.errors import Unsupported
from gradcheck_suite.implementation import Deviation, Implementation

_CLIPS = "p is clipped to [ε, 1−ε], so that a row's loss is at most −log ε: 36.04, 15.94 in float32"
_CLIPPED = (
    ("value.definition", "*-wide"),
    ("value.definition", "*-rare"),
    ("value.non-negative", "*-saturated"),
    ("stability.gap", "*"),
    ("stability.large-logits", "*"),
    ("stability.minus-inf-target", "*"),
    ("stability.per-row-shift", "*"),
)


def log_loss_of_softmax(
    logits: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> float:
    """``log_loss(c, softmax(f))``: class weights w as ``sample_weight`` w[c], sum or mean.

    Raises:
        ValueError: another reduction (``log_loss`` returns no rows), or what it refuses.
        Unsupported: there is one class, which ``log_loss`` refuses.
    """
    from scipy.special import softmax
    from sklearn.metrics import log_loss

    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction: log_loss has no {reduction!r}; use 'sum' or 'mean'")
    if logits.shape[1] < 2:
        raise Unsupported("log_loss refuses a single class")
    loss: float = log_loss(
        targets,
        softmax(logits, axis=1),
        labels=np.arange(logits.shape[1]),
        sample_weight=None if weight is None else weight[targets],
        normalize=reduction == "mean",
    )
    return loss


IMPLEMENTATIONS = (
    Implementation(
        "sklearn-log-loss",
        log_loss_of_softmax,
        backend="numpy",
        gradient=None,
        reductions=("sum", "mean"),
        targets=("index",),
        dialect={"empty_mean": "raise"},
        deviations=(
            *(Deviation(clause, reason=_CLIPS, case=case) for clause, case in _CLIPPED),
            Deviation(
                "batch.degenerate",
                case="rows0-*",
                reason="raises on a batch of no rows (it asks for one at least)",
            ),
        ),
        requires=("scikit-learn",),
        description="sklearn.metrics.log_loss of scipy's softmax(f): a value, no gradient",
    ),
)
