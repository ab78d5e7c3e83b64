"""The outcomes of a run as the page's script reads them: columns, over one table of strings.

A string is written once and referred to by its number, so that 5,000 outcomes take about
2 MB. ``page/data.js`` reads what is written here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from gradcheck_suite.outcome import ErrorMap, Failed, Record, Run, Status, StepCurve
from gradcheck_suite.reports.evidence import visible
from gradcheck_suite.story import facts, most_telling

#: ``outcome.ACCOUNTS``, the worst first, each with a sign, so that no colour has to be told from
#: another.
SIGNS = {
    "errored": "!",
    "failed": "✗",
    "inconclusive": "?",
    "known": "≈",
    "advice": "▵",
    "declared": "○",
    "passed": "✓",
    "skipped": "·",
}
KINDS = tuple(SIGNS)
#: Those that stand between a run and ``passed``.
DECIDING = KINDS[:3]
#: What an account is called, where that is not its name.
WORDS = {"known": "known deviation"}
#: Facts that are shown in a typeface whose figures line up.
FIGURES = frozenset(
    {"at", "found", "bound", "trace", "printed", "warned", "snippet", "dialect", "replay"}
)
COLUMNS = ("clause", "level", "case", "implementation", "backend", "device", "dtype", "part")
EVIDENCE_AT_MOST = 800_000
"""Characters of error maps and step curves that a page holds."""
LONG, LONG_AT_MOST = 200, 500_000
"""Texts beyond so many characters are long, and a page holds so many characters of long texts."""
ONE_AT_MOST, BEGINNING = 8_000, 80
"""Characters of one text; and of a long one, where there is no room left for more."""
_THEIRS = frozenset({"trace", "printed", "warned", "snippet"})
_ID = "\x00"


def encoded(run: Run) -> dict[str, Any]:
    """The run's outcomes as JSON-able columns.

    ``columns`` and ``story`` (label, text, label, text, …) hold numbers of ``strings``; in
    ``replay`` NUL stands for the outcome's own id. ``evidence`` is there for those outcomes
    whose plots found room, the first of every clause and implementation before the others.
    """
    strings, shortened = _Strings(), _Shortened()
    columns: dict[str, list[int]] = {name: [] for name in (*COLUMNS, "kind")}
    stories, replays, margins, seconds = [], [], [], []
    for record in run.outcomes:
        for name in COLUMNS:
            columns[name].append(strings.number(_name(getattr(record, name))))
        columns["kind"].append(strings.number(record.account(strict=run.strict)))
        stories.append([strings.number(each) for each in _story(record, shortened)])
        replays.append(strings.number(_replay(record)))
        margin = None if record.inequality is None else _short(record.inequality.margin)
        margins.append(margin)
        seconds.append(_short(record.seconds))
    return {
        "kinds": KINDS,
        "signs": SIGNS,
        "words": WORDS,
        "figures": sorted(FIGURES),
        "deciding": DECIDING,
        "columns": columns,
        "story": stories,
        "replay": replays,
        "margin": margins,
        "seconds": seconds,
        "evidence": _evidence(run),
        "strings": list(strings.numbers),
    }


def _name(text: str) -> str:
    """A name is shown whole, if it is no book."""
    return cut(visible(text), ONE_AT_MOST)


def _replay(record: Record) -> str:
    """The command, with NUL for the outcome's id: most commands are then one and the same."""
    command = _name(record.replay)
    return command.replace(visible(record.id), _ID) if len(record.case) < ONE_AT_MOST else command


def cut(text: str, kept: int) -> str:
    """The beginning of a text, and how much more there is."""
    more = len(text) - kept
    return text if more <= 0 else f"{text[:kept]} … ({more} more characters)"


@dataclass(slots=True)
class _Strings:
    """Distinct strings and their numbers."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))


@dataclass(slots=True)
class _Shortened:
    """Cuts what would make the page too large: outputs and tracebacks."""

    left: int = LONG_AT_MOST

    def text(self, text: str) -> str:
        text = visible(text)
        if len(text) <= LONG:
            return text
        kept = ONE_AT_MOST if self.left > 0 else BEGINNING
        self.left -= min(len(text), kept)
        return cut(text, kept)


def _story(record: Record, shortened: _Shortened) -> Iterator[str]:
    """Label, text, label, text, …; what the code under test said may be cut, what we say is not."""
    good = record.status in (Status.PASSED, Status.SKIPPED)
    snippet = [("snippet", record.snippet)] if record.snippet else []
    for label, text in (*facts(record), *snippet):
        if label not in _THEIRS:
            yield from (label, _name(text))
        else:
            yield from (label, cut(visible(text), LONG) if good else shortened.text(text))


def _evidence(run: Run) -> dict[int, dict[str, Any]]:
    """The plots of failures by row: of the most telling ones, as far as there is room."""
    rows = {id(record): row for row, record in enumerate(run.outcomes)}
    left, found = EVIDENCE_AT_MOST, {}
    for record in most_telling(record for record in run.outcomes if any(_plots(record).values())):
        parts = {name: asdict(part) for name, part in _plots(record).items() if part is not None}
        shown = _plain(parts)
        left -= len(str(shown))
        if left < 0:
            break
        found[rows[id(record)]] = shown
    return dict(sorted(found.items()))


def _plots(record: Record) -> dict[str, ErrorMap | StepCurve | None]:
    verdict = record.verdict
    if not isinstance(verdict, Failed):
        return {}
    return {"map": verdict.error_map, "curve": verdict.step_curve}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return _short(value)
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value


def _short(value: float) -> float | int | str:
    """Three digits; what JSON does not know as a word that JavaScript does."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    short = float(f"{value:.3g}")
    return int(short) if short == int(short) and abs(short) < 1e6 else short
