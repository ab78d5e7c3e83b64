"""Badges: JSON for a shields.io endpoint, and an SVG that needs no service.

The SVG is drawn here, in the flat style of shields.io and with what a screen reader needs; the
libraries that draw badges leave that out.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path

from gradcheck_suite.outcome import Run
from gradcheck_suite.reports.evidence import one_line

LABEL = "conformance"
_HEX = {"brightgreen": "#4c1", "red": "#e05d44", "orange": "#fe7d37", "lightgrey": "#9f9f9f"}
_TEXT_AT_MOST = 80  # characters

# Width of a character in Verdana 11 px, roughly; textLength holds the text to the sum.
_NARROW, _WIDE = frozenset("fijlrtI.,:;!|'()[] "), frozenset("mwMW%@")


@dataclass(frozen=True, slots=True)
class Badge:
    """What a badge says: ``label | message``, on a colour of shields.io."""

    label: str
    message: str
    color: str

    @classmethod
    def of(cls, run: Run, label: str = LABEL) -> Badge:
        """The badge of a run; ``no data`` where nothing was judged, whatever was skipped."""
        if not run.executed:
            return cls(label, "no data", "lightgrey")
        accounts = Counter(record.account(strict=run.strict) for record in run.outcomes)
        bad = {name: accounts[name] for name in ("failed", "errored", "inconclusive")}
        said = [f"{number} {name}" for name, number in bad.items() if number]
        said += ["truncated"] * run.truncated
        if said:
            unseen = not (bad["failed"] or bad["errored"])
            return cls(label, ", ".join(said), "orange" if unseen else "red")
        known = f", {accounts['known']} known" if accounts["known"] else ""
        return cls(label, f"{accounts['passed']} passed{known}", "brightgreen")

    def write(self, path: str | PathLike[str]) -> None:
        """As SVG or, where ``path`` does not end in ``.svg``, as JSON for shields.io."""
        text = self.svg() if str(path).lower().endswith(".svg") else self.endpoint()
        Path(path).write_text(text, encoding="utf-8")

    def endpoint(self) -> str:
        """The JSON that ``https://img.shields.io/endpoint?url=…`` reads."""
        said = {"label": self.label, "message": self.message, "color": self.color}
        return json.dumps({"schemaVersion": 1, **said}) + "\n"

    def svg(self) -> str:
        label, message = (one_line(text, _TEXT_AT_MOST) for text in (self.label, self.message))
        left, right = _width(label), _width(message)
        words = _words(label, 0, left) + _words(message, left + 10, right)
        title = escape(f"{label}: {message}")
        return _SVG.format(
            title=title, width=left + right + 20, left=left + 10, right=right + 10,
            color=_HEX[self.color], words=words,
        )  # fmt: skip


def _width(text: str) -> int:
    return round(sum(3.9 if c in _NARROW else 10.5 if c in _WIDE else 7.0 for c in text))


def _words(text: str, start: int, width: int) -> str:
    """The text, and its shadow one pixel below it."""
    place = f'x="{start + 5 + width / 2:g}" textLength="{width}"'
    shadow = f'<text aria-hidden="true" {place} y="15" fill="#010101" fill-opacity=".3">'
    return f'{shadow}{escape(text)}</text><text {place} y="14">{escape(text)}</text>'


_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" \
aria-label="{title}"><title>{title}</title>\
<linearGradient id="s" x2="0" y2="100%"><stop offset="0" stop-color="#bbb" stop-opacity=".1"/>\
<stop offset="1" stop-opacity=".1"/></linearGradient>\
<clipPath id="r"><rect width="{width}" height="20" rx="3" fill="#fff"/></clipPath>\
<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#555"/>\
<rect x="{left}" width="{right}" height="20" fill="{color}"/>\
<rect width="{width}" height="20" fill="url(#s)"/></g>\
<g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" \
font-size="11">{words}</g></svg>
"""


class BadgeReport:
    """Writes the badge of a run."""

    name = "badge"
    suffixes = (".badge.json", ".svg")

    def write(self, run: Run, path: str | PathLike[str]) -> None:
        Badge.of(run).write(path)


REPORTS = (BadgeReport(),)
