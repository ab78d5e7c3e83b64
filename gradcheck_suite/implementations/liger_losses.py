"""Liger-Kernel's cross-entropy: on CUDA, and anywhere else in Triton's interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation

_STRIDED = "logits whose last stride is not 1 are copied; no gradient is written over the copy, and"
_WITH_AN_UPSTREAM_PER_ROW = {
    "gradient.*": "*-upstream-signed",
    "ignore.*": "*-upstream-signed",
    "layout.sizes": "*",
    "mode.partial-gradients": "*-upstream-signed",
    "options.combined": "*-upstream-signed",
    "purity.repeat": "*-upstream-signed",
    "reduction.none": "*-upstream-signed",
    "smoothing.*": "*-upstream-signed",
    "weight.index": "*-upstream-signed",
}
_DEVIATIONS = (
    Deviation(
        "layout.strided",
        reason=f"{_STRIDED} the logits themselves are returned as theirs",
        when="liger-kernel>=0.6.3",
    ),
    Deviation(
        "layout.targets-strided",
        case="everything-strided",
        reason=f"{_STRIDED} the logits themselves are returned as theirs",
        when="liger-kernel>=0.6.3",
    ),
    *(
        Deviation(
            clause,
            case=case,
            reason="under none every row's gradient is multiplied by the first row's upstream",
            link="linkedin/Liger-Kernel#678",
            when="liger-kernel<0.5.9",
        )
        for clause, case in _WITH_AN_UPSTREAM_PER_ROW.items()
    ),
    Deviation(
        "purity.repeat",
        reason="backward multiplies the saved gradient in place: a second one has both upstreams",
    ),
    Deviation(
        "derivative.unsupported-raises",
        reason="under none backward is a product that autograd records: its derivative in the "
        "upstream alone is returned as the second derivative",
        when="liger-kernel>=0.5.9",
    ),
    Deviation("batch.degenerate", case="rows0-*", reason="raises on a batch of no rows"),
    Deviation(
        "stability.offset",
        reason="lse is formed at the logits' own magnitude and the target's logit is subtracted "
        "from it",
    ),
    Deviation(
        "stability.saturated",
        reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
    ),
    Deviation("reject.shape", reason="reads beyond targets that are fewer than the rows"),
)


def cross_entropy(**options: Any) -> Callable[..., Any]:
    """``LigerCrossEntropyLoss(**options)``."""
    loss: Callable[..., Any] = _liger().LigerCrossEntropyLoss(**options)
    return loss


def fused_linear_cross_entropy(**options: Any) -> Callable[..., Any]:
    """``LigerFusedLinearCrossEntropyLoss(**options)``, whose first argument is the weight."""
    loss = _liger().LigerFusedLinearCrossEntropyLoss(**options)

    def fused(hidden: Any, linear_weight: Any, targets: Any, *, linear_bias: Any = None) -> Any:
        return loss(linear_weight, hidden, targets, linear_bias)

    return fused


@cache
def _liger() -> Any:
    """``liger_kernel.transformers``; without a GPU its kernels are interpreted."""
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is imported
    import liger_kernel.transformers

    if os.environ.get("TRITON_INTERPRET") == "1":
        _let_the_interpreter_take_floats()
    return liger_kernel.transformers


def _let_the_interpreter_take_floats() -> None:
    """Two things that compiled kernels have and the interpreter of triton 3.7 has not.

    A float argument is a scalar of float32 (kernels call its ``to``), and libdevice has ``tanh``.
    """
    import liger_kernel.ops.cross_entropy as kernels
    import numpy as np
    import triton.language as tl
    from triton.runtime import interpreter

    converted = interpreter._implicit_cvt

    def with_floats(argument: Any) -> Any:
        if not isinstance(argument, float):
            return converted(argument)
        handle = interpreter.TensorHandle(np.array([argument], np.float32), tl.float32)
        return tl.tensor(handle, tl.float32)

    def tanh(x: Any) -> Any:
        return tl.tensor(interpreter.interpreter_builder.unary_op(x.handle, np.tanh), x.type)

    interpreter._implicit_cvt = with_floats
    kernels.tanh = tanh


IMPLEMENTATIONS = (
    Implementation(
        "liger-cross-entropy",
        factory=cross_entropy,
        backend="torch",
        options=("weight", "ignore_index", "label_smoothing", "softcap", "z_loss"),
        rename={"z_loss": "lse_square_scale"},
        reductions=("none", "sum", "mean"),
        targets=("index",),
        # Computed in float32, so float64 is not; and the interpreter truncates to bfloat16.
        dtypes=("float32", "float16"),
        dialect={"inputs": "destroyed", "all_ignored_mean": "zero", "z_loss_mean": "valid"},
        deviations=_DEVIATIONS,
        requires=("liger-kernel", "torch"),
        description="liger_kernel.transformers.LigerCrossEntropyLoss",
    ),
    Implementation(
        "liger-fused-linear-cross-entropy",
        factory=fused_linear_cross_entropy,
        backend="torch",
        head="linear",
        options=(
            "weight",
            "ignore_index",
            "label_smoothing",
            "softcap",
            "z_loss",
            "linear_bias",
        ),
        rename={"weight": "ce_weight", "z_loss": "lse_square_scale"},
        reductions=("none", "sum", "mean"),
        targets=("index",),
        dtypes=("float32", "float16"),
        dialect={
            "all_ignored_mean": "zero",
            "z_loss_mean": "valid",
            "out_of_range": "undefined",
        },
        requires=("liger-kernel", "torch"),
        description="liger_kernel.transformers.LigerFusedLinearCrossEntropyLoss",
    ),
)
