"""Modes: compiled, batched, on another device, for a subset of gradients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gradcheck_suite as gs
from gradcheck_suite.backends.numpy_backend import NumPyBackend
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.implementations.numpy_reference import softmax_nll
from gradcheck_suite.outcome import Failed, Passed, Record, Skipped
from gradcheck_suite.protocols import ArrayDescription
from gradcheck_suite.runner import Runner, Selection

pytestmark = pytest.mark.usefixtures("one_thread")


def asked(loss: Any, clause: str, case: str, **declared: Any) -> Record:
    """The outcome of one case of one clause in float64."""
    implementation = Implementation("loss", loss, **declared)
    run = gs.conformance(implementation, clauses=clause, cases=case, dtypes="float64")
    (record,) = run.outcomes
    return record


# --- devices -------------------------------------------------------------------------------------


class Elsewhere(np.ndarray):
    """An array of the second device."""


class TwoDevices(NumPyBackend):
    """NumPy with a second device, whose arrays are told from the first's by their type."""

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "fake:0")

    def asarray(self, values: npt.ArrayLike, dtype: str, device: str) -> npt.NDArray[Any]:
        array = super().asarray(values, dtype, device)
        return array.view(Elsewhere) if device == "fake:0" else array

    def describe(self, array: Any) -> ArrayDescription:
        device = "fake:0" if isinstance(array, Elsewhere) else "cpu"
        return ArrayDescription(tuple(array.shape), str(array.dtype), device)


def on_two_devices(loss: Any, device: str = "") -> Record:
    runner = Runner(
        Implementation("loss", loss, backend="numpy", gradient="returned"),
        TwoDevices(),
        device=device,
        selection=Selection(
            clauses=("mode.device",), cases=("rows4-classes5-none",), dtypes=("float64",)
        ),
    )
    (record,) = runner.run()
    return record


def test_what_agrees_on_both_devices_passes_with_the_inequality() -> None:
    verdict = on_two_devices(softmax_nll).verdict
    assert isinstance(verdict, Passed)
    assert verdict.inequality is not None


def test_the_device_that_disagrees_is_named() -> None:
    def loss(logits: Any, targets: Any, **options: Any) -> Any:
        value, gradient = softmax_nll(logits, targets, **options)
        return value, gradient * (1.001 if isinstance(logits, Elsewhere) else 1.0)

    verdict = on_two_devices(loss).verdict
    assert isinstance(verdict, Failed)
    assert verdict.summary.startswith("gradient on fake:0")
    assert [name for name, _ in verdict.sides] == ["fake:0", "cpu"]


def test_a_call_that_raises_on_one_device_alone_is_a_failure() -> None:
    def loss(logits: Any, targets: Any, **options: Any) -> Any:
        if isinstance(logits, Elsewhere):
            raise RuntimeError("no kernel image is available")
        return softmax_nll(logits, targets, **options)

    verdict = on_two_devices(loss).verdict
    assert isinstance(verdict, Failed)
    assert verdict.summary == "the call on fake:0 raises"
    assert ("fake:0", "RuntimeError: no kernel image is available") in verdict.sides


def test_a_run_on_the_second_device_is_compared_with_the_cpu() -> None:
    record = on_two_devices(softmax_nll, device="fake:0")
    assert record.device == "fake:0"
    assert isinstance(record.verdict, Passed)


def test_one_device_cannot_disagree_and_that_is_said() -> None:
    verdict = asked(softmax_nll, "mode.device", "rows4-classes5-none", backend="numpy").verdict
    assert verdict == Skipped("one device here: cpu")


def test_two_devices_of_jax_agree() -> None:
    """XLA makes two devices of one CPU, if it is told before it starts."""
    pytest.importorskip("jax")
    code = (
        "import json, gradcheck_suite as gs\n"
        "run = gs.conformance('jax-log-softmax', clauses='mode.device', isolate=False)\n"
        "print(json.dumps([[r.status, r.reason] for r in run.outcomes if r.verdict.status != "
        "'skipped']))"
    )
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **flags, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout)
    assert len(found) >= 2
    assert found == [["passed", ""]] * len(found)


# --- compiled and batched ------------------------------------------------------------------------


@pytest.fixture
def jax() -> Any:
    return pytest.importorskip("jax")


def test_numpy_has_neither_mode() -> None:
    signed = "rows4-classes5-none-upstream-signed"
    verdict = asked(softmax_nll, "mode.transformed", signed, backend="numpy").verdict
    assert isinstance(verdict, Skipped)
    assert "has no compiler" in verdict.reason
    assert "has no vmap" in verdict.reason


def test_a_loss_that_looks_at_its_values_cannot_be_traced_and_is_not_accused(jax: Any) -> None:
    def loss(logits: Any, targets: Any) -> Any:
        if not bool((targets >= 0).all()):
            raise IndexError("targets: a class index is negative")
        log_p = jax.nn.log_softmax(logits, axis=-1)
        return -jax.numpy.take_along_axis(log_p, targets[:, None], axis=-1)[:, 0]

    signed = "rows4-classes5-none-upstream-signed"
    verdict = asked(loss, "mode.transformed", signed, backend="jax").verdict
    assert isinstance(verdict, Skipped)
    assert verdict.reason.startswith("compiled: not supported: raises TracerBoolConversionError")
    assert "vmap: not supported: raises " in verdict.reason


def test_one_mode_that_is_not_offered_is_said_beside_the_other(torch_function: Any) -> None:
    """A Function without a batching rule is compiled, and refuses vmap."""
    signed = "rows4-classes5-none-upstream-signed"
    record = asked(torch_function, "mode.transformed", signed, backend="torch")
    assert isinstance(record.verdict, Passed)
    assert "vmap: not supported: raises " in record.reason


def test_a_compiled_loss_is_judged_compiled_to_the_end() -> None:
    """torch.compile runs a function uncompiled once it has compiled 8 versions of it."""
    torch = pytest.importorskip("torch")

    def only_compiled(
        logits: Any,
        targets: Any,
        *,
        weight: Any = None,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> Any:
        value = torch.nn.functional.cross_entropy(
            logits, targets, weight, label_smoothing=label_smoothing, reduction=reduction
        )
        return value if torch.compiler.is_compiling() else -value

    compiled = torch.compile(only_compiled, backend="eager")
    run = gs.conformance(
        gs.Implementation("only-compiled", compiled, backend="torch"),
        clauses=("value.definition", "weight.*", "smoothing.*"),
        dtypes="float64",
    )

    assert run.passed, run.failures
    assert len(run.executed) > 15
    assert torch._dynamo.config.recompile_limit == 8


@pytest.mark.parametrize(
    ("compiler", "status", "said"),
    [("eager", "passed", ""), ("no-such-compiler", "errored", "compiler: Invalid backend: 'no-s")],
)
def test_the_compiler_is_the_one_that_is_asked_for(compiler: str, status: str, said: str) -> None:
    torch = pytest.importorskip("torch")
    record = asked(
        torch.nn.functional.cross_entropy,
        "mode.transformed",
        "rows4-classes5-mean",
        backend="torch",
        compiler=compiler,
    )
    assert record.status == status
    assert said in record.reason


@pytest.fixture
def torch_function() -> Any:
    torch = pytest.importorskip("torch")

    class Rows(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, logits: Any, targets: Any) -> Any:
            ctx.save_for_backward(logits, targets)
            return torch.nn.functional.cross_entropy(logits, targets, reduction="none")

        @staticmethod
        def backward(ctx: Any, u: Any) -> Any:
            logits, targets = ctx.saved_tensors
            t = torch.nn.functional.one_hot(targets, logits.shape[-1])
            return u[:, None] * (logits.softmax(-1) - t), None

    def loss(logits: Any, targets: Any) -> Any:
        return Rows.apply(logits, targets)

    return loss


# --- subsets of gradients ------------------------------------------------------------------------

PROBABILITIES = ("mode.partial-gradients", "rows4-classes5-mean-probabilities")


def refusing() -> Any:
    torch = pytest.importorskip("torch")

    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        if targets.requires_grad:
            raise ValueError("targets: no gradient is offered")
        return torch.nn.functional.cross_entropy(logits, targets, reduction=reduction)

    return loss


def test_targets_that_are_constants_may_refuse_a_gradient_where_that_is_declared() -> None:
    absent = {"target_gradient": "absent"}
    record = asked(refusing(), *PROBABILITIES, backend="torch", dialect=absent)
    assert isinstance(record.verdict, Passed)
    assert "declared: none in the targets" in record.reason


def test_a_subset_that_raises_is_a_failure_where_nothing_is_declared() -> None:
    verdict = asked(refusing(), *PROBABILITIES, backend="torch").verdict
    assert isinstance(verdict, Failed)
    assert verdict.summary == "the call where the targets alone do raises"


def test_targets_without_any_gradient_are_left_to_their_own_clause() -> None:
    torch = pytest.importorskip("torch")

    def loss(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
        return torch.nn.functional.cross_entropy(logits, targets.detach(), reduction=reduction)

    record = asked(loss, *PROBABILITIES, backend="torch")
    assert isinstance(record.verdict, Passed)
    assert "see gradient.targets" in record.reason
