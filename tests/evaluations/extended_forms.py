"""Correct evaluations with extensions, in PyTorch and JAX: several ways to write each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from evaluations.exact import Results
from evaluations.torch_forms import _TORCH
from gradcheck_suite.case import Case

Form = Callable[..., Any]


def _reduced(case: Case, costs: Any, squares: Any, weights: Any) -> Any:
    """Rows and z-losses as the case reduces them; the z-loss is added row by row."""
    rows = costs + case.options.z_loss * squares if case.options.z_loss else costs
    if case.options.reduction == "none":
        return rows
    return rows.sum() if case.options.reduction == "sum" else rows.sum() / weights


def torch_scores(case: Case, f: Any, *, divided: bool) -> Any:
    """z; ``divided`` by a temperature and a cap, or multiplied by rounded reciprocals."""
    options = case.options
    z = f / (1.0 / options.logit_scale) if divided else f * options.logit_scale
    if options.softcap is not None:
        if divided:
            z = options.softcap * torch.tanh(z / options.softcap)
        else:
            z = torch.tanh(z * (1.0 / options.softcap)) * options.softcap
    if options.class_mask is not None:
        z = z.masked_fill(~torch.tensor(options.class_mask), -torch.inf)
    return z


def torch_parts(case: Case, f: Any, targets: Any) -> tuple[Any, Any, Any]:
    """τ, the valid rows and the denominator, in the dtype of the logits."""
    options, classes = case.options, case.classes
    valid = torch.ones(len(f), dtype=torch.bool)
    t = targets
    if case.target_kind == "index":
        valid = targets != (-100 if options.ignore_index is None else options.ignore_index)
        t = torch.nn.functional.one_hot(torch.where(valid, targets, 0), classes).to(f.dtype)
    smooth = options.label_smoothing
    tau = (1 - smooth) * t + smooth / classes
    w = f.new_ones(classes)
    if options.weight is not None:
        w = torch.tensor(options.weight).to(f.dtype)
    tau = torch.where(valid[:, None], tau * w, 0.0)
    mass = (t * w).sum(-1)[valid].sum() if case.target_kind == "index" else float(len(f))
    return tau, valid, mass


def taken(case: Case, values: Any) -> Any:
    """0 at the classes that take no part."""
    mask = case.options.class_mask
    return values if mask is None else values.masked_fill(~torch.tensor(mask), 0.0)


def torch_log_softmax(case: Case, f: Any, targets: Any) -> Any:
    z = torch_scores(case, f, divided=True)
    tau, valid, mass = torch_parts(case, f, targets)
    log_p = taken(case, z.log_softmax(-1))
    squares = torch.where(valid, z.logsumexp(-1) ** 2, 0.0)
    return _reduced(case, -(tau * log_p).sum(-1), squares, mass)


def torch_shifted(case: Case, f: Any, targets: Any) -> Any:
    """Shifted by hand, and differentiated through the maximum, in the z-loss too."""
    z = torch_scores(case, f, divided=False)
    tau, valid, mass = torch_parts(case, f, targets)
    maximum = z.max(-1, keepdim=True).values
    log_sum = (z - maximum).exp().sum(-1, keepdim=True).log()
    log_p = taken(case, z - maximum - log_sum)
    squares = torch.where(valid, (maximum + log_sum)[:, 0] ** 2, 0.0)
    return _reduced(case, -(tau * log_p).sum(-1), squares, mass)


def torch_explicit(case: Case, f: Any, targets: Any) -> Any:
    z = torch_scores(case, f, divided=True)
    tau, valid, mass = torch_parts(case, f, targets)
    lse = z.logsumexp(-1)
    costs = tau.sum(-1) * lse - (tau * taken(case, z)).sum(-1)
    return _reduced(case, costs, torch.where(valid, lse * lse, 0.0), mass)


def torch_extended(form: Form) -> Callable[[Case, Any], Results]:
    """Autograd, double backward and forward mode of a composition."""

    def evaluate(case: Case, tangent: Any) -> Results:
        dtype = _TORCH[case.dtype]
        f = torch.tensor(case.logits).to(dtype).requires_grad_()
        soft = case.target_kind == "probabilities"
        targets = torch.tensor(case.targets)
        targets = targets.to(dtype).requires_grad_() if soft else targets
        upstream = torch.tensor(case.upstream).to(dtype)
        v = torch.tensor(tangent).to(dtype)
        value = form(case, f, targets)
        inputs = (f, targets) if soft else (f,)
        first = torch.autograd.grad(value, inputs, upstream, create_graph=True)
        (second,) = torch.autograd.grad(first[0], f, v)
        held = targets.detach()
        _, along = torch.func.jvp(lambda f: form(case, f, held), (f.detach(),), (v,))
        plain = [part.detach().double().numpy() for part in (value, *first, second, along)]
        return Results(plain[0], plain[1], plain[2] if soft else None, plain[-1], plain[-2])

    return evaluate


def fused(case: Case, tangent: Any) -> Results:
    """(T + 2λ lse) p − τ times s(1 − t²) by hand, as kernels have it; index targets."""
    options, dtype = case.options, np.dtype(case.dtype)
    f = case.logits.astype(dtype)
    tau, valid, mass = torch_parts(
        case, torch.tensor(f), torch.tensor(case.targets)
    )  # what is under test is what follows
    tau, valid = tau.numpy(), valid.numpy()
    z, slope = f * dtype.type(options.logit_scale), dtype.type(options.logit_scale)
    if options.softcap is not None:
        t = np.tanh(z / dtype.type(options.softcap))
        z, slope = dtype.type(options.softcap) * t, slope * (1 - t * t)
    if options.class_mask is not None:
        z = np.where(options.class_mask, z, -np.inf)
        slope = np.where(options.class_mask, slope, 0)
    top = z.max(-1, keepdims=True)
    e = np.exp(z - top)
    s = e.sum(-1, keepdims=True)
    lse = top + np.log(s)
    weight = np.where(valid[:, None], dtype.type(options.z_loss or 0.0), 0)
    rows = tau.sum(-1) * lse[:, 0] - (tau * np.where(tau == 0, 0, z)).sum(-1)
    rows = rows + (weight * lse * lse)[:, 0]
    gradient = ((tau.sum(-1, keepdims=True) + 2 * weight * lse) * (e / s) - tau) * slope
    denominator = dtype.type(float(mass)) if options.reduction == "mean" else dtype.type(1)
    value = rows if options.reduction == "none" else rows.sum() / denominator
    scale = np.broadcast_to(case.upstream, (case.rows,)).astype(dtype)[:, None] / denominator
    return Results(value=value, gradient=gradient * scale)


def jax_extended(case: Case, tangent: Any) -> Results:
    """log_softmax and logsumexp under JAX; XLA's tanh."""
    options = case.options
    with jax.enable_x64(case.dtype == "float64"):
        f, u, v = (jnp.asarray(part, case.dtype) for part in (case.logits, case.upstream, tangent))
        soft = case.target_kind == "probabilities"
        valid = np.ones(case.rows, bool)
        if not soft:
            valid = case.targets != options.ignore_index
        t = case.targets if soft else np.eye(case.classes)[np.where(valid, case.targets, 0)]
        w = np.ones(case.classes) if options.weight is None else options.weight
        smooth = options.label_smoothing
        tau = np.where(valid[:, None], w * ((1 - smooth) * t + smooth / case.classes), 0.0)
        mass = float(case.rows) if soft else float((w * t)[valid].sum())
        weights = jnp.asarray(tau, case.dtype)

        def loss(f: Any) -> Any:
            z = f * options.logit_scale
            if options.softcap is not None:
                z = options.softcap * jnp.tanh(z / options.softcap)
            mask = options.class_mask
            log_p = jax.nn.log_softmax(z, where=None if mask is None else jnp.asarray(mask))
            log_p = jnp.where(weights == 0, 0, log_p)
            lse = jax.nn.logsumexp(z, axis=-1, where=None if mask is None else jnp.asarray(mask))
            squares = jnp.where(valid, lse**2, 0)
            return _reduced(case, -(weights * log_p).sum(-1), squares, mass)

        def gradient(f: Any) -> Any:
            return jax.vjp(loss, f)[1](u)[0]

        value, along = jax.jvp(loss, (f,), (v,))
        first, second = jax.jvp(gradient, (f,), (v,))
        parts = [np.asarray(part, np.float64) for part in (value, first, along, second)]
    return Results(value=parts[0], gradient=parts[1], jvp=parts[2], hvp=parts[3])


def extended_forms(case: Case) -> Iterator[tuple[str, Callable[[Case, Any], Results]]]:
    """The evaluations that are defined for a case."""
    for form in (torch_log_softmax, torch_shifted, torch_explicit):
        yield form.__name__, torch_extended(form)
    if case.dtype in ("float64", "float32"):
        if case.target_kind == "index":
            yield "fused", fused
        yield "jax", jax_extended
