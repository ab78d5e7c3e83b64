"""JUnit XML: what a CI shows of a run."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from runs import FAILED, GOOD, LONG_NAME, RUNS, record, run_of

from gradcheck_suite.outcome import Run


def written(run: Run, tmp_path: Path) -> JUnitXml:
    path = tmp_path / "report.xml"
    run.write(path)
    return JUnitXml.fromfile(str(path))


def counts(document: JUnitXml) -> tuple[int, int, int, int]:
    skipped = sum(suite.skipped for suite in document)
    return document.tests, document.failures, document.errors, skipped


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("passed", (2, 0, 0, 0)),
        ("failed", (4, 2, 0, 0)),
        ("inconclusive", (3, 1, 0, 0)),
        ("errored", (3, 0, 1, 0)),
        ("declared", (3, 0, 0, 1)),
        ("known", (3, 0, 0, 1)),
        ("advice", (3, 0, 0, 1)),
        ("nothing", (1, 0, 1, 0)),
        ("skips", (3, 0, 1, 2)),
        ("truncated", (3, 0, 1, 0)),
        ("merged", (2, 1, 0, 0)),
    ],
)
def test_what_counts_is_counted(
    name: str, expected: tuple[int, int, int, int], tmp_path: Path
) -> None:
    assert counts(written(RUNS[name], tmp_path)) == expected


def test_a_suite_is_an_implementation_on_a_device_in_a_dtype(tmp_path: Path) -> None:
    other = record(FAILED, dtype="float32")
    suites = list(written(run_of(*GOOD, other), tmp_path))
    assert [suite.name for suite in suites] == [
        "homework:loss [numpy, cpu] float64",
        "homework:loss [numpy, cpu] float32",
    ]
    properties = {each.name: each.value for each in suites[0].properties()}
    assert properties["libraries.numpy"] == "2.4.6"
    assert properties["dtype"] == "float64"
    assert suites[0].timestamp == "2026-11-24T15:26:29+00:00"


def test_a_failure_tells_its_story(tmp_path: Path) -> None:
    (suite,) = written(run_of(record(FAILED)), tmp_path)
    (case,) = suite
    assert case.name == "gradient.analytic/rows4-classes5-mean@float64"
    assert case.classname == "homework:loss [numpy, cpu].gradient"
    (failure,) = case.result
    assert isinstance(failure, Failure)
    assert failure.message == "gradient is not what is specified"
    for said in ("FAILED gradient.analytic", "[numpy 2.4.6, cpu", "row 3, class 3", "replay"):
        assert said in failure.text


def test_a_case_has_its_facts_as_properties(tmp_path: Path) -> None:
    RUNS["failed"].write(tmp_path / "report.xml")
    root = ElementTree.parse(tmp_path / "report.xml").getroot()
    case = root.findall("testsuite/testcase")[2]
    properties = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert properties == {
        "clause": "gradient.analytic",
        "level": "MUST",
        "case": "rows4-classes5-mean",
        "seed": "17",
        "status": "failed",
        "error": "0.1013",
        "bound": "1.9e-16",
        "margin": "5.33158e+14",
    }


def test_an_error_shows_its_traceback(tmp_path: Path) -> None:
    (suite,) = written(RUNS["errored"], tmp_path)
    (error,) = list(suite)[-1].result
    assert isinstance(error, Error)
    assert "Traceback (most recent call last)" in error.text


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("known", "known", "known deviation: p − 1 is formed after rounding"),
        ("advice", "advice", "advice: gradient is not what is specified"),
        ("declared", "declared", "declared: the mean of no rows is 0"),
        ("skips", "skipped", "label smoothing is not supported"),
    ],
)
def test_what_junit_has_no_word_for_is_a_skip_that_says_so(
    name: str, kind: str, message: str, tmp_path: Path
) -> None:
    suite = next(iter(written(RUNS[name], tmp_path)))
    (skip,) = list(suite)[-1].result
    assert isinstance(skip, Skipped)
    assert (skip.type, skip.message) == (kind, message)


def test_a_known_deviation_is_told_as_output(tmp_path: Path) -> None:
    (suite,) = written(RUNS["known"], tmp_path)
    assert "FAILED (known deviation) stability.saturated" in list(suite)[-1].system_out


def test_a_run_of_nothing_is_an_error(tmp_path: Path) -> None:
    (suite,) = written(RUNS["nothing"], tmp_path)
    (error,) = next(iter(suite)).result
    assert "NOT passed: nothing ran" in error.message
    assert "torch is not installed" in error.text


def test_a_run_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    *_, suite = written(RUNS["truncated"], tmp_path)
    (case,) = suite
    assert case.name == "the run came to its end"
    assert "NOT passed, truncated: 2 passed" in case.result[0].message


def test_each_of_merged_reports_has_its_own_suites_and_provenance(tmp_path: Path) -> None:
    first, second = written(RUNS["merged"], tmp_path)
    assert first.name == "homework:loss [numpy, cpu] in py311-numpy float64"
    assert {p.name: p.value for p in first.properties()}["libraries.numpy"] == "2.4.6"
    assert {p.name: p.value for p in second.properties()}["libraries.numpy"] == "2.0.0"
    (case,) = second
    assert case.classname == "homework:loss [numpy, cpu] in py311-lowest.gradient"
    assert "[numpy 2.0.0, cpu, float64]" in case.result[0].text


def test_characters_that_xml_does_not_know_are_shown_as_escapes(tmp_path: Path) -> None:
    document = written(RUNS["hostile"], tmp_path)
    case = next(iter(next(iter(document))))
    assert r"\x1b[31m" in case.name
    assert r"\x00\u202e\ud800\ufffe" in case.name
    assert "<script>" in case.name
    assert "<script>" not in (tmp_path / "report.xml").read_text("utf-8")


def test_a_message_is_short_and_a_name_is_whole(tmp_path: Path) -> None:
    (suite,) = written(RUNS["long name"], tmp_path)
    (case,) = suite
    assert LONG_NAME in case.name
    assert len(case.result[0].message) <= 500
