"""A run that stops short leaves a report that says so: it is not the whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gradcheck_suite.outcome import Run
from gradcheck_suite.reports.json_lines import JsonLines

NARROW = (
    *("--gradcheck-clauses", "gradient.analytic", "--gradcheck-dtypes", "float64"),
    *("--gradcheck-backend", "numpy", "-p", "no:cacheprovider"),
)
AFTER_FIVE = """
import os, signal

seen = []

def pytest_runtest_logfinish(nodeid):
    seen.append(nodeid)
    if len(seen) == 5:
        {stop}
"""

# A runner in the background ignores the signal, and so does whatever it starts.
INTERRUPT = (
    "signal.signal(signal.SIGINT, signal.default_int_handler); os.kill(os.getpid(), signal.SIGINT)"
)


def run(project: pytest.Pytester, loss: str, *arguments: str) -> tuple[pytest.RunResult, Run]:
    report = ("--gradcheck-report", "report.json")
    result = project.runpytest_subprocess(
        "--softmax-nll", f"losses:{loss}", *NARROW, *report, *arguments
    )
    return result, JsonLines().read(project.path / "report.json")


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (INTERRUPT, pytest.ExitCode.INTERRUPTED),
        ("raise RuntimeError('a plugin of theirs')", pytest.ExitCode.INTERNAL_ERROR),
        ("__import__('pytest').exit('enough', returncode=0)", pytest.ExitCode.OK),
    ],
    ids=["interrupt", "internal-error", "pytest.exit"],
)
def test_an_interrupted_run_is_truncated_and_has_not_passed(
    project: pytest.Pytester, stop: str, code: pytest.ExitCode
) -> None:
    if stop == INTERRUPT and sys.platform == "win32":
        pytest.skip("there is no SIGINT to send to oneself")
    project.makeconftest(AFTER_FIVE.format(stop=stop))
    result, found = run(project, "correct")
    verify = [sys.executable, "-m", "gradcheck_suite", "verify", "report.json"]
    verified = subprocess.run(verify, cwd=project.path, capture_output=True, text=True, check=False)

    assert result.ret == code
    assert len(found.outcomes) == 5
    assert found.truncated
    assert not found.passed
    assert found.notes[0].startswith("the run stopped after 5 of ")
    if code != pytest.ExitCode.INTERNAL_ERROR:  # then pytest shows no summary
        result.stdout.fnmatch_lines(["note: the run stopped after 5 of * tests"])
    assert verified.returncode == 1
    assert "it is truncated: the run stopped after 5 of" in " ".join(verified.stdout.split())


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_that_stops_at_its_first_failure_is_not_the_whole(
    project: pytest.Pytester, workers: str
) -> None:
    pytest.importorskip("xdist")
    result, found = run(project, "missing_one_over_m", "-x", "-n", workers)

    assert result.ret in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    assert found.truncated
    assert any(note.startswith("the run stopped after ") for note in found.notes)


def test_a_run_whose_last_test_is_its_first_failure_is_whole(project: pytest.Pytester) -> None:
    only = "softmax-nll::losses:missing_one_over_m::gradient.analytic::rows4-classes5-mean[float64]"
    result, found = run(project, "missing_one_over_m", "-x", only)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert not found.truncated


def test_a_run_that_comes_to_its_end_is_whole(project: pytest.Pytester) -> None:
    _, found = run(project, "correct")

    assert found.passed
    assert not found.notes
