"""Beside other people's tests: silent, cheap to load, and strict about misuse."""

from __future__ import annotations

import pytest

SUITE = """
import pytest, losses

@pytest.mark.softmax_nll(losses.correct, clauses="value.definition", dtypes="float64")
class TestLoss:
    @pytest.fixture(params=["a", "b"])
    def flavour(self, request):
        return request.param

    def test_loss(self, flavour, softmax_nll_case):
        softmax_nll_case.check()

    def test_other(self):
        pass
"""


def test_a_run_that_does_not_use_the_plugin_looks_as_if_it_were_not_there(
    project: pytest.Pytester,
) -> None:
    project.makepyfile("def test_nothing(): pass")
    with_it = project.runpytest("-p", "no:cacheprovider")
    without = project.runpytest("-p", "no:cacheprovider", "-p", "no:gradcheck")

    def text(result: pytest.RunResult) -> list[str]:
        return [line for line in result.outlines if " in " not in line and "plugins:" not in line]

    assert text(with_it) == text(without)


def test_a_parametrised_fixture_of_the_users_multiplies_the_cases(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(SUITE)
    outcomes = project.runpytest("-q").parseoutcomes()
    single = project.runpytest("-q", "-k", "a-value or value and a").parseoutcomes()

    assert outcomes["passed"] % 2 == 1
    assert outcomes["passed"] > 3
    assert single["passed"] < outcomes["passed"]


@pytest.mark.parametrize(
    ("mark", "outcome"),
    [("skip(reason='later')", "skipped"), ("xfail(run=False)", "xfailed")],
)
def test_skip_and_xfail_on_top_win(project: pytest.Pytester, mark: str, outcome: str) -> None:
    suite = SUITE.replace("    def test_loss", f"    @pytest.mark.{mark}\n    def test_loss")
    project.makepyfile(suite)
    outcomes = project.runpytest("-q").parseoutcomes()

    assert outcomes["passed"] == 1
    assert outcomes[outcome] > 3


def test_strict_markers_and_strict_configuration_are_content(project: pytest.Pytester) -> None:
    project.makepyfile(SUITE)
    project.makeini("[pytest]\ngradcheck_quick = true\ngradcheck_backend = numpy\n")
    result = project.runpytest("--strict-markers", "--strict-config", "-W", "error")

    assert result.ret == pytest.ExitCode.OK


def test_options_may_come_from_the_environment(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--softmax-nll losses:correct --gradcheck-quick")
    result = project.runpytest("-q")

    assert result.parseoutcomes()["passed"] > 5


def test_a_marker_without_the_fixture_would_judge_nothing_and_is_an_error(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        """
        import pytest, unittest, losses

        class TestLoss(unittest.TestCase):
            @pytest.mark.softmax_nll(loss=losses.correct)
            def test_loss(self):
                pass
        """
    )
    result = project.runpytest()

    assert "nothing would be judged; write def test_loss(softmax_nll_case)" in result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_reports_of_an_unknown_kind_are_refused_before_anything_runs(
    project: pytest.Pytester,
) -> None:
    project.makepyfile("def test_nothing(): pass")
    result = project.runpytest("--gradcheck-report", "report.xyz")

    assert "use one of these suffixes: .badge.json, .ctrf.json" in result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(
    project: pytest.Pytester,
) -> None:
    result = project.runpytest(
        *("--softmax-nll", "losses:correct", "--gradcheck-quick"),
        *("--gradcheck-report", "no/such/folder/report.json"),
    )

    result.stderr.fnmatch_lines(["ERROR: --gradcheck-report: there is no folder *such/folder*"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_collection_that_fails_leaves_an_earlier_report_alone(project: pytest.Pytester) -> None:
    project.path.joinpath("report.json").write_text("kept", encoding="utf-8")
    result = project.runpytest(
        "--softmax-nll", "losses:absent", "--gradcheck-report", "report.json"
    )

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert project.path.joinpath("report.json").read_text(encoding="utf-8") == "kept"


def test_junit_reports_hold_the_stories_and_no_records(project: pytest.Pytester) -> None:
    project.runpytest(
        "--softmax-nll", "losses:missing_one_over_m", "--gradcheck-quick", "--junitxml", "junit.xml"
    )
    text = project.path.joinpath("junit.xml").read_text(encoding="utf-8")

    assert "FAILED gradient." in text
    assert "gradcheck_records" not in text
