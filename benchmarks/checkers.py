"""The checkers, each behind one face: given a problem, a seed and a planted error, it judges."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import util
from typing import Any
from unittest import mock

import jax
import numpy as np
import torch

from benchmarks.problems import Problem
from gradcheck_suite import Status
from gradcheck_suite.engine import gradcheck

gradcheck_of_torch = sys.modules["torch.autograd.gradcheck"]
Plant = Callable[[Any], Any] | None
Prepare = Callable[[Problem, int, Plant], Callable[[], str]]
"""Returns the check, ready to be timed; it answers ``right``, ``wrong`` or ``undecided``."""


@dataclass(frozen=True)
class Checker:
    """A checker, how many evaluations it will need for n elements, and how long it may take.

    ``patience`` is the time of one run, in seconds, up to which it is shown planted errors.
    """

    name: str
    prepare: Prepare
    predicted: Callable[[int], float]
    patience: float = 5.0


def _verdict(right: object) -> str:
    return "right" if right else "wrong"


def _torch(fast: bool) -> Prepare:
    def prepare(problem: Problem, seed: int, plant: Plant) -> Callable[[], str]:
        x = torch.from_numpy(problem.point(seed)).requires_grad_(True)
        function = problem.torch_function(plant)

        def check() -> str:
            with mock.patch.object(gradcheck_of_torch, "_run_slow_mode_and_get_error", _message):
                return _verdict(
                    torch.autograd.gradcheck(function, (x,), fast_mode=fast, raise_exception=False)
                )

        return check

    return prepare


def _message(*_: object) -> str:
    """Torch's fast mode runs its slow mode for the message of a failure: not timed here."""
    return ""


def _ours(**options: Any) -> Prepare:
    words = {Status.PASSED: "right", Status.FAILED: "wrong"}

    def prepare(problem: Problem, seed: int, plant: Plant) -> Callable[[], str]:
        x = torch.from_numpy(problem.point(seed)).requires_grad_(True)
        function = problem.torch_function(plant)
        return lambda: words.get(
            gradcheck(function, x, seed=seed, localise=False, **options).status, "undecided"
        )

    return prepare


def _jax(problem: Problem, seed: int, plant: Plant) -> Callable[[], str]:
    from jax.test_util import check_grads

    def check() -> str:
        np.random.seed(seed)  # the only seed it has
        with _wide(problem.dtype == "float64"):
            x = jax.numpy.asarray(problem.point(seed))
            try:
                check_grads(problem.jax_function(plant), (x,), order=1, modes=("rev",))
            except AssertionError:
                return "wrong"
            return "right"

    return check


@contextlib.contextmanager
def _wide(wanted: bool) -> Iterator[None]:
    with jax.enable_x64(wanted):
        yield


def _scipy(problem: Problem, seed: int, plant: Plant) -> Callable[[], str]:
    from scipy.optimize import check_grad

    flat = problem.point(seed).reshape(-1).astype(np.float64)
    value, gradient = problem.numpy_function(), problem.numpy_gradient(plant)
    return lambda: _verdict(check_grad(value, gradient, flat) <= 1e-6)


def _numdifftools(problem: Problem, seed: int, plant: Plant) -> Callable[[], str]:
    import numdifftools

    flat = problem.point(seed).reshape(-1).astype(np.float64)
    value, gradient = problem.numpy_function(), problem.numpy_gradient(plant)

    def check() -> str:
        found = numdifftools.Gradient(value, full_output=True)(flat)
        allowed = 10.0 * np.asarray(found.error_estimate) + 1e-12
        return _verdict(np.all(np.abs(found.estimate - gradient(flat)) <= allowed))

    return check


def installed() -> tuple[Checker, ...]:
    """Every checker whose package is installed, this one first."""
    found = [
        Checker("gradcheck-suite, reverse", _ours(checks=("reverse",)), lambda n: 6),
        Checker("gradcheck-suite, all default", _ours(), lambda n: 40, patience=1.0),
        Checker("torch gradcheck, fast", _torch(fast=True), lambda n: 8),
        Checker("torch gradcheck, slow", _torch(fast=False), lambda n: 2 * n + 2),
        Checker("jax check_grads", _jax, lambda n: 8),
    ]
    if util.find_spec("scipy"):
        found.append(Checker("scipy check_grad", _scipy, lambda n: n + 1))
    if util.find_spec("numdifftools"):
        found.append(Checker("numdifftools Gradient", _numdifftools, lambda n: 40 * n))
    return tuple(found)


def seconds_per_evaluation(problem: Problem) -> float:
    """How long one value takes in PyTorch: what slow checkers are predicted from."""
    x, function = torch.from_numpy(problem.point(0)), problem.torch_function()
    with torch.no_grad():
        function(x)
        start = time.perf_counter()
        for _ in range(3):
            function(x)
    return (time.perf_counter() - start) / 3.0
