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
        cases=(Recipe(), Recipe(reduction="mean")),
    ),
)
