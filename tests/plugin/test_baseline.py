"""``--gradcheck-baseline``: what failed before is expected, what is new fails the run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gradcheck_suite.outcome import Status
from gradcheck_suite.reports.json_lines import JsonLines

NARROW = (
    *("--gradcheck-clauses", "gradient.analytic,reduction.mean,value.definition"),
    *("--gradcheck-backend", "numpy", "--gradcheck-dtypes", "float64", "-p", "no:cacheprovider"),
)
BEFORE = """
import losses

def loss(logits, targets):
    return losses.correct(logits, targets)
"""
WORSE = BEFORE.replace("correct", "missing_one_over_m")
NEW = ("--gradcheck-report", "new.json")
#: Every outcome of the run is that of a SHOULD clause.
ADVICE = """
from dataclasses import replace
from gradcheck_suite.runner import Runner

judge = Runner.judge
Runner.judge = lambda self, job: replace(judge(self, job), level="SHOULD")
"""


def run(project: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    project.makepyfile(mine=source)
    return project.runpytest_subprocess("--softmax-nll", "mine:loss", *NARROW, *arguments)


def words(result: pytest.RunResult) -> str:
    return " ".join(result.stdout.str().split())


def test_what_failed_in_the_baseline_too_does_not_fail_the_run(project: pytest.Pytester) -> None:
    first = run(project, WORSE, "--gradcheck-report", "old.json")
    again = run(project, WORSE, "--gradcheck-baseline", "old.json", "-rx")

    failed = first.parseoutcomes()["failed"]
    assert first.ret == pytest.ExitCode.TESTS_FAILED
    assert again.ret == pytest.ExitCode.OK
    assert again.parseoutcomes()["xfailed"] >= failed
    assert "failed in the baseline old.json too" in words(again)
    assert f"baseline old.json: 0 newly failing, {failed} bad as before" in words(again)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_is_new_fails_the_run_and_is_named(project: pytest.Pytester, workers: str) -> None:
    pytest.importorskip("xdist")
    run(project, BEFORE, "--gradcheck-report", "old.json")
    result = run(project, WORSE, "--gradcheck-baseline", "old.json", "-n", workers)

    failed = result.parseoutcomes()["failed"]
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "this is new: it did not fail in the baseline old.json" in words(result)
    assert f"baseline old.json: {failed} newly failing, 0 bad as before" in words(result)
    assert "new: failed gradient.analytic/" in result.stdout.str()


def test_what_passes_again_is_told(project: pytest.Pytester) -> None:
    run(project, WORSE, "--gradcheck-report", "old.json")
    result = run(project, BEFORE, "--gradcheck-baseline", "old.json")

    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "baseline old.json: 0 newly failing, 0 bad as before, * newly passing",
            "  write the baseline anew: what passes now must then go on passing",
        ]
    )


def test_a_baseline_can_be_made_of_a_run_that_had_one(project: pytest.Pytester) -> None:
    run(project, WORSE, "--gradcheck-report", "old.json")
    both = ("--gradcheck-baseline", "old.json", "--gradcheck-report", "old.json")
    run(project, WORSE, *both)
    result = run(project, WORSE, *both)

    assert result.ret == pytest.ExitCode.OK
    known = [r for r in JsonLines().read(project.path / "old.json").outcomes if r.deviation]
    assert known


def test_a_crash_is_never_excused(project: pytest.Pytester) -> None:
    crashing = BEFORE.replace("return", "raise OSError('no disk')\n    return")
    run(project, crashing, "--gradcheck-report", "old.json")
    result = run(project, crashing, "--gradcheck-baseline", "old.json")

    failed = result.parseoutcomes()["failed"]
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "it crashed in the baseline old.json too; nothing excuses a crash" in words(result)
    assert "this is new" not in words(result)
    assert f"0 newly failing, 0 bad as before, {failed} crashing as before" in words(result)


def test_a_failure_that_was_inconclusive_is_new(project: pytest.Pytester) -> None:
    run(project, WORSE, "--gradcheck-report", "old.json")
    path = project.path / "old.json"

    def milder(line: dict[str, Any]) -> dict[str, Any]:
        bad = line.get("status") == "failed"
        return {**line, "status": "inconclusive", "verdict": {"reason": "noise"}} if bad else line

    lines = [milder(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    result = run(project, WORSE, "--gradcheck-baseline", "old.json")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "this is new: it was inconclusive in the baseline old.json" in words(result)
    assert f"baseline old.json: {result.parseoutcomes()['failed']} newly failing" in words(result)


def test_what_was_not_asked_in_the_baseline_is_said_to_be_so(project: pytest.Pytester) -> None:
    run(project, WORSE, "--gradcheck-report", "old.json")
    path = project.path / "old.json"
    run_before = JsonLines().read(path)
    kept = tuple(r for r in run_before.outcomes if r.clause != "gradient.analytic")
    JsonLines().write(replace(run_before, outcomes=kept), path)
    result = run(project, WORSE, "--gradcheck-baseline", "old.json")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "this is new: it was not asked in the baseline old.json" in words(result)
    assert "did not fail in the baseline" not in words(result)


def test_a_baseline_that_was_cut_off_is_refused(project: pytest.Pytester) -> None:
    run(project, WORSE, "-x", "--gradcheck-report", "old.json")
    result = run(project, WORSE, "--gradcheck-baseline", "old.json")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --gradcheck-baseline: old.json is of a run that was cut off*; write it anew, *"]
    )


@pytest.mark.parametrize(
    ("strict", "account"), [((), "advice"), (("--gradcheck-strict",), "known")]
)
def test_advice_stays_advice_where_it_does_not_count(
    project: pytest.Pytester, strict: tuple[str, ...], account: str
) -> None:
    def marked(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "level": "SHOULD"} if line.get("kind") == "outcome" else line

    run(project, WORSE, "--gradcheck-report", "old.json")
    path = project.path / "old.json"
    lines = [marked(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    project.makeconftest(ADVICE)
    result = run(project, WORSE, *strict, "--gradcheck-baseline", "old.json", *NEW)
    found = JsonLines().read(project.path / "new.json")

    assert result.ret == pytest.ExitCode.OK
    bad = [r for r in found.outcomes if r.status is Status.FAILED]
    assert bad
    assert {r.account(strict=found.strict) for r in bad} == {account}


def test_a_path_of_the_command_line_starts_where_pytest_was_called(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makeini("[pytest]\npythonpath = .\n")
    project.makepyfile(mine=WORSE)
    monkeypatch.chdir(project.mkdir("sub"))
    asked = ("--softmax-nll", "mine:loss", *NARROW)
    project.runpytest_subprocess(*asked, "--gradcheck-report", "old.json")
    result = project.runpytest_subprocess(*asked, "--gradcheck-baseline", "old.json")

    assert project.path.joinpath("sub", "old.json").is_file()
    assert result.ret == pytest.ExitCode.OK


def test_a_path_of_the_configuration_starts_where_that_lies(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = "gradcheck_report = old.json\ngradcheck_baseline = old.json\n"
    project.makeini("[pytest]\npythonpath = .\n")
    run(project, WORSE, "--gradcheck-report", "old.json")
    project.makeini(f"[pytest]\npythonpath = .\n{both}")
    monkeypatch.chdir(project.mkdir("sub"))
    result = project.runpytest_subprocess("--softmax-nll", "mine:loss", *NARROW)

    assert result.ret == pytest.ExitCode.OK
    assert [*project.path.joinpath("sub").iterdir()] == []


def test_a_path_of_addopts_is_found_from_a_folder_below(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, WORSE, "--gradcheck-report", "old.json")
    project.makeini("[pytest]\npythonpath = .\naddopts = --gradcheck-baseline old.json\n")
    monkeypatch.chdir(project.mkdir("sub"))
    result = project.runpytest_subprocess("--softmax-nll", "mine:loss", *NARROW)

    assert result.ret == pytest.ExitCode.OK


def test_it_can_stand_in_the_configuration(project: pytest.Pytester) -> None:
    run(project, WORSE, "--gradcheck-report", "old.json")
    project.makeini("[pytest]\ngradcheck_baseline = old.json\n")

    assert run(project, WORSE).ret == pytest.ExitCode.OK


@pytest.mark.parametrize("content", [None, "<xml/>", '{"format": "other"}'])
def test_what_is_no_report_is_refused_before_anything_runs(
    project: pytest.Pytester, content: str | None
) -> None:
    if content is not None:
        project.path.joinpath("old.json").write_text(content, encoding="utf-8")
    result = run(project, BEFORE, "--gradcheck-baseline", "old.json")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --gradcheck-baseline: *old.json*"])
    assert ": report:" not in result.stderr.str()
    assert "Traceback" not in result.stderr.str()
