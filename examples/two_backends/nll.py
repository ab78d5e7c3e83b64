"""Softmax cross-entropy on NumPy or PyTorch arrays."""

import numpy as np


def nll(logits, targets, *, reduction="mean"):
    """Rows, their sum or their mean; targets are class indices."""
    if isinstance(logits, np.ndarray):
        shifted = logits - logits.max(axis=1, keepdims=True)
        rows = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]
    else:
        shifted = logits - logits.amax(dim=1, keepdim=True)
        rows = shifted.exp().sum(dim=1).log() - shifted.gather(1, targets[:, None])[:, 0]
    if reduction == "none":
        return rows
    total = rows.sum()
    return total if reduction == "sum" else total / len(targets)


def gradient(logits, targets, *, reduction="mean"):
    """Row i is ∂L_i/∂f_i, over N under the mean: for NumPy, which has no autodiff."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    found = shifted / shifted.sum(axis=1, keepdims=True)
    found[np.arange(len(targets)), targets] -= 1
    return found / len(targets) if reduction == "mean" else found
