"""``--gradcheck-expectations``: known deviations, strict in every direction."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

WRONG = ("--softmax-nll", "losses:missing_one_over_m")
NARROW = (
    "--gradcheck-clauses",
    "gradient.analytic,reduction.mean",
    "--gradcheck-dtypes",
    "float64",
)

KNOWN = """
[[expected]]  # our trainer divides later
id = "gradient.analytic/*mean*"
reason = "the gradient is that of the sum"
issue = "https://example.org/7"

[[expected]]
id = "reduction.mean/*@float64"
reason = "the gradient is that of the sum"
when = { backend = "numpy", dtype = "float*", version = "numpy>=1" }
"""


def words(result: pytest.RunResult) -> str:
    """Standard output in one line: a story is wrapped at any word."""
    return " ".join(result.stdout.str().split())


def run(project: pytest.Pytester, toml: str, *arguments: str) -> pytest.RunResult:
    project.path.joinpath("known.toml").write_text(toml, encoding="utf-8")
    options = ("--gradcheck-expectations", "known.toml", "-p", "no:cacheprovider")
    if "-n" in arguments:
        pytest.importorskip("xdist")
    start = project.runpytest_subprocess if "-n" in arguments else project.runpytest
    return start(*WRONG, *NARROW, *options, *arguments)


def test_what_is_expected_to_fail_is_seen_and_does_not_fail_the_run(
    project: pytest.Pytester,
) -> None:
    result = run(project, KNOWN, "-rx")

    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes()["xfailed"] >= 6
    result.stdout.fnmatch_lines(
        ["*gradient *known*", "*the gradient is that of the sum (https://example.org/7)*"]
    )


def test_an_expectation_also_speaks_of_tests_with_the_marker(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest, losses

        @pytest.mark.softmax_nll(losses.missing_one_over_m, clauses="gradient.analytic")
        def test_loss(softmax_nll_case):
            softmax_nll_case.check()
        """
    )
    project.path.joinpath("known.toml").write_text(KNOWN.partition("\n\n")[0], encoding="utf-8")
    result = project.runpytest("--gradcheck-expectations", "known.toml")

    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes()["xfailed"] >= 6


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_an_entry_that_matches_nothing_is_an_error(
    project: pytest.Pytester, processes: tuple[str, ...]
) -> None:
    toml = KNOWN + '\n[[expected]]\nid = "gradient.analytic/no-such-case@*"\nreason = "gone"\n'
    result = run(project, toml, *processes)

    result.stdout.fnmatch_lines(
        ["ERROR *'gradient.analytic/no-such-case@[*]' (gone) matches nothing"]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_run_of_a_part_does_not_complain_of_the_rest(project: pytest.Pytester) -> None:
    toml = KNOWN + '\n[[expected]]\nid = "gradient.analytic/no-such-case@*"\nreason = "gone"\n'

    assert run(project, toml, "-k", "gradient").ret == pytest.ExitCode.OK


def test_an_entry_whose_condition_does_not_hold_is_silent(project: pytest.Pytester) -> None:
    toml = KNOWN + (
        '\n[[expected]]\nid = "gradient.analytic/*"\nreason = "old NumPy"\n'
        'when = { version = "numpy<1" }\n'
    )

    assert run(project, toml).ret == pytest.ExitCode.OK


def test_an_unexpected_pass_fails(project: pytest.Pytester) -> None:
    toml = KNOWN + '\n[[expected]]\nid = "reduction.mean/*weighted*"\nreason = "weights"\n'
    correct = toml.replace("reduction.mean/*@", "reduction.mean/rows4-classes5-mean@")
    project.path.joinpath("known.toml").write_text(correct, encoding="utf-8")
    result = project.runpytest(
        "--softmax-nll", "losses:correct", *NARROW, "--gradcheck-expectations", "known.toml"
    )

    assert "but passes, against the expectation 'gradient.analytic/*mean*'" in words(result)
    assert result.parseoutcomes()["failed"] > 0


def test_an_expired_entry_excuses_nothing(project: pytest.Pytester) -> None:
    result = run(project, KNOWN.replace("issue =", "expires = 2020-02-01\nissue ="))

    assert "(the gradient is that of the sum) expired on 2020-02-01" in words(result)
    result.stdout.fnmatch_lines(["ERROR *'gradient.analytic/[*]mean[*]' *expired on 2020-02-01"])
    assert result.parseoutcomes()["failed"] > 0


def test_a_bound_admits_an_error_up_to_it(project: pytest.Pytester) -> None:
    within = run(project, KNOWN.replace("issue =", "bound = 10.0\nissue ="))
    assert within.ret == pytest.ExitCode.OK

    beyond = run(project, KNOWN.replace("issue =", "bound = 1e-6\nissue ="))
    assert "but is worse than expected:" in words(beyond)
    assert "allows an error ≤ 1.0e-06" in words(beyond)
    assert beyond.parseoutcomes()["failed"] > 0


@pytest.mark.parametrize(
    ("toml", "remedy"),
    [
        ("[[expected]]\nid = 'a'", "reason is missing"),
        ("[[expected]]\nid = 'a'\nreason = 'b'\nrason = 'c'", "unknown key 'rason'; known keys"),
        ("[[expected]]\nid='a'\nreason='b'\nwhen={backnd='c'}", "known conditions: backend"),
        ("[[expected]]\nid='a'\nreason='b'\nexpires='soon'", "write it bare"),
        ("[[expected]]\nid='a'\nreason='b'\nbound='1e-3'", "is no number"),
        ("[[expected]]\nid='a'\nreason='b'\nwhen={version='numpy is old'}", "is no condition"),
        ("expected = 3", "array of tables"),
        ("[[expect]]\nid = 'a'", "'expect' is no array of tables"),
        ("[[expected", "is no TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_a_usage_error_with_its_place(
    project: pytest.Pytester, toml: str, remedy: str
) -> None:
    result = run(project, toml)

    text = result.stderr.str()
    assert remedy in text
    assert "known.toml" in text
    assert "Traceback" not in text
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_missing_file_is_a_usage_error(project: pytest.Pytester) -> None:
    result = project.runpytest("--gradcheck-expectations", "none.toml")

    assert "No such file" in result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def update(project: pytest.Pytester, *arguments: str) -> str:
    command = [sys.executable, "-m", "gradcheck_suite", "update-expectations", *arguments]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_file_is_rewritten_from_a_run(project: pytest.Pytester) -> None:
    """From nothing: entries that make the run pass. Afterwards: what passes is removed."""
    report = ("--gradcheck-report", "report.json")
    project.runpytest(*WRONG, *NARROW, *report)
    update(project, "known.toml", "report.json")
    written = project.path.joinpath("known.toml").read_text(encoding="utf-8")
    assert 'when = {backend = "numpy"}' in written
    assert run(project, written).ret == pytest.ExitCode.OK

    stale = KNOWN + '\n[[expected]]\nid = "*/rows4-classes5-mean@float32"\nreason = "narrow"\n'
    project.path.joinpath("known.toml").write_text(stale, encoding="utf-8")
    project.runpytest("--softmax-nll", "losses:correct", *NARROW, *report)
    told = update(project, "known.toml", "report.json")
    left = project.path.joinpath("known.toml").read_text(encoding="utf-8")
    assert "removed 'gradient.analytic/*mean*'" in told
    assert "left alone: '*/rows4-classes5-mean@float32'" in " ".join(told.split())
    assert left.count("[[expected]]") == 1


def test_a_bound_is_widened_to_the_error_that_was_seen(project: pytest.Pytester) -> None:
    project.runpytest(*WRONG, *NARROW, "--gradcheck-report", "report.json")
    narrow = KNOWN.replace("issue =", "bound = 1e-6\nissue =")
    project.path.joinpath("known.toml").write_text(narrow, encoding="utf-8")
    told = update(project, "known.toml", "report.json")

    assert "bound 1.0e-06 →" in " ".join(told.split())
    text = project.path.joinpath("known.toml").read_text(encoding="utf-8")
    assert "# our trainer divides later" in text
    assert run(project, text).ret == pytest.ExitCode.OK


def test_outcomes_keep_their_deviation_in_the_report(project: pytest.Pytester) -> None:
    run(project, KNOWN, "--gradcheck-report", "report.json")
    lines = project.path.joinpath("report.json").read_text(encoding="utf-8").splitlines()
    failed = [line for line in map(json.loads, lines) if line.get("status") == "failed"]

    assert failed
    assert all("that of the sum" in line["deviation"] for line in failed)
