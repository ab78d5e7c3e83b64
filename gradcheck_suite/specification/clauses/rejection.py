"""Rejection: what is outside the contract is refused, never answered with a number."""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

CLAUSES = (
    Clause(
        "reject.target-range",
        "DECLARED",
        "a class index outside [0, C) raises, or gives NaN in the value and in the row's "
        "gradient; never a neighbour's value, never a finite lie",
        check="target-range",
        choice="out_of_range",
        origin="optax, mlx, tinygrad",
        why="An unmasked padding index trains on another class's logit. Probed with −1, C and "
        "C + 1.",
        cases=(
            Recipe(),
            Recipe(reduction="mean"),
        ),
    ),
)
