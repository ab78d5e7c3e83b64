"""The effective targets, and what an implementation may do to them on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradcheck_suite.case import FloatArray
from gradcheck_suite.numerics.forward_error.roundings import summation_error, without_largest
from gradcheck_suite.numerics.tolerance import Arithmetic


@dataclass(frozen=True, slots=True, eq=False)
class EffectiveTargets:
    """What an implementation may do to the effective targets on the way.

    Attributes:
        size: |τ| (N, C).
        mass: Σ|τ| (N, 1).
        single: rows with one non-zero target (N, 1): nothing is summed there, and weight,
            upstream and denominator are one factor common to the whole row.
        plain: those in which it is exactly 1, so that nothing is multiplied either (N, 1).
        summation: error of Σ τ (N, 1).
    """

    size: FloatArray
    mass: FloatArray
    single: npt.NDArray[np.bool_]
    plain: npt.NDArray[np.bool_]
    summation: FloatArray


def effective_targets(tau: FloatArray, arithmetic: Arithmetic) -> EffectiveTargets:
    """Reads off τ (N, C) what its roundings depend on."""
    size = np.abs(np.asarray(tau, np.float64))
    mass = np.sum(size, axis=1, keepdims=True)
    single = np.count_nonzero(size, axis=1, keepdims=True) == 1
    return EffectiveTargets(
        size=size,
        mass=mass,
        single=single,
        plain=single & (mass == 1.0),
        summation=summation_error(without_largest(size), arithmetic.backward, mass),
    )
