"""What is done to the logits before the softmax: a scale, a soft cap, a mask over classes.

    z_j = cap · tanh(s f_j / cap)       s alone: z_j = s f_j;  s is 1/temperature
    ∂z_j/∂f_j = s (1 − tanh²(s f_j / cap))
    ∂²z_j/∂f_j² = −2 s²/cap · tanh(·)(1 − tanh²(·))

A class that the mask leaves out has z = −inf: p = 0, and no derivative. The loss of z is the one
of ``softmax_nll.py``; its derivatives in f follow by the chain rule, elementwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from array_api_compat import array_namespace

from gradcheck_suite.case import Options

Array = Any


@dataclass(frozen=True, slots=True, eq=False)
class LogitTransform:
    """z as a function of f, elementwise, with its first two derivatives.

    Attributes:
        softcap: cap > 0, or None for none.
        logit_scale: s.
        class_mask: (C,) or (N, C), True where the class takes part; None for all of them.
    """

    softcap: float | None = None
    logit_scale: float = 1.0
    class_mask: Array | None = None

    @classmethod
    def of(cls, options: Options) -> LogitTransform:
        return cls(options.softcap, options.logit_scale, options.class_mask)

    @property
    def is_identity(self) -> bool:
        return self.softcap is None and self.logit_scale == 1.0 and self.class_mask is None

    def of_rows(self, rows: slice) -> LogitTransform:
        """The same for some of the rows."""
        if self.class_mask is None or self.class_mask.ndim == 1:
            return self
        return replace(self, class_mask=self.class_mask[rows])

    def __call__(self, logits: Array) -> Array:
        """z, shape (N, C); −inf at a class that takes no part, whatever its logit holds."""
        xp = array_namespace(logits)
        capped = self._scaled(self.counted(logits))
        if self.softcap is not None:
            capped = self.softcap * xp.tanh(capped / self.softcap)
        return self.where_masked(capped, -float("inf"))

    def slope(self, logits: Array) -> Array:
        """∂z/∂f, shape (N, C), without cancellation: 1 − tanh² x = 4 e^(−2|x|)/(1 + e^(−2|x|))²."""
        xp = array_namespace(logits)
        slope = xp.ones_like(logits) * self.logit_scale
        if self.softcap is not None:
            decay = xp.exp(-2 * xp.abs(self._scaled(self.counted(logits)) / self.softcap))
            slope = slope * (4 * decay / (1 + decay) ** 2)
        return self.where_masked(slope, 0.0)

    def curvature(self, logits: Array) -> Array:
        """∂²z/∂f², shape (N, C)."""
        xp = array_namespace(logits)
        if self.softcap is None:
            return xp.zeros_like(logits)
        tanh = xp.tanh(self._scaled(self.counted(logits)) / self.softcap)
        return -2 * self.logit_scale / self.softcap * tanh * self.slope(logits)

    def where_masked(self, array: Array, value: float) -> Array:
        """The array, (N, C), with ``value`` at the classes that take no part."""
        if self.class_mask is None:
            return array
        xp = array_namespace(array)
        return xp.where(self.class_mask, array, xp.full_like(array, value))

    def counted(self, logits: Array) -> Array:
        """The logits with 0 at the classes that take no part: what they hold reaches nothing."""
        return self.where_masked(logits, 0.0)

    def _scaled(self, logits: Array) -> Array:
        return logits if self.logit_scale == 1.0 else logits * self.logit_scale
