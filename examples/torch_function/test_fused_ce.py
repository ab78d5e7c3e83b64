import pytest
import torch
from fused_ce import FusedCrossEntropy, fused_ce


@pytest.mark.softmax_nll(
    fused_ce, backend="torch", dialect={"out_of_range": "raise"}, dtypes=("float64", "float32")
)
def test_the_loss_conforms(softmax_nll_case):
    softmax_nll_case.check()


def test_the_function_is_the_derivative_of_itself(gradcheck, gradcheck_rng):
    logits = torch.tensor(gradcheck_rng.normal(size=(8, 12)))
    targets = torch.tensor(gradcheck_rng.integers(12, size=8))
    gradcheck(lambda f: FusedCrossEntropy.apply(f, targets, -100), logits, checks=("reverse",))
