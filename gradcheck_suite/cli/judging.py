"""Commands that put questions to an implementation: run, search, replay."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import click
from rich.text import Text

from gradcheck_suite import addresses, backends, display, provenance
from gradcheck_suite.cli.arguments import dialect_choices, not_installed, usage
from gradcheck_suite.errors import UsageError
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.outcome import Record, Run
from gradcheck_suite.property_search import GeneratedCases
from gradcheck_suite.reports.files import ReportFiles
from gradcheck_suite.reports.github import commands
from gradcheck_suite.runner import DEFAULT_SEED, DEFAULT_TIME_LIMIT
from gradcheck_suite.specification.clause import clauses
from gradcheck_suite.specification.identity import identity
from gradcheck_suite.suite import DEFAULT_EXAMPLES, conformance

#: Arguments of ``gs.conformance`` → the options of run and search that give them.
OPTIONS = MappingProxyType(
    {
        "path": "--report",
        "dtypes": "--dtype",
        "device": "--device",
        "backend": "--backend",
        "cases": "--case",
        "clauses": "--clause",
    }
)


@dataclass(frozen=True, slots=True)
class Target:
    """One implementation to run, in full or quickly."""

    name: str
    backend: str
    quick: bool


def _judging(command: Callable[..., None]) -> Callable[..., None]:
    """The options that ``run`` and ``search`` share."""
    options = (
        click.option(
            "--backend", default="", help="numpy, torch, jax; seen from the module if not given."
        ),
        click.option("--device", default="", help="cpu, cuda:0, …; default the backend's first."),
        click.option(
            "--dtype",
            "dtypes",
            help="float64, float32, float16, bfloat16; repeatable.",
            multiple=True,
        ),
        click.option(
            "--clause", "patterns", help="Only these clauses, e.g. 'gradient.*'.", multiple=True
        ),
        click.option("--exclude", help="Leave these clauses out; shown as skipped.", multiple=True),
        click.option(
            "--dialect",
            help="A dialect's name, or a choice NAME=VALUE (list dialects).",
            multiple=True,
        ),
        click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Seed of every case."),
        click.option(
            "--jobs",
            default=1,
            type=click.IntRange(min=1),
            show_default=True,
            help="Worker processes.",
        ),
        click.option(
            "--time-limit", default=DEFAULT_TIME_LIMIT, show_default=True, help="Seconds a case."
        ),
        click.option("-x", "--fail-fast", is_flag=True, help="Stop at the first failure."),
        click.option("--strict", is_flag=True, help="SHOULD clauses count."),
        click.option(
            "--report", "reports", help="Write a report; the suffix is the format.", multiple=True
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Judge implementations.")
@click.argument("implementations", metavar="[IMPLEMENTATION]...", nargs=-1)
@_judging
@click.option("--case", "cases", help="Only these cases, by pattern of their id.", multiple=True)
@click.option("--all", "everything", is_flag=True, help="All that is installed, as '*' does.")
@click.option("--quick", is_flag=True, help="The most telling cases of each clause, one dtype.")
@click.option(
    "--search",
    "examples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Generate N cases as well (see search).",
)
def run(
    implementations: tuple[str, ...],
    backend: str,
    reports: tuple[str, ...],
    fail_fast: bool,
    everything: bool,
    quick: bool,
    cases: tuple[str, ...],
    examples: int | None,
    **options: Any,
) -> None:
    """Judge implementations against the specification.

    IMPLEMENTATION is a name that ships (see list), a pattern such as 'optax-*' for those whose
    libraries are installed, package.module:attribute, or path/to/file.py:attribute. Without
    one, what ships for NumPy is judged in full and what ships for the other installed backends
    quickly; --all judges all of it in full.

    In GitHub Actions (GITHUB_ACTIONS=true) failures are also printed as annotations.

    Exit code 0: everything passed; 1: something failed; 2: nothing ran, or a usage error.
    """
    console = display.terminal()
    if everything and implementations:
        raise click.UsageError("--all: implementations are named as well; give one or the other")
    names = ("*",) if everything else implementations
    files = _files(reports, quick=quick, **options)
    targets = usage(lambda: _targets(names, backend, quick))
    if examples is not None:
        cases = (*(cases or ("*",)), _generated(examples))
    runs = []
    for target in targets:
        found = _judge(console, target, files, fail_fast=fail_fast, cases=cases, **options)
        runs.append(found)
        if fail_fast and not runs[-1].passed:
            break
    _conclude(console, runs, files, options["strict"])


@click.command(short_help="Judge one beyond the curated cases.")
@click.argument("implementation")
@_judging
@click.option(
    "--examples",
    default=DEFAULT_EXAMPLES,
    type=click.IntRange(min=1),
    show_default=True,
    help="Cases to generate per dtype.",
)
@click.option("--random", "fresh", is_flag=True, help="Draw a seed: other cases in every run.")
def search(
    implementation: str,
    backend: str,
    reports: tuple[str, ...],
    examples: int,
    fresh: bool,
    **options: Any,
) -> None:
    """Look beyond the curated cases: generate some, and show the smallest one that fails.

    Every clause that speaks of any case is asked of cases of all sizes and families: ties, −inf,
    offsets, ignored rows, weights of 0, options alone and together. The same seed gives the same
    cases. Needs Hypothesis: pip install 'gradcheck-suite[hypothesis]'.
    """
    console = display.terminal()
    if fresh:
        options["seed"] = secrets.randbelow(2**31)
    files = _files(reports, quick=False, **options)
    target = Target(implementation, backend, quick=False)
    found = _judge(console, target, files, cases=(_generated(examples),), **options)
    _conclude(console, [found], files, options["strict"])


def _generated(examples: int) -> str:
    """The id that stands for so many generated cases."""
    return str(usage(lambda: GeneratedCases(examples).id))


def _targets(names: tuple[str, ...], backend: str, quick: bool) -> tuple[Target, ...]:
    if backend and backend not in backends.names():
        known = ", ".join(backends.names())
        raise UsageError(f"--backend: {backend!r} is unknown; known backends: {known}")
    if names:
        named = (name for given in names for name in _matching(given, backend))
        return tuple(Target(name, backend, quick) for name in dict.fromkeys(named))
    found = tuple(
        Target(each.name, each.backend, quick or (not backend and each.backend != "numpy"))
        for each in _installed(backend)
    )
    if not found:
        raise UsageError(
            f"--backend: nothing that ships for {backend} can run here (gradcheck-suite doctor)"
        )
    return found


def _matching(name: str, backend: str) -> tuple[str, ...]:
    """A name as it is, or the names that ship and fit a pattern, where they can run.

    Raises:
        UsageError: nothing has that name or fits the pattern, or what does cannot run here.
    """
    if ":" in name:
        return (name,)
    if not any(sign in name for sign in "*?["):
        return (addresses.named(name).name,)
    found = tuple(each.name for each in _installed(backend) if fnmatchcase(each.name, name))
    if found:
        return found
    fits = (each for each in addresses.shipped() if fnmatchcase(each.name, name))
    missing = sorted({library for each in fits for library in not_installed(each)})
    why = f"what fits needs {', '.join(missing)}" if missing else "no name that ships fits"
    raise UsageError(f"IMPLEMENTATION: {name!r}: {why} (gradcheck-suite list implementations)")


def _installed(backend: str) -> tuple[Implementation, ...]:
    """What ships and can run here, NumPy's first; for one backend, or for all ("")."""
    return tuple(
        each
        for each in sorted(addresses.shipped(), key=lambda each: each.backend != "numpy")
        if (not backend or each.backend == backend) and not not_installed(each)
    )


def _files(
    reports: tuple[str, ...], *, seed: int, quick: bool, strict: bool, **_: Any
) -> ReportFiles:
    """The reports of this run, looked at before the work and not after it."""
    begun = provenance.of_run(
        specification=identity(),
        flags=click.get_current_context().obj,
        seed=seed,
        quick=quick,
        strict=strict,
        runner="gradcheck-suite",
    )
    files: ReportFiles = usage(lambda: ReportFiles(reports, begun, strict=strict), OPTIONS)
    return files


def _judge(
    console: display.Terminal,
    target: Target,
    files: ReportFiles,
    *,
    patterns: tuple[str, ...],
    dialect: tuple[str, ...],
    cases: tuple[str, ...] = ("*",),
    **options: Any,
) -> Run:
    title = target.name + (" (quick)" if target.quick else "")
    with display.meter(console, title) as meter:

        def on_plan(total: int) -> None:
            meter.plan(total)
            files.begin()  # not before it is known that there is something to run

        def on_record(record: Record) -> None:
            meter.advance(record)
            files.add(record)

        found: Run = usage(
            lambda: conformance(
                target.name,
                backend=target.backend,
                clauses=patterns or "*",
                cases=cases or "*",
                dialect=dialect_choices(dialect),
                quick=target.quick,
                isolate=True,
                on_plan=on_plan,
                on_record=on_record,
                **options,
            ),
            OPTIONS,
        )
    if found.outcomes:
        display.show_run(console, found)
        console.print()
    return found


def _conclude(console: display.Terminal, runs: list[Run], files: ReportFiles, strict: bool) -> None:
    outcomes = tuple(record for each in runs for record in each.outcomes)
    seconds = sum(each.provenance.get("seconds", 0.0) for each in runs)
    facts = {"devices": provenance.devices(outcomes), "seconds": round(seconds, 3)}
    # What one of them was narrowed to, the whole was.
    said = {key: fact for each in reversed(runs) for key, fact in each.provenance.items()}
    whole = Run(
        outcomes,
        {**said, **files.provenance, **facts},
        strict=strict,
        notes=tuple(note for each in runs for note in each.notes),
        teeth=tuple(teeth for each in runs for teeth in each.teeth),
    )
    if len(runs) > 1:
        console.print(display.overview(runs))
        console.print()
    usage(lambda: files.finish(whole), OPTIONS)
    for path in files.paths:
        console.print(f"report written to {path}")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for command in commands(whole):
            click.echo(command)
    console.print(Text(str(whole), style="bold green" if whole.passed else "bold red"))
    sys.exit(whole.exit_code)


@click.command(short_help="See one outcome again.")
@click.argument("address", metavar="CLAUSE/CASE@DTYPE")
@click.argument("implementation")
@click.option("--backend", default="", help="numpy, torch, jax; seen from the module if not given.")
@click.option("--device", default="", help="cpu, cuda:0, …")
@click.option("--dialect", help="A dialect's name, or a choice NAME=VALUE.", multiple=True)
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Seed of the case.")
@click.option("--time-limit", default=DEFAULT_TIME_LIMIT, show_default=True, help="Seconds.")
def replay(address: str, implementation: str, dialect: tuple[str, ...], **options: Any) -> None:
    """See one outcome again: the replay line of a failure."""
    clause, _, rest = address.partition("/")
    case, _, dtype = rest.rpartition("@")
    if not (clause and case and dtype):
        raise click.UsageError(f"{address!r} is no CLAUSE/CASE@DTYPE, such as {_example()}")
    console = display.terminal()
    found = usage(
        lambda: conformance(
            implementation,
            clauses=clause,
            cases=case,
            dtypes=(dtype,),
            dialect=dialect_choices(dialect),
            isolate=True,
            **options,
        )
    )
    for record in found.outcomes:
        console.print(display.story(record, console.width), soft_wrap=True)
    sys.exit(found.exit_code)


def _example() -> str:
    clause = clauses()[0]
    return f"'{clause.id}/{clause.cases[0].id}@float64'"


COMMANDS = (run, search, replay)
