"""The logit scale s, which is 1/temperature: logits z = s·f, and s once more in the gradient."""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

_COLD, _HOT = 3.0, 0.375  # 1/temperature; exact in every dtype, and no power of two

CLAUSES = (
    Clause(
        "scale.value",
        "MUST",
        "with a logit scale s (1/temperature) the logits are z = s·f, and a row is lse(z) − z_c",
        check="value",
        why="Distillation multiplies by the temperature squared, contrastive losses store log s: "
        "which of these a number is shows in the value alone.",
        cases=(
            Recipe(logit_scale=_COLD),
            Recipe(logit_scale=_COLD, reduction="mean"),
            Recipe(logit_scale=_COLD, reduction="sum"),
            Recipe(logit_scale=_HOT, logits="wide"),
            Recipe(logit_scale=_HOT, logits="wide", reduction="mean"),
            Recipe(logit_scale=_COLD, targets="probabilities"),
            Recipe(logit_scale=_COLD, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "scale.gradient",
        "MUST",
        "the gradient in f is s·(T·p − τ), with p of s·f, element by element, times u (/ den)",
        check="gradient",
        why="The factor of the chain rule is left out of a backward that is written by hand, or "
        "multiplied in twice: a learning rate hides either.",
        cases=(
            Recipe(logit_scale=_COLD, upstream="signed"),
            Recipe(logit_scale=_COLD, reduction="mean"),
            Recipe(logit_scale=_HOT, reduction="sum", upstream="three"),
            Recipe(logit_scale=_HOT, logits="wide"),
            Recipe(logit_scale=_HOT, logits="wide", reduction="mean"),
            Recipe(logit_scale=_COLD, targets="probabilities", upstream="signed"),
            Recipe(logit_scale=_COLD, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "scale.combined",
        "MUST",
        "with class weights, ignored rows, smoothing and a soft cap: z = cap·tanh(s·f/cap), scaled "
        "before it is capped",
        check="reduction",
        why="Capped first and scaled then, the logits reach s·cap; and a smoothing term of the "
        "logits as they came is right for s = 1 alone.",
        cases=(
            Recipe(logit_scale=_COLD, weight=True, ignored=1, smoothing=0.1, reduction="mean"),
            Recipe(logit_scale=_COLD, weight=True, ignored=1, smoothing=0.1, upstream="signed"),
            Recipe(logit_scale=_COLD, softcap=2.0, upstream="signed"),
            Recipe(logit_scale=_HOT, softcap=2.0, reduction="mean"),
            Recipe(logit_scale=_COLD, smoothing=0.1, reduction="mean"),
            Recipe(logit_scale=_COLD, smoothing=0.1, upstream="signed"),
            Recipe(logit_scale=_COLD, ignored=1, reduction="mean"),
            Recipe(logit_scale=_COLD, targets="probabilities", smoothing=0.1, reduction="mean"),
            Recipe(rows=32, classes=100, logit_scale=_HOT, ignored=5, reduction="mean"),
        ),
    ),
)
