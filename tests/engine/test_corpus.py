"""A slice of ``benchmarks.correct_corpus``: nothing right is accused, nothing wrong passes."""

import importlib
import sys
from pathlib import Path

import pytest

from gradcheck_suite.outcome import Status

pytest.importorskip("torch")
pytest.importorskip("jax")
TORCH = (
    "nll, none",
    "attention",
    "convolution",
    "cholesky",
    "sort",
    "gather",
    "masked softmax",
    "complex",
    "tree",
    "module",
    "recurrence",
    "einsum of outputs",
)
JAX = ("scan", "complex")
NUMPY = ("nll", "jacobian", "two arguments")
FUNCTIONS = [
    *(("torch", name) for name in TORCH),
    *(("jax", name) for name in JAX),
    *(("numpy", name) for name in NUMPY),
]


@pytest.fixture
def corpus(monkeypatch):
    """The benchmark, which is beside the tests and in no wheel; the wheel comes first."""
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setattr(sys, "path", [*sys.path, str(root)])
    return importlib.import_module("benchmarks.correct_corpus")


@pytest.mark.parametrize(("backend", "function"), FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_function_of_the_corpus_is_not_accused(corpus, backend, function, dtype):
    result = corpus.Case(backend, function, (3, 4), dtype, 0).checked()
    assert result.status is not Status.FAILED, str(result)
    assert dtype == "float32" or result.passed, str(result)


@pytest.mark.parametrize(("backend", "function"), FUNCTIONS)
@pytest.mark.parametrize("error", ["zero", "×1.0001", "largest element dropped"])
def test_an_error_planted_in_the_corpus_is_found(corpus, backend, function, error):
    case = corpus.Case(backend, function, (3, 4), "float64", 1)
    result = corpus.planted(case, corpus.PLANTED[error])
    assert result.status is Status.FAILED, str(result)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("function", ["nll, mean", "softmax", "layer norm", "matrix chain"])
def test_a_right_function_in_half_precision_is_not_accused(corpus, function, dtype):
    for seed in range(2):
        result = corpus.Case("torch", function, (7, 2), dtype, seed).checked()
        assert result.status is not Status.FAILED, str(result)


def test_the_corpus_holds_more_than_a_thousand_right_cases(corpus):
    assert len(list(corpus.cases(list(corpus.FAMILIES)))) >= 1000
