"""Under pytest-xdist: the same outcomes and records, and a crash that costs one case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("xdist")

NARROW = ("--gradcheck-clauses", "gradient.*,value.*", "--gradcheck-dtypes", "float64")
_TIMES = ("seconds", "started")


def records(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        {key: value for key, value in line.items() if key not in _TIMES}
        for line in lines
        if line["kind"] == "outcome"
    ]


def test_any_number_of_workers_gives_the_same_records_in_the_same_order(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        """
        import numpy as np

        def test_engine(gradcheck):
            gradcheck(lambda x: ((x**2).sum(), 2 * x), np.arange(1.0, 7.0))
        """
    )
    found = []
    for workers in ("0", "2", "4"):
        project.runpytest_subprocess(
            "--softmax-nll",
            "losses:missing_one_over_m",
            *NARROW,
            *("-n", workers, "--gradcheck-report", f"{workers}.json"),
        )
        found.append(records(project.path / f"{workers}.json"))

    assert len(found[0]) > 50
    assert {record["status"] for record in found[0]} >= {"passed", "failed", "skipped"}
    assert found[0] == found[1] == found[2]


def test_a_crashed_worker_loses_the_case_that_it_was_running(project: pytest.Pytester) -> None:
    project.makepyfile(
        crashing="""
        import os
        import losses

        def loss(logits, targets):
            if logits.shape == (32, 100):
                os._exit(3)
            return losses.correct(logits, targets)
        """
    )
    options = ("--gradcheck-clauses", "gradient.analytic", "--gradcheck-dtypes", "float64")
    options += ("--gradcheck-backend", "numpy")
    result = project.runpytest_subprocess(
        "--softmax-nll", "crashing:loss", *options, "-n", "2", "--gradcheck-report", "report.json"
    )
    collected = project.runpytest_subprocess(
        "--softmax-nll", "losses:correct", *options, "--co", "-q"
    )
    questions = [line for line in collected.outlines if line.startswith("softmax-nll::")]
    found = records(project.path / "report.json")

    result.stdout.fnmatch_lines(["note: a worker crashed while running *rows32-classes100-mean*"])
    assert len(found) == len(questions)
    errored = [record for record in found if record["status"] == "errored"]
    assert [record["case"] for record in errored] == ["rows32-classes100-mean"]
    assert result.ret == pytest.ExitCode.TESTS_FAILED
