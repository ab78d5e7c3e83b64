"""Modes: the answer does not depend on how the loss is run."""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

CLAUSES = (
    Clause(
        "mode.transformed",
        "MUST",
        "compiled (jax.jit, torch.compile) it is what it is eagerly, and under vmap what a loop "
        "gives, in value, gradient and errors; a mode that refuses the plainest case is not "
        "offered",
        check="transformed",
        origin="pytorch#135546 (compile), #105736 (vmap)",
        why="Under a tracer another branch is taken: decompositions, batching rules and checks of "
        "the targets have implementations of their own.",
        cases=(
            Recipe(reduction="mean", ignored=1),
            Recipe(upstream="signed"),
            Recipe(reduction="mean"),
            Recipe(targets="probabilities", upstream="signed"),
        ),
    ),
    Clause(
        "mode.device",
        "MUST",
        "on every device value and gradient agree with the CPU's, within the sum of both bounds",
        check="device",
        why="Every device has a kernel of its own, and a constant that stays behind on the first.",
        cases=(
            Recipe(),
            Recipe(reduction="mean", weight=True, ignored=1),
            Recipe(reduction="mean"),
            Recipe(targets="probabilities"),
            Recipe(reduction="mean", targets="probabilities"),
        ),
    ),
    Clause(
        "mode.partial-gradients",
        "MUST",
        "any subset of logits and target probabilities may require a gradient: what is asked for "
        "comes and is right, and the value is the same",
        check="partial-gradients",
        why="A backward that returns what it was not asked for, or takes one input's flag for the "
        "other's, is right for the one subset that training asks for.",
        cases=(
            Recipe(targets="probabilities", upstream="signed"),
            Recipe(reduction="mean", targets="probabilities"),
            Recipe(upstream="signed"),
            Recipe(reduction="mean"),
        ),
    ),
)
