"""The loss of Hugging Face's language models."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.implementation import Implementation
from gradcheck_suite.implementations.torch_losses import LEAKS, ROUNDED_COMPLEMENT


def causal_lm(
    logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """``ForCausalLMLoss`` of labels that are shifted already.

    The mean over valid tokens, or their sum over ``num_items_in_batch``, which is 1 here.
    """
    from transformers.loss.loss_utils import ForCausalLMLoss

    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction: {reduction!r} is unknown; use 'sum' or 'mean'")
    return ForCausalLMLoss(
        logits,
        None,
        vocab_size=logits.shape[-1],
        num_items_in_batch=1 if reduction == "sum" else None,
        ignore_index=ignore_index,
        shift_labels=targets,
    )


IMPLEMENTATIONS = (
    Implementation(
        "transformers-causal-lm",
        causal_lm,
        backend="torch",
        targets=("index",),
        reductions=("sum", "mean"),
        # Logits are cast to float32.
        dtypes=("float32", "bfloat16"),
        dialect={"result_dtype": "promoted"},
        deviations=(LEAKS, ROUNDED_COMPLEMENT),
        requires=("transformers", "torch"),
        description="transformers.loss.loss_utils.ForCausalLMLoss",
    ),
)
