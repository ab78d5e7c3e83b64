"""Forward mode against reverse mode: ⟨u, J v⟩ = ⟨Jᵀu, v⟩, judged by rounding alone.

There is no truncation. What rounding can do to the two inner products is not known from
the outside of a function, so it is measured: both are computed again at primals, tangents
and cotangents that are perturbed by a unit in the last place or two. How far they move is
their condition times machine epsilon, and an honest evaluation is not expected to be off
by much more than that (it is as if its inputs had been perturbed so: backward stability).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
FIRST_ALLOWANCE = 8.0
"""Units of ε·√n that a short computation is granted before anything is measured."""
CHUNK = 1 << 14
"""Elements that are multiplied at a time, in float64."""
SPREAD_SAFETY = 32.0
"""Backward errors are several units per operation, the probes perturb by one or two."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """The two inner products and the tolerance of their difference.

    Attributes:
        forward: ⟨u, J v⟩ from forward mode.
        reverse: ⟨Jᵀu, v⟩ from reverse mode.
        inner_products: rounding of forming the products in the working dtype.
        sensitivity: measured rounding-level movement times its safety; 0 if not measured.
    """

    forward: float
    reverse: float
    inner_products: float
    sensitivity: float = 0.0

    @property
    def error(self) -> float:
        return abs(self.forward - self.reverse)

    @property
    def tolerance(self) -> float:
        return self.inner_products + self.sensitivity

    @property
    def holds(self) -> bool:
        return self.error <= self.tolerance


def inner(left: Sequence[npt.ArrayLike], right: Sequence[npt.ArrayLike]) -> tuple[float, float]:
    """Σ l·r and Σ |l·r| over lists of arrays, in float64; real part for complex arrays."""
    total, magnitude = 0.0, 0.0
    for one, other in zip(left, right, strict=True):
        first, second = np.asarray(one).reshape(-1), np.asarray(other).reshape(-1)
        for start in range(0, first.size, CHUNK):
            product = np.real(
                np.conj(_wide(first[start : start + CHUNK])) * _wide(second[start : start + CHUNK])
            )
            total += float(np.sum(product))
            magnitude += float(np.sum(np.abs(product)))
    return total, magnitude


def _wide(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(np.complex128 if np.iscomplexobj(values) else np.float64, copy=False)


def pairing(
    cotangents: Sequence[npt.ArrayLike],
    jvp: Sequence[npt.ArrayLike],
    vjp: Sequence[npt.ArrayLike],
    tangents: Sequence[npt.ArrayLike],
    *,
    machine_epsilon: float,
    spread: float = 0.0,
) -> Pairing:
    """⟨u, Jv⟩ against ⟨Jᵀu, v⟩ with what rounding may do to them.

    The first term is 8 ε √n (Σ|u·Jv| + Σ|Jᵀu·v|)/2 over n products: γ_n of an inner product
    with its worst case replaced by the square root law (Higham and Mary 2019), times
    eight for the computation of the elements.

    Args:
        cotangents: u, per output.
        jvp: J v, per output.
        vjp: Jᵀu, per input.
        tangents: v, per input.
        machine_epsilon: spacing at 1 of the working dtype.
        spread: ``rounding_spread`` of the two inner products, if measured.
    """
    forward, forward_size = inner(cotangents, jvp)
    reverse, reverse_size = inner(vjp, tangents)
    count = max(1, *(int(np.size(one)) for one in (*cotangents, *tangents)))
    first = FIRST_ALLOWANCE * machine_epsilon * math.sqrt(count)
    return Pairing(
        forward, reverse, first * 0.5 * (forward_size + reverse_size), SPREAD_SAFETY * spread
    )


def rounding_spread(samples: Sequence[float]) -> float:
    """Largest distance between values that differ only by perturbations at rounding level."""
    return float(max(samples) - min(samples)) if len(samples) > 1 else 0.0


def perturbed(
    values: npt.ArrayLike, rng: np.random.Generator, machine_epsilon: float
) -> npt.NDArray[Any]:
    """``values`` with every element moved by up to two units in the last place, relatively.

    A fresh array of the same dtype, from one piece after another in float64.
    """
    array = np.asarray(values)
    moved = np.empty(array.shape, array.dtype)
    source, target = array.reshape(-1), moved.reshape(-1)
    for start in range(0, source.size, CHUNK):
        part = source[start : start + CHUNK]
        units = rng.integers(-2, 3, size=part.size, dtype=np.int8)
        target[start : start + CHUNK] = _wide(part) * (1.0 + machine_epsilon * units)
    return moved
