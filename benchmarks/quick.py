"""What ``--quick`` costs and what it misses: the page ``docs/quick.md``.

    python -m benchmarks.quick                      # every backend
    python -m benchmarks.quick --backends numpy     # a part of it, printed and not written

*Time*: every implementation that ships is judged in float64 and float32, in full and quickly, by
the command line in processes of its own; so is one case of one clause, whose time is that of
starting Python, the suite, the framework and a worker. *Detection*: every mutant of
``tests/mutants`` is judged quickly, and is convicted if the run does not pass (SHOULD clauses count
for those that name one).
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console

import gradcheck_suite as gs
from benchmarks.corpus import ROOT, installed, mutants, over_mutants, right_ones
from gradcheck_suite.addresses import shipped
from gradcheck_suite.specification.clause import clauses

PAGE = ROOT / "docs" / "quick.md"
BUDGET = {"numpy": 10.0, "torch": 30.0, "jax": 60.0}
"""Seconds that a full run may take; a quick one a tenth of that."""
DTYPES = ("--dtype", "float64", "--dtype", "float32")
ONE = ("--clause", "value.definition", "--case", "rows4-classes5-mean", "--dtype", "float64")


@dataclass(frozen=True, slots=True)
class Timed:
    """One run by the command line: seconds of the wall and of processors."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Cost:
    """An implementation in full, quickly, and in one case: what starting takes."""

    name: str
    backend: str
    full: Timed
    quick: Timed
    start: Timed


@dataclass(frozen=True, slots=True)
class Seen:
    """One mutant, and whether the quick run does not pass it."""

    backend: str
    name: str
    clause: str
    mechanism: str
    convicted: bool


def timed(name: str, *options: str) -> Timed:
    """One run in processes of its own."""
    command = [sys.executable, "-m", "gradcheck_suite", "run", name, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    used, begun = _processors(), time.perf_counter()
    subprocess.run(command, capture_output=True, check=False, env=environment)
    return Timed(time.perf_counter() - begun, _processors() - used)


def _processors() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def costs(backend: str, names: Sequence[str] = ()) -> Iterator[Cost]:
    """Every implementation that ships for a backend, or those of these names."""
    ours = set(names) or {each.name for each in shipped()}
    for each in right_ones(backend):
        if each.name in ours:
            yield Cost(
                each.name,
                backend,
                timed(each.name, *DTYPES),
                timed(each.name, *DTYPES, "--quick"),
                timed(each.name, *ONE),
            )


def seen(backend: str, name: str) -> Seen:
    """Judges one mutant quickly, up to the first failure."""
    warnings.simplefilter("ignore")
    if backend == "torch":
        import torch

        torch.set_num_threads(1)
    mutant = next(each for each in mutants.of(backend) if each.name == name)
    clause = next(each for each in clauses() if each.id == mutant.clause)
    strict = clause.level_for(mutant.implementation.dialect) == "SHOULD"
    run = gs.conformance(mutant.implementation, quick=True, fail_fast=True, strict=strict)
    return Seen(backend, name, mutant.clause, mutant.mechanism, not run.passed)


def page(found: Sequence[Seen], measured: Sequence[Cost]) -> Iterator[str]:
    """The Markdown page."""
    yield "# What `--quick` costs, and what it misses"
    yield ""
    yield "Written by `python -m benchmarks.quick`; do not edit."
    yield ""
    yield "A quick run asks each clause its most telling case of every arrangement (kind of target,"
    yield "options in use, layout, rank, size), in one dtype; where every shape is"
    yield "compiled anew, one size of the ladder alone."
    yield ""
    yield from _detection(found)
    yield from _time(measured)
    missed = [each for each in found if not each.convicted]
    yield "## Missed by a quick run"
    yield ""
    yield "| mutant | the clause that convicts it in a full run | what is wrong |"
    yield "|---|---|---|"
    for each in missed:
        mechanism = each.mechanism.replace("|", "\\|")
        yield f"| {each.backend} `{each.name}` | {each.clause} | {mechanism} |"


def _detection(found: Sequence[Seen]) -> Iterator[str]:
    yield "## Detection"
    yield ""
    yield "| backend | mutants | convicted | |"
    yield "|---|--:|--:|--:|"
    for backend in dict.fromkeys(each.backend for each in found):
        own = [each for each in found if each.backend == backend]
        convicted = sum(each.convicted for each in own)
        yield f"| {backend} | {len(own)} | {convicted} | {convicted / len(own):.1%} |"
    yield ""


def _time(measured: Sequence[Cost]) -> Iterator[str]:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "torch", "jax"))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    yield "## Time"
    yield ""
    yield f"Python {platform.python_version()}, {versions}; {os.cpu_count()} cores, load {load:.1f}"
    yield "at the end. Seconds of processors, `gradcheck-suite run NAME` with float64 and float32,"
    yield "imports and compilation included (of the wall in brackets, which depends on the load)."
    yield "*Start*: the same command for one case of one clause. *Work*: what is beyond that."
    yield ""
    yield "| implementation | backend | full | quick | start | full, work | quick, work | |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for each in measured:
        start = each.start.cpu
        full, quick = each.full.cpu - start, each.quick.cpu - start
        yield (
            f"| {each.name} | {each.backend} | {each.full.cpu:.1f} ({each.full.wall:.0f}) "
            f"| {each.quick.cpu:.1f} ({each.quick.wall:.0f}) | {start:.1f} "
            f"| {full:.1f} | {quick:.1f} | {quick / full:.0%} |"
        )
    yield ""
    for backend, budget in BUDGET.items():
        own = [each for each in measured if each.backend == backend]
        if own:
            full = max(each.full.cpu for each in own)
            quick = max(each.quick.cpu for each in own)
            work = max(each.quick.cpu - each.start.cpu for each in own)
            yield (
                f"- {backend}: at most {full:.1f} s in full (of {budget:g} s that it may take), "
                f"{quick:.1f} s quickly, {work:.1f} s of it work (a tenth: {budget / 10:g} s)."
            )
    yield ""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quick", description=__doc__)
    parser.add_argument("--backends", nargs="+", default=list(installed()), choices=installed())
    parser.add_argument("--jobs", type=int, default=2, help="processes, for the mutants")
    parser.add_argument("--no-time", action="store_true", help="detection alone, nothing written")
    parser.add_argument("--timed", nargs="+", default=(), help="time these implementations alone")
    parser.add_argument("--output", type=Path, help=f"default {PAGE.name}, if nothing is left out")
    options = parser.parse_args(arguments)
    console = Console()
    wanted = [(b, mutant.name) for b in options.backends for mutant in mutants.of(b)]
    measured = (
        [] if options.no_time else [c for b in options.backends for c in costs(b, options.timed)]
    )
    found = list(over_mutants(seen, wanted, options.jobs, console))
    lines = list(page(found, measured))
    whole = not options.no_time and set(options.backends) == set(mutants.backends())
    output = options.output or (PAGE if whole else None)
    if output is None:
        console.print("\n".join(lines), markup=False)
    else:
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")
        console.print(f"written: {output}")


if __name__ == "__main__":
    main()
