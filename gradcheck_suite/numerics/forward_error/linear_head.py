"""A linear head, f = X Wᵀ + b: how its rounding reaches the loss, and what its products add.

The bounds of the loss hold at the logits that an implementation has computed, f + δf. What δf
moves in value, gradient and directional derivative is added here, then the inner products with
W, X and 1. docs/bounds.md derives it (A linear head).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck_suite.case import FloatArray, LinearHead
from gradcheck_suite.numerics.forward_error.roundings import HEADROOM, quiet
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound, vanishing_product

_LOGITS = "logits X Wᵀ + b"


@dataclass(frozen=True, slots=True, eq=False)
class Perturbed:
    """Probabilities at logits that are off by at most ``error``.

    Attributes:
        probability: p at the exact logits (N, C).
        error: δ, bound on |f̂ − f| (N, C).
        relative: e^{δ_j + λ} − 1 with λ = log(1 + Σ_k p_k (e^{δ_k} − 1)): no p_j is off by a
            larger share of itself (N, C).
        near: the logits that may be the computed maximum of their row (N, C).
    """

    probability: FloatArray
    error: FloatArray
    relative: FloatArray
    near: FloatArray

    @property
    def growth(self) -> FloatArray:
        """What a bound that is made of p grows by, at most, in each row (N, 1)."""
        return np.asarray(1.0 + np.max(self.relative, axis=1, keepdims=True, initial=0.0))

    @property
    def moved(self) -> FloatArray:
        """|p̂_j − p_j| (N, C): its own share, or what all the others can move, if that is less."""
        own = vanishing_product(self.probability, self.relative)
        others = np.sum(own, axis=1, keepdims=True) - own
        return np.asarray(np.minimum(own, np.maximum(others, 0.0)))


@quiet
def perturbed(
    logits: FloatArray, probability: FloatArray, head: LinearHead, arithmetic: Arithmetic
) -> Perturbed:
    """The probabilities at the computed logits: |f̂ − f| ≤ γ_{H+1} (|X||W|ᵀ + |b|) + stored."""
    features = head.hidden.shape[1]
    size = np.abs(head.hidden) @ np.abs(head.linear_weight).T
    bias = np.zeros(1) if head.linear_bias is None else np.abs(head.linear_bias)
    summed = _gamma(features + 1, arithmetic.summation_roundoff) * (size + bias)
    error = summed + _stored(arithmetic) * (2.0 * np.abs(logits) + bias + summed)
    error = error + (features + 1) * arithmetic.smallest_normal
    mean = np.sum(vanishing_product(probability, np.expm1(error)), axis=1, keepdims=True)
    top = np.max(logits - error, axis=1, keepdims=True, initial=-np.inf)
    return Perturbed(
        probability, error, np.expm1(error + np.log1p(mean)), np.asarray(logits + error >= top)
    )


@quiet
def head_row_bound(bound: Bound, at: Perturbed, tau: FloatArray) -> Bound:
    """Of the rows' values (N,), from their bound at the exact logits: + Σ_j |g_j| δ_j.

    The loss is convex in f, so that its slope on the way is g with p off by its share.
    """
    mass = np.sum(np.abs(tau), axis=1, keepdims=True)
    slope = np.abs(mass * at.probability - np.abs(tau)) + mass * at.moved
    through = np.sum(vanishing_product(slope, at.error), axis=1)
    return bound * at.growth[:, 0] + Bound.of(through.shape, [(_LOGITS, through)])


@quiet
def head_gradient_bound(bound: Bound, at: Perturbed, tau: FloatArray, scale: FloatArray) -> Bound:
    """Of G (N, C) at the computed logits, from its bound at the exact ones.

    Where several logits may be the computed maximum, each may receive what goes through it.
    """
    mass = np.sum(np.abs(tau), axis=1, keepdims=True)
    grown = bound * at.growth
    of_near = np.where(at.near, grown.total, 0.0)
    largest = np.max(of_near, axis=1, keepdims=True, initial=0.0)
    terms = [
        (_LOGITS, vanishing_product(np.abs(scale)[:, None] * mass, at.moved)),
        ("maximum", np.where(at.near, largest - of_near, 0.0)),
    ]
    return grown + Bound.of(tau.shape, terms)


@quiet
def head_jvp_bound(
    bound: Bound,
    at: Perturbed,
    tau: FloatArray,
    head: LinearHead,
    tangent: LinearHead,
    pushed: FloatArray,
    arithmetic: Arithmetic,
) -> Bound:
    """Of the rows' derivatives (N,) along (Ẋ, Ẇ, ḃ), from their bound along the exact ḟ.

    ḟ = Ẋ Wᵀ + X Ẇᵀ + ḃ is itself computed: off by γ_{2H+1} of the sizes that are added.
    """
    size = np.abs(tangent.hidden) @ np.abs(head.linear_weight).T
    size = size + np.abs(head.hidden) @ np.abs(tangent.linear_weight).T
    if tangent.linear_bias is not None:
        size = size + np.abs(tangent.linear_bias)
    count = 2 * head.hidden.shape[1] + 1
    error = (_gamma(count, arithmetic.summation_roundoff) + 3.0 * _stored(arithmetic)) * size
    mass = np.sum(np.abs(tau), axis=1, keepdims=True)
    used = mass * (at.probability + at.moved) + np.abs(tau)
    mean = np.sum(at.probability * pushed, axis=1, keepdims=True)
    terms = [
        ("tangent of the logits", np.sum(vanishing_product(used, error), axis=1)),
        (_LOGITS, np.sum(mass * at.moved * np.abs(pushed - mean), axis=1)),
    ]
    return bound * at.growth[:, 0] + Bound.of((len(tau),), terms)


@quiet
def product_bound(
    left: FloatArray, error: FloatArray, right: FloatArray, arithmetic: Arithmetic
) -> Bound:
    """Of Σ_k left_ik right_kj, where ``left`` is known to ``error`` and ``right`` is exact.

        Σ_k E_ik |r_kj| + γ_K Σ_k (|l_ik| + E_ik)|r_kj| + stored + Kω

    in any order of summation. A scale is multiplied in before, and its roundings are in E, or
    after, where they are as many.
    """
    terms, factor = left.shape[1], np.abs(right)
    carried = error @ factor
    size = (np.abs(left) + error) @ factor
    exact = np.abs(left @ right)
    rounded = _gamma(terms, arithmetic.summation_roundoff) * size
    stored = 2.0 * _stored(arithmetic) * (exact + carried + rounded)
    flushed = terms * arithmetic.smallest_normal + arithmetic.output_smallest_normal
    pairs = [
        ("gradient in the logits", carried),
        (f"sum of {terms} products", rounded),
        ("storage", stored),
        ("smallest normal", flushed),
    ]
    return Bound.of(carried.shape, pairs)


def _gamma(count: int, unit_roundoff: float) -> float:
    """γ_n = nu/(1 − nu): n roundings in any order (Higham 2002, lemma 3.1).

    At most κ: an addition errs by no more than its smaller operand, so that all of them together
    lose what is added up and no more.
    """
    rounded = count * unit_roundoff
    return min(rounded / (1.0 - rounded), HEADROOM) if rounded < 1.0 else HEADROOM


def _stored(arithmetic: Arithmetic) -> float:
    """One rounding to a format that is narrower than the one that sums are accumulated in."""
    if arithmetic.summation_roundoff < arithmetic.unit_roundoff:
        return arithmetic.unit_roundoff
    return arithmetic.storage_roundoff
