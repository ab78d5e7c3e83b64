"""Correct evaluations in NumPy and SciPy: T·p − τ by hand, with sums in several orders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import special

from evaluations.exact import Results
from evaluations.problem import IGNORED, Problem
from evaluations.torch_forms import _TORCH, Evaluation, torch_tau


def sequential(terms: np.ndarray) -> np.ndarray:
    """Row sums, one addition after the other in the array's own dtype."""
    return np.add.accumulate(terms, axis=-1, dtype=terms.dtype)[..., -1:]


def pairwise(terms: np.ndarray) -> np.ndarray:
    return np.sum(terms, axis=-1, keepdims=True)


def backwards(terms: np.ndarray) -> np.ndarray:
    return sequential(terms[..., ::-1])


def closed_form(summed: Callable[[np.ndarray], np.ndarray], probabilities: str) -> Evaluation:
    """T·p − τ by hand; p by ``division``, ``reciprocal`` or ``exponential`` of log p."""

    def evaluate(given: Problem) -> Results:
        dtype = np.dtype(given.dtype)
        f, v = given.logits.astype(dtype), given.tangent.astype(dtype)
        kind = _TORCH[given.dtype] if given.targets.ndim == 2 else torch.int64
        tau = torch_tau(given, torch.tensor(given.targets, dtype=kind)).numpy()
        z = f - np.max(f, axis=1, keepdims=True)
        e = np.exp(z)
        s = summed(e)
        log_p = z - np.log(s)
        p = {
            "division": lambda: e / s,
            "reciprocal": lambda: e * (1 / s),
            "exponential": lambda: np.exp(log_p),
        }[probabilities]()
        rows = -summed(tau * np.where(tau == 0, 0, log_p))[:, 0]
        denominator = dtype.type(1)
        if given.reduction == "mean":
            denominator = summed(given.row_weights.astype(dtype)[None])[0, 0]
        value = rows
        if given.reduction != "none":
            value = summed(rows[None])[0, 0] / denominator
        scale = given.upstream.astype(dtype).reshape(-1, 1) / denominator
        mass = summed(tau)
        mean = summed(p * v)
        gradient = mass * p - tau
        if given.targets.ndim == 1 and not given.smoothing:
            for row, c in enumerate(given.targets):
                if c != IGNORED:  # the accurate form: −Σ of the others
                    gradient[row, c] = -tau[row, c] * summed(np.delete(p[row], c)[None])[0, 0]
        along = summed(gradient * v)[:, 0]
        if given.reduction != "none":
            along = summed(along[None])[0, 0] / denominator
        return Results(
            value=value,
            gradient=scale * gradient,
            jvp=along,
            hvp=scale * (mass * (p * (v - mean))),
        )

    return evaluate


def scipy_forms(given: Problem) -> Results:
    if given.reduction != "none":
        return Results()
    f, tau = given.logits.astype(given.dtype), given.tau.astype(given.dtype)
    log_p = np.where(tau == 0, 0, special.log_softmax(f, axis=1))
    p = special.softmax(f, axis=1)
    gradient = given.upstream.astype(given.dtype)[:, None] * (
        np.sum(tau, axis=1, keepdims=True) * p - tau
    )
    return Results(value=-np.sum(tau * log_p, axis=1), gradient=gradient)
