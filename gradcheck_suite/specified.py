"""What the specification says of given arrays: the reference for people's own assertions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite import backends
from gradcheck_suite.case import REDUCTIONS, Case, FloatArray, Options, Reduction, frozen
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.errors import UsageError
from gradcheck_suite.numerics.tolerance import Arithmetic
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.reference import Reference


@dataclass(frozen=True, slots=True, eq=False)
class Specified:
    """The closed form at given logits and targets, with the error a stable algorithm may make.

    Attributes:
        value: the loss in float64: rows (N,) under ``none``, else ().
        gradient: u/den · (T·p − τ), (N, C).
        target_gradient: −(1−ε) w log p · u/den, (N, C), for probability targets; else None.
        value_bound, gradient_bound: forward-error bounds in ``dtype`` (docs/bounds.md): a right
            result ``got`` has |got − value| ≤ value_bound, element by element.
    """

    value: FloatArray
    gradient: FloatArray
    target_gradient: FloatArray | None
    value_bound: FloatArray
    gradient_bound: FloatArray


def softmax_nll(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    logit_scale: float = 1.0,
    z_loss: float | None = None,
    class_mask: Any = None,
    reduction: Reduction = "mean",
    upstream: npt.ArrayLike = 1.0,
    dialect: Mapping[str, str] | None = None,
    dtype: str = "",
) -> Specified:
    """The softmax negative log-likelihood as specified: −Σ_j τ_j log p_j, and its gradient.

    Computed in extended precision from the numbers as given; τ_j = w_j((1−ε)t_j + ε/C).

    Args:
        logits: f, shape (N, C), an array of any installed backend.
        targets: class indices (N,), or target probabilities (N, C).
        weight: class weights w, shape (C,).
        ignore_index: target of rows that do not count.
        label_smoothing: ε in [0, 1].
        softcap, logit_scale: cap and s of z = cap·tanh(s·f/cap), in the place of the logits.
        z_loss: λ; every valid row has λ·lse(z)² more.
        class_mask: bool, (C,) or (N, C): True where the class takes part.
        reduction: ``none``, ``sum`` or ``mean``.
        upstream: cotangent u, shape (N,) under ``none``, else ().
        dialect: choices where honest libraries differ (``gradcheck-suite list dialects``).
        dtype: the arithmetic of the bounds; default the logits' own.

    Raises:
        UsageError: a shape, an option or a choice does not make sense.
    """
    scores, described = _array("logits", logits)
    classes, _ = _array("targets", targets)
    if scores.ndim != 2:
        raise UsageError(f"logits: got shape {scores.shape}; expected (N, C)")
    if classes.shape not in (scores.shape[:1], scores.shape):
        raise UsageError(
            f"targets: got shape {classes.shape}; expected class indices {scores.shape[:1]} or "
            f"probabilities {scores.shape}"
        )
    if classes.ndim == 1 and not np.issubdtype(classes.dtype, np.integer):
        raise UsageError(f"targets: class indices are integers, got {classes.dtype}")
    if reduction not in REDUCTIONS:
        raise UsageError(f"reduction: got {reduction!r}; use one of {', '.join(REDUCTIONS)}")
    weights = None if weight is None else _array("weight", weight)[0]
    if weights is not None and weights.shape != scores.shape[1:]:
        raise UsageError(f"weight: got shape {weights.shape}; expected {scores.shape[1:]}")
    if softcap is not None and not softcap > 0.0:
        raise UsageError(f"softcap: got {softcap}; expected a cap above 0, or None")
    mask = None if class_mask is None else frozen(_array("class_mask", class_mask)[0], np.bool_)
    if mask is not None and mask.shape not in (scores.shape[1:], scores.shape):
        raise UsageError(
            f"class_mask: got shape {mask.shape}; expected {scores.shape[1:]} or {scores.shape}"
        )
    cotangent = np.asarray(upstream, dtype=np.float64)
    if reduction == "none":
        cotangent = np.broadcast_to(cotangent, scores.shape[:1])
    case = Case(
        id="given",
        logits=frozen(scores, np.float64),
        targets=frozen(classes, np.int64 if classes.ndim == 1 else np.float64),
        options=Options(
            reduction=reduction,
            weight=None if weights is None else frozen(weights, np.float64),
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            softcap=softcap,
            logit_scale=logit_scale,
            z_loss=z_loss,
            class_mask=mask,
        ),
        upstream=frozen(cotangent, np.float64),
        dtype=dtype or described,
    )
    reference = Reference(case, Dialect.of(dialect or {}))
    yardstick = Yardstick(reference, Arithmetic.of(case.dtype))
    soft = case.target_kind == "probabilities"
    return Specified(
        value=np.asarray(reference.value, np.float64),
        gradient=np.asarray(reference.gradient, np.float64),
        target_gradient=np.asarray(reference.target_gradient, np.float64) if soft else None,
        value_bound=yardstick.value_bound.total,
        gradient_bound=yardstick.gradient_bound.total,
    )


def _array(argument: str, values: Any) -> tuple[npt.NDArray[Any], str]:
    """The values for NumPy, exactly, and the name of their own dtype."""
    if isinstance(values, list | tuple):
        values = np.asarray(values)
    try:
        backend = backends.owner_of((values,))
    except UsageError:
        raise UsageError(
            f"{argument}: got {type(values).__name__}; expected an array of "
            f"{', '.join(backends.names())}"
        ) from None
    return backend.asnumpy(values), backend.describe(values).dtype
