"""PyTorch losses over a linear head: composed, and fused chunk by chunk as kernels are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from gradcheck_suite.implementation import Implementation

CHUNK = 3
OPTIONS = {"targets": ("index",), "dialect": {"out_of_range": "raise"}}


def chunks(rows: int) -> Iterator[slice]:
    for start in range(0, max(rows, 1), CHUNK):
        yield slice(start, start + CHUNK)


def residual(hidden: Any, weight: Any, bias: Any, targets: Any, ignore_index: int) -> Any:
    """p − t, 0 in ignored rows."""
    valid = targets != ignore_index
    one_hot = functional.one_hot(torch.where(valid, targets, 0), len(weight))
    p = functional.linear(hidden, weight, bias).softmax(-1)
    return torch.where(valid[:, None], p - one_hot, 0)


def gradients(hidden: Any, weight: Any, bias: Any, targets: Any, ignore: int, u: Any) -> Any:
    """(∂/∂X, ∂/∂W, ∂/∂b) of Σ u_n L_n, one chunk of rows after the other."""
    in_hidden, in_weight = torch.empty_like(hidden), torch.zeros_like(weight)
    in_bias = weight.new_zeros(len(weight))
    for part in chunks(len(hidden)):
        given = u[part, None] * residual(hidden[part], weight, bias, targets[part], ignore)
        in_hidden[part] = given @ weight
        in_weight += given.T @ hidden[part]
        in_bias += given.sum(0)
    return in_hidden, in_weight, in_bias


def losses(hidden: Any, weight: Any, bias: Any, targets: Any, ignore: int) -> Any:
    """The rows, one chunk after the other."""
    parts = [
        functional.cross_entropy(
            functional.linear(hidden[part], weight, bias),
            targets[part],
            ignore_index=ignore,
            reduction="none",
        )
        for part in chunks(len(hidden))
    ]
    return torch.cat(parts)


def fused(backward: Callable[..., Any] = gradients, forward: Callable[..., Any] = losses) -> Any:
    """A loss whose Function has this forward and this backward (see ``gradients``)."""

    class Fused(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, hidden: Any, weight: Any, bias: Any, targets: Any, ignore: int
        ) -> Any:
            ctx.save_for_backward(hidden, weight, bias, targets)
            ctx.ignore = ignore
            return forward(hidden, weight, bias, targets, ignore)

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, u: Any) -> Any:
            hidden, weight, bias, targets = ctx.saved_tensors
            found = backward(hidden, weight, bias, targets, ctx.ignore, u)
            pairs = zip(found, ctx.needs_input_grad[:3], strict=True)
            return *(each if wanted else None for each, wanted in pairs), None, None

    return over_rows(Fused.apply)


def over_rows(rows: Callable[..., Any]) -> Callable[..., Any]:
    """``rows(hidden, weight, bias, targets, ignore_index)`` with the reductions around it."""

    def loss(
        hidden: Any,
        linear_weight: Any,
        targets: Any,
        *,
        linear_bias: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> Any:
        found = rows(hidden, linear_weight, linear_bias, targets, ignore_index)
        if reduction == "none":
            return found
        total, counted = found.sum(), (targets != ignore_index).sum()
        if reduction == "sum":
            return total
        return torch.where(counted > 0, total / counted.clamp(min=1), torch.nan)

    return loss


def composed(
    hidden: Any, linear_weight: Any, targets: Any, *, linear_bias: Any = None, **options: Any
) -> Any:
    """What every fused loss is held against: a linear layer, and the loss of its output."""
    return functional.cross_entropy(
        functional.linear(hidden, linear_weight, linear_bias), targets, **options
    )


class Module(torch.nn.Module):
    """Options at construction, and the weight before the features: as in Liger's modules."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def forward(self, weight: Any, hidden: Any, targets: Any, bias: Any = None) -> Any:
        return composed(hidden, weight, targets, linear_bias=bias, **self.options)


def module(
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Callable[..., Any]:
    made = Module(
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )
    return lambda hidden, weight, targets, **bias: made(weight, hidden, targets, **bias)


IMPLEMENTATIONS = (
    Implementation("torch-head-composed", composed, backend="torch", head="linear"),
    Implementation("torch-head-fused", fused(), backend="torch", **OPTIONS),
    Implementation(
        "torch-head-module",
        factory=module,
        head="linear",
        backend="torch",
        rename={"linear_bias": "bias"},
    ),
)
