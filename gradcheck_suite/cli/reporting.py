"""Commands about reports that are there already."""

from __future__ import annotations

import json

import click

from gradcheck_suite.reports.schema import schema as schema_of_a_line


@click.command(short_help="The JSON Schema of a report's lines.")
def schema() -> None:
    """Print the JSON Schema of a line of a JSON Lines report.

    It is made from the types that write and read the report, and is installed as
    gradcheck_suite/reports/report.schema.json.
    """
    click.echo(json.dumps(schema_of_a_line(), indent=2, ensure_ascii=False))


COMMANDS = (schema,)
