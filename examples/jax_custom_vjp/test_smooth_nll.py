import jax
import jax.numpy as jnp
import pytest
from smooth_nll import rows, smooth_nll

import gradcheck_suite as gs

DECLARED = gs.Implementation("smooth_nll", smooth_nll, "jax", targets=("probabilities",))


@pytest.mark.softmax_nll(DECLARED, dtypes="float32", exclude="hessian.*")
def test_the_loss_conforms(softmax_nll_case):
    softmax_nll_case.check()


def test_the_rule_is_the_derivative_of_the_rows(gradcheck, gradcheck_rng):
    logits = jnp.asarray(gradcheck_rng.normal(size=(6, 10)), "float32")
    targets = jax.nn.softmax(jnp.asarray(gradcheck_rng.normal(size=(6, 10)), "float32"))
    gradcheck(rows, logits, targets, checks=("reverse",))
