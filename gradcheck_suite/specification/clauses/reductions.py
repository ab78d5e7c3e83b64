"""Reductions and batches: from rows to the number that is minimised."""

from gradcheck_suite.specification import domain
from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

CLAUSES = (
    Clause(
        "reduction.none",
        "MUST",
        "none gives the rows, one loss per observation, in value and in gradient",
        check="reduction",
        cases=(
            Recipe(ignored=2, weight=True),
            Recipe(upstream="signed"),
            Recipe(targets="probabilities"),
        ),
    ),
    Clause(
        "reduction.sum",
        "MUST",
        "sum gives Σ rows, in value and in gradient",
        check="reduction",
        cases=(
            Recipe(reduction="sum", ignored=2, weight=True),
            Recipe(reduction="sum"),
            Recipe(reduction="sum", targets="probabilities"),
        ),
    ),
    Clause(
        "reduction.mean",
        "MUST",
        "mean gives Σ rows over the declared denominator, the same one in value and in gradient",
        check="reduction",
        origin="seed: J = (1/m) Σ L; TE#1879, burn#5568",
        why="The denominator has three honest choices and many dishonest ones: ignored rows "
        "that count, class weights that do not.",
        cases=(
            Recipe(reduction="mean", ignored=2, weight=True),
            Recipe(reduction="mean"),
            Recipe(reduction="mean", weight=True),
            Recipe(reduction="mean", ignored=1),
            Recipe(reduction="mean", ignored=1, smoothing=0.1),
            Recipe(reduction="mean", targets="probabilities", weight=True),
            Recipe(reduction="mean", targets="probabilities"),
            Recipe(rows=32, classes=100, reduction="mean", ignored=5),
        ),
    ),
    Clause(
        "reduction.mean-gradient",
        "MUST",
        "J = (1/m) Σ_i L^(i) has the gradient (p^(i) − t^(i))/m in row i",
        check="mean-gradient",
        origin="seed: the gradient of the cost J",
        why="A missing 1/m hides in the learning rate until the batch size changes.",
        cases=(
            Recipe(reduction="mean"),
            Recipe(reduction="mean", targets="probabilities"),
            Recipe(rows=32, classes=100, reduction="mean"),
        ),
    ),
    Clause(
        "batch.shared-bias",
        "MUST",
        "a bias that all rows share has the gradient (1/m) Σ_i (p^(i) − t^(i))",
        check="shared-bias",
        origin="seed: (1/m) Σ_i (p^(i) − t^(i))",
        cases=(
            Recipe(reduction="mean"),
            Recipe(reduction="mean", targets="probabilities"),
            Recipe(reduction="sum"),
            Recipe(),
        ),
    ),
    Clause(
        "batch.independence",
        "MUST",
        "a row's value and gradient do not depend on the other rows",
        check="independence",
        why="A shift by the batch's maximum, a normalisation over the wrong axis, a kernel that "
        "reads its neighbour's lane.",
        domain=domain.several_rows,
        cases=(
            Recipe(),
            Recipe(reduction="sum"),
            Recipe(reduction="mean"),
            Recipe(logits="offset"),
            Recipe(targets="probabilities"),
            Recipe(rows=32, classes=100),
        ),
    ),
    Clause(
        "batch.concatenation",
        "MUST",
        "rows computed in chunks recombine to the whole, with unequal numbers of valid rows per "
        "chunk too",
        check="concatenation",
        origin="transformers#34191, torchtune#1875",
        why="Gradient accumulation that averages means weighs a short batch like a long one.",
        domain=domain.recombinable,
        cases=(
            Recipe(reduction="mean", ignored=1),
            Recipe(reduction="mean", weight=True, ignored=1),
            Recipe(reduction="mean"),
            Recipe(reduction="sum", ignored=1),
            Recipe(),
            Recipe(reduction="mean", targets="probabilities"),
        ),
    ),
    Clause(
        "batch.degenerate",
        "DECLARED",
        "one observation keeps its axis; one class gives loss 0 and gradient 0; no rows give an "
        "empty result, a sum of 0, and the declared mean",
        check="degenerate",
        why="squeeze() removes the batch axis of a batch of one, which the last batch of an "
        "epoch may be.",
        cases=(
            Recipe(rows=1, classes=5),
            Recipe(rows=1, classes=5, reduction="mean"),
            Recipe(rows=4, classes=1),
            Recipe(rows=4, classes=1, reduction="mean"),
            Recipe(rows=0, classes=5, reduction="mean"),
            Recipe(rows=0, classes=5),
            Recipe(rows=0, classes=5, reduction="sum"),
        ),
    ),
)
