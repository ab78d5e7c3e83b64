"""Correct evaluations in PyTorch: its own losses, and compositions under autograd."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from evaluations.exact import Results
from evaluations.problem import IGNORED, Problem

_TORCH = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


Evaluation = Callable[[Problem], Results]


Loss = Callable[[Problem, Any, Any], Any]


def torch_reduce(given: Problem, rows: Any) -> Any:
    if given.reduction == "none":
        return rows
    if given.reduction == "sum":
        return rows.sum()
    weights = torch.from_numpy(given.row_weights).to(rows.dtype)
    return rows.sum() / weights.sum()


def torch_tau(given: Problem, targets: Any) -> Any:
    """The effective targets, formed in the working dtype."""
    classes = given.logits.shape[1]
    if targets.is_floating_point():
        dense, valid = targets, torch.ones(len(targets), dtype=torch.bool)
    else:
        valid = targets != IGNORED
        dense = torch.nn.functional.one_hot(torch.where(valid, targets, 0), classes)
        dense = dense.to(_TORCH[given.dtype])
    mixed = dense
    if given.smoothing:
        mixed = (1.0 - given.smoothing) * dense + given.smoothing / classes
    if given.weight is not None:
        mixed = mixed * torch.from_numpy(given.weight).to(dense.dtype)
    return torch.where(valid[:, None], mixed, 0.0)


def torch_cross_entropy(given: Problem, f: Any, targets: Any) -> Any:
    weight = None if given.weight is None else torch.from_numpy(given.weight).to(f.dtype)
    return torch.nn.functional.cross_entropy(
        f, targets, weight=weight, reduction=given.reduction, label_smoothing=given.smoothing
    )


def torch_nll(given: Problem, f: Any, targets: Any) -> Any:
    weight = None if given.weight is None else torch.from_numpy(given.weight).to(f.dtype)
    return torch.nn.functional.nll_loss(
        torch.log_softmax(f, -1), targets, weight=weight, reduction=given.reduction
    )


def torch_log_softmax(given: Problem, f: Any, targets: Any) -> Any:
    return torch_reduce(given, -(torch_tau(given, targets) * torch.log_softmax(f, -1)).sum(-1))


def torch_gathered(given: Problem, f: Any, targets: Any) -> Any:
    valid = targets != IGNORED
    index = torch.where(valid, targets, 0)
    rows = torch.logsumexp(f, -1) - f.gather(-1, index[:, None])[:, 0]
    if given.weight is not None:
        rows = rows * torch.from_numpy(given.weight).to(f.dtype)[index]
    return torch_reduce(given, torch.where(valid, rows, 0.0))


def torch_explicit(given: Problem, f: Any, targets: Any) -> Any:
    tau = torch_tau(given, targets)
    return torch_reduce(given, tau.sum(-1) * torch.logsumexp(f, -1) - (tau * f).sum(-1))


def torch_shifted(given: Problem, f: Any, targets: Any) -> Any:
    """Shifted by hand, and differentiated through the maximum."""
    z = f - f.max(-1, keepdim=True).values
    log_p = z - z.exp().sum(-1, keepdim=True).log()
    return torch_reduce(given, -(torch_tau(given, targets) * log_p).sum(-1))


def torch_amax(given: Problem, f: Any, targets: Any) -> Any:
    z = f - f.amax(-1, keepdim=True)
    log_p = torch.log_softmax(z, -1)
    return torch_reduce(given, -(torch_tau(given, targets) * log_p).sum(-1))


def torch_evaluation(loss: Loss, *, wide: bool = False) -> Evaluation:
    """Autograd, double backward and forward mode of a composition; ``wide`` computes in float32."""

    def evaluate(given: Problem) -> Results:
        dtype = _TORCH[given.dtype]
        f = torch.from_numpy(given.logits).to(dtype).requires_grad_()
        floating = given.targets.ndim == 2
        targets = torch.from_numpy(given.targets)
        if floating:
            targets = targets.to(dtype).requires_grad_()
        upstream = torch.from_numpy(np.asarray(given.upstream)).to(dtype)
        tangent = torch.from_numpy(given.tangent).to(dtype)

        def call(f: Any, targets: Any) -> Any:
            if not wide:
                return loss(given, f, targets)
            middle = replace(given, dtype="float32")
            inside = targets.float() if floating else targets
            return loss(middle, f.float(), inside).to(dtype)

        value = call(f, targets)
        inputs = (f, targets) if floating else (f,)
        first = torch.autograd.grad(value, inputs, upstream, create_graph=True)
        (second,) = torch.autograd.grad(first[0], f, tangent)
        _, along = torch.func.jvp(lambda f: call(f, targets.detach()), (f.detach(),), (tangent,))
        plain = [part.detach().double().numpy() for part in (value, *first, second, along)]
        return Results(
            value=plain[0],
            gradient=plain[1],
            target_gradient=plain[2] if floating else None,
            hvp=plain[-2],
            jvp=plain[-1],
        )

    return evaluate


def stored_log_probabilities(given: Problem) -> Results:
    """Computed in float32, with log p and its cotangent stored in the narrow dtype."""
    dtype = _TORCH[given.dtype]
    f = torch.from_numpy(given.logits).to(dtype)
    tau = torch.from_numpy(given.tau.astype(np.float64)).to(dtype)
    log_p = torch.log_softmax(f.float(), -1).to(dtype)
    rows = -(tau * log_p).to(dtype).float().sum(-1).to(dtype)
    scale = torch.from_numpy(given.scale.copy()).to(dtype)
    cotangent = -(scale[:, None] * tau)
    total = cotangent.float().sum(-1, keepdim=True)
    gradient = (cotangent.float() - log_p.float().exp() * total).to(dtype)
    value = rows.double().numpy() if given.reduction == "none" else None
    return Results(value=value, gradient=gradient.double().numpy())


def quietly(evaluate: Evaluation, given: Problem) -> Results:
    """An evaluation without the warnings that frameworks and underflow give."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return evaluate(given)
