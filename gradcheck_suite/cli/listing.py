"""Commands that say what there is: list, explain, doctor."""

from __future__ import annotations

from collections.abc import Callable

import click
from rich.table import Table
from rich.text import Text

from gradcheck_suite import addresses, backends, discovery, display, provenance
from gradcheck_suite.cli.arguments import not_installed, usage
from gradcheck_suite.explanation import explain as explained
from gradcheck_suite.specification.clause import clauses, select
from gradcheck_suite.specification.dialect import CHOICES
from gradcheck_suite.specification.presets import PRESETS


@click.command(short_help="What a clause asks, and why.")
@click.argument("clause")
def explain(clause: str) -> None:
    """What a clause asks, why it matters, how it is decided, within which bound, and its cases."""
    console = display.terminal()
    for each in usage(lambda: select(clause)):
        text = Text(explained(each, min(console.width, 120)))
        text.highlight_regex(r"^[^ ].*", "bold")
        text.highlight_regex(r"(?m)^  [a-z]+ ", "dim")
        console.print(text, soft_wrap=True)
        console.print()


@click.command("list", short_help="What there is to run, and to ask.")
@click.argument(
    "what",
    type=click.Choice(["clauses", "implementations", "backends", "dialects", "all"]),
    default="all",
)
def list_(what: str) -> None:
    """Clauses, implementations, backends and dialects."""
    console = display.terminal()
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
        missing = not_installed(each)
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


@click.command(short_help="What is installed, and what is broken.")
def doctor() -> None:
    """What is installed, which devices there are, what is broken."""
    console = display.terminal()
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


COMMANDS = (explain, list_, doctor)
