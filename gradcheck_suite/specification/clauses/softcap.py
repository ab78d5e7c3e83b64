"""The soft cap: logits z = cap·tanh(s·f/cap), and the factor that it puts into the gradient."""

from gradcheck_suite.specification.clause import Clause
from gradcheck_suite.specification.recipe import Recipe

# A small cap, so that tanh bends every logit of an ordinary case; one as models have it beside it.
_CAP, _USUAL = 2.0, 30.0
_SIZES = (3, 5, 33, 65, 129, 1025)

CLAUSES = (
    Clause(
        "softcap.value",
        "MUST",
        "with a soft cap the logits are z = cap·tanh(f/cap), and a row is lse(z) − z_c",
        check="value",
        origin="Gemma 2 (logit soft-capping)",
        why="tanh of f instead of f/cap, and a cap on the loss instead of the logits, are as "
        "smooth and as bounded.",
        cases=(
            Recipe(softcap=_CAP),
            Recipe(softcap=_CAP, reduction="mean"),
            Recipe(softcap=_CAP, reduction="sum"),
            Recipe(softcap=_USUAL, logits="wide"),
            Recipe(softcap=_USUAL, logits="wide", reduction="mean"),
            Recipe(softcap=_CAP, targets="probabilities"),
            Recipe(softcap=_CAP, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "softcap.gradient",
        "MUST",
        "the gradient carries the cap's own derivative: (T·p − τ)·(1 − tanh²(f/cap)), element by "
        "element, times u (/ den)",
        check="gradient",
        origin="Gemma 2; Liger 0.8.5 multiplies p − t by it at the end of the backward",
        why="Where logits are well inside the cap 1 − tanh² is 1, and a backward pass that "
        "forgets it trains.",
        cases=(
            Recipe(softcap=_CAP, upstream="signed"),
            Recipe(softcap=_CAP, reduction="mean"),
            Recipe(softcap=_CAP, reduction="sum", upstream="three"),
            Recipe(softcap=_USUAL, logits="wide"),
            Recipe(softcap=_USUAL, logits="wide", reduction="mean"),
            Recipe(softcap=_CAP, targets="probabilities", upstream="signed"),
            Recipe(softcap=_CAP, targets="probabilities", reduction="mean"),
        ),
    ),
    Clause(
        "softcap.saturated",
        "MUST",
        "far beyond the cap value and gradient are finite: z is ±cap, and the gradient goes to 0",
        check="in-range",
        why="A hyperbolic tangent of exponentials is ∞/∞ from a few hundred on; capped logits "
        "are where large ones are expected.",
        cases=(
            Recipe(softcap=_CAP, logits="wide"),
            Recipe(softcap=_CAP, logits="huge"),
            Recipe(softcap=_USUAL, logits="huge"),
            Recipe(softcap=_CAP, logits="large", reduction="mean"),
            Recipe(softcap=_CAP, logits="large", reduction="sum"),
            Recipe(softcap=_CAP, logits="huge", targets="one-hot"),
        ),
    ),
    Clause(
        "softcap.padding",
        "MUST",
        "nothing beyond the last class is in the sum, at any number of classes: the lanes that "
        "fill up a block are masked after the cap",
        check="sizes",
        many_shapes=True,
        origin="Liger before 0.8.3",
        why="Lanes past the last class are filled with −inf before the cap, and cap·tanh(−inf) "
        "is −cap: each adds exp(−cap) to the sum.",
        cases=tuple(
            Recipe(
                rows=4 if classes == 3 else 3,
                classes=classes,
                softcap=_CAP,
                upstream="signed",
                name=f"classes{classes}-softcap{_CAP:g}",
            )
            for classes in reversed(_SIZES)
        ),
    ),
    Clause(
        "softcap.combined",
        "MUST",
        "with class weights, ignored rows, smoothing and every reduction the rows are those of z, "
        "and the gradient is theirs times 1 − tanh²(f/cap)",
        check="reduction",
        origin="Liger 0.8.5 rewrites the target's element after the loop over the classes",
        why="The smoothing term is a sum of logits: of the capped ones. The target's element is "
        "often written by a path of its own, with a factor of its own.",
        cases=(
            Recipe(softcap=_CAP, weight=True, ignored=1, smoothing=0.1, reduction="mean"),
            Recipe(softcap=_CAP, weight=True, ignored=1, smoothing=0.1, upstream="signed"),
            Recipe(softcap=_CAP, ignored=1, reduction="mean"),
            Recipe(softcap=_CAP, smoothing=0.1, reduction="mean"),
            Recipe(softcap=_CAP, smoothing=0.1, upstream="signed"),
            Recipe(softcap=_CAP, weight=True, reduction="mean"),
            Recipe(softcap=_CAP, weight=True, upstream="signed"),
            Recipe(softcap=_CAP, targets="probabilities", smoothing=0.1, reduction="mean"),
            Recipe(softcap=_CAP, targets="probabilities", weight=True, reduction="mean"),
            Recipe(
                rows=32, classes=100, softcap=_USUAL, logits="wide", ignored=5, reduction="mean"
            ),
        ),
    ),
    Clause(
        "softcap.derivatives",
        "MUST",
        "forward mode and second order carry the cap's first and second derivative, or raise",
        check="unsupported-raises",
        why="A backward that multiplies by 1 − tanh² as by a constant has a second derivative "
        "without the cap's curvature, and nothing says so.",
        cases=(
            Recipe(softcap=_CAP),
            Recipe(softcap=_CAP, reduction="mean"),
            Recipe(softcap=_CAP, targets="probabilities"),
        ),
    ),
)
