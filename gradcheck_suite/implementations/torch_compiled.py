"""PyTorch's cross-entropy under ``torch.compile``: traced alone, and with generated code."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from gradcheck_suite.implementation import Implementation
from gradcheck_suite.implementations.torch_losses import (
    LEAKS,
    ROUNDED_COMPLEMENT,
    ZERO_TIMES_INFINITY,
)


def cross_entropy(compiler: str, logits: Any, targets: Any, **options: Any) -> Any:
    """``torch.compile(cross_entropy, fullgraph=True)``."""
    return _compiled(compiler)(logits, targets, **options)


@cache
def _compiled(compiler: str) -> Any:
    import torch

    def loss(logits: Any, targets: Any, **options: Any) -> Any:
        return torch.nn.functional.cross_entropy(logits, targets, **options)

    return torch.compile(loss, backend=compiler, fullgraph=True)


def _declared(compiler: str) -> Implementation:
    return Implementation(
        f"torch-cross-entropy-{compiler.replace('_', '-')}",
        partial(cross_entropy, compiler),
        backend="torch",
        options=("weight", "ignore_index", "label_smoothing"),
        reductions=("none", "sum", "mean"),
        dialect="pytorch",
        deviations=(ZERO_TIMES_INFINITY, LEAKS, ROUNDED_COMPLEMENT),
        requires=("torch",),
        description=f'torch.compile(cross_entropy, backend="{compiler}")',
    )


IMPLEMENTATIONS = (_declared("aot_eager"),)
#: Needs a C++ compiler and many minutes, so it is judged where it is asked for:
#: ``gradcheck-suite run gradcheck_suite.implementations.torch_compiled:INDUCTOR``.
INDUCTOR = _declared("inductor")
