"""The command line: run, search, list, explain, replay, doctor."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradcheck_suite import addresses, backends, discovery, display, provenance
from gradcheck_suite.errors import BackendUnavailable, UsageError
from gradcheck_suite.explanation import explain as explained
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.outcome import Run
from gradcheck_suite.property_search import GeneratedCases
from gradcheck_suite.runner import DEFAULT_SEED, DEFAULT_TIME_LIMIT
from gradcheck_suite.specification.clause import clauses, select
from gradcheck_suite.specification.dialect import CHOICES
from gradcheck_suite.specification.presets import PRESETS, expanded
from gradcheck_suite.suite import DEFAULT_EXAMPLES, conformance


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(provenance.version(), prog_name="gradcheck-suite")
def cli() -> None:
    r"""Checks derivatives, and judges softmax cross-entropy losses clause by clause.

    \b
    gradcheck-suite run                                  what ships and is installed
    gradcheck-suite run my_package.losses:loss           a function of yours
    gradcheck-suite run torch.nn.functional:cross_entropy --backend torch
    gradcheck-suite search my_package.losses:loss        beyond the curated cases
    gradcheck-suite explain gradient.analytic            what a clause asks, and why
    """


#: Arguments of ``gs.conformance`` → the options of run and search that give them.
OPTIONS = MappingProxyType({"path": "--report", "dtypes": "--dtype", "device": "--device"})


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


@cli.command()
@click.argument("implementations", metavar="[IMPLEMENTATION]...", nargs=-1)
@_judging
@click.option("--case", "cases", help="Only these cases, by pattern of their id.", multiple=True)
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
    quick: bool,
    cases: tuple[str, ...],
    examples: int | None,
    **options: Any,
) -> None:
    r"""Judge implementations against the specification.

    IMPLEMENTATION is a name that ships (see list), package.module:attribute, or
    path/to/file.py:attribute. Without one, what ships for NumPy is judged in full and what
    ships for the other installed backends quickly.

    \b
    Exit code 0: everything passed; 1: something failed; 2: nothing ran, or a usage error.
    """
    console = Console()
    for path in reports:
        _usage(partial(_writable, path), OPTIONS)  # before the work, not after it
    if examples is not None:
        cases = (*(cases or ("*",)), _generated(examples))
    runs = []
    for target in _usage(lambda: _targets(implementations, backend, quick)):
        runs.append(_judge(console, target, fail_fast=fail_fast, cases=cases, **options))
        if fail_fast and not runs[-1].passed:
            break
    _conclude(console, runs, reports, options["strict"])


@cli.command()
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
    r"""Look beyond the curated cases: generate some, and show the smallest one that fails.

    Every clause that speaks of any case is asked of cases of all sizes and families: ties, −inf,
    offsets, ignored rows, weights of 0, options alone and together. The same seed gives the same
    cases. Needs Hypothesis: pip install 'gradcheck-suite[hypothesis]'.
    """
    console = Console()
    for path in reports:
        _usage(partial(_writable, path), OPTIONS)
    if fresh:
        options["seed"] = secrets.randbelow(2**31)
    target = Target(implementation, backend, quick=False)
    found = _judge(console, target, cases=(_generated(examples),), **options)
    _conclude(console, [found], reports, options["strict"])


def _generated(examples: int) -> str:
    """The id that stands for so many generated cases."""
    return str(_usage(lambda: GeneratedCases(examples).id))


def _targets(names: tuple[str, ...], backend: str, quick: bool) -> tuple[Target, ...]:
    if backend and backend not in backends.names():
        known = ", ".join(backends.names())
        raise UsageError(f"--backend: {backend!r} is unknown; known backends: {known}")
    if names:
        return tuple(Target(name, backend, quick) for name in names)
    found = tuple(
        Target(each.name, each.backend, quick or (not backend and each.backend != "numpy"))
        for each in sorted(addresses.shipped(), key=lambda each: each.backend != "numpy")
        if (not backend or each.backend == backend) and not _missing(each)
    )
    if not found:
        raise UsageError(
            f"--backend: nothing that ships for {backend} can run here (gradcheck-suite doctor)"
        )
    return found


def _writable(path: str) -> None:
    discovery.report_format(path)
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise UsageError(f"--report: there is no folder {folder}; make it first")


def _missing(implementation: Implementation) -> tuple[str, ...]:
    """The distributions an implementation needs and that are not installed."""
    return tuple(name for name in implementation.requires if provenance.version(name) == "unknown")


def _judge(
    console: Console,
    target: Target,
    *,
    patterns: tuple[str, ...],
    dialect: tuple[str, ...],
    cases: tuple[str, ...] = ("*",),
    **options: Any,
) -> Run:
    title = target.name + (" (quick)" if target.quick else "")
    with display.meter(console, title) as meter:
        found: Run = _usage(
            lambda: conformance(
                target.name,
                backend=target.backend,
                clauses=patterns or "*",
                cases=cases or "*",
                dialect=_choices(dialect),
                quick=target.quick,
                isolate=True,
                on_plan=meter.plan,
                on_record=meter.advance,
                **options,
            ),
            OPTIONS,
        )
    if found.outcomes:
        display.show_run(console, found)
        console.print()
    return found


def _conclude(console: Console, runs: list[Run], reports: tuple[str, ...], strict: bool) -> None:
    whole = Run(
        tuple(record for each in runs for record in each.outcomes),
        runs[0].provenance,
        strict=strict,
        notes=tuple(note for each in runs for note in each.notes),
    )
    if len(runs) > 1:
        console.print(display.overview(runs))
        console.print()
    for path in reports:
        whole.write(path)
        console.print(f"report written to {path}")
    console.print(Text(str(whole), style="bold green" if whole.passed else "bold red"))
    sys.exit(whole.exit_code)


@cli.command()
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
    console = Console()
    found = _usage(
        lambda: conformance(
            implementation,
            clauses=clause,
            cases=case,
            dtypes=(dtype,),
            dialect=_choices(dialect),
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


@cli.command()
@click.argument("clause")
def explain(clause: str) -> None:
    """What a clause asks, why it matters, how it is decided, within which bound, and its cases."""
    console = Console(highlight=False)
    for each in _usage(lambda: select(clause)):
        text = Text(explained(each, min(console.width, 120)))
        text.highlight_regex(r"^[^ ].*", "bold")
        text.highlight_regex(r"(?m)^  [a-z]+ ", "dim")
        console.print(text, soft_wrap=True)
        console.print()


@cli.command("list")
@click.argument(
    "what",
    type=click.Choice(["clauses", "implementations", "backends", "dialects", "all"]),
    default="all",
)
def list_(what: str) -> None:
    """Clauses, implementations, backends and dialects."""
    console = Console(highlight=False)
    tables: dict[str, Callable[[], Table]] = {
        "clauses": _clause_table,
        "implementations": _implementation_table,
        "backends": _backend_table,
        "dialects": _preset_table,
        "choices": _choice_table,
    }
    for name, table in tables.items():
        if what in (name, "all") or (what == "dialects" and name == "choices"):
            console.print(table())
            console.print()
    for broken in discovery.discover("implementations")[1]:
        console.print(Text(f"{broken.module} does not import: {broken.reason}", style="red"))


def _table(*headers: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for number, header in enumerate(headers):
        table.add_column(header, no_wrap=number == 0)
    return table


def _clause_table() -> Table:
    table = _table("clause", "level", "statement")
    for clause in clauses():
        table.add_row(clause.id, clause.level, Text(clause.statement))
    return table


def _implementation_table() -> Table:
    table = _table("implementation", "backend", "what it is")
    for each in addresses.shipped():
        missing = _missing(each)
        note = f" (needs {', '.join(missing)})" if missing else ""
        style = "dim" if missing else ""
        table.add_row(each.name, each.backend, Text(each.description + note), style=style)
    return table


def _backend_table() -> Table:
    table = _table("backend", "installed")
    installed = backends.installed()
    for factory in backends.factories():
        version = provenance.version(factory.distribution)
        table.add_row(factory.name, version if factory.name in installed else "no")
    return table


def _preset_table() -> Table:
    table = _table("dialect", "whose", "choices")
    for name, preset in PRESETS.items():
        choices = "\n".join(f"{choice}={value}" for choice, value in preset.choices.items())
        table.add_row(name, Text(preset.description), Text(choices))
    table.columns[-1].no_wrap = True
    return table


def _choice_table() -> Table:
    table = _table("choice", "value", "meaning")
    for choice, values in CHOICES.items():
        for number, (value, meaning) in enumerate(values.items()):
            label = Text(value + (" (default)" if number == 0 else ""))
            table.add_row(choice if number == 0 else "", label, Text(meaning))
    return table


@cli.command("update-expectations")
@click.argument("expectations", type=click.Path(dir_okay=False))
@click.argument("report", type=click.Path(exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
def update_expectations(expectations: str, report: str, dry_run: bool) -> None:
    """Rewrite EXPECTATIONS (TOML) so that it says what the run in REPORT saw."""
    from gradcheck_suite.expectations_update import updated
    from gradcheck_suite.reports.json_lines import JsonLines

    done = _usage(lambda: updated(expectations, JsonLines().read(report)))
    console = Console(highlight=False)
    for line in done.changes:
        console.print(Text(line))
    for line in done.left:
        console.print(Text(f"left alone: {line}", style="yellow"))
    if not done.changes:
        console.print("nothing to change")
    elif not dry_run:
        Path(expectations).write_text(done.text, encoding="utf-8")
        console.print(f"{expectations} written")


@cli.command()
def doctor() -> None:
    """What is installed, which devices there are, what is broken."""
    console = Console(highlight=False)
    table = _table("backend", "version", "devices", "state")
    for name in backends.names():
        status = backends.status(name)
        good = not status.reason
        state = Text("works" if good else status.reason, style="green" if good else "yellow")
        table.add_row(name, status.version, ", ".join(status.devices), state)
    console.print(table)
    console.print()
    facts = provenance.collect()
    console.print(f"gradcheck-suite {facts['suite']}, Python {facts['python']}")
    console.print(f"{facts['platform']}, {facts['processors']} processors")
    for name, version in facts["libraries"].items():
        console.print(f"  {name} {version}")
    for kind in discovery.KINDS:
        for broken in discovery.discover(kind)[1]:
            console.print(Text(f"{broken.module} does not import: {broken.reason}", style="red"))


def _choices(given: tuple[str, ...]) -> dict[str, str]:
    """``("keras", "mean_index=batch")`` as choices: later ones win."""
    choices: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        choices |= {name: value} if separator else expanded(text)
    return choices


def _usage(function: Callable[[], Any], options: Mapping[str, str] = MappingProxyType({})) -> Any:
    """Our usage errors become click's: one line and exit code 2, never a traceback of ours.

    ``options`` says how the arguments that a message may begin with are written here.
    """
    try:
        return function()
    except (UsageError, BackendUnavailable) as error:
        argument, colon, rest = str(error).partition(": ")
        raise click.UsageError(options.get(argument, argument) + colon + rest) from None


def main() -> None:
    """The entry point of the console script."""
    cli.main(prog_name="gradcheck-suite")
