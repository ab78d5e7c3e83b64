"""Another package adds an implementation in fifteen lines, and it is judged like ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling builds the package")

PROJECT = """\
[project]
name = "their-losses"
version = "1.0"

[project.entry-points."gradcheck_suite.implementations"]
their-losses = "their_losses:IMPLEMENTATIONS"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""
MODULE = """\
import numpy as np
import gradcheck_suite as gs


def nll(logits, targets):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(targets))
    gradient = np.exp(log_p)
    gradient[rows, targets] -= 1
    return -log_p[rows, targets].mean(), gradient / len(rows)


IMPLEMENTATIONS = gs.Implementation("their-nll", nll, backend="numpy", gradient="returned")
"""


def command(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, where the package of a third party is installed."""
    return subprocess.run(
        [sys.executable, "-m", "gradcheck_suite", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(path), *sys.path])},
        cwd=path,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("their-losses")
    (source / "pyproject.toml").write_text(PROJECT, "utf-8")
    (source / "their_losses.py").write_text(MODULE, "utf-8")
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    return target


def test_what_it_takes_fits_in_fifteen_lines() -> None:
    assert len([line for line in MODULE.splitlines() if line.strip()]) <= 15


def test_it_is_listed_beside_what_ships(site: Path) -> None:
    assert "their-nll" in command(site, "list", "implementations").stdout


def test_it_is_judged_by_name(site: Path) -> None:
    narrow = ["--clause", "gradient.analytic", "--dtype", "float64"]
    report = site / "report.json"

    done = command(site, "run", "their-nll", *narrow, "--report", str(report))

    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    passed = [each for each in outcomes if each.get("status") == "passed"]
    assert passed
    assert {each["implementation"] for each in passed} == {"their-nll"}
