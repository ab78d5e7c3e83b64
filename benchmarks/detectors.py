"""The ways to test a loss that are compared, each behind one face: it accuses, or it does not.

Every gradient checker gets what a careful user would give it: the loss under every reduction, both
kinds of targets, every option alone and all together, as far as the loss takes them, at random
logits (N = 4, C = 5) in float64 as their manuals ask, several draws.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import gradcheck_suite as gs
from gradcheck_suite import backends
from gradcheck_suite.case import REDUCTIONS, TARGET_KINDS, Case
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.specification.recipe import Recipe
from gradcheck_suite.subject.binding import bind
from gradcheck_suite.subject.bound import BoundSubject

DRAWS = 3
#: ``scipy.optimize.check_grad`` returns a distance and no verdict; its examples show 1e-7 … 1e-6.
SCIPY_ALLOWS = 1e-5
_OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"weight": True},
    {"ignored": 1},
    {"smoothing": 0.1},
    {"weight": True, "ignored": 1, "smoothing": 0.1},
)


@dataclass(frozen=True, slots=True)
class Detector:
    """One way to test.

    Attributes:
        name: in the table.
        backends: the frameworks whose losses it can be given.
        accuses: why it does not accept an implementation; empty if it does.
        advises: the same for what it says without failing (advice); None if it has no such thing.
    """

    name: str
    backends: tuple[str, ...]
    accuses: Callable[[Implementation], str]
    advises: Callable[[Implementation], str] | None = None


# --- what the gradient checkers are given --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """The loss under one reduction, with one kind of target and some options.

    Attributes:
        subject: knows what the loss takes and how its keywords are called.
        case: the numbers.
    """

    subject: BoundSubject
    case: Case

    @property
    def name(self) -> str:
        return self.case.id

    def array(self, values: Any) -> Any:
        return self.subject.backend.asarray(values, "float64", self.subject.device)

    @property
    def targets(self) -> Any:
        index = self.case.target_kind == "index"
        dtype = "int64" if index else "float64"
        return self.subject.backend.asarray(self.case.targets, dtype, self.subject.device)

    def keywords(self) -> dict[str, Any]:
        options = self.case.options
        given: dict[str, Any] = {}
        if self.subject.takes("reduction"):
            given["reduction"] = options.reduction
        if options.weight is not None:
            given["weight"] = self.array(options.weight)
        if options.ignore_index is not None:
            given["ignore_index"] = options.ignore_index
        if options.label_smoothing:
            given["label_smoothing"] = options.label_smoothing
        return given

    def __call__(self, logits: Any) -> Any:
        """What the implementation returns; of several results the loss."""
        implementation, targets = self.subject.implementation, self.targets
        given = {implementation.rename.get(k, k): v for k, v in self.keywords().items()}
        if implementation.factory is not None:
            result = implementation.factory(**given)(logits, targets)
        else:
            result = self.subject.loss(logits, targets, **given)  # type: ignore[misc]
        return result if implementation.value is None else implementation.value(result)


def settings(implementation: Implementation, mode: str = "gradient") -> Iterator[Setting]:
    """Every setting that the implementation takes, with several draws."""
    subject = bind(implementation, backends.load(implementation.backend), dtype="float64")
    grid = itertools.product(TARGET_KINDS, REDUCTIONS, _OPTIONS)
    for kind, reduction, options in grid:
        if kind == "probabilities" and "ignored" in options:
            continue
        recipe = Recipe(targets=kind, reduction=reduction, **options)
        for seed in range(DRAWS):
            case = recipe.build(seed, "float64")
            if not subject.supports(case, mode):
                yield Setting(subject, case)


# --- PyTorch -------------------------------------------------------------------------------------


def _torch_gradcheck(implementation: Implementation, **options: Any) -> str:
    import torch

    for setting in settings(implementation):
        logits = torch.tensor(setting.case.logits, requires_grad=True)
        with _accusation(setting) as found:
            torch.autograd.gradcheck(setting, (logits,), **options)
        if found:
            return found[0]
    return ""


def _torch_all_modes(implementation: Implementation) -> str:
    """gradcheck with forward mode where there is one, and gradgradcheck where it applies."""
    import torch

    for setting in settings(implementation):
        subject, case = setting.subject, setting.case
        forward = not subject.supports(case, "forward")
        second = not subject.supports(case, "second")
        logits = torch.tensor(case.logits, requires_grad=True)
        with _accusation(setting) as found:
            torch.autograd.gradcheck(setting, (logits,), check_forward_ad=forward)
            if second:
                torch.autograd.gradgradcheck(setting, (logits,))
        if found:
            return found[0]
    return ""


def _torch_and_its_own_loss(implementation: Implementation) -> str:
    """gradcheck, and value and gradient close to those of ``F.cross_entropy`` in two dtypes."""
    import torch
    from torch.nn import functional

    accused = _torch_gradcheck(implementation)
    if accused:
        return accused
    for setting in settings(implementation):
        for dtype in (torch.float64, torch.float32):
            with _accusation(setting) as found:
                pairs = []
                keywords = {"reduction": setting.case.options.reduction, **setting.keywords()}
                for loss in (setting, functional.cross_entropy):
                    logits = torch.tensor(setting.case.logits, dtype=dtype, requires_grad=True)
                    targets = setting.targets
                    if loss is setting:
                        value = loss(logits) if dtype is torch.float64 else _narrow(setting, logits)
                    else:
                        floats = {
                            name: value.to(dtype) if isinstance(value, torch.Tensor) else value
                            for name, value in keywords.items()
                        }
                        if targets.is_floating_point():
                            targets = targets.to(dtype)
                        value = loss(logits, targets, **floats)
                    (gradient,) = torch.autograd.grad(value.sum(), logits)
                    pairs.append((value.detach(), gradient))
                (value, gradient), (expected, slope) = pairs
                torch.testing.assert_close(value, expected)
                torch.testing.assert_close(gradient, slope)
            if found:
                return found[0]
    return ""


def _narrow(setting: Setting, logits: Any) -> Any:
    """The loss in float32."""
    subject = bind(setting.subject.implementation, setting.subject.backend, dtype="float32")
    return _Narrow(subject, setting.case)(logits)


class _Narrow(Setting):
    """A setting whose floating arguments are float32."""

    def array(self, values: Any) -> Any:
        return self.subject.backend.asarray(values, "float32", self.subject.device)

    @property
    def targets(self) -> Any:
        targets = super().targets
        return targets.float() if targets.is_floating_point() else targets


# --- JAX -----------------------------------------------------------------------------------------


def _jax_check_grads(implementation: Implementation) -> str:
    """Order 2 and both modes where the loss has them, else what it has."""
    import jax
    from jax.test_util import check_grads

    for setting in settings(implementation):
        subject, case = setting.subject, setting.case
        modes = ["rev"] + ["fwd"] * (not subject.supports(case, "forward"))
        order = 1 if subject.supports(case, "second") else 2
        with jax.enable_x64(True), _accusation(setting) as found:
            np.random.seed(case.seed)  # the only seed it has
            check_grads(setting, (jax.numpy.asarray(case.logits),), order=order, modes=modes)
        if found:
            return found[0]
    return ""


# --- SciPy ---------------------------------------------------------------------------------------


def _scipy_check_grad(implementation: Implementation) -> str:
    from scipy.optimize import check_grad

    for setting in settings(implementation):
        shape = setting.case.logits.shape

        def value(flat: Any, setting: Setting = setting, shape: Any = shape) -> float:
            result = setting(flat.reshape(shape))
            returned = setting.subject.gradient_kind == "returned"
            return float(np.sum(result[0] if returned else result))

        def gradient(flat: Any, setting: Setting = setting, shape: Any = shape) -> Any:
            logits = flat.reshape(shape)
            if setting.subject.gradient_kind == "returned":
                return np.ravel(setting(logits)[1])
            supplied = setting.subject.implementation.gradient
            return np.ravel(supplied(logits, setting.targets, **setting.keywords()))  # type: ignore[operator]

        with _accusation(setting) as found:
            distance = check_grad(value, gradient, np.ravel(setting.case.logits))
            if not distance <= SCIPY_ALLOWS:
                raise AssertionError(f"check_grad = {distance:.1e}")
        if found:
            return found[0]
    return ""


# --- this suite ----------------------------------------------------------------------------------


def _conformance(implementation: Implementation, *, quick: bool = False) -> str:
    run = gs.conformance(implementation, quick=quick, fail_fast=True)
    if run.passed or not run.executed:
        return ""
    return f"{run.failures[0].clause}: {run.failures[0].reason}"


def _advice(implementation: Implementation, *, quick: bool = False) -> str:
    run = gs.conformance(implementation, quick=quick, fail_fast=True, strict=True)
    return "" if run.passed or not run.executed else run.failures[0].clause


@contextlib.contextmanager
def _accusation(setting: Setting) -> Iterator[list[str]]:
    """Whatever a checker raises is an accusation; the loss takes this setting, that is known."""
    found: list[str] = []
    try:
        yield found
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        found.append(f"{setting.name}: {type(error).__name__}: {first}"[:160])


DETECTORS = (
    Detector(
        "gradcheck-suite",
        ("numpy", "torch", "jax"),
        _conformance,
        _advice,
    ),
    Detector(
        "gradcheck-suite --quick",
        ("numpy", "torch", "jax"),
        lambda each: _conformance(each, quick=True),
        lambda each: _advice(each, quick=True),
    ),
    Detector(
        "torch gradcheck, fast",
        ("torch",),
        lambda each: _torch_gradcheck(each, fast_mode=True),
    ),
    Detector("torch gradcheck, slow", ("torch",), _torch_gradcheck),
    Detector("torch gradcheck, forward mode, gradgradcheck", ("torch",), _torch_all_modes),
    Detector(
        "torch gradcheck, assert_close to F.cross_entropy", ("torch",), _torch_and_its_own_loss
    ),
    Detector("jax check_grads", ("jax",), _jax_check_grads),
    Detector("scipy check_grad", ("numpy",), _scipy_check_grad),
)
