"""A record as text: what failed, where, by which inequality, and how to see it again."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from gradcheck_suite import provenance
from gradcheck_suite.outcome import Errored, Failed, Record

_LABEL = 9
_INDENT = " " * (2 + _LABEL)


def tell(record: Record, *, width: int = 80, versions: Mapping[str, str] | None = None) -> str:
    """The story of one outcome, at most ``width`` columns wide.

    Args:
        record: the outcome.
        width: columns; words longer than a line are left whole.
        versions: versions of the libraries where it ran; default the installed ones.
    """
    version = (versions or {}).get(record.backend) or provenance.version(record.backend)
    place = f"[{record.backend} {version}, {record.device}, {record.dtype}]"
    status = record.status.upper() + (" (known deviation)" if record.deviation else "")
    title = f"{status} {record.clause}  {record.implementation} {place}"
    lines = [textwrap.fill(title, width, subsequent_indent="  ", break_long_words=False)]
    for label, text in _lines(record):
        lines.append(_line(label, text, width))
    if record.replay:
        lines.append(_replay(record.replay, width))
    return "\n".join(lines)


def _lines(record: Record) -> Iterator[tuple[str, str]]:
    verdict = record.verdict
    yield "clause", f"{record.statement}  ({record.level})"
    yield "case", f"{record.case}   seed {record.seed}"
    if record.dialect:
        yield "dialect", ", ".join(f"{name}={value}" for name, value in record.dialect.items())
    if record.reason:
        yield "what", record.reason
    if isinstance(verdict, Failed) and (verdict.at or verdict.sides):
        sides = "   ".join(f"{name} {text}" for name, text in verdict.sides)
        yield "at", f"{verdict.at}:  {sides}" if verdict.at and sides else verdict.at or sides
    if record.inequality is not None:
        yield "bound", str(record.inequality)
    if record.resolution is not None:
        yield "sees", f"relative gradient errors down to {record.resolution:.1e}"
    if isinstance(verdict, Failed) and verdict.looks:
        yield "looks", verdict.looks
    if record.deviation:
        yield "known", record.deviation
    if isinstance(verdict, Errored) and verdict.traceback:
        yield "trace", verdict.traceback
    for message in record.warnings:
        yield "warned", message
    if record.output.strip():
        yield "printed", record.output.strip()


def _line(label: str, text: str, width: int) -> str:
    """``  label    text``, wrapped under the text; text of several lines is kept as it is."""
    head = f"  {label:<{_LABEL}}"
    if "\n" in text:
        return head + textwrap.indent(text, _INDENT).lstrip()
    return textwrap.fill(
        text,
        width,
        initial_indent=head,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _replay(command: str, width: int) -> str:
    """The command on one line if it fits, else continued with backslashes: it can be pasted."""
    head = f"  {'replay':<{_LABEL}}"
    if len(head) + len(command) <= width or not command.startswith("gradcheck-suite"):
        return head + command
    folded = textwrap.wrap(
        command,
        width - len(_INDENT) - 4,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return head + f" \\\n{_INDENT}  ".join(folded)
