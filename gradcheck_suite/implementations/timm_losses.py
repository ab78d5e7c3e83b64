"""timm's losses, their file loaded alone: ``import timm`` needs a torchvision for this torch."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation
from gradcheck_suite.implementations.loaded_alone import loaded_alone
from gradcheck_suite.implementations.torch_losses import ROUNDED_COMPLEMENT, ZERO_TIMES_INFINITY


def label_smoothing_cross_entropy(
    logits: Any, targets: Any, *, label_smoothing: float = 0.0
) -> Any:
    """``timm.loss.LabelSmoothingCrossEntropy``, the mean over rows."""
    losses = loaded_alone("timm", "loss/cross_entropy.py")
    return losses.LabelSmoothingCrossEntropy(smoothing=label_smoothing)(logits, targets)


def soft_target_cross_entropy(logits: Any, targets: Any) -> Any:
    """``timm.loss.SoftTargetCrossEntropy``, the mean over rows."""
    losses = loaded_alone("timm", "loss/cross_entropy.py")
    return losses.SoftTargetCrossEntropy()(logits, targets)


IMPLEMENTATIONS = (
    Implementation(
        "timm-label-smoothing",
        label_smoothing_cross_entropy,
        backend="torch",
        targets=("index",),
        reductions=("mean",),
        dialect={"mean_index": "batch"},
        deviations=(
            ROUNDED_COMPLEMENT,
            Deviation(
                "stability.minus-inf*",
                reason="without smoothing too the mean of −log p is formed, and 0·∞ is NaN",
            ),
        ),
        requires=("timm", "torch"),
        description="timm.loss.LabelSmoothingCrossEntropy",
    ),
    Implementation(
        "timm-soft-target",
        soft_target_cross_entropy,
        backend="torch",
        targets=("probabilities",),
        reductions=("mean",),
        deviations=(
            ZERO_TIMES_INFINITY,
            Deviation("reject.shape", reason="one row of targets serves every row of logits"),
        ),
        requires=("timm", "torch"),
        description="timm.loss.SoftTargetCrossEntropy",
    ),
)
