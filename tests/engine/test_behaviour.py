"""Beside being right, a gradient is well-formed, linear in u, repeatable and pure."""

import numpy as np
import pytest

from gradcheck_suite.engine import gradcheck
from gradcheck_suite.outcome import Status

torch = pytest.importorskip("torch")
X = torch.tensor(np.random.default_rng(3).standard_normal((4, 3)))


def custom(backward, forward=lambda x: (x**3).sum()):
    """An autograd function with the backward pass given."""

    class Custom(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx, upstream):
            return backward(ctx.saved_tensors[0], upstream)

    return Custom.apply


def test_a_backward_that_ignores_its_upstream_is_not_linear():
    wrong = custom(lambda x, u: 3 * x**2)
    assert gradcheck(wrong, X, checks="linearity").status is Status.FAILED
    assert gradcheck(wrong, X, checks="reverse").status is Status.FAILED


def test_a_backward_that_accumulates_does_not_repeat():
    calls = []

    def backward(x, u):
        calls.append(u)
        return u * 3 * x**2 * len(calls)

    assert gradcheck(custom(backward), X, checks="repeat").status is Status.FAILED


def test_a_random_function_is_inconclusive_not_wrong():
    dropout = gradcheck(lambda x: torch.nn.functional.dropout(x, 0.5).sum(), X)
    assert dropout["repeat"].status is Status.INCONCLUSIVE
    assert dropout["reverse"].status is not Status.PASSED


def test_a_function_that_writes_into_its_argument_is_not_pure():
    def careless(x):
        value = np.sum(x**2)
        gradient = 2 * x
        x += 1e-9
        return value, gradient

    x = np.ones(3)
    assert gradcheck(careless, x, checks="purity").status is Status.FAILED
    assert np.array_equal(x, np.ones(3))


def test_a_backward_that_writes_into_its_argument_is_not_pure():
    """As losses that keep their gradient in the logits' own memory do."""

    class Careless(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            value = (x**2).sum()
            if x.requires_grad:
                x.mul_(2.0)
            ctx.kept = x.detach()
            return value

        @staticmethod
        def backward(ctx, upstream):
            return upstream * ctx.kept

    x = X.clone()
    result = gradcheck(Careless.apply, x, checks=("reverse", "purity"))
    assert result["reverse"].status is Status.PASSED
    assert result["purity"].status is Status.FAILED
    assert torch.equal(x, X)


def test_a_function_that_writes_into_an_argument_beside_its_own_harms_nobody():
    def careless(a, b):
        value, gradients = np.sum(a * b), (b.copy(), a.copy())
        b += 1.0
        return value, gradients

    a, b = np.arange(3.0), np.ones(3)
    found = gradcheck(careless, a, b, checks=("reverse", "purity"))
    assert found["reverse"].status is Status.PASSED
    assert found["purity"].status is Status.FAILED
    assert np.array_equal(b, np.ones(3))


def test_a_passing_first_order_check_calls_the_function_five_times():
    calls = []

    def counted(x):
        calls.append(x)
        return x.sin().sum()

    assert gradcheck(counted, X, checks="reverse").passed
    assert len(calls) == 5


def test_the_shape_of_a_gradient_is_checked():
    wrong = gradcheck(lambda x: (np.sum(x**2), (2 * x)[:, None]), np.ones(3), checks="form")
    assert wrong["form"].verdict.summary == "the gradient of x has shape (3, 1), the primal (3,)"


def test_the_dtype_of_a_gradient_is_checked():
    wrong = gradcheck(
        lambda x: (np.sum(x**2), (2 * x).astype(np.float32)), np.ones(3), checks="form"
    )
    assert "dtype float32" in wrong["form"].verdict.summary


def test_forward_mode_is_checked_on_its_own_and_against_reverse(jax):
    @jax.custom_jvp
    def cube(x):
        return (x**3).sum()

    @cube.defjvp
    def _(primals, tangents):
        return cube(*primals), 3.03 * (primals[0] ** 2 * tangents[0]).sum()

    wrong = gradcheck(cube, jax.numpy.linspace(0.5, 1.5, 6), localise=False)
    assert wrong["forward"].status is Status.FAILED
    assert wrong["pairing"].status is Status.PASSED


def test_forward_and_reverse_that_disagree_are_paired_off():
    class Half(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x.sin()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, upstream):
            return upstream * ctx.saved_tensors[0].cos()

        @staticmethod
        def jvp(ctx, tangent):
            return 1.001 * tangent * ctx.saved_tensors[0].cos()

    result = gradcheck(Half.apply, X)
    assert result["reverse"].status is Status.PASSED, str(result)
    assert result["forward"].status is Status.FAILED
    assert result["pairing"].status is Status.FAILED


def test_second_order_that_forgets_a_term_is_caught():
    wrong = custom(lambda x, u: u * 3 * (x.detach() * x))
    result = gradcheck(wrong, X, checks=("reverse", "second"))
    assert result["reverse"].status is Status.PASSED
    assert result["second"].status is Status.FAILED


def test_a_gradient_that_depends_on_the_memory_layout_is_caught():
    wrong = custom(lambda x, u: u * 3 * x.as_strided(x.shape, (x.shape[1], 1)) ** 2)
    result = gradcheck(wrong, X, checks=("reverse", "strided"))
    assert result["reverse"].status is Status.PASSED
    assert result["strided"].status is Status.FAILED


def test_the_compiled_function_is_checked_where_asked(jax):
    x = jax.numpy.linspace(0.0, 1.0, 5)
    assert gradcheck(lambda x: jax.numpy.sin(x).sum(), x, checks="compiled").passed


def test_a_result_prints_within_eighty_columns_and_is_true_if_it_passed():
    result = gradcheck(lambda x: x.exp().sum(), X)
    assert result
    assert result.failures == ()
    text = str(result)
    assert text.startswith("PASSED <lambda>  [torch")
    assert max(map(len, text.splitlines())) <= 80
    assert "sees errors of" in " ".join(text.split())


def test_the_same_seed_gives_the_same_result():
    assert str(gradcheck(torch.exp, X, seed=5)) == str(gradcheck(torch.exp, X, seed=5))


def test_second_order_says_what_it_needs_where_that_is_not_allowed():
    x = torch.randn(64, 1000, dtype=torch.float64)
    result = gradcheck(lambda x: x.sin().sum(), x, checks=("reverse", "second"), memory=4)
    assert result["second"].status is Status.SKIPPED
    assert "needs about 7 MiB here, 4 MiB are allowed" in result["second"].reason
    assert result.passed


def test_a_large_problem_says_what_second_order_needs():
    x = torch.randn(700, 1000, dtype=torch.float64)
    result = gradcheck(lambda x: x.sin().sum(), x, checks="second")
    assert result["second"].status is Status.PASSED
    assert "needs about 75 MiB" in result["second"].verdict.note
