"""Layout: how the arrays lie in memory, how large they are, how many axes they have."""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

# Vectors of 4 to 16 lanes, warps of 32, blocks of 64, 128 and 1024: one below, at and past each
# edge; 4097 takes several blocks of every size that is in use. Few rows, so that it costs little.
_CLASSES = (1, 2, 3, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 4097)

_CLASS_LADDER = tuple(
    Recipe(
        rows=4 if classes == 3 else 3,
        classes=classes,
        upstream="signed",
        name=f"classes{classes}",
    )
    for classes in _CLASSES
)
_LARGE = Recipe(rows=65, classes=1025, upstream="signed", name="rows65-classes1025")
_MANY_ROWS = (
    Recipe(rows=1026, classes=5, upstream="signed", name="rows1026"),
    Recipe(rows=1026, classes=5, reduction="mean", ignored=5, name="rows1026-mean-ignored5"),
)
# What only some losses offer has loops of its own: over the mass of the targets, over ε.
_LARGE_OPTIONS = (
    Recipe(rows=3, classes=1025, targets="one-hot", name="classes1025-one-hot"),
    Recipe(rows=3, classes=1025, smoothing=0.1, name="classes1025-smoothing0.1"),
    Recipe(
        rows=3,
        classes=1025,
        weight=True,
        smoothing=0.1,
        reduction="mean",
        name="classes1025-mean-weighted-smoothing0.1",
    ),
)

CLAUSES = (
    Clause(
        "layout.strided",
        "MUST",
        "transposed, sliced, stepped, expanded and offset logits give what a contiguous copy of "
        "them gives, in value and in gradient, as a leaf and as a view of one",
        check="strided",
        origin="TE#2734, Liger 0.8.5 (transposed logits), Liger 0.8.4 (transposed features)",
        why="A kernel that is handed a pointer and one stride reads what is not in the array; "
        "one that copies first writes its gradient into the copy and returns the logits.",
        cases=(
            Recipe(layout="transposed", upstream="signed", name="transposed"),
            Recipe(layout="sliced", upstream="signed", name="sliced"),
            Recipe(layout="stepped", upstream="signed", name="stepped"),
            Recipe(layout="expanded", upstream="signed", name="expanded"),
            Recipe(layout="offset", upstream="signed", name="offset"),
            Recipe(layout="reversed", upstream="signed", name="reversed"),
            Recipe(layout="transposed", reduction="mean", name="transposed-mean"),
            Recipe(
                layout="sliced",
                targets="probabilities",
                upstream="signed",
                name="sliced-probabilities",
            ),
            Recipe(
                rows=32, classes=100, layout="transposed", reduction="mean", name="transposed-wide"
            ),
            # A scalar upstream other than 1 has a kernel of its own.
            Recipe(
                layout="transposed",
                reduction="sum",
                upstream="three",
                name="transposed-sum-upstream-three",
            ),
        ),
    ),
    Clause(
        "layout.targets-strided",
        "MUST",
        "strided targets, class weights and upstreams give what contiguous copies of them give",
        check="strided",
        origin="TE#2402",
        why="x.sum().backward() hands over an upstream with stride 0, and a column of a label "
        "matrix has the stride of its rows: read as if it were 1, each gives another row's.",
        cases=(
            Recipe(beside="stepped", upstream="signed", name="index-stepped"),
            Recipe(beside="expanded", name="index-expanded"),
            Recipe(beside="offset", upstream="signed", name="index-offset"),
            Recipe(beside="reversed", upstream="signed", name="index-reversed"),
            Recipe(beside="stepped", weight=True, name="weighted-stepped"),
            Recipe(beside="offset", weight=True, reduction="mean", name="weighted-offset-mean"),
            Recipe(beside="expanded", weight=True, reduction="mean", name="weighted-expanded-mean"),
            Recipe(
                beside="transposed",
                targets="probabilities",
                upstream="signed",
                name="probabilities-transposed",
            ),
            Recipe(
                beside="sliced",
                targets="probabilities",
                upstream="signed",
                name="probabilities-sliced",
            ),
            Recipe(
                beside="stepped",
                targets="probabilities",
                weight=True,
                reduction="mean",
                name="probabilities-weighted-stepped",
            ),
            Recipe(beside="expanded", targets="probabilities", name="probabilities-expanded"),
            Recipe(
                layout="transposed",
                beside="stepped",
                upstream="signed",
                ignored=1,
                name="everything-strided",
            ),
        ),
    ),
    Clause(
        "layout.sizes",
        "MUST",
        "value and gradient are right at every size: one class to thousands, across the edges "
        "of blocks and vectors, and rows past 64 and past 1024",
        check="sizes",
        many_shapes=True,
        origin="pytorch#195075, unsloth#10616",
        why="The tail of a block is masked, or it is forgotten: at 1024 classes all is well, at "
        "1025 one class is not in the sum.",
        cases=(_LARGE, *_MANY_ROWS, *_LARGE_OPTIONS, *reversed(_CLASS_LADDER)),
    ),
    Clause(
        "layout.rank",
        "MUST",
        "logits of the ranks that are declared, with their classes on the declared axis, give "
        "what their rows give one by one",
        check="rank",
        origin="Keras 3.15.1 (smoothing with axis ≠ −1)",
        why="Segmentation has its classes on axis 1 and language models on the last: a sum over "
        "the other one is a number too. Asked only where ranks= declares it: a 2-D function "
        "answers 3-D logits with a wrong number and no error.",
        cases=(
            Recipe(batch=(2, 3), reduction="mean", ignored=2, weight=True, name="rank3-weighted"),
            Recipe(batch=(2, 3), reduction="mean", ignored=2, name="rank3-ignored"),
            Recipe(batch=(2, 3), reduction="mean", name="rank3-mean"),
            Recipe(batch=(2, 3), upstream="signed", name="rank3"),
            Recipe(
                batch=(2, 3), ignored=1, smoothing=0.1, upstream="signed", name="rank3-smoothed"
            ),
            Recipe(
                batch=(2, 3),
                targets="probabilities",
                weight=True,
                smoothing=0.1,
                upstream="signed",
                name="rank3-probabilities",
            ),
            Recipe(
                batch=(2, 3),
                targets="probabilities",
                reduction="mean",
                name="rank3-probabilities-mean",
            ),
            Recipe(
                batch=(2, 3),
                layout="transposed",
                beside="stepped",
                upstream="signed",
                name="rank3-strided",
            ),
            Recipe(batch=(2, 3, 4), upstream="signed", name="rank4"),
            Recipe(batch=(2, 3, 4), reduction="mean", ignored=3, name="rank4-mean"),
            Recipe(batch=(), upstream="signed", name="rank1"),
            Recipe(batch=(), targets="probabilities", smoothing=0.1, name="rank1-probabilities"),
        ),
    ),
    Clause(
        "layout.dtypes",
        "MUST",
        "the value has the declared dtype, the gradient the logits' shape, dtype and device",
        check="dtypes",
        why="A loss in float64 for float32 logits doubles the memory of everything after it; a "
        "gradient in float32 for float64 logits loses half of its digits in silence.",
        cases=(
            Recipe(),
            Recipe(reduction="mean"),
            Recipe(reduction="sum"),
            Recipe(targets="probabilities"),
            Recipe(reduction="mean", weight=True, smoothing=0.1, ignored=1),
        ),
    ),
)
