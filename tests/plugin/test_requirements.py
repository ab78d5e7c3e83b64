"""``--gradcheck-require`` and ``--gradcheck-no-skips``: a skip that must not be."""

from __future__ import annotations

import pytest

CORRECT = ("--softmax-nll", "losses:correct")
NARROW = ("--gradcheck-clauses", "gradient.*", "--gradcheck-dtypes", "float64")


def test_a_required_backend_that_ran_is_content(project: pytest.Pytester) -> None:
    result = project.runpytest(*CORRECT, *NARROW, "--gradcheck-require", "numpy-cpu")

    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize("required", ["numpy-cuda", "torch-cuda:7"])
def test_a_required_device_on_which_nothing_ran_fails_the_run(
    project: pytest.Pytester, required: str
) -> None:
    result = project.runpytest(*CORRECT, *NARROW, "--gradcheck-require", required)

    result.stdout.fnmatch_lines([f"ERROR --gradcheck-require {required}: nothing ran on it"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_required_backend_that_is_missing_fails_its_tests(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        from gradcheck_suite import backends, discovery
        from gradcheck_suite.protocols import BackendFactory

        absent = BackendFactory("absent", "no-such-distribution", "no_such_module", None)
        backends.factories = lambda: (*discovery.members("backends"), absent)
        """
    )
    project.makepyfile("def test_it(gradcheck_backend): pass")
    skipped = project.runpytest_subprocess("--gradcheck-backend", "numpy,absent")
    skipped.assert_outcomes(passed=1, skipped=1)

    required = project.runpytest_subprocess(
        "--gradcheck-backend", "numpy,absent", "--gradcheck-require", "absent"
    )
    required.assert_outcomes(passed=1, errors=1)
    required.stdout.fnmatch_lines(["*required by --gradcheck-require: *pip install*"])


def test_a_misspelt_requirement_is_an_error(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(gradcheck_backend): pass")
    result = project.runpytest("--gradcheck-require", "tourch")

    result.stdout.fnmatch_lines(["*'tourch' is unknown; known backends: *"])
    assert result.ret != pytest.ExitCode.OK


def test_contradictory_options_are_a_usage_error(project: pytest.Pytester) -> None:
    result = project.runpytest("--gradcheck-require", "jax", "--gradcheck-backend", "numpy")

    assert "contradict each other" in result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_skips_are_counted_with_their_reasons(project: pytest.Pytester) -> None:
    result = project.runpytest(*CORRECT, *NARROW)

    result.stdout.fnmatch_lines(["skipped *: does not offer reduction none *"])


def test_no_skips_makes_a_skip_a_failure(project: pytest.Pytester) -> None:
    result = project.runpytest(*CORRECT, *NARROW, "--gradcheck-no-skips")

    result.stdout.fnmatch_lines(["SKIPPED gradient.*", "  but      --gradcheck-no-skips is set"])
    assert result.parseoutcomes()["failed"] > 0
    assert "skipped" not in result.parseoutcomes()
