"""Forward mode and second order, where an implementation offers them."""

from gradcheck_suite.specification import domain
from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import SEED_EXAMPLE, Recipe

_PLAIN = (
    Recipe(),
    Recipe(reduction="mean"),
    Recipe(reduction="mean", ignored=1),
    Recipe(reduction="sum", targets="probabilities"),
    Recipe(reduction="mean", weight=True, smoothing=0.1),
)

CLAUSES = (
    Clause(
        "jvp.analytic",
        "MUST",
        "the derivative along v by forward mode is Σ_i (T p_i − τ_i) v_i in every row",
        check="jvp",
        origin="pytorch linear_cross_entropy: jvp = 0 when chunked",
        why="Forward mode has its own rule, written by hand, that no backward test runs.",
        domain=domain.usual,
        cases=(*_PLAIN, SEED_EXAMPLE),
    ),
    Clause(
        "jvp.pairing",
        "MUST",
        "⟨u, jvp(v)⟩ = ⟨vjp(u), v⟩ to rounding: forward and reverse are one linear map",
        check="pairing",
        origin="the definition of the transpose",
        why="The sharpest test of two modes against each other: it has no truncation error.",
        cases=(
            Recipe(upstream="signed"),
            Recipe(reduction="mean"),
            Recipe(reduction="mean", weight=True, ignored=1),
            Recipe(reduction="sum", targets="probabilities"),
        ),
    ),
    Clause(
        "hessian.analytic",
        "MUST",
        "a row's Hessian is T·(diag p − p pᵀ): symmetric, positive semi-definite, and the "
        "constant vector is its null vector",
        check="hessian",
        why="Second order through a custom backward silently differentiates a constant.",
        domain=domain.usual,
        cases=(*_PLAIN, Recipe(upstream="signed")),
    ),
    Clause(
        "hessian.finite-difference",
        "MUST",
        "the Hessian-vector product is the derivative of the implementation's own gradient",
        check="hessian-finite-difference",
        cases=(
            Recipe(),
            Recipe(reduction="mean"),
            Recipe(reduction="mean", ignored=1),
            Recipe(reduction="sum", targets="probabilities"),
        ),
    ),
    Clause(
        "hessian.mixed",
        "MUST",
        "∂²L/∂f∂t = p 1ᵀ − I (times (1−ε)w), and both orders of differentiation agree",
        check="mixed",
        origin="tensorflow#26495: all zeros",
        why="Where only one of the two gradients is differentiable, the mixed one is zero.",
        cases=(
            Recipe(targets="probabilities"),
            Recipe(targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "derivative.unsupported-raises",
        "MUST",
        "a derivative that the implementation does not support raises; it never returns a number",
        check="unsupported-raises",
        origin="torch linear_cross_entropy",
        why="Probed through an upstream that depends on the logits (l²): a Hessian that misses "
        "its second half looks like a Hessian.",
        cases=(
            Recipe(),
            Recipe(reduction="mean"),
            Recipe(reduction="sum"),
        ),
    ),
)
