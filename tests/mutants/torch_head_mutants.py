"""PyTorch mutants of a linear head: a fused Function with one of its rules wrong."""

from __future__ import annotations

from typing import Any

import torch
from correct.torch_head_correct import OPTIONS, chunks, fused, gradients, losses, residual
from torch.nn import functional

from mutants.mutant import Registry

mutant = Registry("torch")
MUTANTS = mutant.mutants


def head_mutant(clause: str, mechanism: str, *, origin: str = "") -> Any:
    """Registers a loss with a linear head, for class indices."""
    return mutant(clause, mechanism, origin=origin, head="linear", **OPTIONS)


@head_mutant("head.value", "the mean is taken of the chunks' means, whatever they hold")
def mean_of_chunk_means(
    hidden: Any,
    linear_weight: Any,
    targets: Any,
    *,
    linear_bias: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    logits = functional.linear(hidden, linear_weight, linear_bias)
    options = {"ignore_index": ignore_index, "reduction": reduction}
    if reduction != "mean":
        return functional.cross_entropy(logits, targets, **options)
    means = [
        functional.cross_entropy(logits[part], targets[part], **options)
        for part in chunks(len(logits))
    ]
    return torch.stack(means).mean()


@head_mutant("head.value", "the bias is taken for none")
def without_bias(hidden: Any, linear_weight: Any, targets: Any, **options: Any) -> Any:
    bias = options.pop("linear_bias", None)
    value = fused()(hidden, linear_weight, targets, **options)
    return value if bias is None else value + 0.0 * bias.sum()


@head_mutant("head.hidden-gradient", "backward forms the logits again without the bias")
def recomputed_without_bias(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, bias: Any, *rest: Any) -> Any:
        return gradients(hidden, weight, None, *rest)

    return fused(backward)(*arguments, **options)


@head_mutant("head.hidden-gradient", "features past the first block of four get no gradient")
def features_past_a_block(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, *rest: Any) -> Any:
        in_hidden, *others = gradients(hidden, *rest)
        in_hidden[:, 4:] = 0
        return in_hidden, *others

    return fused(backward)(*arguments, **options)


@head_mutant("head.weight-gradient", "the last chunk of rows is left out of the weight's sum")
def last_chunk_dropped(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, bias: Any, targets: Any, ignore: int, u: Any) -> Any:
        in_hidden, _, in_bias = gradients(hidden, weight, bias, targets, ignore, u)
        given = u[:, None] * residual(hidden, weight, bias, targets, ignore)
        kept = torch.cat([given[part] for part in list(chunks(len(hidden)))[:-1]] or [given[:0]])
        return in_hidden, kept.T @ hidden[: len(kept)], in_bias

    return fused(backward)(*arguments, **options)


@head_mutant("head.weight-gradient", "every chunk writes over the weight's gradient of the last")
def chunks_overwrite(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, bias: Any, targets: Any, ignore: int, u: Any) -> Any:
        in_hidden, in_weight, in_bias = gradients(hidden, weight, bias, targets, ignore, u)
        for part in chunks(len(hidden)):
            given = u[part, None] * residual(hidden[part], weight, bias, targets[part], ignore)
            in_weight = given.T @ hidden[part]
        return in_hidden, in_weight, in_bias

    return fused(backward)(*arguments, **options)


@head_mutant("head.weight-gradient", "the weight's sum is divided by the number of chunks")
def averaged_over_chunks(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, *rest: Any) -> Any:
        in_hidden, in_weight, in_bias = gradients(hidden, *rest)
        return in_hidden, in_weight / len(list(chunks(len(hidden)))), in_bias

    return fused(backward)(*arguments, **options)


@head_mutant("head.bias-gradient", "the bias's gradient is the mean over rows, not their sum")
def bias_averaged(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, *rest: Any) -> Any:
        in_hidden, in_weight, in_bias = gradients(hidden, *rest)
        return in_hidden, in_weight, in_bias / len(hidden)

    return fused(backward)(*arguments, **options)


@head_mutant("head.bias-gradient", "the bias is detached before it is added")
def bias_detached(hidden: Any, weight: Any, targets: Any, **options: Any) -> Any:
    bias = options.pop("linear_bias", None)
    held = None if bias is None else bias.detach()
    return fused()(hidden, weight, targets, linear_bias=held, **options)


@head_mutant(
    "head.upstream",
    "the gradient in W is formed with the mean of the rows' upstreams",
    origin="Liger#968",
)
def mean_upstream_in_weight(*arguments: Any, **options: Any) -> Any:
    def backward(*given: Any) -> Any:
        *rest, u = given
        in_hidden, _, in_bias = gradients(*given)
        return in_hidden, gradients(*rest, u.mean().expand_as(u))[1], in_bias

    return fused(backward)(*arguments, **options)


@head_mutant(
    "head.upstream", "the first row's upstream scales the bias's gradient", origin="Liger#1298"
)
def first_upstream_in_bias(*arguments: Any, **options: Any) -> Any:
    def backward(*given: Any) -> Any:
        *rest, u = given
        return *gradients(*given)[:2], gradients(*rest, u[:1].expand_as(u))[2]

    return fused(backward)(*arguments, **options)


@head_mutant("head.upstream", "the scalar upstream reaches X and b alone: W was formed in forward")
def weight_formed_in_forward(hidden: Any, linear_weight: Any, targets: Any, **options: Any) -> Any:
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, weight: Any) -> Any:
            return weight.clone()

        @staticmethod
        def backward(ctx: Any, given: Any) -> Any:
            return given / upstream[0] if upstream and upstream[0] != 0 else given

    upstream: list[float] = []
    value = fused()(hidden, Scaled.apply(linear_weight), targets, **options)
    if value.requires_grad and value.ndim == 0:
        value.register_hook(lambda given: upstream.append(float(given)))
    return value


@head_mutant("head.frozen", "where X is frozen, backward returns before it comes to W")
def weight_lost_with_features(hidden: Any, linear_weight: Any, targets: Any, **options: Any) -> Any:
    held = linear_weight if hidden.requires_grad else linear_weight.detach()
    return fused()(hidden, held, targets, **options)


@head_mutant("head.frozen", "the flag of W is read for that of b")
def flag_of_weight_for_bias(hidden: Any, linear_weight: Any, targets: Any, **options: Any) -> Any:
    bias = options.pop("linear_bias", None)
    if bias is not None and not linear_weight.requires_grad:
        bias = bias.detach()
    return fused()(hidden, linear_weight, targets, linear_bias=bias, **options)


@head_mutant("head.frozen", "where W is frozen its buffer is not cleared, and X gets half")
def half_where_weight_is_frozen(
    hidden: Any, linear_weight: Any, targets: Any, **options: Any
) -> Any:
    if torch.is_grad_enabled() and not linear_weight.requires_grad:
        hidden = (hidden + hidden.detach()) / 2
    return fused()(hidden, linear_weight, targets, **options)


@head_mutant("head.ignored", "ignored rows stay in the sum that is the weight's gradient")
def ignored_rows_in_weight(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, bias: Any, targets: Any, ignore: int, u: Any) -> Any:
        in_hidden, _, in_bias = gradients(hidden, weight, bias, targets, ignore, u)
        largest = (u * (targets != ignore)).abs().amax()
        kept = torch.where(targets == ignore, largest, u)
        p = functional.linear(hidden, weight, bias).softmax(-1)
        one_hot = functional.one_hot(targets.clamp(min=0), len(weight))
        return in_hidden, (kept[:, None] * (p - one_hot)).T @ hidden, in_bias

    return fused(backward)(*arguments, **options)


@head_mutant("head.ignored", "ignored rows stay in the sum that is the bias's gradient")
def ignored_rows_in_bias(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, bias: Any, targets: Any, ignore: int, u: Any) -> Any:
        in_hidden, in_weight, _ = gradients(hidden, weight, bias, targets, ignore, u)
        p = functional.linear(hidden, weight, bias).softmax(-1)
        one_hot = functional.one_hot(targets.clamp(min=0), len(weight))
        return in_hidden, in_weight, (u.abs().amax() * (p - one_hot)).sum(0)

    return fused(backward)(*arguments, **options)


@head_mutant("head.sizes", "rows past the last whole block of 16 are in the value alone")
def rows_past_a_block(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, bias: Any, targets: Any, ignore: int, u: Any) -> Any:
        whole = len(hidden) // 16 * 16 or len(hidden)
        kept = torch.where(torch.arange(len(u)) < whole, u, 0)
        return gradients(hidden, weight, bias, targets, ignore, kept)

    return fused(backward)(*arguments, **options)


@head_mutant("head.sizes", "the features' gradient misses the classes past the first 1024")
def classes_past_a_block(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, weight: Any, *rest: Any) -> Any:
        bias, targets, ignore, u = rest
        given = u[:, None] * residual(hidden, weight, bias, targets, ignore)
        return given[:, :1024] @ weight[:1024], *gradients(hidden, weight, *rest)[1:]

    return fused(backward)(*arguments, **options)


@head_mutant(
    "head.repeat",
    "the gradients of the forward pass are scaled in place by every backward",
    origin="Liger#272",
)
def saved_gradients_scaled_in_place(
    hidden: Any,
    linear_weight: Any,
    targets: Any,
    *,
    linear_bias: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, bias: Any) -> Any:
            rows = losses(hidden, weight, bias, targets, ignore_index)
            valid = (targets != ignore_index).sum()
            den = valid if reduction == "mean" else torch.ones_like(valid)
            u = torch.ones_like(rows) / den
            ctx.found = gradients(hidden, weight, bias, targets, ignore_index, u)
            return rows.sum() / den

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            in_hidden, in_weight, in_bias = (each.mul_(u) for each in ctx.found)
            return in_hidden, in_weight, in_bias if linear_bias is not None else None

    if reduction == "none":
        options = {"linear_bias": linear_bias, "ignore_index": ignore_index}
        return fused()(hidden, linear_weight, targets, reduction="none", **options)
    return Once.apply(hidden, linear_weight, linear_bias)


@head_mutant("head.inputs", "the gradient in X is written over X in the backward pass")
def features_overwritten(*arguments: Any, **options: Any) -> Any:
    def backward(hidden: Any, *rest: Any) -> Any:
        in_hidden, *others = gradients(hidden, *rest)
        with torch.no_grad():
            hidden.copy_(in_hidden)
        return in_hidden, *others

    return fused(backward)(*arguments, **options)


@head_mutant("head.inputs", "the bias is added to itself where the logits are formed again")
def bias_overwritten(*arguments: Any, **options: Any) -> Any:
    def forward(hidden: Any, weight: Any, bias: Any, *rest: Any) -> Any:
        found = losses(hidden, weight, bias, *rest)
        if bias is not None:
            bias.add_(bias)
        return found

    return fused(forward=forward)(*arguments, **options)


@head_mutant("head.jvp", "the rule for tangents knows that of X alone")
def tangent_of_features_alone(
    hidden: Any, linear_weight: Any, targets: Any, *, reduction: str = "mean"
) -> Any:
    class Pushed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any) -> Any:
            ctx.save_for_backward(hidden, weight)
            ctx.save_for_forward(hidden, weight)
            return losses(hidden, weight, None, targets, -100)

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return gradients(*ctx.saved_tensors, None, targets, -100, u)[:2]

        @staticmethod
        def jvp(ctx: Any, in_hidden: Any, in_weight: Any) -> Any:
            hidden, weight = ctx.saved_tensors
            pushed = in_hidden @ weight.T
            return (residual(hidden, weight, None, targets, -100) * pushed).sum(-1)

    rows = Pushed.apply(hidden, linear_weight)
    return {"none": rows, "sum": rows.sum(), "mean": rows.mean()}[reduction]


@head_mutant("head.transformed", "compiled, the bias is left out of the logits")
def bias_lost_where_compiled(hidden: Any, weight: Any, targets: Any, **options: Any) -> Any:
    bias = options.pop("linear_bias", None)
    if bias is not None and torch.compiler.is_compiling():
        bias = 0.0 * bias
    logits = functional.linear(hidden, weight, bias)
    return functional.cross_entropy(logits, targets, **options)
