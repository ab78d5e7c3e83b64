"""The specification's own composed form, on every backend: autodiff against closed form."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.case import OPTIONS
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.specification.class_axis import as_given, in_rows
from gradcheck_suite.specification.logit_transform import LogitTransform
from gradcheck_suite.specification.softmax_nll import SoftmaxNLL, loss

_RANKS = (2, 3, 4)
_DIALECT = {"out_of_range": "nan"}  # the same text must run under a tracer, which cannot raise


def gradient(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    logit_scale: float = 1.0,
    z_loss: float = 0.0,
    class_mask: Any = None,
    axis: int = -1,
    reduction: str = "mean",
) -> Any:
    """The closed form's gradient in the logits: what NumPy has instead of autodiff."""
    rows, row_targets, mask = in_rows(logits, targets, class_mask, axis)
    transform = LogitTransform(softcap, logit_scale, mask)
    form = SoftmaxNLL(
        weight, ignore_index, label_smoothing, reduction, transform=transform, z_loss=z_loss
    )
    return as_given(form.gradient(rows, row_targets), logits, axis)


def _jitted(logits: Any, targets: Any, **options: Any) -> Any:
    import jax

    static = [name for name in (*OPTIONS, "reduction") if name not in ("weight", "class_mask")]
    compiled = jax.jit(loss, static_argnames=static)
    return compiled(logits, targets, **options)


IMPLEMENTATIONS = (
    Implementation(
        "numpy-specification",
        loss,
        backend="numpy",
        gradient=gradient,
        options=OPTIONS,
        ranks=_RANKS,
        dialect=_DIALECT,
        description="the specification's composed form; gradient in closed form",
    ),
    Implementation(
        "torch-specification",
        loss,
        backend="torch",
        options=OPTIONS,
        ranks=_RANKS,
        dialect=_DIALECT,
        requires=("torch",),
        description="the specification's composed form under PyTorch's autograd",
    ),
    Implementation(
        "jax-specification",
        loss,
        backend="jax",
        options=OPTIONS,
        ranks=_RANKS,
        dialect=_DIALECT,
        requires=("jax",),
        description="the specification's composed form under JAX's autodiff",
    ),
    Implementation(
        "jax-specification-jit",
        _jitted,
        backend="jax",
        options=OPTIONS,
        ranks=_RANKS,
        targets=("index", "probabilities"),
        reductions=("none", "sum", "mean"),
        dialect=_DIALECT,
        requires=("jax",),
        description="the same under jax.jit",
    ),
)
