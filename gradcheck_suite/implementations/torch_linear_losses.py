"""PyTorch's linear head with its loss: composed, and chunk by chunk (torch 2.13 and later)."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation

#: Rows of a chunk: small, so that cases of a few rows have several and a shorter last one.
_CHUNK = 3

_ROUNDED_COMPLEMENT = Deviation(
    "stability.saturated",
    reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
    link="pytorch/pytorch#195678",
)
_ALL_IGNORED = Deviation(
    "ignore.all",
    case="*-mean-*",
    reason="in chunks, the gradient is NaN where every row is ignored (0/0 reaches it)",
)
_SILENT_ZERO = "in chunks, torch.func.jvp answers with 0 and raises nothing, though unsupported"
_NO_TANGENT = tuple(
    Deviation(clause, reason=_SILENT_ZERO)
    for clause in ("jvp.analytic", "jvp.pairing", "head.jvp", "derivative.unsupported-raises")
)
_HALF_A_HESSIAN = Deviation(
    "derivative.unsupported-raises",
    case="*-mean*",
    reason="with a retained graph, the second derivative of L²/2 lacks its half L·H and raises "
    "nothing; torch.func.jvp answers with 0",
)


def in_chunks(
    hidden: Any, linear_weight: Any, targets: Any, *, retain: bool = False, **options: Any
) -> Any:
    """``linear_cross_entropy`` over chunks of rows, its gradients formed in the forward pass."""
    from torch import nn

    chunking = nn.LinearCrossEntropyOptions(batch_chunk_size=_CHUNK, allow_retain_graph=retain)
    return nn.functional.linear_cross_entropy(
        hidden, linear_weight, targets, options=chunking, **options
    )


def in_retained_chunks(hidden: Any, linear_weight: Any, targets: Any, **options: Any) -> Any:
    """The same with ``allow_retain_graph=True``: its graph can be gone through again."""
    return in_chunks(hidden, linear_weight, targets, retain=True, **options)


_CHUNKED: dict[str, Any] = {
    "backend": "torch",
    "head": "linear",
    "options": ("weight", "ignore_index", "label_smoothing", "linear_bias"),
    "targets": ("index", "probabilities"),
    "reductions": ("none", "sum", "mean"),
    "requires": ("torch",),
}

IMPLEMENTATIONS = (
    Implementation(
        "torch-linear-cross-entropy",
        "torch.nn.functional:linear_cross_entropy",
        backend="torch",
        head="linear",
        dialect="pytorch",
        deviations=(_ROUNDED_COMPLEMENT,),
        requires=("torch",),
        description="torch.nn.functional.linear_cross_entropy",
    ),
    Implementation(
        "torch-linear-cross-entropy-chunked",
        in_chunks,
        dialect={"out_of_range": "raise", "repeat_backward": "raises"},
        deviations=(_ROUNDED_COMPLEMENT, _ALL_IGNORED, *_NO_TANGENT),
        description="the same over chunks of rows (LinearCrossEntropyOptions)",
        **_CHUNKED,
    ),
    Implementation(
        "torch-linear-cross-entropy-retained",
        in_retained_chunks,
        dialect={"out_of_range": "raise"},
        deviations=(_ROUNDED_COMPLEMENT, _ALL_IGNORED, _HALF_A_HESSIAN, *_NO_TANGENT),
        description="the same with allow_retain_graph=True",
        **_CHUNKED,
    ),
)
