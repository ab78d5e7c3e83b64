"""The engine beside the other gradient checkers: time, evaluations, and what each one sees.

    python -m benchmarks.engine            # about a quarter of an hour
    python -m benchmarks.engine --quick    # the three smallest sizes, three seeds

Everything runs in this one process, in turns, on the same points. Prints a table and writes
``docs/engine-benchmark.md``.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import signal
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import promises
from benchmarks.checkers import Checker, installed, seconds_per_evaluation
from benchmarks.problems import PLANTED, SIZES, Problem, convolution, mean_nll, mlp, scan

PAGE = Path(__file__).resolve().parents[1] / "docs" / "engine-benchmark.md"
REFERENCE = "torch gradcheck, fast"
MOST_SECONDS = 60.0
SLOW_EVALUATION_OVERHEAD = 20e-6
"""What a checker spends beside the function, per evaluation; for the prediction alone."""


@dataclass
class Cell:
    """One checker on one problem.

    ``seen`` maps an error's name (or ``right``: nothing planted) to the answers by seed.
    """

    seconds: list[float] = field(default_factory=list)
    evaluations: int = 0
    predicted: float | None = None
    ratio: float = math.nan
    seen: dict[str, list[str]] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.predicted is None


Cells = dict[str, Cell]


def measured(problem: Problem, checkers: Sequence[Checker], options: argparse.Namespace) -> Cells:
    """Times all checkers in turns on the right gradient, then shows each the planted errors."""
    cells = {checker.name: Cell() for checker in checkers}
    each = seconds_per_evaluation(problem) + SLOW_EVALUATION_OVERHEAD
    for checker in checkers:
        expected = each * checker.predicted(problem.size)
        if expected > MOST_SECONDS:
            cells[checker.name].predicted = expected
    running = [checker for checker in checkers if cells[checker.name].finished]
    for checker in running:
        _first(problem, checker, cells[checker.name])
    running = [checker for checker in running if cells[checker.name].finished]
    _in_turns(problem, running, cells)
    for checker in running:
        _detection(problem, checker, cells[checker.name], options)
    return cells


def _first(problem: Problem, checker: Checker, cell: Cell) -> None:
    """The first run, which warms everything up and counts the evaluations."""
    problem.evaluations, start = 0, time.perf_counter()
    try:
        with _alarm(MOST_SECONDS):
            checker.prepare(problem, 0, None)()
    except TimeoutError:
        cell.predicted = MOST_SECONDS
    cell.evaluations = problem.evaluations
    cell.seconds.append(time.perf_counter() - start)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raises ``TimeoutError`` in the checker once the time is over."""

    def over(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _in_turns(problem: Problem, running: Sequence[Checker], cells: Cells) -> None:
    """Each checker alternates with torch's fast mode: their ratio is that of neighbours."""
    quick = [checker for checker in running if cells[checker.name].seconds[0] < 3.0]
    reference = next((checker for checker in running if checker.name == REFERENCE), None)
    for checker in quick:
        rounds = max(3, min(15, int(3.0 / max(cells[checker.name].seconds[0], 1e-3))))
        cell, pairs = cells[checker.name], []
        for _ in range(rounds):
            theirs = _timed(problem, reference) if reference else math.nan
            pairs.append((_timed(problem, checker), theirs))
        cell.seconds = [ours for ours, _ in pairs]
        cell.ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    for checker in running:
        if checker not in quick:
            cell = cells[checker.name]
            cell.ratio = cell.seconds[0] / statistics.median(cells[REFERENCE].seconds)


def _timed(problem: Problem, checker: Checker) -> float:
    check = checker.prepare(problem, 0, None)
    start = time.perf_counter()
    check()
    return time.perf_counter() - start


def _detection(problem: Problem, checker: Checker, cell: Cell, options: argparse.Namespace) -> None:
    """Every seed gets all errors in turn, until the seeds or the cell's budget are used up.

    The first seed is seen through, unless a single run takes seconds already.
    """
    plants: dict[str, Callable[[object], object] | None] = {"right": None, **PLANTED}
    start = time.perf_counter()
    cell.seen = {name: [] for name in plants}
    if statistics.median(cell.seconds) > checker.patience:
        return
    for seed in range(options.seeds):
        for name, plant in plants.items():
            if seed and time.perf_counter() - start > options.budget:
                return
            try:
                with _alarm(MOST_SECONDS):
                    cell.seen[name].append(checker.prepare(problem, seed, plant)())
            except TimeoutError:
                return


def chosen(options: argparse.Namespace) -> Iterator[Problem]:
    """The problems asked for, in both dtypes."""
    for dtype in options.dtypes:
        for rows, classes in options.sizes:
            yield mean_nll(rows, classes, dtype)
        yield from (make(dtype) for make in (mlp, convolution, scan))


HEAD = ("time", "× torch fast", "evaluations", "accused, right", *PLANTED)


def row(cell: Cell, reference: Cell) -> tuple[str, ...]:
    """One line of the table."""
    if not cell.finished:
        return (f"did not finish (≈ {cell.predicted:.0f} s)", *[""] * (len(HEAD) - 1))
    ratio = f"{cell.ratio:.2f}" if cell.ratio < 10 else f"{cell.ratio:.0f}"
    if cell is reference:
        ratio = "1"
    accused = cell.seen["right"].count("wrong")
    return (
        _time(statistics.median(cell.seconds)),
        ratio,
        str(cell.evaluations),
        f"{accused}/{len(cell.seen['right'])}" if cell.seen["right"] else "not run",
        *(_caught(cell.seen[name]) for name in PLANTED),
    )


def _caught(answers: Sequence[str]) -> str:
    """``10/10`` caught; ``8/10 (2?)``: two more were inconclusive, which is no pass."""
    if not answers:
        return "not run"
    undecided = answers.count("undecided")
    return f"{answers.count('wrong')}/{len(answers)}" + (f" ({undecided}?)" if undecided else "")


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1.0 else f"{seconds * 1e3:.1f} ms"


def page(
    tables: Sequence[tuple[Problem, Cells]],
    kept: Sequence[promises.Promise],
    options: argparse.Namespace,
) -> str:
    """The Markdown page."""
    lines = [
        "# The engine beside other gradient checkers",
        "",
        f"Written by `python -m benchmarks.engine{options.asked}`; do not edit.",
        "",
        _machine(options),
        "",
        "Every checker looks at the same right value beside the same gradient, at the same points.",
        "*Time* is the median of runs on the right gradient, *× torch fast* the median ratio to",
        "runs of torch's fast mode between them, *evaluations* how many values of the function",
        "one run takes.",
        "*Accused, right* counts right gradients called wrong; the six columns after it count",
        "planted errors called wrong, over as many seeds as fit in the cell's budget. `(2?)`: two",
        "more were inconclusive, which is not a pass either. Under each table stands how large",
        "the planted errors are; a float32 check promises to see 1e-2 and above, a float64",
        "check 1e-4. A cell whose single run takes more than 60 s (or is predicted to, from",
        "its evaluations) did not finish. `scipy.optimize.check_grad` returns a number and no",
        "verdict; 1e-6 is taken as its limit. For numdifftools it is ten times its own error",
        "estimate. `jax.test_util.check_grads` runs with `order=1, modes=('rev',)`. The slow run",
        "that torch's fast mode adds to a failure, for its message, is left out.",
        "",
        *(promises.table(kept) if kept else []),
    ]
    for problem, cells in tables:
        sizes = ", ".join(f"{name} {size:.0e}" for name, size in problem.error_sizes().items())
        lines += [
            f"## {problem.name}, {problem.dtype}",
            "",
            "| checker | " + " | ".join(HEAD) + " |",
            "|" + " --- |" * (len(HEAD) + 1),
            *(
                f"| {name} | " + " | ".join(row(cell, cells[REFERENCE])) + " |"
                for name, cell in cells.items()
            ),
            "",
            f"‖δg‖/‖g‖: {sizes}.",
            "",
        ]
    return "\n".join(lines)


def _machine(options: argparse.Namespace) -> str:
    names = ("torch", "jax", "scipy", "numdifftools", "numpy")
    versions = ", ".join(f"{name} {_version(name)}" for name in names)
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()}), {options.threads} thread(s) for "
        f"torch, Python {platform.python_version()}, {versions}; up to {options.seeds} seeds, "
        f"{options.budget:.0f} s of planted errors per cell."
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def shown(console: Console, problem: Problem, cells: Cells) -> None:
    table = Table(title=f"{problem.name}, {problem.dtype}", title_justify="left")
    for head in ("checker", *HEAD):
        table.add_column(head, no_wrap=head == "checker")
    for name, cell in cells.items():
        table.add_row(name, *row(cell, cells[REFERENCE]))
    console.print(table)


def _size(text: str) -> tuple[int, int]:
    rows, classes = text.lower().replace("×", "x").split("x")
    return int(rows), int(classes)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three sizes, three seeds")
    parser.add_argument("--sizes", type=_size, nargs="+", help="for example 64x1000 256x1000")
    parser.add_argument("--dtypes", nargs="+", default=["float64", "float32"])
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--budget", type=float, help="seconds of planted errors per cell")
    parser.add_argument("--threads", type=int, default=1, help="torch's; 1 measures most evenly")
    parser.add_argument("--output", type=Path, default=PAGE)
    options = parser.parse_args(arguments)
    given = {name: value for name, value in vars(options).items() if name in ("seeds", "budget")}
    options.asked = "".join(f" --{name} {value:g}" for name, value in given.items() if value)
    options.asked = (" --quick" if options.quick else "") + options.asked
    if options.sizes:
        options.asked += " --sizes " + " ".join(f"{n}x{c}" for n, c in options.sizes)
    options.sizes = options.sizes or (SIZES[:3] if options.quick else SIZES)
    options.seeds = options.seeds or (3 if options.quick else 10)
    options.budget = options.budget or (2.0 if options.quick else 10.0)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    console = Console(width=None if Console().is_terminal else 180)
    tables = []
    for problem in chosen(options):
        cells = measured(problem, installed(), options)
        shown(console, problem, cells)
        tables.append((problem, cells))
        options.output.write_text(page(tables, (), options), encoding="utf-8")
    kept = list(promises.of_tables(tables))
    if not options.quick:  # torch's slow mode alone takes a minute
        kept += [*promises.of_localisation(), *promises.of_memory()]
    for one in kept:
        console.print(f"{'✓' if one.kept else '✗'} {one.what}: {one.seen} ({one.target})")
    options.output.write_text(page(tables, kept, options), encoding="utf-8")
    console.print(f"written: {options.output}")


if __name__ == "__main__":
    main()
