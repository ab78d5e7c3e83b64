"""Apple's cut-cross-entropy: its implementation for ``torch.compile``, which runs on a CPU."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.implementation import Implementation
from gradcheck_suite.implementations.torch_losses import ROUNDED_COMPLEMENT


def linear_cross_entropy(
    hidden: Any,
    linear_weight: Any,
    targets: Any,
    *,
    ignore_index: int = -100,
    softcap: float | None = None,
    reduction: str = "mean",
) -> Any:
    """``cut_cross_entropy.linear_cross_entropy(impl="torch_compile")``; it takes no bias."""
    import cut_cross_entropy

    return cut_cross_entropy.linear_cross_entropy(
        hidden,
        linear_weight,
        targets,
        ignore_index=ignore_index,
        softcap=softcap,
        reduction=reduction,
        impl="torch_compile",
    )


IMPLEMENTATIONS = (
    Implementation(
        "cut-cross-entropy-torch-compile",
        linear_cross_entropy,
        backend="torch",
        targets=("index",),
        dtypes=("float32", "bfloat16"),
        deviations=(ROUNDED_COMPLEMENT,),
        requires=("cut-cross-entropy", "torch"),
        description='cut_cross_entropy.linear_cross_entropy(impl="torch_compile")',
    ),
)
