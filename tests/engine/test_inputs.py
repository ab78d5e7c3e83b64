"""Anything can be a primal; what cannot is refused with a remedy."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from gradcheck_suite.engine import gradcheck
from gradcheck_suite.errors import ImplementationError, UsageError
from gradcheck_suite.outcome import Status


def test_python_floats_are_primals_when_there_is_no_array():
    assert gradcheck(lambda a, b: (a**2 * b, (2 * a * b, a**2)), 3.0, 2.0).passed


def test_a_gradient_can_be_supplied():
    x = np.linspace(1.0, 2.0, 5)
    assert gradcheck(lambda x: np.sum(x**3), x, gradient=lambda x: 3 * x**2).passed
    assert not gradcheck(lambda x: np.sum(x**3), x, gradient=lambda x: 3.01 * x**2).passed


def test_row_gradients_and_jacobians_are_both_understood():
    x = np.random.default_rng(0).standard_normal((3, 4))
    assert gradcheck(lambda x: ((x**2).sum(1), 2 * x), x).passed
    matrix = np.random.default_rng(1).standard_normal((5, 4))
    assert gradcheck(lambda x: (matrix @ x, matrix), np.ones(4)).passed


def test_a_tree_of_arrays_beside_other_things(torch):
    parameters = {"w": torch.randn(3, 2, dtype=torch.float64), "b": [torch.zeros(2).double(), None]}
    labels = torch.tensor([0, 1])

    def function(parameters, x, labels, flag):
        logits = x @ parameters["w"] + parameters["b"][0]
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "kept": flag}

    result = gradcheck(function, parameters, torch.ones(2, 3).double(), labels, "mean")
    assert result.passed, str(result)
    assert [name.split(":")[0] for name in result.primals] == [
        "parameters['w']",
        "parameters['b'][0]",
        "x",
    ]


@dataclasses.dataclass
class Layer:
    w: object
    b: object
    name: str = "hidden"


def test_registered_dataclasses_are_trees_like_any_other(torch, jax):
    jax.tree_util.register_dataclass(Layer, data_fields=["w", "b"], meta_fields=["name"])
    torch.utils._pytree.register_dataclass(Layer)
    layer = Layer(torch.ones(3, 2).double(), torch.zeros(2).double())
    x = torch.linspace(-1.0, 1.0, 12).double().reshape(4, 3)

    def function(layer, x, flag, nothing):
        return {"out": torch.tanh(x @ layer.w + layer.b), "flag": flag, "none": nothing}

    found = gradcheck(function, layer, x, True, None, checks=("form", "reverse"))
    assert found.passed, str(found)
    assert [name.split(":")[0] for name in found.primals] == ["layer.w", "layer.b", "x"]
    layer = Layer(jax.numpy.ones((3, 2)), jax.numpy.zeros(2))
    found = gradcheck(lambda layer: jax.numpy.sin(layer.w + layer.b), layer, checks="reverse")
    assert [name.split(":")[0] for name in found.primals] == ["layer.w", "layer.b"]


def test_of_torch_tensors_only_those_that_require_a_gradient_are_checked(torch):
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    y = torch.randn(3, dtype=torch.float64)
    assert gradcheck(lambda x, y: (x * y.round()).sum(), x, y).primals == ("x: 3 float64",)


def test_a_module_is_checked_with_its_parameters_and_left_as_it_was(torch):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).double()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    result = gradcheck(module, torch.randn(5, 4, dtype=torch.float64), checks=("form", "reverse"))
    assert result["reverse"].status is not Status.FAILED, str(result)
    assert any(name.startswith("0.weight") for name in result.primals)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_complex_arrays_follow_the_framework(torch, jax):
    z = torch.randn(4, dtype=torch.complex128)
    assert gradcheck(lambda z: (z * z * z.conj()).exp(), z / 4).passed
    w = jax.numpy.array([0.5 + 0.2j, 0.3 - 0.1j])
    assert gradcheck(lambda z: jax.numpy.abs(z * z * 3).sum(), w, checks=("reverse",)).passed


def test_jax_in_float32_leaves_the_configuration_alone(jax):
    before = jax.config.jax_enable_x64
    result = gradcheck(lambda x: jax.numpy.tanh(x).sum(), jax.numpy.linspace(-1.0, 1.0, 12))
    assert result.passed, str(result)
    assert jax.config.jax_enable_x64 == before


def test_an_output_with_rows_is_paired_with_a_random_cotangent(torch):
    result = gradcheck(lambda x: x.exp(), torch.randn(3, 2, dtype=torch.float64))
    assert result.passed
    assert "random cotangents" in str(result)


def test_a_gradient_that_is_none_is_told_apart_from_zero(torch):
    x, y = torch.randn(3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    assert "y: no gradient" in gradcheck(lambda x, y: x.sum(), x, y)["form"].reason
    zero = gradcheck(lambda x, y: (x + 0.0 * y).sum(), x, y)["form"].reason
    assert zero == "y: the gradient is zero"
    lost = gradcheck(lambda x, y: (x * y.detach()).sum(), x, y, checks="reverse")
    assert lost["reverse"].verdict.summary.startswith("y gets no gradient (None)")


REFUSED = {
    "no array": (lambda x: x, ("text",), UsageError, "no array among them"),
    "an integer primal": (lambda x: x, (np.arange(3),), UsageError, "x is int64"),
    "NaN": (lambda x: x, (np.array([1.0, np.nan]),), UsageError, "x holds nan at [1]"),
    "empty": (lambda x: x, (np.zeros((0, 3)),), UsageError, "x is empty (shape (0, 3))"),
    "None": (lambda x: None, (np.ones(2),), ImplementationError, "it returned None"),
    "a string": (lambda x: "loss", (np.ones(2),), ImplementationError, "the string 'loss'"),
    "no gradient": (lambda x: x.sum(), (np.ones(2),), UsageError, "return (value, gradient)"),
    "not callable": (3, (np.ones(2),), UsageError, "not callable"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_checked_is_refused_with_a_remedy(name):
    function, primals, kind, words = REFUSED[name]
    with pytest.raises(kind) as caught:
        gradcheck(function, *primals)
    assert words in str(caught.value)


def test_mixed_frameworks_are_refused(torch, jax):
    with pytest.raises(UsageError, match=r"mixed.*b is .*ArrayImpl"):
        gradcheck(lambda a, b: a, torch.ones(2), jax.numpy.ones(2))


def test_a_numpy_array_beside_another_framework_is_refused_by_name(torch, jax):
    with pytest.raises(UsageError, match=r"b\['k'\] is a NumPy array of float64 beside .*torch"):
        gradcheck(lambda a, b: a, torch.ones(2), {"k": np.ones(2)})
    with pytest.raises(UsageError, match="b is a NumPy array"):
        gradcheck(lambda a, b: a, jax.numpy.ones(2), np.ones(2))
    labels = np.array([0, 1])  # not a floating one: it has no gradient to be lost
    assert gradcheck(lambda a, b: a[b].sum(), torch.ones(2).double(), labels, checks="reverse")


REFUSED_EVERYWHERE = {
    "an integer primal": (lambda x: x, np.arange(3), UsageError, "x is int"),
    "NaN": (lambda x: x, np.array([1.0, np.nan]), UsageError, "x holds nan at [1]"),
    "empty": (lambda x: x, np.zeros((0, 3)), UsageError, "x is empty (shape (0, 3))"),
    "None": (lambda x: None, np.ones(2), ImplementationError, "it returned None"),
    "a string": (lambda x: "loss", np.ones(2), ImplementationError, "the string 'loss'"),
    "an integer value": (lambda x: x > 0, np.ones(2), ImplementationError, "of bool"),
}


@pytest.mark.parametrize("name", REFUSED_EVERYWHERE)
def test_every_framework_refuses_the_same(torch, jax, name):
    function, values, kind, words = REFUSED_EVERYWHERE[name]
    for made in (torch.from_numpy, jax.numpy.asarray, np.asarray):
        with pytest.raises(kind) as caught:
            gradcheck(function, made(values))
        assert words in str(caught.value).replace("torch.bool", "bool")


def test_functions_of_torch_are_called_what_they_are(torch):
    assert gradcheck(torch.relu, torch.ones(2).double(), checks="form").function == "torch.relu"


def test_jax_without_x64_works_and_its_configuration_is_untouched(jax):
    """In a process of its own: in this one other tests may have set it."""
    code = """
import jax, numpy as np, gradcheck_suite as gs
before = dict(jax.config.values)
x = jax.numpy.linspace(-1.0, 1.0, 12)
right = gs.gradcheck(lambda x: jax.numpy.tanh(x).sum(), x)
wrong = jax.custom_vjp(lambda x: jax.numpy.tanh(x).sum())
wrong.defvjp(lambda x: (wrong(x), x), lambda x, u: (1.02 * u / jax.numpy.cosh(x) ** 2,))
failed = gs.gradcheck(wrong, x, checks="reverse")
assert right.passed, str(right)
assert failed.status == "failed", str(failed)
assert dict(jax.config.values) == before and not jax.config.jax_enable_x64
assert jax.numpy.ones(1).dtype == "float32"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_unknown_checks_are_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="the checks are form, reverse"):
        gradcheck(lambda x: (x.sum(), x * 0 + 1), np.ones(2), checks=("revers",))
