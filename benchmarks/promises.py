"""What issue 3 promises of the engine, each with what was seen: the table on top of the page."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks import memory
from benchmarks.problems import PLANTED, Problem
from gradcheck_suite import Status
from gradcheck_suite.engine import gradcheck
from gradcheck_suite.engine.memory import SECOND_ORDER_ARRAYS
from gradcheck_suite.numerics.localise import columns

REVERSE, ALL = "gradcheck-suite, reverse", "gradcheck-suite, all default"
LIMITS = {(64, 1000): 1.0, (256, 1000): 1.2, (64, 4096): 1.2, (512, 32000): 1.2}
ALL_LIMIT = 10.0
VISIBLE = {"float64": 0.0, "float32": 1e-2}
"""Planted errors of at least this size, ‖δg‖/‖g‖, must be caught."""
ROWS_LIMIT, SCALAR_LIMIT, MEMORY_LIMIT = 100.0, 20.0, 256.0


@dataclass(frozen=True)
class Promise:
    """One line: what was promised, and what was seen."""

    what: str
    target: str
    seen: str
    kept: bool


def of_tables(tables: Sequence[tuple[Problem, Mapping[str, Any]]]) -> Iterator[Promise]:
    """Those that the big table answers: cost against torch's fast mode, and what is caught."""
    for (rows, classes), limit in LIMITS.items():
        for problem, cells in tables:
            if (problem.name, problem.dtype) != (f"NLL {rows}×{classes}", "float64"):
                continue
            for name, most in ((REVERSE, limit), (ALL, ALL_LIMIT)):
                ratio = cells[name].ratio
                yield Promise(
                    f"{name}, {rows}×{classes} float64",
                    f"≤ {most:g} × torch fast",
                    f"{ratio:.2f} ×",
                    ratio <= most,
                )
    for dtype, size in VISIBLE.items():
        yield _caught([(p, cells) for p, cells in tables if p.dtype == dtype], dtype, size)
    accused = [
        cells[name].seen["right"].count("wrong")
        for _, cells in tables
        for name in (REVERSE, ALL)
        if cells[name].seen
    ]
    yield Promise("right gradients accused", "0", str(sum(accused)), not any(accused))


def _caught(
    tables: Sequence[tuple[Problem, Mapping[str, Any]]], dtype: str, size: float
) -> Promise:
    caught = shown = 0
    missed = []
    for problem, cells in tables:
        sizes = problem.error_sizes()
        for name in PLANTED:
            answers = cells[REVERSE].seen.get(name, [])
            if sizes[name] < max(size, 1e-12):
                continue
            caught, shown = caught + answers.count("wrong"), shown + len(answers)
            if answers.count("wrong") < len(answers):
                missed.append(f"{problem.name} {name}")
    which = f" of ‖δg‖/‖g‖ ≥ {size:g}" if size else ""
    seen = f"{caught} of {shown}" + (f" (not: {', '.join(missed)})" if missed else "")
    return Promise(f"planted errors caught, {dtype}{which}", "all", seen, caught == shown)


def of_localisation(rows: int = 32, classes: int = 1000) -> Iterator[Promise]:
    """Localisation beside torch's slow mode, in one run."""
    point = np.random.default_rng(0).standard_normal((rows, classes))
    targets = torch.from_numpy(np.random.default_rng(1).integers(0, classes, rows))
    at = f"{rows}×{classes} float64"

    def nll(reduction: str) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: torch.nn.functional.cross_entropy(x, targets, reduction=reduction)

    def every_column() -> None:
        with torch.no_grad():
            columns(
                lambda x: nll("none")(torch.from_numpy(x)).numpy(), point, machine_epsilon=2.0**-52
            )

    slow = _slow(nll("none"), point)
    ours = _median(every_column)
    yield _ratio(f"every element of {at}, rows as output", slow, ours, ROWS_LIMIT)
    yield _ratio(
        f"a wrong gradient of {at}, rows as output, told as a story",
        slow,
        _median(lambda: _story(nll("none"), point)),
        ROWS_LIMIT,
    )
    yield _ratio(
        f"one wrong element of {at}, mean-reduced, named by bisection",
        _slow(nll("mean"), point),
        _median(lambda: _story(nll("mean"), point)),
        SCALAR_LIMIT,
    )


def _story(function: Callable[[torch.Tensor], torch.Tensor], point: np.ndarray) -> None:
    """One element's gradient is wrong, and is found."""

    class Planted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            return function(x)

        @staticmethod
        def backward(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad():
                leaf = ctx.saved_tensors[0].detach().requires_grad_(True)
                (right,) = torch.autograd.grad(function(leaf), leaf, upstream)
            right[len(right) // 2, right.shape[1] // 3] *= 1.5
            return right

    verdict = gradcheck(Planted.apply, torch.from_numpy(point), checks=("reverse",))
    found = verdict["reverse"].verdict
    place = f"[{len(point) // 2}, {point.shape[1] // 3}]"
    if verdict.status is not Status.FAILED or place not in found.at:
        raise SystemExit(f"the planted element {place} was not named:\n{verdict}")


def _slow(function: Callable[[torch.Tensor], torch.Tensor], point: np.ndarray) -> float:
    x = torch.from_numpy(point).requires_grad_(True)
    start = time.perf_counter()
    torch.autograd.gradcheck(function, (x,))
    return time.perf_counter() - start


def _median(call: Callable[[], None]) -> float:
    call()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _ratio(what: str, slow: float, ours: float, limit: float) -> Promise:
    seen = f"1/{slow / ours:.0f} ({ours * 1e3:.0f} ms beside {slow:.1f} s)"
    return Promise(what, f"≤ 1/{limit:.0f} of torch slow", seen, slow / ours >= limit)


def of_memory(rows: int = 512, classes: int = 32000) -> Iterator[Promise]:
    """Peak resident memory beside the function's own arrays, in a fresh process."""
    if not sys.platform.startswith("linux"):
        return
    found = memory.beside_its_own(rows, classes, "float32", "reverse")
    yield Promise(
        f"memory of the first-order check, {rows}×{classes} float32",
        f"≤ {MEMORY_LIMIT:.0f} MiB beside inputs, outputs and gradients",
        f"{found:.0f} MiB",
        found <= MEMORY_LIMIT,
    )
    second = memory.beside_its_own(rows, classes, "float32", "second")
    needs = SECOND_ORDER_ARRAYS * rows * classes * 4 / memory.MIB
    yield Promise(
        f"memory of the second-order check, {rows}×{classes} float32",
        f"≤ {needs:.0f} MiB, as it says itself",
        f"{second:.0f} MiB",
        second <= needs,
    )


def table(promises: Sequence[Promise]) -> list[str]:
    """As Markdown."""
    return [
        "## Promises",
        "",
        "| what | target | seen | |",
        "| --- | --- | --- | --- |",
        *(
            f"| {one.what} | {one.target} | {one.seen} | {'✓' if one.kept else '✗'} |"
            for one in promises
        ),
        "",
    ]
