"""The specification's own composed form behind a linear head, on every backend."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from gradcheck_suite.case import OPTIONS
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.implementations import specification_form
from gradcheck_suite.specification import softmax_nll


def loss(
    hidden: Any, linear_weight: Any, targets: Any, *, linear_bias: Any = None, **options: Any
) -> Any:
    """The loss at f = X Wᵀ + b, for ``options`` of the specification's own form."""
    return softmax_nll.loss(_logits(hidden, linear_weight, linear_bias), targets, **options)


def gradient(
    hidden: Any, linear_weight: Any, targets: Any, *, linear_bias: Any = None, **options: Any
) -> tuple[Any, Any, Any]:
    """(G W, Gᵀ X, Σ_n G_n), with G the closed form's gradient in the logits."""
    logits = _logits(hidden, linear_weight, linear_bias)
    xp = array_namespace(logits)
    in_logits = specification_form.gradient(logits, targets, **options)
    in_weight = xp.matmul(xp.matrix_transpose(in_logits), hidden)
    return xp.matmul(in_logits, linear_weight), in_weight, xp.sum(in_logits, axis=0)


def _logits(hidden: Any, linear_weight: Any, linear_bias: Any) -> Any:
    xp = array_namespace(hidden, linear_weight)
    product = xp.matmul(hidden, xp.matrix_transpose(linear_weight))
    return product if linear_bias is None else product + linear_bias


_DECLARED: dict[str, Any] = {
    "head": "linear",
    "options": (*(option for option in OPTIONS if option != "axis"), "linear_bias"),
    "targets": ("index", "probabilities"),
    "reductions": ("none", "sum", "mean"),
    "dialect": {"out_of_range": "nan"},  # the same text must run under a tracer
}

IMPLEMENTATIONS = (
    Implementation(
        "numpy-specification-head",
        loss,
        backend="numpy",
        gradient=gradient,
        description="the specification's composed form behind a linear head; closed gradients",
        **_DECLARED,
    ),
    Implementation(
        "torch-specification-head",
        loss,
        backend="torch",
        requires=("torch",),
        description="the same under PyTorch's autograd",
        **_DECLARED,
    ),
    Implementation(
        "jax-specification-head",
        loss,
        backend="jax",
        requires=("jax",),
        description="the same under JAX's autodiff",
        **_DECLARED,
    ),
)
