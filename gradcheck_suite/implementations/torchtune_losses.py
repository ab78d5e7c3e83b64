"""torchtune's chunked loss, its file loaded alone: the package needs a torchao for older torch."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation
from gradcheck_suite.implementations.loaded_alone import loaded_alone
from gradcheck_suite.implementations.torch_losses import LEAKS, ROUNDED_COMPLEMENT


def chunked(logits: Any, targets: Any, *, ignore_index: int = -100) -> Any:
    """``CEWithChunkedOutputLoss``: the tokens of one sequence in 8 chunks; the mean over valid."""
    losses = loaded_alone("torchtune", "modules/loss/ce_chunked_output_loss.py")
    loss = losses.CEWithChunkedOutputLoss(num_output_chunks=8, ignore_index=ignore_index)
    return loss(list(logits[None].chunk(8, dim=1)), targets[None])


IMPLEMENTATIONS = (
    Implementation(
        "torchtune-chunked-output",
        chunked,
        backend="torch",
        targets=("index",),
        reductions=("mean",),
        # Chunks are cast to float32.
        dtypes=("float32", "bfloat16"),
        dialect={"result_dtype": "promoted"},
        deviations=(
            LEAKS,
            ROUNDED_COMPLEMENT,
            Deviation("reject.shape", reason="chunks are paired up to the shorter list of them"),
        ),
        requires=("torchtune", "torch"),
        description="torchtune.modules.loss.CEWithChunkedOutputLoss",
    ),
)
