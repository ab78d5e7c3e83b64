"""Gradients: the derivative of the loss in the logits, and in target probabilities."""

from gradcheck_suite.specification import domain
from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import SEED_EXAMPLE, Recipe

CLAUSES = (
    Clause(
        "gradient.analytic",
        "MUST",
        "the gradient is T·p − τ (p − t for a distribution without options), element by "
        "element, times u and over the mean's denominator",
        check="gradient",
        origin="seed: ∂L/∂f_i = p_i − t_i",
        why="Comparisons with a fixed absolute tolerance never check the off-target entries of "
        "a wide vocabulary: each of them is smaller than the tolerance.",
        domain=domain.usual,
        cases=(
            Recipe(upstream="signed"),
            Recipe(reduction="mean"),
            SEED_EXAMPLE,
            Recipe(reduction="mean", ignored=1),
            Recipe(reduction="mean", ignored=1, weight=True),
            Recipe(reduction="sum"),
            Recipe(targets="probabilities", upstream="signed"),
            Recipe(targets="probabilities", reduction="mean"),
            Recipe(logits="wide"),
            Recipe(logits="rare"),
            Recipe(logits="saturated"),
            Recipe(reduction="mean", logits="wide"),
            Recipe(reduction="mean", logits="rare"),
            Recipe(reduction="mean", logits="saturated"),
            Recipe(reduction="mean", logits="offset"),
            Recipe(smoothing=0.1, upstream="signed"),
            Recipe(weight=True, smoothing=0.1, ignored=1, reduction="mean"),
            Recipe(targets="probabilities", weight=True, smoothing=0.1, reduction="mean"),
            Recipe(rows=32, classes=100, reduction="mean"),
        ),
    ),
    Clause(
        "gradient.sign",
        "MUST",
        "for a class target and u > 0 the gradient is negative at the target and positive "
        "elsewhere, wherever the exact value exceeds its own bound; u < 0 reverses the signs",
        check="sign",
        origin="seed: ∂L/∂f_3 < 0 and the other three > 0",
        why="A loss that is maximised trains, for a while, without an error message.",
        cases=(
            Recipe(upstream="signed"),
            Recipe(reduction="mean"),
            SEED_EXAMPLE,
            Recipe(reduction="sum", upstream="negative"),
        ),
    ),
    Clause(
        "gradient.row-sum-zero",
        "MUST",
        "the entries of each row of the gradient sum to 0 within rounding",
        check="row-sum-zero",
        origin="shift invariance, differentiated",
        why="A dropped column or a clipped entry leaves a sum behind, whatever the values are.",
        cases=(
            Recipe(upstream="signed"),
            Recipe(reduction="mean"),
            Recipe(targets="probabilities"),
            Recipe(weight=True, smoothing=0.1, reduction="mean"),
            Recipe(rows=32, classes=100, reduction="sum"),
        ),
    ),
    Clause(
        "gradient.finite-difference",
        "MUST",
        "the gradient is the derivative of the implementation's own value",
        check="finite-difference",
        origin="the definition of a derivative",
        why="Forward and backward are written apart and drift apart.",
        cases=(
            Recipe(),
            Recipe(reduction="mean", ignored=1),
            Recipe(reduction="sum", targets="probabilities"),
            Recipe(reduction="mean", weight=True, smoothing=0.1),
            Recipe(rows=32, classes=100),
            Recipe(rows=32, classes=100, reduction="mean"),
        ),
    ),
    Clause(
        "gradient.chain-rule",
        "MUST",
        "Σ_j (∂L/∂p_j)(∂p_j/∂f_i) with ∂L/∂p_j = −τ_j/p_j and ∂p_j/∂f_i = p_j(δ_ij − p_i) equals "
        "the gradient",
        check="chain-rule",
        origin="seed: ∂L/∂f_1 = (−1/p_3)(−p_1 p_3) = p_1",
        why="The long way round and the short one must meet: it is how the seed derives p − t.",
        cases=(
            Recipe(reduction="mean"),
            SEED_EXAMPLE,
            Recipe(targets="probabilities"),
        ),
    ),
    Clause(
        "gradient.upstream",
        "MUST",
        "the gradient is linear in the upstream cotangent u: 1, 3, negative, 0, and a different "
        "one in every row under none",
        check="upstream",
        origin="Liger#680 #968, TE#2139 #2402",
        why="Fused kernels compute the gradient in forward and scale it in backward: by the "
        "first row's u, or not at all.",
        cases=(
            Recipe(upstream="signed"),
            Recipe(upstream="three"),
            Recipe(upstream="zero"),
            Recipe(reduction="mean", upstream="negative"),
            Recipe(reduction="sum", upstream="three"),
            Recipe(reduction="mean", upstream="zero"),
            Recipe(upstream="signed", targets="probabilities"),
        ),
    ),
    Clause(
        "gradient.targets",
        "DECLARED",
        "the gradient in target probabilities is −(1−ε) w_j log p_j · u / den, also where "
        "t_j = 0; None, or a cut graph, is a failure unless the dialect says absent",
        check="target-gradient",
        origin="tensorflow#26495, Paddle",
        why="Distillation trains the teacher's side too; a silent zero there stops it.",
        domain=domain.probabilities,
        cases=(
            Recipe(targets="probabilities", upstream="signed"),
            Recipe(targets="probabilities", reduction="mean"),
            Recipe(targets="probabilities", reduction="sum", weight=True, smoothing=0.1),
        ),
    ),
    Clause(
        "gradient.unnormalised-targets",
        "DECLARED",
        "where Σt ≠ 1 value and gradient agree with each other: T·lse − Σ τf and T·p − τ; an "
        "implementation that assumes T = 1 declares it",
        check="unnormalised",
        origin="meganeura#102, sklearn#24515",
        why="p − t is hard-wired in many backward kernels; mixup and label weights break it.",
        domain=domain.unnormalised,
        cases=(
            Recipe(targets="unnormalised"),
            Recipe(targets="unnormalised", reduction="mean"),
            Recipe(targets="unnormalised", reduction="sum", upstream="three"),
        ),
    ),
    Clause(
        "gradient.ties",
        "MUST",
        "equal logits, and ties at the maximum, are ordinary points: the gradient is T·p − τ "
        "there too",
        check="gradient",
        why="A gradient that flows through max() picks one of the tied classes.",
        cases=(
            Recipe(logits="tied"),
            Recipe(logits="equal"),
            Recipe(logits="equal", reduction="mean"),
            Recipe(logits="tied", targets="probabilities"),
        ),
    ),
)
