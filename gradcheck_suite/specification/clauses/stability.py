"""Range: large logits, gaps, rare and saturated classes, infinities and NaN."""

from gradcheck_suite.specification import domain
from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

_WIDE = 4099  # classes: a prime past 2^12, so that a whole block of any usual size is masked

CLAUSES = (
    Clause(
        "stability.large-logits",
        "MUST",
        "logits up to a quarter of the dtype's range do not overflow: rows under none; sum and "
        "mean where N gaps stay below half of the range; offsets up to ±1e6 within the bound, "
        "which knows the offset",
        check="in-range",
        origin="Blanchard, Higham and Higham 2021: the shift is what makes it stable",
        why="exp(89) is infinite in float32. A bound wider than the promised resolution passes "
        "nothing but finiteness, and the outcome says so.",
        cases=(
            Recipe(logits="huge"),
            Recipe(logits="far"),
            Recipe(logits="large", reduction="mean"),
            Recipe(logits="far", reduction="mean"),
            Recipe(logits="large", reduction="sum"),
            Recipe(logits="huge", targets="one-hot"),
        ),
    ),
    Clause(
        "stability.offset",
        "SHOULD",
        "at large offsets too the error is that of the differences f − max f: shift before "
        "subtracting, do not form lse at the offset's magnitude",
        check="strict-offset",
        origin="mlx#4169 #4188, optax#1792",
        why="lse − f_c with both at 1e6 has 0.06 for its last digit in float32.",
        cases=(
            Recipe(logits="far"),
            Recipe(logits="offset"),
            Recipe(logits="far", reduction="mean"),
        ),
    ),
    Clause(
        "stability.per-row-shift",
        "MUST",
        "every row is shifted by its own maximum, in whatever position that stands",
        check="in-range",
        why="The maximum of the batch, or the first column for the maximum, is right on the rows "
        "that tests are written with.",
        cases=(
            Recipe(logits="scattered"),
            Recipe(logits="scattered", reduction="mean"),
            Recipe(logits="scattered", targets="probabilities"),
            Recipe(rows=32, classes=100, logits="scattered"),
        ),
    ),
    Clause(
        "stability.gap",
        "MUST",
        "where p_c underflows the value stays lse − f_c: never infinite, never clipped",
        check="in-range",
        origin="Megatron#7464, sklearn log_loss",
        why="log(softmax) of an underflowed p is −inf; log(p + 1e-8) says 18.4 whatever the gap.",
        cases=(
            Recipe(logits="underflow"),
            Recipe(logits="underflow", reduction="mean"),
            Recipe(logits="underflow", targets="one-hot"),
            Recipe(logits="underflow", targets="probabilities"),
        ),
    ),
    Clause(
        "stability.rare-class",
        "MUST",
        "a class with tiny p, down to the smallest normal numbers, keeps its relative accuracy in "
        "the gradient; a filter that drops it is declared",
        check="rare-class",
        origin="cut-cross-entropy's gradient filter (which declares it)",
        why="The gradient of a rare token is small and adds up over many rows; filtered to 0 it "
        "never moves.",
        cases=(
            Recipe(logits="rarest"),
            Recipe(logits="rarest", reduction="sum"),
            Recipe(logits="rarest", targets="probabilities"),
            Recipe(rows=32, classes=100, logits="rarest"),
        ),
    ),
    Clause(
        "stability.saturated",
        "SHOULD",
        "as p_c → 1 the target's gradient is −Σ_{j≠c} p_j to relative accuracy, not p_c − 1 after "
        "rounding",
        check="saturated",
        origin="Liger#1268, pytorch#195678",
        why="In bfloat16 p_c − 1 is 0 or −2^-8 from p_c = 0.998 on: rows that are nearly learned "
        "stop learning. (The absolute bound on the same rows is gradient.analytic.)",
        cases=(
            Recipe(logits="saturating"),
            Recipe(logits="saturating", reduction="mean"),
            Recipe(rows=32, classes=100, logits="saturating"),
        ),
    ),
    Clause(
        "stability.minus-inf",
        "MUST",
        "with class indices a logit of −inf beside the target masks that class: a finite value, "
        "gradient 0 there; whole blocks of −inf too",
        check="minus-inf",
        origin="flash-attn#1930",
        why="0·(−inf) is NaN, and so is −inf − (−inf), the first step of a running maximum over a "
        "block that is masked as a whole.",
        domain=domain.masked,
        cases=(
            Recipe(logits="masked"),
            Recipe(rows=32, classes=100, logits="masked-blocks"),
            Recipe(logits="masked", reduction="mean"),
            Recipe(logits="masked", reduction="sum", upstream="three"),
            Recipe(rows=2, classes=_WIDE, logits="masked-blocks"),
        ),
    ),
    Clause(
        "stability.minus-inf-target",
        "DECLARED",
        "a logit of −inf at the target gives the value +inf, and the declared gradient in that "
        "row alone",
        check="minus-inf-target",
        why="A masked target is a bug of the caller. It must be seen, and not spoil the other rows "
        "of the batch.",
        cases=(
            Recipe(logits="masked-target"),
            Recipe(logits="masked-target", reduction="mean"),
        ),
    ),
    Clause(
        "stability.non-finite",
        "MUST",
        "NaN or +inf in a row gives NaN or an infinity in that row's value and gradient, in that "
        "row only, and never a plausible number",
        check="non-finite",
        origin="Liger#259",
        why="max() of a row drops a NaN in many languages: a diverged model then reports a loss.",
        cases=(
            Recipe(logits="nan"),
            Recipe(logits="plus-inf"),
            Recipe(logits="nan", reduction="mean"),
            Recipe(logits="plus-inf", reduction="sum"),
        ),
    ),
)
