"""Precision: the forward error of a stable algorithm in the dtype, and no more."""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

_WIDE = 4099  # classes: a prime past 2^12, so that every block leaves a tail

CLAUSES = (
    Clause(
        "precision.value",
        "MUST",
        "the value errs by no more than the forward-error bound of a stable algorithm in the "
        "dtype and the declared accumulation",
        check="precision-value",
        origin="Blanchard, Higham and Higham 2021 (docs/bounds.md)",
        why="A float64 loss that passes through float32 is right to seven digits, and every "
        "tolerance of 1e-5 accepts it.",
        cases=(
            Recipe(logits="wide"),
            Recipe(rows=32, classes=100),
            Recipe(logits="saturating"),
            Recipe(rows=32, classes=100, reduction="mean"),
            Recipe(logits="wide", targets="probabilities"),
            Recipe(rows=32, classes=100, logits="wide", targets="probabilities"),
        ),
    ),
    Clause(
        "precision.gradient",
        "MUST",
        "every element of the gradient errs by no more than its forward-error bound in the dtype "
        "and the declared accumulation",
        check="precision-gradient",
        origin="Blanchard, Higham and Higham 2021 (docs/bounds.md); TE#3193",
        why="Off-target elements are small; an absolute tolerance accepts 0 for all of them.",
        cases=(
            Recipe(logits="wide"),
            Recipe(rows=32, classes=100),
            Recipe(logits="saturating"),
            Recipe(rows=32, classes=100, reduction="mean"),
            Recipe(logits="wide", targets="probabilities"),
            Recipe(rows=32, classes=100, logits="wide", targets="probabilities"),
        ),
    ),
    Clause(
        "precision.accumulation",
        "MUST",
        "sums over many classes and many rows are accumulated in float32 or better unless "
        "declared; over equal logits, where every order of summation is exact, no class is lost",
        check="accumulation",
        origin="pytorch#85791",
        why="A sum of ones in bfloat16 stands still at 256; a block's tail that is masked out is "
        "one class of many.",
        cases=(
            Recipe(rows=2, classes=_WIDE, logits="equal"),
            Recipe(rows=4099, classes=5, logits="alike", reduction="mean"),
        ),
    ),
)
