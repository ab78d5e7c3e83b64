"""Values: what the loss is."""

from gradcheck_suite.specification import domain
from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import SEED_EXAMPLE, Recipe

CLAUSES = (
    Clause(
        "value.definition",
        "MUST",
        "a row's loss is −Σ_j τ_j log p_j = T·lse − Σ_j τ_j f_j; for class c without options "
        "lse − f_c",
        check="value",
        origin="seed: L = −log p_3 = −f_3 + log V(f)",
        why="A loss that is wrong together with its gradient is consistent with itself: no "
        "gradient checker sees it (a clipped log, a float64 path computed in float32).",
        domain=domain.usual,
        cases=(
            Recipe(),
            Recipe(reduction="mean"),
            SEED_EXAMPLE,
            Recipe(targets="probabilities"),
            Recipe(logits="wide"),
            Recipe(logits="rare"),
            Recipe(logits="saturated"),
            Recipe(logits="offset"),
            Recipe(reduction="mean", logits="wide"),
            Recipe(reduction="mean", logits="rare"),
            Recipe(reduction="mean", logits="offset"),
            Recipe(weight=True),
            Recipe(smoothing=0.1),
            Recipe(ignored=1),
            Recipe(weight=True, smoothing=0.1, ignored=1),
            Recipe(targets="probabilities", weight=True, smoothing=0.1),
            Recipe(rows=32, classes=100),
        ),
    ),
    Clause(
        "value.likelihood",
        "MUST",
        "Σ_i L_i = −log Π_i Π_j (p_j^(i))^(t_j^(i)): the sum of the rows is the negative log of "
        "the likelihood of independent observations",
        check="likelihood",
        origin="seed: the likelihood of several examples",
        why="The product of many small probabilities underflows; it is compared in log space.",
        cases=(
            Recipe(reduction="sum"),
            Recipe(),
            Recipe(rows=32, classes=100, reduction="sum"),
            Recipe(reduction="mean"),
            Recipe(reduction="sum", targets="probabilities"),
        ),
    ),
    Clause(
        "value.non-negative",
        "MUST",
        "the loss is ≥ 0 when t is a distribution, 0 in the limit p_c → 1, and log C for equal "
        "logits",
        check="non-negative",
        why="log(p + 1e-8) makes a saturated row's loss negative.",
        cases=(
            Recipe(logits="saturated"),
            Recipe(logits="equal"),
            Recipe(logits="equal", reduction="mean"),
            Recipe(logits="saturated", reduction="mean"),
            Recipe(logits="equal", targets="probabilities"),
            Recipe(logits="saturated", targets="one-hot"),
        ),
    ),
    Clause(
        "value.one-hot-equals-index",
        "MUST",
        "one-hot target probabilities and the class index give the same rows",
        check="one-hot-equals-index",
        origin="seed; pytorch#107680",
        why="Two code paths for one quantity: their denominators and weights drift apart.",
        domain=domain.one_hot,
        cases=(
            Recipe(targets="one-hot"),
            Recipe(targets="one-hot", reduction="sum"),
            Recipe(targets="one-hot", reduction="mean"),
            Recipe(targets="one-hot", weight=True),
        ),
    ),
    Clause(
        "value.shift-invariance",
        "MUST",
        "adding a constant to all logits of a row changes nothing, within the bound that the "
        "offset implies",
        check="shift-invariance",
        why="A maximum over the whole batch instead of the row passes at one offset and "
        "underflows at two.",
        domain=domain.usual,
        cases=(
            Recipe(),
            Recipe(reduction="mean"),
            Recipe(targets="probabilities"),
            Recipe(logits="offset"),
        ),
    ),
    Clause(
        "value.permutation",
        "MUST",
        "permuting the classes (with targets and weights) changes nothing; permuting the rows "
        "permutes the result",
        check="permutation",
        why="Block tails and off-by-one columns treat the last class or row differently.",
        domain=domain.usual,
        cases=(
            Recipe(),
            Recipe(reduction="mean"),
            Recipe(targets="probabilities"),
            Recipe(weight=True),
            Recipe(rows=32, classes=100),
        ),
    ),
    Clause(
        "value.zero-times-log-zero",
        "SHOULD",
        "a class with t_j = 0 contributes 0 even where its logit, hence log p_j, is −inf",
        check="value",
        origin="optax#896; torch gives NaN",
        why="Masked classes have logit −inf; 0·(−inf) is NaN and one such entry spoils a batch.",
        cases=(
            Recipe(targets="zero-mass"),
            Recipe(targets="zero-mass", reduction="mean"),
        ),
    ),
)
