"""What runs only when it is asked for: vmap, Taylor's order, the complex step."""

import numpy as np
import pytest

from gradcheck_suite.engine import gradcheck
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Status

X = np.random.default_rng(0).standard_normal((3, 4))


def test_vmap_gives_the_gradient_of_a_loop(torch, jax):
    x = torch.tensor(X)
    parameters = {"w": torch.ones(4, 2).double(), "unused": torch.ones(2).double()}
    result = gradcheck(lambda p, x: (x @ p["w"]).tanh(), parameters, x, checks="batched")
    assert result.passed, str(result)
    assert gradcheck(lambda x: jax.numpy.sin(x).sum(), jax.numpy.asarray(X), checks="batched")


def test_a_rule_for_vmap_that_is_wrong_is_caught(torch):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return (x**3).sum()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, upstream):
            return upstream * 3 * ctx.saved_tensors[0] ** 2

        @staticmethod
        def vmap(info, in_dims, x):
            return (2 * x**3).flatten(1).sum(1), 0

    result = gradcheck(Cube.apply, torch.tensor(X), checks=("reverse", "batched"))
    assert result["reverse"].status is Status.PASSED
    assert result["batched"].status is Status.FAILED


def test_what_cannot_be_batched_is_skipped(torch):
    result = gradcheck(lambda x: x.sin().sum() * float(x.sum() > 99), torch.tensor(X))
    assert "batched" not in str(result)
    skipped = gradcheck(
        lambda x: x.sum() if float(x[0, 0].detach()) else x.sin().sum(),
        torch.tensor(X),
        checks="batched",
    )
    assert skipped["batched"].status is Status.SKIPPED


def test_the_remainder_of_a_right_gradient_is_of_second_order():
    right = gradcheck(lambda x: (np.exp(x).sum(), np.exp(x)), X, checks="taylor")["taylor"]
    assert right.status is Status.PASSED
    assert "order 2.0" in right.reason or "order 1.9" in right.reason
    wrong = gradcheck(lambda x: (np.exp(x).sum(), 1.1 * np.exp(x)), X, checks="taylor")["taylor"]
    assert wrong.status is Status.INCONCLUSIVE
    assert "1.0" in wrong.reason


def test_a_linear_function_leaves_no_remainder():
    assert gradcheck(lambda x: (x.sum(), np.ones_like(x)), X, checks="taylor").passed


def test_the_complex_step_sees_what_finite_differences_do_not():
    def slightly(x, factor=1.0 + 1e-9):
        return np.sum(np.exp(x)), factor * np.exp(x.real)

    plain = gradcheck(slightly, X, checks="reverse")
    assert plain["reverse"].error < 1e-6
    found = gradcheck(slightly, X, checks="reverse", complex_step=True)["complex_step"]
    assert found.status is Status.FAILED
    right = gradcheck(lambda x: slightly(x, 1.0), X, checks="reverse", complex_step=True)
    assert right["complex_step"].status is Status.PASSED
    assert right["complex_step"].resolution < 1e-6


def test_the_complex_step_does_not_accuse_what_is_not_analytic():
    result = gradcheck(lambda x: (np.abs(x).sum(), np.sign(x.real)), X, checks="complex_step")
    assert result["complex_step"].status is Status.INCONCLUSIVE
    assert "not analytic" in result["complex_step"].reason


def test_the_complex_step_is_for_numpy(torch):
    with pytest.raises(UsageError, match="NumPy"):
        gradcheck(lambda x: x.exp().sum(), torch.tensor(X), complex_step=True)
