"""A linear head that is computed with the loss: f = X Wᵀ + b, never held as a whole.

Asked with H, C and N pairwise distinct, of losses that take hidden features and a linear weight.
"""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

_WHY_OPTIONS = "A fused head forms G itself, with the options of the loss in it, chunk by chunk."

CLAUSES = (
    Clause(
        "head.value",
        "MUST",
        "the value is the loss at f = X Wᵀ + b",
        check="head-value",
        why="A chunk that is left out, or a mean over chunks, shows in the value first.",
        cases=(
            Recipe(features=3, reduction="mean"),
            Recipe(features=3, linear_bias=True),
            Recipe(features=3, linear_bias=True, reduction="mean", weight=True, ignored=1),
            Recipe(features=7, targets="probabilities", reduction="sum"),
            Recipe(features=3, reduction="mean", smoothing=0.1, weight=True, ignored=1),
        ),
    ),
    Clause(
        "head.hidden-gradient",
        "MUST",
        "∂L/∂X = G W, with G = u/den · (T·p − τ)",
        check="head-hidden",
        why=_WHY_OPTIONS,
        cases=(
            Recipe(features=3, reduction="mean"),
            Recipe(features=7, linear_bias=True),
            Recipe(features=3, reduction="mean", weight=True, ignored=1),
            Recipe(features=3, reduction="sum", smoothing=0.1),
            Recipe(features=3, reduction="mean", smoothing=0.1, weight=True, ignored=1),
            Recipe(features=3, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "head.weight-gradient",
        "MUST",
        "∂L/∂W = Gᵀ X, summed over all rows, with G = u/den · (T·p − τ)",
        check="head-weight",
        why="It is added up over chunks of rows: in the wrong scale, into the wrong block, or "
        "without the last chunk.",
        cases=(
            Recipe(features=3, reduction="mean"),
            Recipe(features=7, linear_bias=True),
            Recipe(features=3, reduction="mean", weight=True, ignored=1),
            Recipe(features=3, reduction="sum", smoothing=0.1),
            Recipe(features=3, reduction="mean", smoothing=0.1, weight=True, ignored=1),
            Recipe(features=3, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "head.bias-gradient",
        "MUST",
        "∂L/∂b = Σ_n G_n, with G = u/den · (T·p − τ)",
        check="head-bias",
        why="The bias is the argument that tests leave out: it is forgotten, or keeps the rows "
        "that the weight's gradient has dropped.",
        cases=(
            Recipe(features=3, linear_bias=True, reduction="mean"),
            Recipe(features=7, linear_bias=True),
            Recipe(features=3, linear_bias=True, reduction="mean", weight=True, ignored=1),
            Recipe(features=3, linear_bias=True, reduction="sum", smoothing=0.1),
            Recipe(features=3, linear_bias=True, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "head.upstream",
        "MUST",
        "the gradients in X, W and b are linear in u: a scalar under mean and sum, and under none "
        "another one for every row, which weighs that row's part of the sums in W and b",
        check="head-upstream",
        origin="Liger#968 #1298",
        why="Gradients that are computed in the forward pass know no upstream: those in W and b "
        "are already summed, and no factor makes up for that afterwards.",
        cases=(
            Recipe(features=3, upstream="signed"),
            Recipe(features=3, linear_bias=True, upstream="signed", ignored=1),
            Recipe(features=3, linear_bias=True, reduction="mean", upstream="three"),
            Recipe(features=3, reduction="sum", upstream="negative"),
            Recipe(features=3, reduction="mean", upstream="zero"),
        ),
    ),
    Clause(
        "head.frozen",
        "MUST",
        "any subset of X, W and b may require a gradient: what is asked for comes and is right, "
        "and the value is the same",
        check="partial-gradients",
        why="A head is frozen in fine-tuning and features are in probing. A backward that reads "
        "one input's flag for the other's, or shares a buffer, is right where all are asked for.",
        cases=(
            Recipe(features=3, linear_bias=True, reduction="mean"),
            Recipe(features=3, reduction="mean"),
            Recipe(features=3, linear_bias=True, upstream="signed"),
            Recipe(features=3, upstream="signed"),
        ),
    ),
    Clause(
        "head.ignored",
        "MUST",
        "an ignored row contributes nothing to the gradients in W and b, whatever its features "
        "are, and its own gradient is 0",
        check="head-ignored",
        why="The row is masked in the value and in ∂L/∂X, and stays in the sums over rows.",
        cases=(
            Recipe(rows=7, features=3, linear_bias=True, reduction="mean", ignored=3),
            Recipe(rows=7, features=3, reduction="mean", ignored=3),
            Recipe(rows=7, features=3, linear_bias=True, ignored=3),
            Recipe(rows=7, features=3, linear_bias=True, reduction="sum", ignored=3, weight=True),
            Recipe(rows=7, features=3, reduction="mean", ignored=3, smoothing=0.1),
            Recipe(rows=7, features=3, reduction="mean", ignored=2, ignore_index=1),
        ),
    ),
    Clause(
        "head.sizes",
        "MUST",
        "value and gradients are right at every N, C and H, across the edges of blocks and chunks, "
        "with the last chunk shorter and unequal numbers of valid rows in them",
        check="head-whole",
        many_shapes=True,
        why="Rows are worked through in chunks and classes in blocks; chunk sizes follow from N, C "
        "and H, so that most sizes never meet a second chunk.",
        cases=(
            Recipe(rows=65, classes=33, features=9, reduction="mean", ignored=40),
            Recipe(rows=1, classes=7, features=3, reduction="mean"),
            Recipe(rows=5, classes=3, features=1, reduction="sum"),
            Recipe(rows=7, classes=2, features=5),
            Recipe(rows=33, classes=65, features=129, reduction="mean"),
            Recipe(rows=31, classes=129, features=17, linear_bias=True, reduction="mean"),
            Recipe(rows=129, classes=5, features=63, reduction="sum", weight=True),
            Recipe(rows=17, classes=1025, features=9, reduction="mean", ignored=5),
            Recipe(rows=1025, classes=5, features=3, linear_bias=True, reduction="mean"),
            Recipe(rows=257, classes=31, features=8, ignored=100),
        ),
    ),
    Clause(
        "head.repeat",
        "MUST",
        "a second call, and a second backward through one graph at another upstream, give the "
        "right gradients in X, W and b",
        check="repeat",
        origin="Liger#272",
        why="The gradients of the forward pass are scaled in place by the first backward.",
        cases=(
            Recipe(features=3, linear_bias=True, reduction="mean", upstream="three"),
            Recipe(features=3, reduction="mean"),
            Recipe(features=3, upstream="signed"),
        ),
    ),
    Clause(
        "head.inputs",
        "MUST",
        "X, W, b, targets, class weights and upstream are after a call as they were, byte for byte",
        check="inputs",
        why="A gradient is written over the features to save their memory.",
        cases=(
            Recipe(features=3, linear_bias=True, reduction="mean"),
            Recipe(features=3, reduction="mean"),
            Recipe(features=3, linear_bias=True, upstream="signed", ignored=1),
            Recipe(features=3, reduction="mean", weight=True, ignored=1),
        ),
    ),
    Clause(
        "head.jvp",
        "MUST",
        "forward mode along (Ẋ, Ẇ, ḃ) gives Σ G·(Ẋ Wᵀ + X Ẇᵀ + ḃ), also along one of them alone",
        check="head-jvp",
        origin="torch.nn.functional.linear_cross_entropy (2.13, chunked)",
        why="An operator without a rule for tangents may answer with 0 and raise nothing.",
        cases=(
            Recipe(features=3, linear_bias=True),
            Recipe(features=3, reduction="mean"),
            Recipe(features=3, linear_bias=True, reduction="mean", weight=True, ignored=1),
        ),
    ),
    Clause(
        "head.transformed",
        "MUST",
        "compiled, with X, W and b as its arguments, and over a batch of X under vmap, it is what "
        "it is eagerly",
        check="transformed",
        why="Under a tracer another branch is taken, and the chunks are unrolled or scanned.",
        cases=(
            Recipe(features=3, linear_bias=True, reduction="mean", ignored=1),
            Recipe(features=3, upstream="signed"),
            Recipe(features=3, reduction="mean"),
        ),
    ),
)
