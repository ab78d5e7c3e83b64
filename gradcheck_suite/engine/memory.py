"""What second order needs in memory, and what there is.

First order keeps to the function's own arrays and a few more. A Hessian-vector product holds
the graph of a backward pass beside two directions and three gradients, so it is budgeted
apart: asked before, not after the process has been killed.
"""

from __future__ import annotations

import math
from pathlib import Path

from gradcheck_suite.engine.problem import Problem

MIB = 1 << 20
WIDTHS = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16}
SECOND_ORDER_ARRAYS = 14
"""Arrays of the primals' size that are alive at once, measured on softmax losses in PyTorch
(``benchmarks/memory.py``): two directions, the moved primals and their copy, the gradient and
its derivative are this check's, the others the double backward pass's."""
WORTH_SAYING = 64
"""MiB from which on a passing check says what it took."""


def needed(problem: Problem) -> float:
    """MiB that the second-order check is going to take, roughly."""
    size = sum(
        math.prod(leaf.described.shape) * WIDTHS[leaf.described.dtype] for leaf in problem.leaves
    )
    return SECOND_ORDER_ARRAYS * size / MIB


def available() -> float:
    """MiB of memory that can be had without swapping; infinite where that is not known."""
    try:
        entries = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return math.inf
    found = [entry.split()[1] for entry in entries if entry.startswith("MemAvailable:")]
    return float(found[0]) / 1024.0 if found else math.inf


def refusal(problem: Problem, allowed: float | None) -> str:
    """Why second order cannot be looked at, in words; empty where it can."""
    needs = needed(problem)
    if allowed is None:
        if needs < WORTH_SAYING or any(leaf.described.device != "cpu" for leaf in problem.leaves):
            return ""
        allowed, source = available(), "are free"
    else:
        source = "are allowed"
    if needs <= allowed:
        return ""
    return (
        f"memory: second order needs about {needs:.0f} MiB here, {allowed:.0f} MiB {source}; "
        "give memory= (MiB), or fewer rows"
    )
