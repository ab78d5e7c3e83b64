"""PyTorch mutants of purity: kernels that write into what autograd has saved, or keep state.

They write through ``.data``, as a kernel does: no version counter is moved.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from mutants.mutant import Registry
from mutants.torch_mutants import Rows, distribution, reduced, residual, rows

mutant = Registry("torch")
MUTANTS = mutant.mutants

correct = functional.cross_entropy


class Fused(torch.autograd.Function):
    """Correct: the gradient of the rows is computed in forward and saved, as fused kernels do."""

    @staticmethod
    def forward(ctx: Any, logits: Any, t: Any) -> Any:
        ctx.save_for_backward(residual(logits, t))
        return -(t * logits.log_softmax(-1)).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Any) -> Any:
        return u[:, None] * ctx.saved_tensors[0], None


# --- inputs ----------------------------------------------------------------------------------


@mutant(
    "purity.inputs",
    "forward keeps the gradient in the logits' memory",
    origin="Liger#272: the gradient is computed in forward, in place",
    targets=("index",),
)
def forward_writes_the_gradient(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Any, t: Any) -> Any:
            loss = -(t * logits.log_softmax(-1)).sum(-1)
            logits.data.copy_(residual(logits, t))
            ctx.save_for_backward(logits.detach())
            return loss

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, u: Any) -> Any:
            return u[:, None] * ctx.saved_tensors[0], None

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "purity.inputs",
    "backward stores the gradient over the saved logits and returns them",
    origin="unsloth#5002",
    targets=("index",),
)
def backward_writes_the_gradient(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Any, t: Any) -> Any:
            ctx.save_for_backward(logits, t)
            return -(t * logits.log_softmax(-1)).sum(-1)

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, u: Any) -> Any:
            logits, t = ctx.saved_tensors
            logits.data.copy_(u[:, None] * residual(logits, t))
            return logits.data, None

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "purity.inputs",
    "float32 logits are shifted in place, because .float() makes no copy of them",
    origin="Megatron#1594",
)
def float_makes_no_copy(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    computed = logits.detach().float()
    computed -= computed.amax(-1, keepdim=True)
    return correct(logits, targets, reduction=reduction)


@mutant("purity.inputs", "target probabilities are normalised in place")
def normalises_targets_in_place(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction=reduction)
    if targets.is_floating_point():
        targets.data.div_(targets.data.sum(-1, keepdim=True))
    return loss


@mutant("purity.inputs", "the upstream is overwritten by its product with the rows' scale")
def writes_the_upstream(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, loss: Any) -> Any:
            return loss.clone()

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            given = u.clone()
            u.data.mul_(2)
            return given

    return Mutated.apply(correct(logits, targets, reduction=reduction))


@mutant("purity.inputs", "ignored targets are clamped to class 0 in place before the gather")
def ignored_targets_clamped(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    loss = correct(logits, targets, ignore_index=ignore_index, reduction=reduction)
    if not targets.is_floating_point():
        targets.masked_fill_(targets == ignore_index, 0)
    return loss


@mutant("purity.inputs", "the targets come back with an axis of their own: unsqueeze_ in place")
def targets_reshaped_in_place(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction=reduction)
    if targets.ndim == 1:
        targets.unsqueeze_(-1)
    return loss


# --- repetition ------------------------------------------------------------------------------


@mutant(
    "purity.repeat",
    "backward scales the saved gradient in place: a second one has both upstreams in it",
    origin="Liger 0.8.5; quack#209",
)
def second_backward_scales_again(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Fused):
        @staticmethod
        @once_differentiable
        def backward(ctx: Any, u: Any) -> Any:
            return ctx.saved_tensors[0].data.mul_(u[:, None]), None

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "purity.repeat",
    "the saved gradient is scaled in place where autograd sees it: a second backward raises",
    origin="quack#209",
)
def second_backward_raises(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Fused):
        @staticmethod
        @once_differentiable
        def backward(ctx: Any, u: Any) -> Any:
            return ctx.saved_tensors[0].mul_(u[:, None]), None

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "purity.repeat",
    "declares that a second backward raises, and it returns the first one's gradient",
    dialect={"repeat_backward": "raises"},
)
def first_backward_kept(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Fused):
        @staticmethod
        @once_differentiable
        def backward(ctx: Any, u: Any) -> Any:
            if not hasattr(ctx, "result"):
                ctx.result = u[:, None] * ctx.saved_tensors[0]
            return ctx.result, None

    return rows(Mutated, logits, targets, reduction)


@mutant("purity.repeat", "what backward needs is kept on the class: the last forward wins")
def saved_on_the_class(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    return rows(SavedOnTheClass, logits, targets, reduction)


class SavedOnTheClass(torch.autograd.Function):
    saved: Any = None

    @staticmethod
    def forward(ctx: Any, logits: Any, t: Any) -> Any:
        SavedOnTheClass.saved = residual(logits, t)
        return -(t * logits.log_softmax(-1)).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Any) -> Any:
        return u[:, None] * SavedOnTheClass.saved, None


@mutant(
    "purity.repeat", "the saved gradient is freed by the first backward: a second one gets zeros"
)
def freed_by_backward(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Fused):
        @staticmethod
        @once_differentiable
        def backward(ctx: Any, u: Any) -> Any:
            gradient = ctx.saved_tensors[0]
            result = u[:, None] * gradient
            gradient.data.zero_()
            return result, None

    return rows(Mutated, logits, targets, reduction)


_BY_ADDRESS: dict[Any, Any] = {}


@mutant("purity.repeat", "log V is cached by the logits' address, which the optimiser writes to")
def cached_by_address(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    key = (logits.data_ptr(), logits.shape, logits.dtype)
    # Kept, so that the address is not given to another array meanwhile.
    kept, lse = _BY_ADDRESS.get(key, (None, None))
    if kept is None:
        lse = logits.detach().logsumexp(-1)
        _BY_ADDRESS[key] = (logits.detach(), lse)
    t = distribution(logits, targets)
    fresh = logits.logsumexp(-1)
    return reduced(t.sum(-1) * (lse + fresh - fresh.detach()) - (t * logits).sum(-1), reduction)


# --- composition -----------------------------------------------------------------------------


@mutant("purity.composition", "a graph is cut off behind the loss: the logits are detached from it")
def logits_detached_afterwards(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction=reduction)
    if logits.grad_fn is not None:
        logits.detach_()
    return loss


@mutant(
    "purity.composition",
    "activations are overwritten with the gradient in backward; leaves are spared",
    origin="a kernel that may reuse the output of the linear head",
)
def activations_reused(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    reusable = not logits.is_leaf

    class Mutated(Fused):
        @staticmethod
        def forward(ctx: Any, logits: Any, t: Any) -> Any:
            ctx.logits = logits
            return Fused.forward(ctx, logits, t)

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, u: Any) -> Any:
            result = Fused.backward(ctx, u)
            if reusable:
                ctx.logits.data.copy_(result[0])
            return result

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "purity.composition", "a hook is left on the logits: whatever else flows into them is halved"
)
def hook_left_on_the_logits(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if logits.grad_fn is not None:
        first = logits.clone()
        logits.register_hook(lambda gradient: gradient / 2)
        first.register_hook(lambda gradient: gradient * 2)
        return correct(first, targets, reduction=reduction)
    return correct(logits, targets, reduction=reduction)


# --- without gradients -----------------------------------------------------------------------


@mutant("purity.no-grad", "in training the loss is halved, and its gradient is not")
def trained_value_differs(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    class Mutated(Rows):
        @staticmethod
        def forward(ctx: Any, logits: Any, t: Any) -> Any:
            loss = Rows.forward(ctx, logits, t)
            return loss / 2 if ctx.needs_input_grad[0] else loss

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            return Rows.backward(ctx, u)

    return rows(Mutated, logits, targets, reduction)


@mutant(
    "purity.no-grad",
    "evaluation has a fast path in half precision",
    origin="Liger#930: another path where nothing requires a gradient",
)
def evaluated_in_half(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    if not torch.is_grad_enabled():
        half = logits.half().to(logits.dtype)
        return correct(half, targets, reduction=reduction)
    return correct(logits, targets, reduction=reduction)


@mutant("purity.no-grad", "without gradients the logits are overwritten by their log-softmax")
def evaluation_overwrites(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction=reduction)
    if not torch.is_grad_enabled():
        logits.copy_(logits.log_softmax(-1))
    return loss


_EVALUATED: dict[str, bool] = {}


@mutant("purity.no-grad", "a call without gradients leaves its mode on: the next gradient is 0")
def evaluation_mode_stays_on(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    stale = _EVALUATED.pop("last", False)
    if not torch.is_grad_enabled():
        _EVALUATED["last"] = True
        return correct(logits, targets, reduction=reduction)
    loss = correct(logits, targets, reduction=reduction)
    return loss.detach() + 0 * loss if stale else loss


# --- determinism and global state ------------------------------------------------------------


@mutant("purity.determinism", "dropout of one element in eight, of the last digits, is left on")
def dropout_left_on(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    generator = torch.Generator()
    generator.seed()
    kept = torch.rand(logits.shape, generator=generator) > 0.125
    epsilon = torch.finfo(logits.dtype).eps
    scale = torch.where(kept, 1.0, 1.0 - epsilon).to(logits.dtype)
    return correct(logits * scale, targets, reduction=reduction)


@mutant("purity.global-state", "new tensors go to another device from now on")
def switches_default_device(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction=reduction)
    torch.set_default_device("meta")
    return loss


@mutant("purity.global-state", "TF32 is allowed for the whole process")
def allows_tf32(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    torch.set_float32_matmul_precision("high")
    return correct(logits, targets, reduction=reduction)


@mutant("purity.global-state", "algorithms are held to determinism, and stay so")
def holds_to_determinism(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    torch.use_deterministic_algorithms(True)
    return correct(logits, targets, reduction=reduction)


@mutant("purity.global-state", "autocast is switched on for the CPU")
def switches_autocast_on(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction=reduction)
    torch.set_autocast_enabled("cpu", True)
    return loss


@mutant("purity.global-state", "gradients are switched off and not on again")
def switches_gradients_off(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    loss = correct(logits, targets, reduction=reduction)
    torch.set_grad_enabled(False)
    return loss
