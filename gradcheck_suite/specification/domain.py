"""Domains: the cases beyond its own that a clause speaks of, so that a search may ask it there.

A clause without a domain is held to its curated cases alone: because it needs cases of a special
make, or because another clause implies it wherever its check could be run.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck_suite.case import Case
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.reference import Reference

Domain = Callable[[Case], bool]


def is_specified(case: Case, dialect: Dialect) -> bool:
    """Whether the MUST clauses say what the answer is.

    Left out is what is advice or a declared choice: no rows, a denominator of 0, an index that
    is no class, ``ignore_index`` with probabilities, a logit of −inf with probabilities, with
    smoothing, at a target or in an ignored row, NaN and +inf, ε/(C−1) where C = 1.
    """
    options = case.options
    if not case.rows or not case.classes:
        return False
    if np.isnan(case.logits).any() or np.isposinf(case.logits).any():
        return False
    over_others = options.label_smoothing and dialect.smoothing_mass == "over-others"
    if over_others and (case.classes == 1 or not is_normalised(case)):
        return False
    if case.target_kind == "probabilities":
        return options.ignore_index is None and is_finite(case) and _has_denominator(case, dialect)
    valid = case.targets != options.ignore_index
    kept = case.targets[valid]
    if np.any((kept < 0) | (kept >= case.classes)):
        return False
    masked = np.isneginf(case.logits)
    if masked.any() and (options.label_smoothing or masked[~valid].any()):
        return False
    rows = np.flatnonzero(valid)
    return not masked[rows, case.targets[rows]].any() and _has_denominator(case, dialect)


def is_finite(case: Case) -> bool:
    """Every logit is a number."""
    return bool(np.isfinite(case.logits).all())


def is_normalised(case: Case) -> bool:
    """Class indices, or target probabilities whose rows sum to exactly 1."""
    if case.target_kind == "index":
        return True
    return bool(np.all(case.targets.sum(axis=1) == 1.0) and np.all(case.targets >= 0))


def usual(case: Case) -> bool:
    """Finite logits and a distribution: where the loss is what every textbook says."""
    return is_finite(case) and is_normalised(case)


def masked(case: Case) -> bool:
    """Class indices with a logit of −inf away from the target."""
    return case.target_kind == "index" and not is_finite(case)


def unnormalised(case: Case) -> bool:
    """Finite logits, target probabilities that do not sum to 1."""
    return is_finite(case) and not is_normalised(case)


def probabilities(case: Case) -> bool:
    """Finite logits and target probabilities that sum to 1."""
    return usual(case) and case.target_kind == "probabilities"


def one_hot(case: Case) -> bool:
    """Target probabilities that are one-hot rows; their weighted means differ from the index'."""
    if not probabilities(case):
        return False
    weighted_mean = case.options.weight is not None and case.options.reduction == "mean"
    return bool(np.all(case.targets.max(axis=1) == 1.0)) and not weighted_mean


def several_rows(case: Case) -> bool:
    """The usual, with something to separate."""
    return usual(case) and case.rows > 1


def recombinable(case: Case) -> bool:
    """Several rows of which every chunk has a mean: none ignored, no class weight of 0."""
    options = case.options
    light = options.weight is not None and bool(np.any(options.weight <= 0))
    return several_rows(case) and options.ignore_index is None and not light


def _has_denominator(case: Case, dialect: Dialect) -> bool:
    return case.options.reduction != "mean" or Reference(case, dialect).denominator > 0
