"""Compositions of ``torch.nn.functional``, as people write them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation
from gradcheck_suite.implementations.torch_losses import (
    LEAKS,
    ROUNDED_COMPLEMENT,
    ZERO_TIMES_INFINITY,
)

_MASK_TIMES_ZERO = Deviation(
    "stability.minus-inf",
    reason="a masked class, whose logit is −inf, is multiplied by 0 and gives NaN",
)


def one_hot(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """``−Σ t log_softmax(f)`` with ``one_hot`` where the targets are indices."""
    from torch.nn import functional

    if targets.ndim == 1:
        targets = functional.one_hot(targets, logits.shape[-1])
    rows = -(targets * functional.log_softmax(logits, dim=-1)).sum(dim=-1)
    return _reduced(rows, reduction)


def logsumexp_gather(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """``logsumexp(f) − f_c``."""
    rows = logits.logsumexp(dim=-1) - logits.gather(-1, targets[:, None])[:, 0]
    return _reduced(rows, reduction)


def smoothed_nll(
    logits: Any,
    targets: Any,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    reduction: str = "sum",
) -> Any:
    """``(1 − ε − ε')·nll + ε'·Σ −log p`` with ε' = ε/(C − 1), as in fairseq."""
    from torch.nn import functional

    log_p = functional.log_softmax(logits, dim=-1)
    ignored = targets == ignore_index if ignore_index is not None else targets < 0
    nll = -log_p.gather(-1, targets.masked_fill(ignored, 0)[:, None])
    share = label_smoothing / max(1, logits.shape[-1] - 1)
    smooth = -log_p.sum(dim=-1, keepdim=True)
    rows = ((1.0 - label_smoothing - share) * nll + share * smooth)[:, 0]
    return _reduced(rows.masked_fill(ignored, 0.0), reduction)


def _reduced(rows: Any, reduction: str) -> Any:
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"reduction: {reduction!r} is unknown; use 'none', 'sum' or 'mean'")
    return rows if reduction == "none" else getattr(rows, reduction)()


IMPLEMENTATIONS = (
    Implementation(
        "torch-one-hot",
        one_hot,
        backend="torch",
        targets=("index", "probabilities"),
        dialect={"mean_index": "batch"},
        deviations=(
            ZERO_TIMES_INFINITY,
            ROUNDED_COMPLEMENT,
            _MASK_TIMES_ZERO,
            Deviation(
                "reject.shape",
                reason="whatever has two axes is taken for probabilities and broadcast against "
                "the logits",
            ),
        ),
        requires=("torch",),
        description="−Σ one_hot(c)·log_softmax(f)",
    ),
    Implementation(
        "torch-logsumexp-gather",
        logsumexp_gather,
        backend="torch",
        targets=("index",),
        dialect={"mean_index": "batch"},
        deviations=(
            ROUNDED_COMPLEMENT,
            Deviation(
                "stability.offset",
                reason="lse is formed at the logits' own magnitude and the target's logit is "
                "subtracted from it",
            ),
        ),
        requires=("torch",),
        description="logsumexp(f) − f_c",
    ),
    Implementation(
        "torch-label-smoothed-nll",
        smoothed_nll,
        backend="torch",
        targets=("index",),
        reductions=("none", "sum"),
        dialect={"smoothing_mass": "over-others"},
        deviations=(
            LEAKS,
            ROUNDED_COMPLEMENT,
            replace(_MASK_TIMES_ZERO, clause="stability.minus-inf*"),
            Deviation(
                "stability.large-logits",
                reason="without smoothing too Σ −log p is formed, and 0 times its overflow is NaN",
            ),
        ),
        requires=("torch",),
        description="label_smoothed_nll_loss of fairseq, from logits",
    ),
)
