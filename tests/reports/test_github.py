"""Annotations: ten at most, and nothing in a name ends a command or begins another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from runs import FAILED, RUNS, many, record, run_of

from gradcheck_suite.cli import cli
from gradcheck_suite.reports.github import commands

COMMAND = re.compile(r"::error (?:file=([^:,\n]+),)?title=([^:,\n]+)::([^\n]+)")


@pytest.mark.parametrize("name", RUNS)
def test_each_line_is_one_command(name: str) -> None:
    run = RUNS[name]
    lines = list(commands(run))
    assert all(COMMAND.fullmatch(line) for line in lines)
    assert all("\r" not in line and "\x1b" not in line for line in lines)
    assert bool(lines) != run.passed


def test_a_percent_sign_a_line_a_colon_and_a_comma_are_escaped() -> None:
    (line,) = commands(run_of(record(FAILED, implementation="a%0A::error::b,\nc\r")))
    found = COMMAND.fullmatch(line)
    assert found
    assert "a%250A%3A%3Aerror%3A%3Ab%2C c [numpy%2C cpu] float64" in found[2]
    assert "%0A  what     gradient is not what is specified%0A" in found[3]


def test_a_loss_in_a_file_is_annotated_there() -> None:
    (line,) = commands(run_of(record(FAILED, implementation="src/homework.py:loss")))
    assert line.startswith("::error file=src/homework.py,title=FAILED gradient.analytic ")


def test_nine_are_told_and_a_tenth_counts_the_others() -> None:
    lines = list(commands(many(1_000)))
    assert len(lines) == 10
    assert len({line.partition("::  clause")[0] for line in lines[:9]}) == 9  # nine mistakes
    assert lines[9].startswith("::error title=gradcheck-suite::and 91 more: NOT passed: ")


def test_ten_failures_are_nine_and_one_more() -> None:
    lines = list(commands(run_of(*(record(FAILED, f"gradient.{i}") for i in range(10)))))
    assert len(lines) == 10
    assert "and 1 more" in lines[9]
    assert len(list(commands(run_of(*(record(FAILED, f"g.{i}") for i in range(9)))))) == 9


def test_a_run_of_nothing_is_an_error() -> None:
    (line,) = commands(RUNS["nothing"])
    assert line == "::error title=gradcheck-suite::NOT passed: nothing ran%0Atorch is not installed"


def test_a_run_that_was_cut_off_is_an_error() -> None:
    (line,) = commands(RUNS["truncated"])
    assert line == "::error title=gradcheck-suite::NOT passed, truncated: 2 passed"


def test_a_long_story_is_cut() -> None:
    (line,) = commands(RUNS["long name"])
    assert len(line) < 5_000
    assert line.endswith("…")


SUM = """
import numpy as np


def loss(logits, targets):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(targets))
    gradient = np.exp(log_p)
    gradient[rows, targets] -= 1
    return -log_p[rows, targets].mean(), gradient
"""


@pytest.mark.parametrize("actions", ["true", ""])
def test_a_run_in_github_actions_prints_annotations(
    actions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("homework.py").write_text(SUM, encoding="utf-8")
    arguments = ("run", "homework.py:loss", "--quick", "--clause", "gradient.*")
    result = CliRunner().invoke(cli, arguments, env={"GITHUB_ACTIONS": actions})
    lines = [line for line in result.output.splitlines() if line.startswith("::")]
    assert result.exit_code == 1
    assert bool(lines) == bool(actions)
    assert all(line.startswith("::error file=homework.py,title=FAILED") for line in lines)
