"""CTRF: held to its schema (schemas/ctrf.schema.json, from the npm package ctrf 0.3.0, MIT)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from runs import RUNS, many

from gradcheck_suite.outcome import Run

STATUSES = ("passed", "failed", "skipped", "pending", "other")
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "ctrf.schema.json").read_text("utf-8"))


def written(run: Run, tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "report.ctrf.json"
    run.write(path)
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document


@pytest.mark.parametrize("name", RUNS)
def test_every_report_holds_to_the_schema(name: str, tmp_path: Path) -> None:
    document = written(RUNS[name], tmp_path)
    jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())


def test_the_schema_refuses_what_is_wrong(tmp_path: Path) -> None:
    document = written(RUNS["passed"], tmp_path)
    document["results"]["tests"][0]["status"] = "green"
    with pytest.raises(jsonschema.ValidationError, match="'green' is not one of"):
        jsonschema.validate(document, SCHEMA)


@pytest.mark.parametrize("name", RUNS)
def test_the_summary_counts_the_tests(name: str, tmp_path: Path) -> None:
    results = written(RUNS[name], tmp_path)["results"]
    tests, summary = results["tests"], results["summary"]
    assert summary["tests"] == len(tests) > 0
    for status in STATUSES:
        assert summary[status] == sum(test["status"] == status for test in tests)
    assert results["environment"]["healthy"] == RUNS[name].passed == (summary["failed"] == 0)


@pytest.mark.parametrize(
    ("name", "status", "raw"),
    [
        ("passed", "passed", "passed"),
        ("failed", "failed", "failed"),
        ("inconclusive", "failed", "inconclusive"),
        ("errored", "failed", "errored"),
        ("skips", "skipped", "skipped"),
        ("declared", "other", "declared"),
        ("known", "other", "known"),
        ("advice", "other", "advice"),
    ],
)
def test_our_own_word_is_kept(name: str, status: str, raw: str, tmp_path: Path) -> None:
    tests = written(RUNS[name], tmp_path)["results"]["tests"]
    assert (status, raw) in {(test["status"], test.get("rawStatus")) for test in tests}


def test_a_failure_has_its_reason_its_story_and_its_facts(tmp_path: Path) -> None:
    test = written(RUNS["failed"], tmp_path)["results"]["tests"][2]
    assert test["name"] == "gradient.analytic/rows4-classes5-mean@float64"
    assert test["suite"] == ["homework:loss", "numpy cpu", "gradient"]
    assert test["message"] == "gradient is not what is specified"
    assert "row 3, class 3" in test["trace"]
    assert test["labels"]["bound"] == "1.9e-16"


def test_each_of_merged_reports_is_a_suite_of_its_own(tmp_path: Path) -> None:
    first, second = written(RUNS["merged"], tmp_path)["results"]["tests"]
    assert first["suite"] == ["py311-numpy", "homework:loss", "numpy cpu", "gradient"]
    assert second["suite"][0] == "py311-lowest"
    assert first["id"] != second["id"]


def test_an_error_has_its_traceback(tmp_path: Path) -> None:
    test = written(RUNS["errored"], tmp_path)["results"]["tests"][-1]
    assert test["extra"]["traceback"].startswith("Traceback (most recent call last)")


def test_ids_are_stable_and_distinct(tmp_path: Path) -> None:
    run = many(500)
    first, second = (
        [test["id"] for test in written(run, tmp_path)["results"]["tests"]] for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == 500


def test_a_run_of_nothing_is_a_failed_test(tmp_path: Path) -> None:
    (test,) = written(RUNS["nothing"], tmp_path)["results"]["tests"]
    assert (test["status"], test["message"]) == ("failed", "NOT passed: nothing ran")


def test_when_it_ran_is_in_milliseconds(tmp_path: Path) -> None:
    summary = written(RUNS["passed"], tmp_path)["results"]["summary"]
    assert summary["start"] == 1_795_533_989_000
    assert summary["stop"] == summary["start"] + summary["duration"]
