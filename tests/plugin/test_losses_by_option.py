"""``pytest --softmax-nll``: conformance without writing a test."""

from __future__ import annotations

import pytest

WRONG = ("--softmax-nll", "losses:missing_one_over_m")
CORRECT = ("--softmax-nll", "losses:correct")
NARROW = ("--gradcheck-clauses", "gradient.analytic", "--gradcheck-dtypes", "float64")
NODE = "softmax-nll::losses:missing_one_over_m::gradient.analytic::rows4-classes5-mean[float64]"


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    if "-n" in arguments:
        pytest.importorskip("xdist")
    start = project.runpytest_subprocess if "-n" in arguments else project.runpytest
    return start("-p", "no:cacheprovider", *arguments)


def test_a_correct_loss_passes_without_a_test_being_written(project: pytest.Pytester) -> None:
    result = run(project, *CORRECT)

    outcomes = result.parseoutcomes()
    assert result.ret == pytest.ExitCode.OK
    assert outcomes["passed"] > 50
    assert "failed" not in outcomes


def test_a_wrong_loss_tells_its_story_in_80_columns(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run(project, *WRONG, *NARROW, "-x")

    result.stdout.fnmatch_lines(
        [
            "FAILED gradient.analytic  losses:missing_one_over_m [[]numpy *",
            "  clause   the gradient is T·p − τ*",
            "  at       row *class *got *specified *",
            "  bound    |*|*>*",
            "  looks    everything is off by the same factor 4*",
            "  replay   gradcheck-suite replay*",
            f"FAILED {NODE.replace('[', '[[]')}*",  # pytest adds the message, where $CI is set
        ]
    )
    story = [line for line in result.outlines if line.startswith("  ")]
    assert max(map(len, story)) <= 80
    assert "Traceback" not in result.stdout.str()


def test_items_are_addressed_by_loss_clause_case_and_dtype(project: pytest.Pytester) -> None:
    result = run(project, *WRONG, *NARROW, "--collect-only", "-q")

    assert NODE in result.outlines


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_node_id_on_the_command_line_runs_that_item_alone(
    project: pytest.Pytester, processes: tuple[str, ...]
) -> None:
    project.makepyfile("def test_other(): raise AssertionError")

    run(project, NODE, *processes).assert_outcomes(failed=1)


def test_a_node_id_may_name_a_whole_clause_or_loss(project: pytest.Pytester) -> None:
    clause = run(project, NODE.rpartition("::")[0], "-q").parseoutcomes()
    assert clause["failed"] > 1

    loss = run(project, "softmax-nll::losses:correct", "-q", *NARROW).parseoutcomes()
    assert loss["passed"] > 1


def test_a_node_id_beside_a_file_runs_both(project: pytest.Pytester) -> None:
    file = project.makepyfile("def test_own(): pass")

    run(project, NODE, str(file)).assert_outcomes(failed=1, passed=1)


def test_keywords_and_markers_select_items(project: pytest.Pytester) -> None:
    project.makepyfile("def test_other(): raise AssertionError")

    by_keyword = run(project, *CORRECT, "-k", "reduction.mean and float32", "-q").parseoutcomes()
    assert by_keyword["passed"] > 0
    assert by_keyword["deselected"] > 300

    by_marker = run(project, *CORRECT, *NARROW, "-m", "softmax_nll", "-q").parseoutcomes()
    assert by_marker["deselected"] == 1
    assert "failed" not in by_marker


def test_last_failed_runs_what_failed_last(project: pytest.Pytester) -> None:
    first = project.runpytest(*WRONG, *NARROW, "-q").parseoutcomes()
    again = project.runpytest(*WRONG, *NARROW, "-q", "--lf").parseoutcomes()

    assert again["failed"] == first["failed"]
    assert "passed" not in again


def test_the_configuration_file_has_keys_of_the_same_names(project: pytest.Pytester) -> None:
    project.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        addopts = "--strict-config --strict-markers"
        softmax_nll = ["losses:missing_one_over_m"]
        gradcheck_clauses = "gradient.analytic"
        gradcheck_dtypes = "float64"
        """
    )
    configured = run(project, "-q")
    assert configured.parseoutcomes()["failed"] > 0

    overridden = run(project, "-q", *CORRECT)
    assert overridden.ret == pytest.ExitCode.OK


def test_several_losses_are_judged_side_by_side(project: pytest.Pytester) -> None:
    result = run(project, *CORRECT, *WRONG, *NARROW)

    result.stdout.fnmatch_lines(
        ["*family*losses:correct*losses:missing_one_over_m*", "*gradient*passed*failed*"]
    )


def test_a_seed_reaches_the_cases(project: pytest.Pytester) -> None:
    result = run(project, *WRONG, *NARROW, "--gradcheck-seed", "5", "-x")

    result.stdout.fnmatch_lines(["*--seed 5*"])


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("--softmax-nll", "losses:corect"), "did you mean correct"),
        (("--softmax-nll", "no_such_module:loss"), "is it installed"),
        (("--softmax-nll", "no-such-name"), "package.module:attribute"),
        ((*CORRECT, "--gradcheck-clauses", "gradent.*"), "matches no clause"),
        ((*CORRECT, "--gradcheck-dtypes", "float31"), "use float64"),
        ((*CORRECT, "--gradcheck-backend", "nmupy"), "known backends: "),
        ((*CORRECT, "--gradcheck-seed", "one"), "use an integer"),
        (("softmax-nll",), "give --softmax-nll"),
        ((NODE.replace("mean[", "median["),), "no such case; one is softmax-nll::"),
        ((NODE.replace("analytic", "analytical"),), "no such clause"),
    ],
)
def test_what_makes_no_sense_is_an_error_with_a_remedy(
    project: pytest.Pytester, arguments: tuple[str, ...], remedy: str
) -> None:
    result = run(project, *arguments)

    text = result.stdout.str() + result.stderr.str()
    assert remedy in " ".join(text.split())
    assert "Traceback" not in text
    assert result.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR)


def test_an_error_in_the_users_module_shows_its_own_frames_alone(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(broken="import losses\n1 / 0\n")
    result = run(project, "--softmax-nll", "broken:loss")

    result.stdout.fnmatch_lines(["*importing it raises ZeroDivisionError*", "*broken.py*line 2*"])
    assert "pytest_gradcheck" not in result.stdout.str()
    assert result.ret == pytest.ExitCode.INTERRUPTED


def test_a_run_in_which_every_question_was_skipped_fails(project: pytest.Pytester) -> None:
    result = run(project, *CORRECT, "--gradcheck-clauses", "hessian.analytic")

    result.stdout.fnmatch_lines(["ERROR nothing was judged*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
