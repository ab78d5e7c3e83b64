"""The command that makes a badge of a report."""

from __future__ import annotations

from pathlib import Path

import click

from gradcheck_suite.cli.arguments import usage
from gradcheck_suite.errors import UsageError
from gradcheck_suite.replacing import replacing
from gradcheck_suite.reports.badge import LABEL, Badge
from gradcheck_suite.reports.json_lines import JsonLines


@click.command(short_help="Make a badge of a report.")
@click.argument("report", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--output", required=True, metavar="PATH", help="badge.svg, or badge.json for shields.io."
)
@click.option("--label", default=LABEL, show_default=True, help="What stands on the left.")
def badge(report: str, output: str, label: str) -> None:
    """Say in a badge what the run in REPORT (.json, .jsonl) came to.

    As a picture (.svg), or as the JSON (.json) that https://img.shields.io/endpoint?url=… reads.
    A run that judged nothing says "no data".
    """
    usage(lambda: _write(Badge.of(JsonLines().read(report), label), output))
    click.echo(f"badge written to {output}")


def _write(made: Badge, output: str) -> None:
    if not output.lower().endswith((".svg", ".json")):
        raise UsageError(f"--output: {output!r} is neither .svg nor .json; give it one of them")
    if not Path(output).resolve().parent.is_dir():
        raise UsageError(f"--output: there is no folder {Path(output).parent}; make it first")
    try:
        with replacing(output) as whole:
            made.write(whole)
    except OSError as error:
        raise UsageError(f"--output: {output}: {error.strerror or error}") from None


COMMANDS = (badge,)
