"""The corpus of ``tests/``: wrong implementations, and right ones that must not be accused."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from gradcheck_suite import backends, provenance
from gradcheck_suite.addresses import resolve, shipped
from gradcheck_suite.implementation import Implementation

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # `import mutants`, as pytest has it

mutants = importlib.import_module("mutants")
correct = importlib.import_module("correct")


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
