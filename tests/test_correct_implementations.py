"""No correct implementation is accused: those that ship, and those that users write."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

import correct
import pytest

import gradcheck_suite as gs
from gradcheck_suite.addresses import shipped
from gradcheck_suite.implementation import Implementation

SEEDS = (1, 2, 3)
#: One clause of every kind of check; the cases of each are all run.
TELLING = (
    "value.definition",
    "value.shift-invariance",
    "gradient.analytic",
    "gradient.finite-difference",
    "reduction.mean",
    "batch.degenerate",
    "stability.rare-class",
    "stability.minus-inf*",
    "stability.non-finite",
    "hessian.*",
    "jvp.*",
)
#: JAX compiles for every shape and option, so it gets fewer questions and one seed.
TELLING_JAX = ("value.definition", "gradient.analytic")


def is_missing(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return True
    return False


def skipped(name: str, reason: str) -> Any:
    return pytest.param(None, id=name, marks=pytest.mark.skip(reason=reason))


def parameters() -> list[Any]:
    """Every implementation that ships, and every one in ``correct``."""
    found = []
    for implementation in shipped():
        missing = [name for name in implementation.requires if is_missing(name)]
        if missing:
            found.append(skipped(implementation.name, f"not installed: {', '.join(missing)}"))
        else:
            found.append(pytest.param(implementation, id=implementation.name))
    for backend in correct.backends():
        try:
            importlib.import_module(backend)
        except ImportError as error:
            found.append(skipped(f"{backend}-*", str(error)))
        else:
            found += [pytest.param(each, id=each.name) for each in correct.of(backend)]
    return found


def named(implementation: Implementation) -> Implementation | str:
    """Keras has one backend in a process: by name, each of its losses is judged in its own."""
    return implementation.name if "keras" in implementation.requires else implementation


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("implementation", parameters())
def test_a_quick_run_passes(implementation: Implementation) -> None:
    run = gs.conformance(named(implementation), quick=True)

    assert run.failures == ()
    assert run.passed


@pytest.mark.parametrize("implementation", parameters())
def test_no_seed_brings_an_accusation(implementation: Implementation) -> None:
    in_jax = implementation.backend == "jax"
    clauses, seeds = (TELLING_JAX, SEEDS[:1]) if in_jax else (TELLING, SEEDS)
    for seed in seeds:
        run = gs.conformance(named(implementation), clauses=clauses, seed=seed)

        assert run.failures == (), f"seed {seed}"
        assert run.passed
