"""p and its companions, formed without cancellation, over the Array API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

Array = Any


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """p and its companions, formed without cancellation; all of shape (N, C).

    Attributes:
        p: e^{f_i} / Σ_j e^{f_j}.
        rest: 1 − p_i as Σ_{j≠i} p_j.
        log_p: f_i − lse.
        log_sum_exp: lse, shape (N, 1).
    """

    p: Array
    rest: Array
    log_p: Array
    log_sum_exp: Array

    @classmethod
    def of(cls, logits: Array) -> Softmax:
        xp = array_namespace(logits)
        top = xp.argmax(logits, axis=-1, keepdims=True)
        is_top = class_numbers(xp, logits) == top
        maximum = xp.max(logits, axis=-1, keepdims=True)
        shifted = logits - maximum
        exponentials = xp.exp(shifted)
        zero = xp.zeros_like(exponentials)
        tail = xp.sum(xp.where(is_top, zero, exponentials), axis=-1, keepdims=True)
        total = 1 + tail
        others = xp.where(is_top, tail + zero, total - exponentials)
        log_sum = xp.log1p(tail)
        return cls(exponentials / total, others / total, shifted - log_sum, maximum + log_sum)


def class_numbers(xp: Any, logits: Array) -> Array:
    """0 to C − 1, on the device of the logits."""
    return xp.arange(logits.shape[-1], device=device(logits))


def others(tau: Array) -> Array:
    """Σ_{j≠i} τ_j for every i, without cancellation: prefix sums plus suffix sums."""
    xp = array_namespace(tau)
    zero = xp.zeros_like(tau[:, :1])
    before = xp.concat([zero, xp.cumulative_sum(tau, axis=-1)[:, :-1]], axis=-1)
    after = xp.flip(xp.cumulative_sum(xp.flip(tau, axis=-1), axis=-1), axis=-1)
    return before + xp.concat([after[:, 1:], zero], axis=-1)
