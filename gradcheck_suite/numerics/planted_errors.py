"""Errors that are planted in a right answer, so that a check can show that it sees them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PlantedError:
    """A way to be wrong.

    Attributes:
        name: in words; ``{r}`` stands for its relative size, where that can be chosen.
        plant: (values, r) ↦ the same with the error in it, in a fresh array.
        axes: it needs values of so many axes at least.
    """

    name: str
    plant: Callable[[Values, float], Values]
    axes: int = 0


def _row_dropped(g: Values, r: float) -> Values:
    planted = g.copy()
    planted[-1 if g.ndim > 1 else g.size // 2] = 0.0
    return planted


def _last_dropped(g: Values, r: float) -> Values:
    planted = g.copy()
    planted[..., -1] = 0.0
    return planted


def _one_nan(g: Values, r: float) -> Values:
    planted = g.copy()
    planted.reshape(-1)[0] = math.nan
    return planted


SCALED = PlantedError("×(1 + {r})", lambda g, r: g * (1.0 + r))
NAN = PlantedError("NaN", _one_nan)
ROW_DROPPED = PlantedError("one row dropped", _row_dropped, axes=1)
IN_GRADIENTS = (
    PlantedError("zero", lambda g, r: 0.0 * g),
    PlantedError("negated", lambda g, r: -g),
    SCALED,
    ROW_DROPPED,
    PlantedError("last column dropped", _last_dropped, axes=1),
    PlantedError("rows rolled", lambda g, r: np.roll(g, 1, axis=0), axes=1),
    NAN,
)
"""What any gradient can be wrong by."""
