"""docs/findings.md as its readers have it: entries, what each is about, and its script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "findings.md"
_SECTION = re.compile(r"^## (?P<library>.+?)$(?P<text>.*?)(?=^## |\Z)", re.M | re.S)
_ENTRY = re.compile(
    r"^### (?P<title>.+?)$(?P<said>.*?)^```python\n(?P<script>.+?)^```", re.M | re.S
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry.

    Attributes:
        library: the section's heading.
        title: the entry's own.
        said: its sentences; the clauses and implementations that it is about stand in them
            between backticks.
        script: shows the deviation without this project.
    """

    library: str
    title: str
    said: str
    script: str

    @property
    def named(self) -> tuple[str, ...]:
        """What stands between backticks, in order."""
        return tuple(re.findall(r"`([^`]+)`", self.said))

    def covers(self, clause: str, implementation: str) -> bool:
        """Whether it is about this clause (or pattern of clauses) of this implementation."""
        patterns = self.named
        return any(each == clause or fnmatchcase(clause, each) for each in patterns) and any(
            fnmatchcase(implementation, each) for each in patterns
        )

    @property
    def anchor(self) -> str:
        """The fragment of its heading, as GitHub makes it."""
        kept = re.sub(r"[^\w\- ]", "", self.title.lower())
        return kept.replace(" ", "-")


def findings() -> Iterator[Finding]:
    """Every entry of the page; none where there are no docs beside the tests."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    for section in _SECTION.finditer(text):
        for entry in _ENTRY.finditer(section["text"]):
            yield Finding(section["library"], entry["title"], entry["said"], entry["script"])
