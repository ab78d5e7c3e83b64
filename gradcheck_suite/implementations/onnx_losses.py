"""ONNX's operator ``SoftmaxCrossEntropyLoss``, as its reference evaluator computes it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck_suite.implementation import Deviation, Implementation

_LOG_OF_SOFTMAX = (
    "log p is the logarithm of exp(f − max)/Σ: inf where p_c underflows, at a gap of 745 and more "
    "(104 in float32)"
)

_OPSET = 13  # the operator's newest version


def softmax_cross_entropy_loss(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Any:
    """The value of the operator's model in ``onnx.reference``; ONNX specifies no gradient."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    given = {"scores": logits, "labels": targets}
    if weight is not None:
        given["weights"] = weight
    attributes: dict[str, Any] = {"reduction": reduction}
    if ignore_index is not None:
        attributes["ignore_index"] = ignore_index
    node = helper.make_node("SoftmaxCrossEntropyLoss", list(given), ["loss"], **attributes)
    typed = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(each.dtype), each.shape)
        for name, each in given.items()
    ]
    kind = helper.np_dtype_to_tensor_dtype(logits.dtype)
    loss = helper.make_tensor_value_info("loss", kind, None)
    graph = helper.make_graph([node], "loss", typed, [loss])
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    (value,) = ReferenceEvaluator(model).run(None, given)
    return np.asarray(value)


IMPLEMENTATIONS = (
    Implementation(
        "onnx-softmax-cross-entropy-loss",
        softmax_cross_entropy_loss,
        backend="numpy",
        gradient=None,
        targets=("index",),
        ranks=(2, 3, 4),
        class_axis=1,
        deviations=(
            Deviation("stability.large-logits", reason=_LOG_OF_SOFTMAX),
            Deviation("stability.per-row-shift", reason=_LOG_OF_SOFTMAX),
            Deviation("stability.gap", reason=_LOG_OF_SOFTMAX),
            Deviation(
                "batch.degenerate",
                case="rows0-*",
                reason="raises on a batch of no rows (reshape of an empty array)",
            ),
            Deviation(
                "reject.target-range",
                reason="a class index of −1 counts from the end, as everywhere in NumPy's indexing",
            ),
            Deviation(
                "reject.shape",
                reason="a class past the end of the weights has the last of them; a column of "
                "targets gives a column of losses",
            ),
            Deviation(
                "reject.reduction",
                reason="an unknown reduction is answered with the rows",
            ),
        ),
        requires=("onnx",),
        description="onnx.reference, SoftmaxCrossEntropyLoss: a value, no gradient",
    ),
)
