"""Right functions that must not be accused, and wrong gradients that must not pass.

    python -m benchmarks.correct_corpus             # more than 1,000 right cases
    python -m benchmarks.correct_corpus --planted   # errors planted in the same, float64
    python -m benchmarks.correct_corpus --seeds 1   # a third of it

Functions × shapes × dtypes × seeds over NumPy, PyTorch and JAX, with the default checks.
Prints every accusation, error and miss, and counts what was inconclusive by reason. The
exit status is 1 if there was an accusation, an error or a miss.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import torch

from benchmarks import corpus_functions as corpus
from benchmarks.corpus_functions import Draw
from gradcheck_suite import Status
from gradcheck_suite.engine import Result, gradcheck

SHAPES = ((3, 4), (7, 2), (12, 30))
HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class Family:
    """The functions of one framework, and where they are looked at."""

    functions: dict[str, Any]
    made: Callable[[np.ndarray, str], Any]
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    without_half: tuple[str, ...]
    seeds: int


FAMILIES = {
    "torch": Family(
        corpus.TORCH,
        corpus.in_torch,
        ("float64", "float32", *HALF),
        SHAPES,
        corpus.HALF_UNSUPPORTED,
        3,
    ),
    "numpy": Family(
        corpus.NUMPY, corpus.in_numpy, ("float64", "float32", "float16"), SHAPES, (), 3
    ),
    "jax": Family(
        corpus.JAX,
        corpus.in_jax,
        ("float64", "float32", "bfloat16"),
        SHAPES[:1],
        corpus.JAX_HALF_UNSUPPORTED,
        3,
    ),
}


@dataclass(frozen=True)
class Case:
    """A function with its primals, drawn when they are wanted."""

    backend: str
    function: str
    shape: tuple[int, int]
    dtype: str
    seed: int

    def __str__(self) -> str:
        rows, columns = self.shape
        return f"{self.backend}: {self.function}, {rows}×{columns} {self.dtype}, seed {self.seed}"

    def drawn(self) -> corpus.Made:
        family = FAMILIES[self.backend]
        stream = (zlib.crc32(self.function.encode()), self.seed, *self.shape)
        draw = Draw(np.random.default_rng(stream), self.dtype, family.made)
        function, primals = family.functions[self.function](draw, self.shape)
        return function, primals

    def checked(self, **options: Any) -> Result:
        """The engine's result; JAX in x64 exactly where float64 is looked at."""
        with jax.enable_x64(self.dtype == "float64"):
            function, primals = self.drawn()
            return gradcheck(function, *primals, seed=self.seed, **options)


def cases(backends: Sequence[str], seeds: int | None = None) -> Iterator[Case]:
    """Every case of these frameworks."""
    for name in backends:
        family = FAMILIES[name]
        for function, dtype, shape, seed in itertools.product(
            family.functions, family.dtypes, family.shapes, range(seeds or family.seeds)
        ):
            if not (dtype in HALF and function in family.without_half):
                yield Case(name, function, shape, dtype, seed)


def _without_largest(g: Any) -> Any:
    flat = np.abs(np.asarray(g)).reshape(-1)
    keep = np.ones(flat.size)
    keep[int(flat.argmax())] = 0.0
    keep = keep.reshape(g.shape)
    return g * (torch.from_numpy(keep) if isinstance(g, torch.Tensor) else keep)


PLANTED: dict[str, Callable[[Any], Any]] = {
    "zero": lambda g: g * 0.0,
    "negated": lambda g: -g,
    "×1.01": lambda g: g * 1.01,
    "×1.0001": lambda g: g * 1.0001,
    "largest element dropped": _without_largest,
}


def planted(case: Case, plant: Callable[[Any], Any]) -> Result:
    """The reverse check where every gradient of the function has an error planted in it."""
    with jax.enable_x64(case.dtype == "float64"):
        function, primals = case.drawn()
        wrong = _IN[case.backend](function, plant)
        return gradcheck(wrong, *primals, checks="reverse", localise=False, seed=case.seed)


def _in_torch(function: Callable[..., Any], plant: Callable[[Any], Any]) -> Callable[..., Any]:
    class Planted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
            return plant(upstream)

    def wrong(*primals: Any) -> Any:
        leaves, spec = torch.utils._pytree.tree_flatten(primals)
        through = [Planted.apply(x) if _floats(x) else x for x in leaves]
        return function(*torch.utils._pytree.tree_unflatten(through, spec))

    return wrong


def _floats(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and (x.is_floating_point() or x.is_complex())


def _in_jax(function: Callable[..., Any], plant: Callable[[Any], Any]) -> Callable[..., Any]:
    through = jax.custom_vjp(lambda x: x)
    # JAX's arrays are traced here: what is dropped is the last element, not the largest.
    last = PLANTED["largest element dropped"]
    traced = (lambda g: g.at[(-1,) * g.ndim].set(0)) if plant is last else plant
    through.defvjp(lambda x: (x, None), lambda _, u: (traced(u),))

    def wrong(*primals: Any) -> Any:
        return function(
            *jax.tree_util.tree_map(
                lambda x: through(x) if jax.numpy.issubdtype(x.dtype, np.inexact) else x, primals
            )
        )

    return wrong


def _in_numpy(function: Callable[..., Any], plant: Callable[[Any], Any]) -> Callable[..., Any]:
    def wrong(*primals: Any) -> Any:
        value, gradient = function(*primals)
        several = isinstance(gradient, tuple)
        return value, tuple(map(plant, gradient)) if several else plant(gradient)

    return wrong


_IN = {"torch": _in_torch, "jax": _in_jax, "numpy": _in_numpy}


def reasons(result: Result) -> list[str]:
    """Check and the reason's first word of what was inconclusive."""
    return [
        f"{one.check}: {one.reason.partition(':')[0][:40]}"
        for one in result.outcomes
        if one.status is Status.INCONCLUSIVE
    ]


def run_right(chosen: Sequence[Case], console: Callable[[str], None] = print) -> int:
    """Checks right functions; returns how many accusations and errors there were."""
    statuses: Counter[str] = Counter()
    undecided: Counter[str] = Counter()
    for case in chosen:
        try:
            result = case.checked()
        except Exception:
            statuses["error"] += 1
            console(f"ERROR {case}\n{traceback.format_exc(limit=-3)}")
            continue
        statuses[str(result.status)] += 1
        undecided.update(f"{case.dtype} {reason}" for reason in reasons(result))
        if result.status is Status.FAILED:
            console(f"ACCUSED {case}\n{result}")
    console(f"{len(chosen)} right cases: {_counts(statuses)}")
    for reason, count in undecided.most_common():
        console(f"  {count:4} inconclusive, {reason}")
    return statuses["failed"] + statuses["error"]


def run_planted(chosen: Sequence[Case], console: Callable[[str], None] = print) -> int:
    """Checks wrong gradients; returns how many passed."""
    statuses: Counter[str] = Counter()
    for case in chosen:
        if case.function == "constant":
            continue  # its gradient is zero, and so is every error planted in it
        for name, plant in PLANTED.items():
            result = planted(case, plant)
            statuses[str(result.status)] += 1
            if result.passed:
                console(f"MISSED {name} in {case}\n{result}")
    console(f"{sum(statuses.values())} planted errors: {_counts(statuses)}")
    return statuses["passed"]


def _counts(statuses: Counter[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.most_common())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.correct_corpus")
    parser.add_argument("--backends", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--seeds", type=int, help="per function, shape and dtype")
    parser.add_argument("--planted", action="store_true", help="wrong gradients, in float64")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    start = time.perf_counter()
    chosen = list(cases(options.backends, options.seeds))
    if options.planted:
        bad = run_planted([case for case in chosen if case.dtype == "float64"])
    else:
        bad = run_right(chosen)
    print(f"{time.perf_counter() - start:.0f} s")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
