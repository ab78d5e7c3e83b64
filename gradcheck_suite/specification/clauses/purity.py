"""Purity: a loss computes, and touches nothing else."""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

CLAUSES = (
    Clause(
        "purity.global-state",
        "MUST",
        "seeds, default dtype, thread counts, grad mode, configuration and warnings filters are "
        "after a call as they were before",
        check="global-state",
        why="A loss that seeds the generator, or switches x64 on, changes every other result of "
        "the process.",
        cases=(
            Recipe(),
            Recipe(reduction="mean"),
            Recipe(targets="probabilities"),
            Recipe(reduction="mean", targets="probabilities"),
        ),
    ),
    Clause(
        "purity.inputs",
        "MUST",
        "logits, targets, weights and upstream are byte for byte as they were, after a forward "
        "without gradient tracking, a forward with it, and a backward (or the logits are declared "
        "destroyed)",
        check="inputs",
        origin="Liger#272, unsloth#5002, Megatron#1594",
        why="A kernel that keeps its gradient in the logits' memory saves a copy, and corrupts "
        "whatever else was computed from them.",
        cases=(
            Recipe(),
            Recipe(reduction="mean", ignored=1),
            Recipe(targets="unnormalised", upstream="signed"),
            Recipe(reduction="mean", weight=True),
            Recipe(reduction="sum", targets="probabilities", weight=True, smoothing=0.1),
            Recipe(reduction="mean"),
            Recipe(reduction="sum"),
            Recipe(reduction="mean", targets="unnormalised"),
        ),
    ),
    Clause(
        "purity.repeat",
        "MUST",
        "a second call, a second backward through one graph with another upstream, and a backward "
        "after another call give the right answer; earlier results stay as they were (a second "
        "backward may raise where that is declared)",
        check="repeat",
        origin="quack#209; Liger: a second backward multiplies by both upstreams",
        why="A backward that scales the saved gradient in place is right once; a result kept in a "
        "buffer of the function is right until the next call.",
        cases=(
            Recipe(upstream="signed"),
            Recipe(reduction="mean", upstream="three"),
            Recipe(targets="probabilities", upstream="signed"),
            Recipe(reduction="mean", targets="probabilities"),
            Recipe(reduction="sum", upstream="three"),
        ),
    ),
    Clause(
        "purity.composition",
        "MUST",
        "a loss that shares its logits with another loss, and with an operation that saved them, "
        "leaves both gradients right, whichever is computed first",
        check="composition",
        origin="Liger#272, unsloth#5002",
        why="A kernel writes behind autograd's back: no version counter tells that the saved "
        "logits are not the logits any more.",
        cases=(
            Recipe(upstream="signed"),
            Recipe(reduction="mean"),
            Recipe(targets="probabilities", upstream="signed"),
            Recipe(reduction="mean", targets="probabilities"),
            Recipe(reduction="sum"),
        ),
    ),
    Clause(
        "purity.no-grad",
        "MUST",
        "the value without gradient tracking is the value with it, and that call changes nothing: "
        "neither its inputs nor what a tracked call answers after it",
        check="no-grad",
        origin="Liger#930",
        why="Evaluation takes another path than training, and nobody differentiates it.",
        cases=(
            Recipe(),
            Recipe(reduction="mean", ignored=1),
            Recipe(reduction="mean"),
            Recipe(targets="probabilities"),
            Recipe(reduction="mean", targets="probabilities"),
            Recipe(reduction="sum"),
        ),
    ),
    Clause(
        "purity.determinism",
        "MUST",
        "the same inputs give the same bits, in value and gradient (or results that differ within "
        "the bound of rounding, where that is declared)",
        check="determinism",
        why="A run that cannot be repeated cannot be debugged; noise within the tolerance hides a "
        "race, or dropout that was left on.",
        cases=(
            Recipe(reduction="mean"),
            Recipe(),
            Recipe(rows=32, classes=100),
            Recipe(targets="probabilities"),
            Recipe(reduction="mean", targets="probabilities"),
        ),
    ),
)
