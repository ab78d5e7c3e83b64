"""The corpus of ``tests/``: wrong implementations, right ones, and what findings.md tells."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from gradcheck_suite import backends, provenance
from gradcheck_suite.addresses import resolve, shipped
from gradcheck_suite.implementation import Implementation

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # `import mutants`, as pytest has it

mutants = importlib.import_module("mutants")
correct = importlib.import_module("correct")
findings = importlib.import_module("findings_page").findings


def installed() -> tuple[str, ...]:
    """The backends that have mutants and whose framework is here."""
    return tuple(name for name in mutants.backends() if name in backends.installed())


def prepare(names: Iterable[str]) -> None:
    """Sets the variables that some mutant of these backends needs, before a framework reads them.

    Every mutant gets what one of them needs (two devices): what it is judged by only grows.
    """
    for backend in names:
        for each in mutants.of(backend):
            os.environ.update(each.environment)


Found = TypeVar("Found")


def over_mutants(
    judge: Callable[[str, str], Found],
    wanted: Sequence[tuple[str, str]],
    jobs: int,
    console: Console,
) -> Iterator[Found]:
    """What ``judge(backend, name)`` finds of each mutant, in order, from so many processes."""
    if not wanted:
        return
    prepare({backend for backend, _ in wanted})
    with (
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool,
        Progress(console=console, transient=True) as progress,
    ):
        task = progress.add_task("mutants", total=len(wanted))
        for each in pool.map(judge, *zip(*wanted, strict=True)):
            progress.advance(task)
            yield each


def right_ones(backend: str) -> tuple[Implementation, ...]:
    """What ships for a backend and can run here, and what users write."""
    found = [
        each
        for each in shipped()
        if each.backend == backend
        and all(provenance.version(name) != "unknown" for name in each.requires)
    ]
    if backend in correct.backends():
        found += correct.of(backend)
    return tuple(resolve(each) for each in found)
