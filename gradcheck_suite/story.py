"""A record as text: what failed, where, by which inequality, and how to see it again."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping

from gradcheck_suite import provenance
from gradcheck_suite.outcome import Errored, Failed, Record

# Control characters, what turns the direction of text around, halves of characters, and
# what XML does not know.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_LABEL = 9
_INDENT = " " * (2 + _LABEL)


def visible(text: str) -> str:
    r"""The text with what cannot be shown written out, an escape as ``\x1b``; lines end in LF."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSHOWABLE.sub(lambda found: ascii(found[0])[1:-1], lines)


def replay_command(
    job: str,
    address: str,
    *,
    backend: str = "",
    device: str = "",
    dialect: Mapping[str, str] | None = None,
    seed: int,
) -> str:
    """The command line that shows one outcome again; it can be pasted into a shell."""
    words = ["gradcheck-suite", "replay", f"'{job}'", shlex.quote(address)]
    for name, value in (("--backend", backend), ("--device", device)):
        words += [name, value] if value else []
    for choice, value in (dialect or {}).items():
        words += ["--dialect", shlex.quote(f"{choice}={value}")]
    return " ".join([*words, "--seed", str(seed)])


def replay_call(job: str, name: str, *, backend: str, seed: int) -> str:
    """The same in Python, for a function that has no address."""
    clause, _, rest = job.partition("/")
    case, _, dtype = rest.rpartition("@")
    name = name if name.isidentifier() else "loss"
    return (
        f"gs.conformance({name}, backend={backend!r}, clauses={clause!r}, cases={case!r}, "
        f"dtypes=({dtype!r},), seed={seed})"
    )


def most_telling(records: Iterable[Record]) -> list[Record]:
    """One outcome per clause first: ten stories should tell of ten mistakes."""
    first: list[Record] = []
    rest: list[Record] = []
    seen: set[tuple[str, str, str]] = set()
    for record in records:
        mistake = (record.implementation, record.backend, record.clause)
        (rest if mistake in seen else first).append(record)
        seen.add(mistake)
    return first + rest


def tell(
    record: Record,
    *,
    width: int = 80,
    versions: Mapping[str, str] | None = None,
    but: str = "",
) -> str:
    """The story of one outcome, at most ``width`` columns wide.

    Args:
        record: the outcome.
        width: columns; words longer than a line are left whole.
        versions: versions of the libraries where it ran; default the installed ones.
        but: why a good outcome is told all the same, or a bad one is worse than it seems.
    """
    title = headline(record, versions)
    lines = [textwrap.fill(title, width, subsequent_indent="  ", break_long_words=False)]
    for label, text in facts(record):
        lines.append(_line(label, text, width))
    if but:
        lines.append(_line("but", but, width))
    if record.replay:
        lines.append(_replay(record.replay, width))
    if record.snippet:
        lines.append(_line("snippet", record.snippet, width))
    return visible("\n".join(lines))


def headline(record: Record, versions: Mapping[str, str] | None = None) -> str:
    """What was found, of which clause, where: ``FAILED gradient.analytic  my.loss [torch …]``."""
    version = (versions or {}).get(record.backend) or provenance.version(record.backend)
    place = f"[{record.backend} {version}, {record.device}, {record.dtype}]"
    status = record.status.upper() + (" (known deviation)" if record.deviation else "")
    return f"{status} {record.clause}  {record.implementation} {place}"


def facts(record: Record) -> Iterator[tuple[str, str]]:
    """The lines of a story before they are wrapped: (label, text); without the replay command."""
    verdict = record.verdict
    yield "clause", f"{record.statement}  ({record.level})"
    # What is behind the ~ is for machines: the replay line and the snippet hold the same.
    yield "case", f"{record.case.partition('~')[0]}   seed {record.seed}"
    if record.dialect:
        yield "dialect", ", ".join(f"{name}={value}" for name, value in record.dialect.items())
    if record.reason:
        yield "what", record.reason
    if isinstance(verdict, Failed) and (verdict.at or verdict.sides):
        sides = "   ".join(f"{name} {text}" for name, text in verdict.sides)
        if verdict.at:
            yield "at", f"{verdict.at}:  {sides}" if sides else verdict.at
        else:
            yield "found", sides
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
    lines: list[str] = []
    for word in _words(command):
        if lines and len(lines[-1]) + 1 + len(word) <= width - len(_INDENT) - 4:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return head + f" \\\n{_INDENT}  ".join(lines)


def _words(command: str) -> list[str]:
    """The words of a shell command as they are written; what is quoted stays whole."""
    words: list[str] = []
    for part in command.split(" "):
        if words and _is_open(words[-1]):
            words[-1] += f" {part}"
        else:
            words.append(part)
    return words


def _is_open(word: str) -> bool:
    try:
        shlex.split(word)
    except ValueError:  # no closing quotation
        return True
    return False
