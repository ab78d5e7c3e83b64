"""Every script of docs/findings.md still shows its deviation, without this project."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest
from findings_page import PAGE, Finding, findings

from gradcheck_suite.addresses import shipped
from gradcheck_suite.implementation import Implementation


def entries() -> list[Any]:
    """One parameter per script; skipped where a library that it imports is missing."""
    if not PAGE.exists():
        return [pytest.param("", marks=pytest.mark.skip(reason="no docs beside the tests"))]
    found = []
    for entry in findings():
        named = re.findall(r"^(?:import|from) (.+?)(?: import .*)?$", entry.script, re.M)
        names = {name.split()[0].partition(".")[0] for line in named for name in line.split(",")}
        names.update(re.findall(r'find_spec\("(\w+)"\)', entry.script))
        missing = [name for name in sorted(names) if importlib.util.find_spec(name) is None]
        reason = f"not installed: {', '.join(missing)}" if missing else other_version(entry, names)
        marks = [pytest.mark.skip(reason=reason)] if reason else []
        found.append(pytest.param(entry.script, id=entry.title, marks=marks))
    return found


def other_version(entry: Finding, modules: set[str]) -> str:
    """Why it is not tried: it is a statement about the versions that it names, or the page does."""
    text = PAGE.read_text(encoding="utf-8")
    measured = versions(text[: text.index("\n## ")]) | versions(entry.said)
    providers = metadata.packages_distributions()
    for distribution in {name for module in modules for name in providers.get(module, ())}:
        wanted = measured.get(distribution.lower().replace("_", "-"))
        here = metadata.version(distribution).partition("+")[0]
        if wanted is not None and wanted != here:
            return f"measured with {distribution} {wanted}, here is {here}"
    return ""


def versions(text: str) -> dict[str, str]:
    """``torch 2.13.0`` → the version that is named first, by distribution."""
    found = re.findall(r"([A-Za-z][\w-]*) (\d+(?:\.\d+)+)", text)
    return {name.lower(): version for name, version in reversed(found)}


@pytest.mark.parametrize("script", entries())
def test_the_script_still_shows_the_deviation(script: str) -> None:
    assert "gradcheck" not in script
    assert script.rstrip().splitlines()[-1].startswith("assert ")

    alone = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert alone.returncode == 0, alone.stderr


with_docs = pytest.mark.skipif(not PAGE.exists(), reason="no docs beside the tests")


@with_docs
def test_every_entry_has_a_script_and_a_heading_of_its_own() -> None:
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.M)

    assert [entry.title for entry in findings()] == headings
    assert len({entry.anchor for entry in findings()}) == len(headings)


@with_docs
@pytest.mark.parametrize("implementation", shipped(), ids=lambda each: each.name)
def test_every_known_deviation_of_what_ships_is_reproduced(implementation: Implementation) -> None:
    """An entry names its clause and the implementation, between backticks."""
    lacking = [
        deviation.clause
        for deviation in implementation.deviations
        if not any(entry.covers(deviation.clause, implementation.name) for entry in findings())
    ]

    assert not lacking


@pytest.mark.parametrize("board", ["scoreboard.md", "scoreboard.html"])
def test_every_finding_on_the_scoreboard_is_an_entry(board: str) -> None:
    page = PAGE.with_name(board)
    if not page.exists():
        pytest.skip("no docs beside the tests")
    text = page.read_text(encoding="utf-8")

    linked = set(re.findall(r"findings\.md#([\w-]+)", text))
    assert linked
    assert linked <= {entry.anchor for entry in findings()}
    assert "no finding" not in text
