"""The z-loss: λ·lse² for every valid row, which keeps log Σ exp near 0."""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

_LARGE, _SMALL = 0.25, 2.0**-10  # large enough to be seen, and near what is in use (1e-4)

CLAUSES = (
    Clause(
        "z-loss.value",
        "MUST",
        "with a z-loss every row pays λ·lse² more: the square of log Σ exp z at the logits' own "
        "magnitude",
        check="value",
        origin="PaLM (Chowdhery et al. 2023, section 5)",
        why="lse without the maximum that was taken out for stability is another number; so is "
        "the square of the loss.",
        cases=(
            Recipe(z_loss=_LARGE),
            Recipe(z_loss=_LARGE, reduction="sum"),
            Recipe(z_loss=_LARGE, reduction="mean"),
            Recipe(z_loss=_SMALL, logits="offset"),
            Recipe(z_loss=_LARGE, logits="wide", reduction="mean"),
            Recipe(z_loss=_LARGE, targets="probabilities"),
            Recipe(z_loss=_LARGE, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "z-loss.gradient",
        "MUST",
        "the z-loss adds 2λ·lse·p to the gradient: (T + 2λ·lse)·p − τ, times u (/ den)",
        check="gradient",
        origin="PaLM; flash-attn, Liger (lse_square_scale)",
        why="A factor of 2, the p, or the scale of the reduction is lost in a backward that adds "
        "the two losses by hand.",
        cases=(
            Recipe(z_loss=_LARGE, upstream="signed"),
            Recipe(z_loss=_LARGE, reduction="mean"),
            Recipe(z_loss=_LARGE, reduction="sum", upstream="three"),
            Recipe(z_loss=_SMALL, logits="offset"),
            Recipe(z_loss=_LARGE, logits="saturated", reduction="mean"),
            Recipe(z_loss=_LARGE, targets="probabilities", upstream="signed"),
            Recipe(z_loss=_LARGE, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "z-loss.ignored",
        "MUST",
        "an ignored row pays no z-loss, in value and in gradient",
        check="ignored",
        why="The z-loss needs no target: the mask that the target brings does not reach it.",
        cases=(
            Recipe(z_loss=_LARGE, ignored=2),
            Recipe(z_loss=_LARGE, ignored=2, upstream="signed"),
            Recipe(z_loss=_LARGE, ignored=2, reduction="sum"),
            Recipe(z_loss=_LARGE, ignored=1, ignore_index=0),
            Recipe(z_loss=_LARGE, ignored=1, ignore_index=0, reduction="sum"),
        ),
    ),
    Clause(
        "z-loss.normalisation",
        "DECLARED",
        "under mean the z-loss is divided as the rows are, or by the number of valid rows, as "
        "declared (z_loss_mean), in value and gradient alike",
        check="z-loss-mean",
        origin="Liger 0.8.5 divides by the valid rows, beside rows that are divided by Σ w",
        why="With class weights, or where padding counts, the two are not the same; and neither "
        "is the number of all rows.",
        cases=(
            Recipe(z_loss=_LARGE, ignored=1, reduction="mean"),
            Recipe(z_loss=_LARGE, weight=True, reduction="mean"),
            Recipe(z_loss=_LARGE, weight=True, ignored=1, smoothing=0.1, reduction="mean"),
            Recipe(z_loss=_LARGE, targets="probabilities", weight=True, reduction="mean"),
            Recipe(rows=32, classes=100, z_loss=_SMALL, ignored=5, reduction="mean"),
        ),
    ),
    Clause(
        "z-loss.off",
        "MUST",
        "λ = 0 is no z-loss: value and gradient are those without it",
        check="reduction",
        why="0 is falsy, and the default of the signature stands in for it.",
        cases=(
            Recipe(z_loss=0.0, upstream="signed"),
            Recipe(z_loss=0.0, reduction="mean"),
            Recipe(z_loss=0.0, reduction="sum"),
            Recipe(z_loss=0.0, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "z-loss.combined",
        "MUST",
        "the z-loss is of the logits as they are scaled and capped, and knows neither class "
        "weights nor smoothing",
        check="reduction",
        origin="Liger 0.8.5",
        why="Added to the row before the class weight is multiplied in, it is weighted; lse of "
        "the logits before the cap is at hand as well.",
        cases=(
            Recipe(z_loss=_LARGE, weight=True, upstream="signed"),
            Recipe(z_loss=_LARGE, weight=True, reduction="sum"),
            Recipe(z_loss=_LARGE, smoothing=0.1, reduction="mean"),
            Recipe(z_loss=_LARGE, smoothing=0.1, upstream="signed"),
            Recipe(z_loss=_LARGE, weight=True, ignored=1, smoothing=0.1, upstream="signed"),
            Recipe(z_loss=_LARGE, softcap=2.0, upstream="signed"),
            Recipe(z_loss=_LARGE, softcap=2.0, reduction="mean"),
            Recipe(z_loss=_LARGE, logit_scale=3.0, upstream="signed"),
            Recipe(z_loss=_LARGE, logit_scale=3.0, softcap=2.0, reduction="mean"),
            Recipe(z_loss=_LARGE, targets="probabilities", weight=True, upstream="signed"),
        ),
    ),
    Clause(
        "z-loss.derivatives",
        "MUST",
        "forward mode and second order know the z-loss: 2λ(lse·(diag p − p pᵀ) + p pᵀ) more in the "
        "Hessian, or they raise",
        check="unsupported-raises",
        why="lse is kept from the forward pass, and is a constant to whoever differentiates the "
        "backward.",
        cases=(
            Recipe(z_loss=_LARGE),
            Recipe(z_loss=_LARGE, reduction="mean"),
            Recipe(z_loss=_LARGE, targets="probabilities"),
        ),
    ),
)
