"""Masks over classes: a class that takes no part has p = 0, whatever its logit is.

Every row has a class that takes part, and its target does. With smoothing nothing is asked: ε/C
over all the classes and ε over those that take part both make sense, and no implementation known
to us has both options. Nor is a row of which no class takes part.
"""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

CLAUSES = (
    Clause(
        "mask.value",
        "MUST",
        "the sum of exponentials is over the classes that take part: a row is "
        "log Σ_{j in mask} exp f_j − f_c",
        check="value",
        origin="optax 0.2.8 (where=)",
        why="A mask on the loss, or on the probabilities after they were normalised, leaves the "
        "masked classes in the sum; one that multiplies the logits gives them a logit of 0.",
        cases=(
            Recipe(mask="rows"),
            Recipe(mask="rows", reduction="mean"),
            Recipe(mask="rows", reduction="sum"),
            Recipe(classes=7, mask="shared"),
            Recipe(classes=7, mask="shared", reduction="mean"),
            Recipe(mask="rows", targets="probabilities"),
            Recipe(mask="rows", targets="probabilities", reduction="mean"),
            Recipe(rows=32, classes=100, mask="rows"),
        ),
    ),
    Clause(
        "mask.gradient",
        "MUST",
        "the gradient is p − t over the classes that take part, and exactly 0 at the others",
        check="gradient",
        origin="optax 0.2.8 (where=)",
        why="What leaks into a masked class moves its weights: those of padding, or of an action "
        "that is not legal.",
        cases=(
            Recipe(mask="rows", upstream="signed"),
            Recipe(mask="rows", reduction="mean"),
            Recipe(mask="rows", reduction="sum", upstream="three"),
            Recipe(classes=7, mask="shared", upstream="signed"),
            Recipe(classes=7, mask="shared", reduction="mean"),
            Recipe(mask="rows", targets="probabilities", upstream="signed"),
            Recipe(mask="rows", targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "mask.range",
        "MUST",
        "the maximum that is subtracted is that of the classes that take part; and they stay alone "
        "at any offset",
        check="in-range",
        why="Shifted by the maximum of a masked class, every exponential underflows and the "
        "logarithm is −inf; filled with −1e4, a masked class outweighs logits of −1e6.",
        cases=(
            Recipe(mask="above"),
            Recipe(mask="above", reduction="mean"),
            Recipe(logits="far", mask="rows"),
            Recipe(logits="far", mask="rows", reduction="mean"),
            Recipe(mask="above", targets="probabilities"),
        ),
    ),
    Clause(
        "mask.non-finite",
        "SHOULD",
        "what a masked logit holds, NaN and infinities too, reaches neither value nor gradient",
        check="reduction",
        why="A vocabulary that is padded to a multiple of 64 holds what memory held; 0·NaN is NaN.",
        cases=(
            Recipe(mask="poisoned", upstream="signed"),
            Recipe(mask="poisoned", reduction="mean"),
            Recipe(mask="poisoned", targets="probabilities"),
        ),
    ),
    Clause(
        "mask.combined",
        "MUST",
        "with class weights, ignored rows, a soft cap, a scale and a z-loss, everything is over "
        "the classes that take part",
        check="reduction",
        why="A mask of −inf that is put on before the cap is −cap after it; the z-loss is a second "
        "log-sum-exp, and needs the mask again.",
        cases=(
            Recipe(mask="rows", ignored=1, reduction="mean"),
            Recipe(mask="rows", ignored=1, upstream="signed"),
            Recipe(mask="rows", weight=True, upstream="signed"),
            Recipe(mask="rows", weight=True, ignored=1, reduction="mean"),
            Recipe(mask="rows", softcap=2.0, upstream="signed"),
            Recipe(mask="rows", softcap=2.0, reduction="mean"),
            Recipe(mask="rows", z_loss=0.25, upstream="signed"),
            Recipe(mask="rows", z_loss=0.25, reduction="mean"),
            Recipe(mask="rows", logit_scale=3.0, softcap=2.0, z_loss=0.25, upstream="signed"),
            Recipe(mask="rows", targets="probabilities", weight=True, upstream="signed"),
        ),
    ),
)
