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
            # One index each, for the device that is lost after the first of the three.
            Recipe(outside="next"),
            Recipe(outside="past"),
        ),
    ),
    Clause(
        "reject.shape",
        "SHOULD",
        "targets or class weights whose shape does not fit the logits are refused with an error; "
        "targets of shape (N, 1) may stand for (N,)",
        check="rejected-shape",
        origin="NumPy's broadcasting: (N, C) against (N, 1) is N×N, or (N, C), and a mean of it a "
        "number",
        why="One row of probabilities broadcast over the batch, or a label column that was not "
        "squeezed, trains on the wrong labels for as long as nobody looks.",
        cases=(
            Recipe(),
            Recipe(targets="probabilities"),
            Recipe(weight=True),
        ),
    ),
    Clause(
        "reject.dtype",
        "SHOULD",
        "class indices that are no integers are refused with an error",
        check="rejected-dtype",
        origin="targets.long() of probabilities that were meant",
        why="A cast makes class 0 of every probability below 1, and a loss that falls.",
        cases=(Recipe(),),
    ),
    Clause(
        "reject.reduction",
        "SHOULD",
        "an unknown reduction is refused with an error",
        check="rejected-reduction",
        origin="if reduction == 'sum': … else: mean",
        why="A misspelt reduction that falls through to another one changes the learning rate by "
        "the size of the batch.",
        cases=(Recipe(),),
    ),
)
