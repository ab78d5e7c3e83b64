"""The logits z that an extension makes of f, and what an implementation errs by in forming them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray
from gradcheck_suite.numerics.forward_error.roundings import ELEMENTARY, quiet
from gradcheck_suite.numerics.tolerance import Arithmetic

_FACTOR = 2.0  # s·f, where s may be a rounded 1/temperature
_ARGUMENT = 4.0  # s·f/cap: the same, and a product with a rounded 1/cap
_PRODUCT = 2.0  # cap·tanh, and the product of the chain rule


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """z = cap·tanh(s·f/cap) or s·f, with two derivatives; errors in first order, without κ.

    All of shape (N, C); a class that takes no part has z = −inf and 0 for the rest.

    Attributes:
        logits: z.
        error: of z.
        slope, slope_error: ∂z/∂f, and what it errs by, the product with it included.
        curvature, curvature_error: ∂²z/∂f², likewise.
    """

    logits: FloatArray
    error: FloatArray
    slope: FloatArray
    slope_error: FloatArray
    curvature: FloatArray
    curvature_error: FloatArray


@quiet
def scores_of(
    logits: FloatArray,
    arithmetic: Arithmetic,
    *,
    softcap: float | None = None,
    logit_scale: float = 1.0,
    class_mask: npt.NDArray[np.bool_] | None = None,
) -> Scores:
    """The scores of logits f (N, C).

    With x = s·f/cap and t = tanh x: z errs by 4u|x|·cap(1−t²), what the argument's roundings
    do, and by 6u|z|, tanh and the product. 1 − t² is formed from a rounded t: it errs by 2|t|
    times the error of t, absolutely. In saturation it has no correct digit, and none is asked.

    Args:
        logits: f (N, C).
        arithmetic: the arithmetic of the implementation.
        softcap, logit_scale, class_mask: cap, s and the mask (``Options``).
    """
    u = arithmetic.unit_roundoff
    taken = np.ones(logits.shape, bool)
    if class_mask is not None:
        taken = np.broadcast_to(class_mask, logits.shape)
    f = np.where(taken, logits, 0.0)
    scaled, slope = logit_scale * f, np.full(f.shape, logit_scale)
    if softcap is None:
        z, zero = scaled, np.zeros(f.shape)
        roundings = 0.0 if logit_scale == 1.0 else _FACTOR * u
        error, slope_error = roundings * np.abs(z), roundings * slope
        curvature, curvature_error = zero, zero
    else:
        x = scaled / softcap
        t = np.tanh(x)
        decay = np.exp(-2.0 * np.abs(x))
        rest = 4.0 * decay / (1.0 + decay) ** 2  # 1 − t²
        moved = np.where(rest > 0.0, np.abs(x) * rest, 0.0)
        of_t = u * (_ARGUMENT * moved + ELEMENTARY * np.abs(t))
        z, error = softcap * t, softcap * of_t + _PRODUCT * u * softcap * np.abs(t)
        of_rest = 2.0 * np.abs(t) * of_t + u * (t**2 + rest)
        slope = slope * rest
        slope_error = logit_scale * of_rest + _PRODUCT * u * slope
        bend = 2.0 * logit_scale**2 / softcap
        curvature = -bend * t * rest
        curvature_error = bend * (np.abs(t) * of_rest + of_t * rest) + 2 * _PRODUCT * u * bend * (
            np.abs(t) * rest
        )
    return Scores(
        np.where(taken, z, -np.inf),
        *(
            np.where(taken, each, 0.0)
            for each in (error, slope, slope_error, curvature, curvature_error)
        ),
    )
