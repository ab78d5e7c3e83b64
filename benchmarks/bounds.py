"""The bounds against correct implementations: nobody is accused, and no bound is idle.

    python -m benchmarks.bounds                       # ten thousand evaluations per dtype
    python -m benchmarks.bounds --evaluations 1000    # a look

An evaluation is one correct algorithm on one random batch: value, gradient, the targets'
gradient, and derivatives along a tangent. PyTorch, NumPy and SciPy run on every batch, JAX and
optax on one seed in ten (they compile). Prints error / bound at its worst and writes it to
``docs/bounds-measured.md``. Exits with 1 where somebody is accused or a bound is idle.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the evaluations are the tests' own

from evaluations.problem import FAMILIES, OPTIONS  # noqa: E402
from evaluations.sweep import ARITHMETICS, Scored, sweep  # noqa: E402

from gradcheck_suite.numerics.tolerance import Arithmetic  # noqa: E402

PAGE = ROOT / "docs" / "bounds-measured.md"
SHAPES = ((6, 5), (4, 33), (3, 129), (2, 1025))
IDLE = 1.0 / 30.0
QUICK = ("torch", "numpy", "scipy", "wide", "stored")
QUANTITIES = ("value", "gradient", "target_gradient", "jvp", "hvp")


@dataclass
class Table:
    """The worst error / bound of one arithmetic, and how much was evaluated for it."""

    dtype: str
    accumulation: str | None
    evaluations: int = 0
    accused: list[Scored] = field(default_factory=list)
    family: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    quantity: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def name(self) -> str:
        if self.dtype in ("float64", "float32"):
            return self.dtype
        kind = {"float32": "in float32", None: "sums in float32"}.get(self.accumulation)
        return f"{self.dtype}, {kind or 'throughout'}"

    @property
    def idle(self) -> list[str]:
        return [family for family, ratio in self.family.items() if ratio < IDLE]

    def add(self, scored: list[Scored]) -> None:
        runs = {(s.evaluation, s.family, s.options, s.reduction, s.shape, s.seed) for s in scored}
        self.evaluations += len(runs)
        for each in scored:
            self.family[each.family] = max(self.family[each.family], each.ratio)
            self.quantity[each.quantity] = max(self.quantity[each.quantity], each.ratio)
            if not each.ratio <= 1.0:
                self.accused.append(each)


def measure(dtype: str, accumulation: str | None, evaluations: int) -> Table:
    """Sweeps over seeds until there are enough evaluations."""
    table = Table(dtype, accumulation)
    arithmetic = Arithmetic.of(dtype, accumulation)
    for seed in count():
        if table.evaluations >= evaluations:
            return table
        for family in FAMILIES:
            scored = sweep(
                dtype,
                arithmetic,
                families=(family,),
                options=OPTIONS,
                shapes=(SHAPES[seed % len(SHAPES)],),
                seeds=(seed,),
                chosen="" if seed % 10 == 0 else QUICK,
            )
            table.add(scored)
    raise AssertionError("count() does not end")


def page(tables: list[Table], seconds: float) -> Iterator[str]:
    """The lines of the page."""
    versions = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("numpy", "torch", "jax", "optax", "scipy")
    )
    yield "# The bounds, measured"
    yield ""
    yield "Written by `python -m benchmarks.bounds`; the derivation is in [bounds.md](bounds.md)."
    yield ""
    yield (
        f"Python {platform.python_version()}, {versions}, CPU, {seconds / 60.0:.0f} minutes. N×C: "
        + ", ".join(f"{rows}×{classes}" for rows, classes in SHAPES)
        + f"; {len(OPTIONS)} sets of options; reductions none and mean."
    )
    yield ""
    yield (
        "The largest error / bound over correct implementations. More than 1 would be an "
        "accusation; less than 1/30 a bound that is idle."
    )
    yield ""
    yield "| family | " + " | ".join(table.name for table in tables) + " |"
    yield "|---" * (len(tables) + 1) + "|"
    for family in FAMILIES:
        cells = (f"{t.family[family]:.2f}" if family in t.family else "–" for t in tables)
        yield f"| {family} | " + " | ".join(cells) + " |"
    yield ""
    yield "| quantity | " + " | ".join(table.name for table in tables) + " |"
    yield "|---" * (len(tables) + 1) + "|"
    for quantity in QUANTITIES:
        cells = (f"{t.quantity.get(quantity, 0.0):.2f}" for t in tables)
        yield f"| {quantity.replace('_', ' ')} | " + " | ".join(cells) + " |"
    yield "| evaluations | " + " | ".join(f"{t.evaluations:,}" for t in tables) + " |"
    yield "| accusations | " + " | ".join(str(len(t.accused)) for t in tables) + " |"


def main() -> int:
    """Measures every arithmetic, prints and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=10_000, help="per dtype")
    parser.add_argument("--dtype", action="append", help="only these, and nothing is written")
    options = parser.parse_args()
    chosen = [each for each in ARITHMETICS if not options.dtype or each[0] in options.dtype]
    share = {dtype: sum(each[0] == dtype for each in ARITHMETICS) for dtype, _ in chosen}
    begun, tables = time.perf_counter(), []
    for dtype, accumulation in chosen:
        table = measure(dtype, accumulation, -(-options.evaluations // share[dtype]))
        tables.append(table)
        worst = max(table.family.values())
        print(
            f"{table.name}: {table.evaluations} evaluations, worst {worst:.3f}, "
            f"{len(table.accused)} accused, idle: {', '.join(table.idle) or 'none'}",
            flush=True,
        )
        for each in table.accused[:5]:
            print(f"  accused: {each}", flush=True)
    if not options.dtype:
        PAGE.write_text("\n".join(page(tables, time.perf_counter() - begun)) + "\n", "utf-8")
    return 1 if any(table.accused or table.idle for table in tables) else 0


if __name__ == "__main__":
    sys.exit(main())
