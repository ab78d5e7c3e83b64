"""Options: class weights, label smoothing, ignored rows, and all of them at once."""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

WEIGHT = (
    Clause(
        "weight.index",
        "MUST",
        "with class weights a row of class c is w_c·(lse − f_c), zero weights included; the mean's "
        "denominator is the declared one, and where that is 0 the mean is NaN or declared",
        check="weights",
        origin="pytorch#107680, iree#24228",
        why="Weights are looked up by row instead of by class, or miss the denominator; a weight "
        "of 0 is taken for none.",
        cases=(
            Recipe(weight=True, zero_weights="last-class", reduction="mean"),
            Recipe(weight=True, upstream="signed"),
            Recipe(weight=True, zero_weights="targets", reduction="mean"),
            Recipe(weight=True, zero_weights="targets"),
            Recipe(weight=True, reduction="sum"),
        ),
    ),
    Clause(
        "weight.probabilities",
        "MUST",
        "with class weights and target probabilities a row is Σ_j w_j t_j (−log p_j); the mean's "
        "denominator is the one declared for this kind of target",
        check="weights",
        origin="pytorch#107680, iree#24228",
        why="A single weight per row, that of the most probable class, is right for one-hot rows "
        "alone; and the two kinds of target divide by different things in PyTorch itself.",
        cases=(
            Recipe(targets="probabilities", weight=True, reduction="mean"),
            Recipe(targets="probabilities", weight=True, upstream="signed"),
            Recipe(targets="one-hot", weight=True, reduction="mean"),
            Recipe(
                targets="probabilities", weight=True, zero_weights="last-class", reduction="sum"
            ),
        ),
    ),
)

SMOOTHING = (
    Clause(
        "smoothing.definition",
        "DECLARED",
        "label smoothing replaces t by (1−ε)t + ε/C, for indices and probabilities alike; the form "
        "(1−ε)t + ε(1−t)/(C−1) is declared",
        check="smoothing",
        origin="aprender#2199",
        why="The two forms differ by ε/C per class: enough to shift a calibration, too little to "
        "be seen in a training curve.",
        cases=(
            Recipe(smoothing=0.1, reduction="mean"),
            Recipe(smoothing=0.9, upstream="signed"),
            Recipe(targets="probabilities", smoothing=0.1),
            Recipe(targets="probabilities", smoothing=0.1, reduction="sum"),
            Recipe(logits="wide", smoothing=0.1, reduction="mean"),
        ),
    ),
    Clause(
        "smoothing.weight",
        "MUST",
        "the smoothing term carries the class weights: −Σ_j w_j ((1−ε)t_j + ε/C) log p_j",
        check="smoothing",
        origin="pytorch#73205, pytorch#69339",
        why="It was written beside the weighted loss as an unweighted average of log p, or "
        "weighted by the target's weight alone.",
        cases=(
            Recipe(weight=True, smoothing=0.1, reduction="mean"),
            Recipe(weight=True, smoothing=0.1, upstream="signed"),
            Recipe(targets="probabilities", weight=True, smoothing=0.1, reduction="mean"),
            Recipe(weight=True, zero_weights="last-class", smoothing=0.1, reduction="sum"),
        ),
    ),
    Clause(
        "smoothing.ignore",
        "MUST",
        "an ignored row pays nothing of the smoothing term, in value, gradient and count",
        check="ignored",
        origin="pytorch#72056",
        why="The smoothing term is a mean over classes that needs no target: the mask is "
        "forgotten there, or its rows are counted.",
        cases=(
            Recipe(ignored=1, smoothing=0.1, reduction="mean"),
            Recipe(ignored=2, smoothing=0.1, upstream="signed"),
            Recipe(ignored=1, ignore_index=0, smoothing=0.1, reduction="mean"),
            Recipe(ignored=3, smoothing=0.1, reduction="sum"),
        ),
    ),
)

IGNORE = (
    Clause(
        "ignore.value",
        "MUST",
        "an ignored row contributes no value: 0 under none, nothing to sum and mean",
        check="ignored-value",
        origin="TE#2476, Paddle#48663",
        why="The target of an ignored row is clamped so that the gather is legal, and what was "
        "gathered is not masked afterwards.",
        cases=(
            Recipe(ignored=2),
            Recipe(ignored=2, reduction="sum", logits="wide"),
            Recipe(ignored=1, reduction="mean"),
        ),
    ),
    Clause(
        "ignore.gradient",
        "MUST",
        "the gradient of an ignored row is exactly zero",
        check="ignored-gradient",
        origin="TE#2476",
        why="A backward kernel that subtracts a one-hot row of zeros leaves p in the gradient of "
        "every padding token.",
        cases=(
            Recipe(ignored=2, upstream="signed"),
            Recipe(ignored=1, reduction="mean"),
            Recipe(ignored=2, reduction="sum", logits="wide"),
        ),
    ),
    Clause(
        "ignore.count",
        "MUST",
        "an ignored row is not counted: the mean divides by the valid rows (or their weights), in "
        "value and gradient alike",
        check="reduction",
        origin="TE#2476, Paddle#48663",
        why="Padding dilutes the loss: the shorter the sequences of a batch, the smaller its step.",
        cases=(
            Recipe(ignored=1, reduction="mean"),
            Recipe(ignored=3, reduction="mean"),
            Recipe(weight=True, ignored=2, ignore_index=0, reduction="mean"),
            Recipe(rows=32, classes=100, ignored=5, reduction="mean"),
        ),
    ),
    Clause(
        "ignore.any-index",
        "MUST",
        "any integer works as ignore_index: −100, −1, a class in range, C, and beyond",
        check="ignored",
        origin="chainer#2715, FlagGems#5025",
        why="0 is falsy; 255 marks the void in segmentation and is out of range for the gather; "
        "a test for negative targets stands in for the comparison.",
        cases=(
            Recipe(ignored=1, ignore_index=0, reduction="mean"),
            Recipe(ignored=1, ignore_index=255, reduction="mean"),
            Recipe(ignored=1, ignore_index=5),
            Recipe(ignored=1, ignore_index=4, upstream="signed"),
            Recipe(ignored=2, ignore_index=-1, reduction="sum"),
            Recipe(ignored=2, ignore_index=-1, reduction="mean"),
            Recipe(ignored=2, reduction="mean"),
            Recipe(ignored=1, ignore_index=255, weight=True, reduction="mean"),
        ),
    ),
    Clause(
        "ignore.non-finite-row",
        "SHOULD",
        "an ignored row that holds NaN, +inf or nothing but −inf leaks nothing into value or "
        "gradient",
        check="ignored",
        origin="pytorch#11551",
        why="0·NaN is NaN: a mask that multiplies lets one uninitialised padding row spoil the "
        "batch.",
        cases=(
            Recipe(ignored=3, poisoned=True),
            Recipe(ignored=3, poisoned=True, reduction="mean"),
        ),
    ),
    Clause(
        "ignore.all",
        "DECLARED",
        "where every row is ignored the rows and their sum are 0, the mean is NaN or as declared, "
        "and the gradient is 0",
        check="all-ignored",
        origin="Liger, Keras: 0; PyTorch: NaN",
        why="The last chunk of a padded batch has no valid row; a gradient of 0/0 there ends the "
        "training run.",
        cases=(
            Recipe(ignored=4, reduction="mean"),
            Recipe(ignored=4),
            Recipe(ignored=4, reduction="sum"),
            Recipe(ignored=4, smoothing=0.1, reduction="mean"),
            Recipe(ignored=4, weight=True, reduction="mean"),
        ),
    ),
)

COMBINED = Clause(
    "options.combined",
    "MUST",
    "every pair of options, and all together, under every reduction: value and gradient as "
    "specified",
    check="reduction",
    origin="pytorch#69339, Megatron#737",
    why="Each option is right alone; one of the paths that combine them forgets a mask or divides "
    "by the other's count.",
    cases=(
        Recipe(weight=True, ignored=1, smoothing=0.1, reduction="mean"),
        Recipe(weight=True, ignored=1, smoothing=0.1, upstream="signed"),
        Recipe(weight=True, ignored=1, smoothing=0.1, reduction="sum", upstream="three"),
        Recipe(weight=True, ignored=1, ignore_index=0, smoothing=0.1, reduction="mean"),
        Recipe(weight=True, ignored=1, upstream="signed"),
        Recipe(weight=True, ignored=1, reduction="sum"),
        Recipe(weight=True, ignored=1, reduction="mean"),
        Recipe(weight=True, smoothing=0.1),
        Recipe(weight=True, smoothing=0.1, reduction="sum"),
        Recipe(weight=True, smoothing=0.1, reduction="mean"),
        Recipe(ignored=1, smoothing=0.1),
        Recipe(ignored=1, smoothing=0.1, reduction="sum"),
        Recipe(ignored=1, smoothing=0.1, reduction="mean", upstream="negative"),
        Recipe(targets="probabilities", weight=True, smoothing=0.1, upstream="signed"),
        Recipe(targets="probabilities", weight=True, smoothing=0.1, reduction="sum"),
        Recipe(targets="probabilities", weight=True, smoothing=0.1, reduction="mean"),
        Recipe(rows=32, classes=100, weight=True, ignored=5, smoothing=0.1, reduction="mean"),
    ),
)

CLAUSES = (*WEIGHT, *SMOOTHING, *IGNORE, COMBINED)
