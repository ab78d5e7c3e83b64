"""The command that keeps a file of known deviations true: update-expectations."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from gradcheck_suite import display
from gradcheck_suite.cli.arguments import usage
from gradcheck_suite.expectations_update import updated
from gradcheck_suite.reports.json_lines import JsonLines


@click.command("update-expectations", short_help="Bring known deviations up to date.")
@click.argument("expectations", type=click.Path(dir_okay=False))
@click.argument("report", type=click.Path(exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
def update_expectations(expectations: str, report: str, dry_run: bool) -> None:
    """Rewrite EXPECTATIONS (TOML) so that it says what the run in REPORT saw."""
    done = usage(lambda: updated(expectations, JsonLines().read(report)))
    console = display.terminal()
    for line in done.changes:
        console.print(Text(line))
    for line in done.left:
        console.print(Text(f"left alone: {line}", style="yellow"))
    if not done.changes:
        console.print("nothing to change")
    elif not dry_run:
        Path(expectations).write_text(done.text, encoding="utf-8")
        console.print(f"{expectations} written")


COMMANDS = (update_expectations,)
