import numpy as np
import pytest
from nll import gradient, nll

import gradcheck_suite as gs

NUMPY = gs.Implementation("nll on NumPy", nll, "numpy", gradient=gradient, targets=("index",))
TORCH = gs.Implementation("nll on PyTorch", nll, "torch", targets=("index",))


@pytest.mark.softmax_nll(NUMPY)
def test_on_numpy(softmax_nll_case):
    softmax_nll_case.check()


try:
    import torch  # noqa: F401
except ImportError:
    pass
else:

    @pytest.mark.softmax_nll(TORCH)
    def test_on_torch(softmax_nll_case):
        softmax_nll_case.check()


def test_every_backend_gives_the_specified_number(
    gradcheck_backend, gradcheck_rng, softmax_nll_spec
):
    if gradcheck_backend.name not in ("numpy", "torch"):
        pytest.skip("nll runs on NumPy and PyTorch")
    logits, targets = gradcheck_rng.normal(size=(7, 5)), np.arange(7) % 5
    got = nll(
        gradcheck_backend.asarray(logits, "float64", "cpu"),
        gradcheck_backend.asarray(targets, "int64", "cpu"),
    )
    specified = softmax_nll_spec(logits, targets)
    assert abs(gradcheck_backend.asnumpy(got) - specified.value) <= specified.value_bound
