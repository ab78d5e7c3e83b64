"""Commands about reports that are there already: report, merge, diff, verify, schema."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from gradcheck_suite import display
from gradcheck_suite.cli.arguments import usage
from gradcheck_suite.discovery import report_format
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Record, Run
from gradcheck_suite.replacing import replacing
from gradcheck_suite.reports.files import ReportFiles, writable
from gradcheck_suite.reports.json_lines import JsonLines
from gradcheck_suite.reports.line_reading import UNLIMITED, Limits, Report, read_report
from gradcheck_suite.reports.schema import schema as schema_of_a_line
from gradcheck_suite.review import telling
from gradcheck_suite.review.comparing import compared
from gradcheck_suite.review.merging import merged, names_of
from gradcheck_suite.review.verifying import verified

_LINES_AT_MOST = 10  # of a section in the terminal

_OPTIONS = {"path": "--output"}


def _reading(command: Callable[..., None]) -> Callable[..., None]:
    """The option of every command that reads a report."""
    limits = Limits()
    about = (
        f"Read files of any size; else at most {limits.outcomes:,} outcomes, "
        f"{limits.total // 2**20:,} MiB, and {limits.line // 2**20} MiB a line."
    )
    return click.option("--unlimited", is_flag=True, help=about)(command)


_outputs = click.option(
    "--output",
    "outputs",
    metavar="PATH",
    multiple=True,
    help="Where to; the suffix is the format. Repeatable.",
)


@click.command(short_help="Show a report, or write it in other formats.")
@click.argument("file")
@_outputs
@_reading
def report(file: str, outputs: tuple[str, ...], unlimited: bool) -> None:
    """Show the JSON Lines report in FILE as run does, or write it in other formats.

    Exit code 0: it could be read, whatever its verdict.
    """
    console = display.terminal()
    files = usage(lambda: ReportFiles(outputs, {}), _OPTIONS)
    run = _read(file, unlimited).run
    if not outputs:
        runs = [*_by_implementation(run)]
        for each in runs:
            display.show_run(console, each)
            console.print()
        if len(runs) > 1:
            console.print(display.overview(runs))
            console.print()
        _say_notes(console, run)
    _write(console, files, run)
    _say_verdict(console, run)


@click.command(short_help="Many reports in one.")
@click.argument("files", nargs=-1, required=True)
@_outputs
@_reading
def merge(files: tuple[str, ...], outputs: tuple[str, ...], unlimited: bool) -> None:
    """Merge the JSON Lines reports in FILES: the environments of tox, the jobs of CI.

    A folder stands for the reports that lie in it, but for those that --output writes.

    What is there twice is kept once. Each outcome says which report it comes from, and each
    report's header is kept.

    Exit code 1: the same question has different answers in the same place; they are named.
    """
    console = display.terminal()
    written = usage(lambda: ReportFiles(outputs, {}), _OPTIONS)
    if not outputs:
        raise click.UsageError("--output: nowhere to write to; give --output merged.json")
    files, own = usage(lambda: _inputs(files, outputs))
    for path in own:
        console.print(Text(f"left out: {path}, which --output writes"))
    names = zip(names_of(files), files, strict=True)
    runs = [(name, _read(file, unlimited).run) for name, file in names]
    done = usage(lambda: merged(runs))
    flags = tuple(click.get_current_context().obj or ())
    whole = replace(done.run, provenance={**done.run.provenance, "flags": flags})
    folded = f", {done.folded} of them twice" if done.folded else ""
    total = len(whole.outcomes) + done.folded
    console.print(f"{total} outcomes of {len(files)} report{'s' * (len(files) > 1)}{folded}")
    _say_notes(console, whole)
    _write(console, written, whole)
    _say_verdict(console, whole)
    sys.exit(1 if done.conflicts else 0)


@click.command(short_help="What changed between two reports.")
@click.argument("old")
@click.argument("new")
@click.option(
    "--drift",
    type=click.FloatRange(min=1.0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="FACTOR",
    help="Show where error / bound grew by more than this.",
)
@click.option("--output", "outputs", metavar="PATH.md", multiple=True, help="Write it as Markdown.")
@_reading
def diff(old: str, new: str, drift: float, outputs: tuple[str, ...], unlimited: bool) -> None:
    """What changed from the report OLD to the report NEW.

    Newly failing, newly passing, appeared, vanished, no longer judged, and where the error comes
    nearer to its bound.

    Exit code 1: something fails now that did not, or is new and fails, or NEW is truncated.
    """
    console = display.terminal()
    usage(lambda: _look_at_markdown(outputs), _OPTIONS)
    before, after = _read(old, unlimited).run, _read(new, unlimited).run
    found = usage(lambda: compared(before, after, factor=drift))
    console.print(Text(f"{old} → {new}", style="bold"))
    for line in found.circumstances:
        console.print(Text(f"  {line}"))
    for section in telling.sections(found):
        _show_section(console, section)
    console.print()
    usage(lambda: _save(telling.as_markdown(found, old, new), outputs), _OPTIONS)
    for path in outputs:
        console.print(Text(f"written to {path}"))
    good = "bold red" if found.regressed else "bold green"
    console.print(Text(telling.verdict(found), style=good))
    sys.exit(1 if found.regressed else 0)


@click.command(short_help="Whether a report can be relied on.")
@click.argument("file")
@click.option(
    "--certified",
    is_flag=True,
    help="Ask also that everything was asked and passed, without expectations, from a commit, "
    "and that planted errors were caught.",
)
@_reading
def verify(file: str, certified: bool, unlimited: bool) -> None:
    """Whether the JSON Lines report in FILE can be relied on.

    Every line is as the schema says; the footer is there and its counts add up; nothing is
    answered twice; what fails can be seen again; the header says where it comes from.

    Exit code 1: one of these does not hold. 2: it is no report.
    """
    console = display.terminal()
    found = verified(_read(file, unlimited), certified=certified)
    table = Table(box=None, padding=(0, 1), show_header=False)
    for each in found:
        mark = Text("✓", "green") if each.holds else Text("✗", "bold red")
        said = Text(each.what)
        if not each.holds:
            said.append(f": {each.wrong}", "red")
        table.add_row(mark, said)
    console.print(table)
    console.print()
    good = all(each.holds for each in found)
    word = f"{'' if good else 'NOT '}{'certified' if certified else 'verified'}"
    console.print(Text(f"{word}: {file}", style="bold green" if good else "bold red"))
    sys.exit(0 if good else 1)


@click.command(short_help="The JSON Schema of a report's lines.")
def schema() -> None:
    """Print the JSON Schema of a line of a JSON Lines report.

    It is made from the types that write and read the report, and is installed as
    gradcheck_suite/reports/report.schema.json.
    """
    click.echo(json.dumps(schema_of_a_line(), indent=2, ensure_ascii=False))


def _read(file: str, unlimited: bool) -> Report:
    found: Report = usage(lambda: read_report(file, UNLIMITED if unlimited else Limits()))
    return found


def _inputs(paths: Sequence[str], outputs: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The reports that are merged; and those in folders that are not, for they are written.

    Raises:
        UsageError: a file is given both ways, or no report is left.
    """
    written = {Path(path).resolve() for path in outputs}
    files: list[str] = []
    own: list[str] = []
    for path in paths:
        if not Path(path).is_dir():
            if Path(path).resolve() in written:
                raise UsageError(f"report: {path} is also --output; write to another file")
            files.append(path)
            continue
        for each in _reports_in(path):
            (own if Path(each).resolve() in written else files).append(each)
    if not files:
        raise UsageError(f"report: nothing to merge but what --output writes: {', '.join(own)}")
    return tuple(files), own


def _reports_in(path: str) -> list[str]:
    """The JSON Lines reports in a folder, by name; not those that are hidden."""
    seen = [each for each in sorted(Path(path).iterdir()) if not each.name.startswith(".")]
    found = [each for each in seen if each.name.endswith(JsonLines.suffixes)]
    reports = [str(each) for each in found if isinstance(report_format(each), JsonLines)]
    if not reports:
        raise UsageError(f"report: no report (.json, .jsonl) lies in the folder {path}")
    return reports


def _by_implementation(run: Run) -> Iterator[Run]:
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in run.outcomes:
        place = (record.part, record.implementation, record.backend)
        groups.setdefault(place, []).append(record)
    for place, records in groups.items():
        teeth = tuple(
            each for each in run.teeth if (each.part, each.implementation, each.backend) == place
        )
        yield Run(tuple(records), run.provenance, run.strict, teeth=teeth)


def _write(console: display.Terminal, files: ReportFiles, run: Run) -> None:
    usage(lambda: files.finish(run), _OPTIONS)
    for path in files.paths:
        console.print(Text(f"report written to {path}"))


def _show_section(console: display.Terminal, section: telling.Section) -> None:
    console.print()
    style = "bold red" if section.bad else "bold"
    console.print(Text(f"{section.name}: {section.count}", style=style))
    for line in section.lines[:_LINES_AT_MOST]:
        said = Text(f"    {line.cases}  ")
        said.append(line.said, style="dim")
        console.print(Text(f"  {line.clause}  {line.place}"), soft_wrap=True)
        console.print(said, no_wrap=True, overflow="ellipsis")
    if len(section.lines) > _LINES_AT_MOST:
        more = len(section.lines) - _LINES_AT_MOST
        console.print(f"  … and {more} more (--output FILE.md has them)")


def _say_notes(console: display.Terminal, run: Run) -> None:
    for note in run.notes[:_LINES_AT_MOST]:
        console.print(Text(f"note: {note}", style="yellow"))
    if len(run.notes) > _LINES_AT_MOST:
        console.print(f"… and {len(run.notes) - _LINES_AT_MOST} more notes")


def _say_verdict(console: display.Terminal, run: Run) -> None:
    console.print(Text(str(run), style="bold green" if run.passed else "bold red"))


def _look_at_markdown(paths: tuple[str, ...]) -> None:
    for path in paths:
        writable(path)
        if not path.lower().endswith(".md"):
            raise UsageError(f"path: {path}: a comparison is written as Markdown; use .md")


def _save(text: str, paths: tuple[str, ...]) -> None:
    for path in paths:
        try:
            with replacing(path) as whole:
                whole.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"path: {path}: {error.strerror or error}") from None


COMMANDS: tuple[Any, ...] = (report, merge, diff, verify, schema)
