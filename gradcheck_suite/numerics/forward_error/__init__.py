"""Forward-error bounds of softmax-NLL: what rounding alone may do to a correct implementation.

Every function takes float64 arrays whose values are those the implementation saw, and
bounds |computed − exact| element by element for *any* stable implementation in the given
arithmetic: any order of summation, softmax by division or by exponentiating
log-probabilities, closed-form or automatic derivatives.

    logits f (N, C);  effective targets τ (N, C), τ_j = w_j((1−ε)t_j + ε/C), an ignored row is 0
    loss_n = −Σ_j τ_j log p_j          ∂loss/∂f = T·p − τ, T = Σ_j τ_j

The derivation is docs/bounds.md. Source: Blanchard, Higham and Higham, "Accurately computing the
log-sum-exp and softmax functions", IMA J. Numer. Anal. 41 (2021); Higham, "Accuracy and
Stability of Numerical Algorithms" (2002), chapters 3 and 4.
"""

from gradcheck_suite.numerics.forward_error.along import hvp_bound, jvp_bound
from gradcheck_suite.numerics.forward_error.extension import Extended
from gradcheck_suite.numerics.forward_error.gradient import (
    gradient_bound,
    saturated_bound,
    target_gradient_bound,
)
from gradcheck_suite.numerics.forward_error.linear_head import (
    Perturbed,
    head_gradient_bound,
    head_jvp_bound,
    head_row_bound,
    perturbed,
    product_bound,
)
from gradcheck_suite.numerics.forward_error.scores import Scores, scores_of
from gradcheck_suite.numerics.forward_error.value import (
    denominator_error,
    reduced_value_bound,
    row_value_bound,
)

__all__ = [
    "Extended",
    "Perturbed",
    "Scores",
    "denominator_error",
    "gradient_bound",
    "head_gradient_bound",
    "head_jvp_bound",
    "head_row_bound",
    "hvp_bound",
    "jvp_bound",
    "perturbed",
    "product_bound",
    "reduced_value_bound",
    "row_value_bound",
    "saturated_bound",
    "scores_of",
    "target_gradient_bound",
]
