"""Who sees what: the mutants of ``tests/`` shown to gradient checkers and to this suite.

    python -m benchmarks.detection                      # everything, about an hour
    python -m benchmarks.detection --backends numpy     # a part of it
    python -m benchmarks.detection --kept cells.json    # framework by framework, to be continued

Every framework runs in one process, side by side. Prints a table and writes ``docs/detection.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.corpus import ROOT, installed, mutants, prepare, right_ones
from benchmarks.detectors import DETECTORS, DRAWS, SCIPY_ALLOWS, Detector
from gradcheck_suite import backends, process_state, provenance
from gradcheck_suite.addresses import resolve
from gradcheck_suite.errors import TimeLimitExceeded
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.runner import time_limit

PAGE = ROOT / "docs" / "detection.md"
SECONDS = 120.0


@dataclass
class Cell:
    """One detector on the corpus of one backend.

    Attributes:
        caught, missed: names of mutants; ``advised`` of those that it only advises about.
        accused: correct implementations that it does not accept, with the reason.
        accepted: number of those that it accepts.
        over: mutants and correct ones on which it took too long.
        seconds: on the mutants and on the correct ones.
    """

    caught: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    advised: list[str] = field(default_factory=list)
    accused: dict[str, str] = field(default_factory=dict)
    accepted: int = 0
    over: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def shown(self) -> int:
        return len(self.caught) + len(self.missed) + len(self.advised)


Cells = dict[tuple[str, str], Cell]


def shown(detector: Detector, name: str, implementation: Implementation, cell: Cell) -> str:
    """Why the detector accuses an implementation; empty if it does not, or takes too long.

    What a mutant sets for the whole process (a default device) is no matter of the next one's.
    """
    start = time.perf_counter()
    try:
        with process_state.preserved(backends.load(implementation.backend)), time_limit(SECONDS):
            return detector.accuses(implementation)
    except TimeLimitExceeded:
        cell.over.append(name)
        return ""
    finally:
        cell.seconds += time.perf_counter() - start


def measured(names: Sequence[str], console: Console) -> Cells:
    """Every detector on every implementation of the frameworks it can be given."""
    cells: Cells = {}
    with Progress(console=console, transient=True) as progress:
        for backend in names:
            wrong = [(each.name, resolve(each.implementation)) for each in mutants.of(backend)]
            right = [(each.name, each) for each in right_ones(backend)]
            able = [detector for detector in DETECTORS if backend in detector.backends]
            task = progress.add_task(backend, total=len(wrong) + len(right))
            for detector in able:
                cells[detector.name, backend] = Cell()
            for name, implementation in wrong:
                for detector in able:
                    _mutant(detector, name, implementation, cells[detector.name, backend])
                progress.advance(task)
            for name, implementation in right:
                for detector in able:
                    cell = cells[detector.name, backend]
                    reason = shown(detector, name, implementation, cell)
                    if reason:
                        cell.accused[name] = reason
                    else:
                        cell.accepted += 1
                progress.advance(task)
    return cells


def _mutant(detector: Detector, name: str, implementation: Implementation, cell: Cell) -> None:
    if shown(detector, name, implementation, cell):
        cell.caught.append(name)
    elif name not in cell.over and detector.advises and detector.advises(implementation):
        cell.advised.append(name)
    else:
        cell.missed.append(name)


HEAD = ("mutants", "caught", "missed", "correct ones", "accused", "seconds")


def lines(cells: Cells) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """One line per detector and backend."""
    for detector in DETECTORS:
        for backend in detector.backends:
            cell = cells.get((detector.name, backend))
            if cell is not None:
                yield detector.name, backend, _cells(cell)


def _cells(cell: Cell) -> tuple[str, ...]:
    share = f" ({len(cell.caught) / cell.shown:.0%})" if cell.shown else ""
    missed = str(len(cell.missed) + len(cell.advised))
    if cell.advised:
        missed += f", {len(cell.advised)} of them advised"
    return (
        str(cell.shown),
        f"{len(cell.caught)}{share}",
        missed,
        str(cell.accepted + len(cell.accused)),
        str(len(cell.accused)),
        f"{cell.seconds:.0f}",
    )


_INTRODUCTION = """\
The deliberately wrong implementations of `tests/mutants/` and the correct ones (those that
ship, and `tests/correct/`) shown to each checker of their framework, in one process."""

_PROTOCOL = f"""\
## How

- A gradient checker gets a loss under every reduction, kind of target and option that it
  takes (each option alone, and all together), at {DRAWS} random draws of 4 × 5 logits in
  float64, and catches it if it objects once. Whatever it raises is an objection.
- `torch.autograd.gradcheck` runs with its default tolerances; *forward mode, gradgradcheck*
  adds `check_forward_ad` and `gradgradcheck` where the loss offers them. *assert_close* adds
  value and gradient by `torch.testing.assert_close` against `F.cross_entropy` in float64 and
  float32.
- `jax.test_util.check_grads` runs in float64, order 2 and both modes where the loss has them.
- `scipy.optimize.check_grad` returns a distance and no verdict; {SCIPY_ALLOWS:g} is taken as
  its limit. A loss that returns no gradient cannot be given to it, and counts as missed.
- This suite catches what does not pass a default run, that is float64 and float32 and the
  clauses that are MUST or DECLARED; what only breaks a SHOULD clause is *advised*. Its run
  ends at the first failure, as the checkers' do. A known deviation that a library declares is
  no accusation.
- A checker that takes more than {SECONDS:.0f} s for one implementation has not caught it.
- A checker of gradients cannot see a value that is wrong together with its gradient, and is
  not made for options, layouts or modes: the table says what is left to see, not that it is
  broken."""


def page(cells: Cells, options: argparse.Namespace) -> str:
    """The Markdown page."""
    found = [
        "# What gradient checkers see, and what this suite sees",
        "",
        "Written by `python -m benchmarks.detection`; do not edit.",
        "",
        _machine(options),
        "",
        *_INTRODUCTION.splitlines(),
        "",
        "| checker | framework | " + " | ".join(HEAD) + " |",
        "|---|---|" + "--:|" * len(HEAD),
        *(f"| {name} | {backend} | {' | '.join(row)} |" for name, backend, row in lines(cells)),
        "",
        *_PROTOCOL.splitlines(),
        "",
        "## What they accuse, miss and take too long for",
        "",
    ]
    for (name, backend), cell in cells.items():
        found += [f"### {name}, {backend}", ""]
        found += [f"- accuses `{who}`: {why}" for who, why in cell.accused.items()]
        for label, names in (
            ("advises about", cell.advised),
            ("misses", cell.missed),
            ("took too long for", cell.over),
        ):
            if names:
                found.append(f"- {label} " + ", ".join(f"`{each}`" for each in names))
        if found[-1] == "":
            found.append("Nothing.")
        found.append("")
    return "\n".join(found)


def _machine(options: argparse.Namespace) -> str:
    names = ("torch", "jax", "optax", "scipy", "numpy")
    versions = ", ".join(f"{name} {provenance.version(name)}" for name in names)
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()}), one thread for torch, "
        f"Python {platform.python_version()}, {versions}."
    )


def read(path: Path | None) -> Cells:
    """The cells that an earlier run kept."""
    if path is None or not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    return {(each.pop("detector"), each.pop("backend")): Cell(**each) for each in kept}


def keep(path: Path | None, cells: Cells) -> None:
    """Writes the cells, so that another run can go on with other frameworks."""
    if path is not None:
        kept = [
            {"detector": name, "backend": backend, **asdict(cell)}
            for (name, backend), cell in cells.items()
        ]
        path.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def table(cells: Cells) -> Table:
    found = Table(box=None, padding=(0, 1), header_style="dim")
    for head in ("checker", "framework", *HEAD):
        found.add_column(head, no_wrap=head == "checker")
    for name, backend, row in lines(cells):
        found.add_row(name, backend, *row)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--backends", nargs="+", default=list(installed()), choices=installed())
    parser.add_argument("--output", type=Path, help=f"default {PAGE.name}, if nothing is left out")
    parser.add_argument(
        "--kept", type=Path, help="JSON: what it holds of other frameworks is not run again"
    )
    options = parser.parse_args(arguments)
    prepare(options.backends)
    warnings.simplefilter("ignore")
    if "torch" in options.backends:
        import torch

        torch.set_num_threads(1)
    console = Console(width=None if Console().is_terminal else 180)
    cells = {**read(options.kept), **measured(options.backends, console)}
    keep(options.kept, cells)
    console.print(table(cells))
    whole = {backend for _, backend in cells} == set(mutants.backends())
    output = options.output or (PAGE if whole else None)
    if output is not None:
        output.write_text(page(cells, options), encoding="utf-8")
        console.print(f"written: {output}")


if __name__ == "__main__":
    main()
