"""Every script of docs/findings.md still shows its deviation, without this project."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"
ENTRY = re.compile(r"^### (?P<title>.+?)$.*?^```python\n(?P<script>.+?)^```", re.M | re.S)


def entries() -> list[Any]:
    """One parameter per script; skipped where a library that it imports is missing."""
    if not PAGE.exists():
        return [pytest.param("", marks=pytest.mark.skip(reason="no docs beside the tests"))]
    found = []
    for entry in ENTRY.finditer(PAGE.read_text(encoding="utf-8")):
        named = re.findall(r"^(?:import|from) (.+?)(?: import .*)?$", entry["script"], re.M)
        names = {name.split()[0].partition(".")[0] for line in named for name in line.split(",")}
        missing = [name for name in sorted(names) if importlib.util.find_spec(name) is None]
        reason = f"not installed: {', '.join(missing)}" if missing else other_version(names)
        marks = [pytest.mark.skip(reason=reason)] if reason else []
        found.append(pytest.param(entry["script"], id=entry["title"], marks=marks))
    return found


def other_version(names: set[str]) -> str:
    """Why an entry is not tried: it is a statement about the versions at the top of the page."""
    measured = dict(re.findall(r"(\w+) (\d+(?:\.\d+)+)", PAGE.read_text(encoding="utf-8")[:900]))
    for name in sorted(names & set(measured)):
        installed = metadata.version(name).partition("+")[0]
        if installed != measured[name]:
            return f"measured with {name} {measured[name]}, here is {installed}"
    return ""


@pytest.mark.parametrize("script", entries())
def test_the_script_still_shows_the_deviation(script: str) -> None:
    assert "gradcheck" not in script
    assert script.rstrip().splitlines()[-1].startswith("assert ")

    alone = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert alone.returncode == 0, alone.stderr


@pytest.mark.skipif(not PAGE.exists(), reason="no docs beside the tests")
def test_every_entry_has_a_script() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert len(ENTRY.findall(text)) == len(re.findall(r"^### ", text, re.M)) == len(entries())
