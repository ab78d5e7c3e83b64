"""gradcheck-suite badge: a report in, a badge out, an error that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from runs import RUNS

from gradcheck_suite.cli import cli


def badge(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["badge", *map(str, arguments)])


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    RUNS["failed"].write(path)
    return path


def test_a_badge_is_made_of_a_report(report: Path) -> None:
    picture, endpoint = report.with_name("badge.svg"), report.with_name("badge.json")
    assert badge(report, "--output", picture).exit_code == 0
    result = badge(report, "--output", endpoint, "--label", "cross-entropy")
    assert (result.exit_code, result.output) == (0, f"badge written to {endpoint}\n")
    assert "<title>conformance: 2 failed</title>" in picture.read_text("utf-8")
    said = json.loads(endpoint.read_text("utf-8"))
    assert (said["label"], said["message"]) == ("cross-entropy", "2 failed")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("badge.png", "--output: 'badge.png' is neither .svg nor .json"),
        ("no/such/badge.svg", "--output: there is no folder no/such; make it first"),
    ],
)
def test_what_cannot_be_written_is_refused(report: Path, output: str, said: str) -> None:
    result = badge(report, "--output", output)
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "package.json"
    foreign.write_text('{"name": "foreign"}', encoding="utf-8")
    result = badge(foreign, "--output", tmp_path / "badge.svg")
    assert result.exit_code == 2
    assert "package.json" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "badge.svg").exists()
