"""Batches with options, in the families of logits that bounds are hard on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck_suite.numerics.tolerance import Arithmetic
from gradcheck_suite.specification.recipe import representable

EXACT = np.longdouble


IGNORED = -100


FAMILIES = (
    "normal",
    "normal-10",
    "normal-100",
    "offset",
    "large-offset",
    "gap",
    "ties",
    "equal",
    "saturated",
    "rare",
    "just-below-u",
    "masked",
)


OPTIONS = ("plain", "weight", "ignored", "smoothing", "all", "probabilities", "unnormalised")


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values of the dtype, as float64."""
    return representable(values, dtype)


@dataclass(frozen=True)
class Problem:
    """A batch with options; arrays are float64 with values of ``dtype``."""

    dtype: str
    logits: np.ndarray
    targets: np.ndarray
    weight: np.ndarray | None
    smoothing: float
    reduction: str
    upstream: np.ndarray
    tangent: np.ndarray

    @property
    def valid(self) -> np.ndarray:
        if self.targets.ndim == 2:
            return np.ones(len(self.targets), bool)
        return self.targets != IGNORED

    @property
    def weights(self) -> np.ndarray:
        return np.ones(self.logits.shape[1]) if self.weight is None else self.weight

    @property
    def coefficient(self) -> np.ndarray:
        """(1 − ε) w_j, with which log p_j enters through t_j."""
        return ((1.0 - EXACT(self.smoothing)) * self.weights).astype(np.float64)

    @property
    def tau(self) -> np.ndarray:
        rows, classes = self.logits.shape
        if self.targets.ndim == 2:
            given = self.targets.astype(EXACT)
        else:
            given = np.zeros((rows, classes), EXACT)
            given[np.arange(rows), np.where(self.valid, self.targets, 0)] = 1.0
        smooth = EXACT(self.smoothing)
        mixed = (1 - smooth) * given + smooth / classes
        return np.where(self.valid[:, None], self.weights * mixed, EXACT(0))

    @property
    def row_weights(self) -> np.ndarray:
        """What each row contributes to the mean's denominator."""
        if self.targets.ndim == 2:
            return np.ones(len(self.targets))
        return np.where(self.valid, self.weights[np.where(self.valid, self.targets, 0)], 0.0)

    @property
    def denominator(self) -> float:
        return float(np.sum(self.row_weights.astype(EXACT))) if self.reduction == "mean" else 1.0

    @property
    def scale(self) -> np.ndarray:
        return np.broadcast_to(self.upstream, (len(self.logits),)) / self.denominator


def logits_of(
    family: str, dtype: str, rows: int, classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Logits (N, C); the interesting class, where there is one, is column 0."""
    normal = rng.normal(size=(rows, classes))
    if family == "normal":
        return normal
    if family == "normal-10":
        return 10.0 * normal
    if family == "normal-100":
        return 100.0 * normal
    if family in ("offset", "large-offset"):
        size = 1e3 if family == "offset" else 1e6
        return normal + size * rng.choice([-1.0, 1.0, 0.5], size=(rows, 1))
    if family == "gap":
        normal[:, 0] -= 1000.0
        return normal
    if family == "ties":
        return rng.integers(0, 3, size=(rows, classes)).astype(float)
    if family == "equal":
        return np.full((rows, classes), 1.0) * rng.normal(size=(rows, 1))
    if family == "saturated":
        normal -= rng.uniform(5.0, 40.0, size=(rows, 1))
        normal[:, 0] = 0.0
        return normal
    if family == "rare":
        normal[:, 0] -= 68.0
        return normal
    if family == "just-below-u":
        normal = np.log(Arithmetic.of(dtype, dtype).unit_roundoff) - 0.06 + 0.01 * normal
        normal[:, 0] = 0.0
        return normal
    masked = 3.0 * normal
    masked[rng.uniform(size=(rows, classes)) < 0.4] = -np.inf
    masked[:, 0] = normal[:, 0]
    return masked


def problem(
    dtype: str,
    family: str,
    options: str,
    reduction: str,
    *,
    rows: int = 6,
    classes: int = 5,
    seed: int = 0,
) -> Problem:
    rng = np.random.default_rng([seed, rows, classes])
    logits = rounded(logits_of(family, dtype, rows, classes, rng), dtype)
    targets: np.ndarray = rng.integers(0, classes, size=rows)
    targets[: rows // 2] = 0  # the interesting class
    if family == "masked":
        targets[:] = 0
    weight = None
    if options in ("weight", "all", "unnormalised"):
        weight = rng.uniform(0.2, 3.0, size=classes)
        weight[-1] = 0.0
        weight = rounded(weight, dtype)
    if options in ("ignored", "all"):
        targets[1] = IGNORED
    if options in ("probabilities", "unnormalised"):
        given = rng.dirichlet(np.full(classes, 0.5), size=rows)
        given *= rng.uniform(0.3, 3.0, size=(rows, 1)) if options == "unnormalised" else 1.0
        given[0] = np.eye(classes)[0]
        targets = rounded(given, dtype)
    per_row = rng.normal(size=rows) * 3.0
    return Problem(
        dtype=dtype,
        logits=logits,
        targets=targets,
        weight=weight,
        smoothing=0.1 if options in ("smoothing", "all", "unnormalised") else 0.0,
        reduction=reduction,
        upstream=rounded(per_row if reduction == "none" else np.asarray(-1.7), dtype),
        tangent=rounded(rng.normal(size=(rows, classes)), dtype),
    )
