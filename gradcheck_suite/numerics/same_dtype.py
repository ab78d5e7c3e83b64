"""What a stable evaluation errs by in a dtype: an error to hold another's against.

A forward-error bound adds up worst cases, and in bfloat16 twenty of them are a tenth. What stable
algorithms err by is less: roundings are as often up as down. It is sampled here by Monte
Carlo arithmetic: the loss and its gradient are evaluated in float64 while every operation
errs by a random relative amount, uniform up to the unit roundoff of the dtype, in three forms
of the algorithm (log-softmax; differentiated through its maximum; lse at the logits' own
magnitude). The root mean square over the samples, of the worst of the forms, is the reference.

Sources: D. S. Parker, "Monte Carlo arithmetic", UCLA CSD-970002 (1997); N. J. Higham and T. Mary,
"A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41 (2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcheck_suite.case import FloatArray
from gradcheck_suite.numerics.directions import generator
from gradcheck_suite.numerics.tolerance import Arithmetic

TOLERATED = 4.0
"""k: a batch that errs by at most k times the reference errs like a stable algorithm.

Twice for up to four times as many roundings as the reference has (their root mean square
grows like the root of their number), and two standard deviations for one batch. PyTorch's and
JAX's losses reach 2.7, a composition in JAX that is differentiated through its maximum 3.6
(docs/bounds.md, Same dtype)."""
SAMPLES = 24

Rounding = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceError:
    """Root mean square errors of a stable evaluation, by row.

    Attributes:
        value: of the row's value (N,).
        gradient: Euclidean norm over the row's gradient (N,), scale included.
    """

    value: FloatArray
    gradient: FloatArray


def same_dtype_reference_error(
    logits: FloatArray,
    tau: FloatArray,
    scale: FloatArray,
    arithmetic: Arithmetic,
    *,
    seed: int = 0,
    samples: int = SAMPLES,
) -> ReferenceError:
    """Root mean square error of value and gradient of a stable evaluation in the arithmetic.

    Args:
        logits: f (N, C).
        tau: effective targets τ (N, C).
        scale: upstream / denominator (N,).
        arithmetic: whose roundings are sampled.
        seed: of the samples.
        samples: how many; 24 know the root mean square to one part in seven.
    """
    exact_value, exact_gradient = _log_softmax(logits, tau, scale, _Machine.exact())
    value = np.zeros((len(_FORMS), *exact_value.shape))
    gradient = np.zeros_like(value)
    rng = generator(seed, samples)
    machine = _Machine(arithmetic, rng)
    for _ in range(samples):
        for form, evaluate in enumerate(_FORMS):
            rows, elements = evaluate(logits, tau, scale, machine)
            value[form] += (rows - exact_value) ** 2
            gradient[form] += np.sum((elements - exact_gradient) ** 2, axis=1)
    least = arithmetic.output_smallest_normal
    found = (np.sqrt(np.max(part, axis=0) / samples) + least for part in (value, gradient))
    return ReferenceError(*found)


@dataclass(frozen=True, slots=True)
class _Machine:
    """Arithmetic whose every operation errs at random; None errs nowhere."""

    arithmetic: Arithmetic | None
    rng: np.random.Generator | None

    @classmethod
    def exact(cls) -> _Machine:
        return cls(None, None)

    def rounded(self, value: FloatArray) -> FloatArray:
        """The result of one operation."""
        return self._errs(value, "unit_roundoff")

    def stored(self, value: FloatArray) -> FloatArray:
        """A result that is kept in the dtype."""
        return self._errs(value, "storage_roundoff")

    def total(self, terms: FloatArray) -> FloatArray:
        """The sum over classes (N, 1), in which every addition errs, and the result."""
        exact = np.asarray(np.sum(terms, axis=1, keepdims=True))
        if self.arithmetic is None or self.rng is None:
            return exact
        partial = np.cumsum(terms, axis=1)[:, 1:]
        noise = self.rng.uniform(-1.0, 1.0, partial.shape) * self.arithmetic.summation_roundoff
        return self.rounded(exact + np.sum(partial * noise, axis=1, keepdims=True))

    def _errs(self, value: FloatArray, roundoff: str) -> FloatArray:
        if self.arithmetic is None or self.rng is None:
            return value
        unit = getattr(self.arithmetic, roundoff)
        noise = unit * self.rng.uniform(-1.0, 1.0, value.shape)
        return np.asarray(value * (1.0 + noise)) if unit else value


Form = Callable[[FloatArray, FloatArray, FloatArray, _Machine], tuple[FloatArray, FloatArray]]


def _shifted(logits: FloatArray, machine: _Machine) -> tuple[FloatArray, ...]:
    """f − max f, its exponentials and their sum; 0 and 1 at the maximum are exact."""
    maximum = np.max(logits, axis=1, keepdims=True)
    with np.errstate(under="ignore"):
        shifted = np.where(logits == maximum, 0.0, machine.rounded(logits - maximum))
        power = np.where(shifted == 0.0, 1.0, machine.rounded(np.exp(shifted)))
    return shifted, power, machine.total(power)


def _log_softmax(
    logits: FloatArray, tau: FloatArray, scale: FloatArray, machine: _Machine
) -> tuple[FloatArray, FloatArray]:
    """−Σ τ log p, and T·exp(log p) − τ: what frameworks have as one operation."""
    shifted, _, total = _shifted(logits, machine)
    log_p = machine.stored(machine.rounded(shifted - machine.rounded(np.log(total))))
    cotangent = machine.stored(machine.rounded(tau * scale[:, None]))
    with np.errstate(under="ignore", invalid="ignore"):
        p = machine.rounded(np.exp(log_p))
        rows = machine.total(machine.rounded(np.where(tau == 0.0, 0.0, tau * log_p)))
    gradient = machine.rounded(machine.rounded(p * machine.total(cotangent)) - cotangent)
    return -machine.stored(rows)[:, 0], machine.stored(gradient)


def _through_maximum(
    logits: FloatArray, tau: FloatArray, scale: FloatArray, machine: _Machine
) -> tuple[FloatArray, FloatArray]:
    """log Σ exp(f − max f), differentiated operation by operation, the maximum included."""
    shifted, power, total = _shifted(logits, machine)
    log_p = machine.stored(machine.rounded(shifted - machine.rounded(np.log(total))))
    with np.errstate(invalid="ignore"):
        rows = machine.total(machine.rounded(np.where(tau == 0.0, 0.0, tau * log_p)))
    cotangent = machine.stored(machine.rounded(tau * scale[:, None]))
    slope = machine.rounded(machine.total(cotangent) / total)
    through = machine.rounded(machine.rounded(power * slope) - cotangent)
    first = np.argmax(logits, axis=1)[:, None]
    received = np.take_along_axis(through, first, axis=1) - machine.total(through)
    np.put_along_axis(through, first, machine.rounded(received), axis=1)
    return -machine.stored(rows)[:, 0], machine.stored(through)


def _explicit(
    logits: FloatArray, tau: FloatArray, scale: FloatArray, machine: _Machine
) -> tuple[FloatArray, FloatArray]:
    """T·lse − Σ τ f, and T·exp(f − lse) − τ, with lse at the logits' own magnitude."""
    _, _, total = _shifted(logits, machine)
    maximum = np.max(logits, axis=1, keepdims=True)
    lse = machine.stored(machine.rounded(maximum + machine.rounded(np.log(total))))
    mass = machine.total(machine.stored(machine.rounded(tau)))
    with np.errstate(invalid="ignore", under="ignore"):
        dot = machine.total(machine.rounded(np.where(tau == 0.0, 0.0, tau * logits)))
        p = machine.rounded(np.exp(machine.rounded(logits - lse)))
    rows = machine.rounded(machine.rounded(mass * lse) - dot)
    cotangent = machine.stored(machine.rounded(tau * scale[:, None]))
    gradient = machine.rounded(machine.rounded(p * machine.total(cotangent)) - cotangent)
    return machine.stored(rows)[:, 0], machine.stored(gradient)


_FORMS: tuple[Form, ...] = (_log_softmax, _through_maximum, _explicit)
