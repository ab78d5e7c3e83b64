"""The keyword ``axis``: on which axis of the logits (and of probabilities) the classes are.

Asked of who declares it, ``options=("axis",)``: in a signature the word may mean another axis.
Where the place of the classes is fixed, ``ranks=`` and ``class_axis=`` declare it (layout.rank).
"""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

_DEEP = (2, 3)  # N and d; the classes between them, or behind

CLAUSES = (
    Clause(
        "axis.first",
        "MUST",
        "with axis=0 the logits are (C, N), and value and gradient are those of their transpose; "
        "axis counts from behind too",
        check="reduction",
        why="One of max, sum, gather and mean is left at the last axis, where it finds numbers as "
        "well.",
        cases=(
            Recipe(axis=0, upstream="signed"),
            Recipe(axis=0, reduction="mean"),
            Recipe(axis=0, reduction="sum", upstream="three"),
            Recipe(axis=-2, upstream="signed"),
            Recipe(axis=-1, upstream="signed"),
            Recipe(axis=0, targets="probabilities", upstream="signed"),
            Recipe(axis=0, targets="probabilities", reduction="mean"),
            Recipe(rows=32, classes=100, axis=0, upstream="signed"),
        ),
    ),
    Clause(
        "axis.middle",
        "MUST",
        "with axis=1 logits (N, C, d) have their classes in the middle, rows (N, d), and their "
        "mean is over all of these",
        check="reduction",
        why="Reshaped to rows before the classes are moved behind, the rows are made of several "
        "pixels' classes. Asked where ranks= declares a rank of 3.",
        cases=(
            Recipe(batch=_DEEP, axis=1, upstream="signed"),
            Recipe(batch=_DEEP, axis=1, reduction="mean"),
            Recipe(batch=_DEEP, axis=0, upstream="signed"),
            Recipe(batch=_DEEP, axis=-2, upstream="signed"),
            Recipe(batch=_DEEP, axis=2, upstream="signed"),
            Recipe(batch=_DEEP, axis=1, targets="probabilities", upstream="signed"),
            Recipe(batch=_DEEP, axis=1, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "axis.combined",
        "MUST",
        "class weights, smoothing, ignored rows and masks follow the classes to their axis: ε/C "
        "has the number of classes, wherever they are",
        check="reduction",
        origin="Keras 3.15.1 (smoothing with axis ≠ −1)",
        why="C is read off the last axis: ε/N is a smoothing too, and the loss goes down.",
        cases=(
            Recipe(axis=0, smoothing=0.1, upstream="signed"),
            Recipe(axis=0, smoothing=0.1, reduction="mean"),
            Recipe(axis=0, targets="probabilities", smoothing=0.1, upstream="signed"),
            Recipe(axis=0, targets="probabilities", smoothing=0.1, reduction="mean"),
            Recipe(batch=_DEEP, axis=1, targets="probabilities", smoothing=0.1, upstream="signed"),
            Recipe(axis=0, weight=True, upstream="signed"),
            Recipe(axis=0, weight=True, ignored=1, smoothing=0.1, reduction="mean"),
            Recipe(axis=0, ignored=1, reduction="mean"),
            Recipe(axis=0, ignored=1, upstream="signed"),
            Recipe(axis=0, mask="rows", upstream="signed"),
            Recipe(axis=0, targets="probabilities", mask="rows", upstream="signed"),
            Recipe(batch=_DEEP, axis=1, weight=True, ignored=2, reduction="mean"),
        ),
    ),
)
