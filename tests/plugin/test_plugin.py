"""The plugin, in real pytest runs of small projects."""

from __future__ import annotations

import subprocess
import sys

import pytest

SUITE = """
import pytest
import losses


@pytest.mark.softmax_nll({arguments})
def test_loss(softmax_nll_case):
    softmax_nll_case.check()
"""


def suite(project: pytest.Pytester, arguments: str, *options: str) -> pytest.RunResult:
    """Runs the marker with these arguments in a real pytest process."""
    project.makepyfile(test_suite=SUITE.format(arguments=arguments))
    return project.runpytest_subprocess("-p", "no:cacheprovider", *options)


def test_a_correct_loss_passes_every_clause_that_applies(project: pytest.Pytester) -> None:
    result = suite(project, "losses.correct, backend='numpy'", "-q")
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) == 0
    assert outcomes["passed"] > 50
    assert outcomes["skipped"] > 0


def test_a_wrong_loss_fails_with_clause_element_inequality_and_replay(
    project: pytest.Pytester,
) -> None:
    arguments = "losses.missing_one_over_m, backend='numpy', clauses='gradient.analytic'"
    result = suite(project, arguments, "-q", "--tb=short")
    assert result.parseoutcomes()["failed"] > 0
    result.stdout.fnmatch_lines(
        [
            "*FAILED gradient.analytic  losses:missing_one_over_m [[]numpy *",
            "*clause *the gradient is T·p − τ*",
            "*at *row *class *got *specified *",
            "*bound *|*|*>*",
            "*looks *same factor 4*denominator*",
            "*replay *gradcheck-suite replay*",
        ]
    )
    assert "site-packages/gradcheck_suite" not in result.stdout.str()


def test_one_test_per_clause_and_case_selectable_by_its_id(project: pytest.Pytester) -> None:
    arguments = "losses.correct, backend='numpy', clauses='gradient.*', dtypes='float64'"
    result = suite(project, arguments, "--collect-only", "-q", "-k", "seed-example")
    result.stdout.fnmatch_lines(
        ["test_suite.py::test_loss[[]gradient.analytic::seed-example-float64]"]
    )


def test_a_loss_is_named_by_address_too(project: pytest.Pytester) -> None:
    result = suite(project, "'numpy-reference', clauses='value.definition'", "-q")
    assert result.parseoutcomes()["passed"] > 0


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ("", "takes one loss"),
        ("losses.correct, backend='nmupy'", "known backends: "),
        ("losses.correct, clauses='gradent.*'", "matches no clause"),
        ("losses.correct, dialekt={}", "known options: "),
        ("losses.correct, dialect={'mean_index': 'half'}", "use one of weights, valid, batch"),
        ("'losses:incorrect'", "did you mean correct"),
    ],
)
def test_a_marker_that_makes_no_sense_is_a_usage_error_with_a_remedy(
    project: pytest.Pytester, arguments: str, remedy: str
) -> None:
    result = suite(project, arguments)
    text = result.stdout.str()
    assert remedy in text
    assert "Traceback" not in text
    assert result.ret == pytest.ExitCode.INTERRUPTED


def test_the_fixture_without_the_marker_says_what_to_add(project: pytest.Pytester) -> None:
    project.makepyfile("def test_loss(softmax_nll_case): pass")
    result = project.runpytest_subprocess()
    result.stdout.fnmatch_lines(["*add @pytest.mark.softmax_nll(my_loss, backend=*"])


def test_the_gradcheck_fixture_passes_a_right_gradient_and_fails_a_wrong_one(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        """
        import numpy as np

        x = np.linspace(-1.0, 1.0, 6).reshape(2, 3)

        def test_right(gradcheck):
            gradcheck(lambda x: ((x**2).sum(), 2 * x), x)

        def test_wrong(gradcheck):
            gradcheck(lambda x: ((x**2).sum(), 2.02 * x), x)
        """
    )
    result = project.runpytest_subprocess("-q")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*GradientError*"])


def test_markers_and_fixtures_are_documented(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--markers").stdout.fnmatch_lines(["*softmax_nll(loss, *"])
    text = project.runpytest_subprocess("--fixtures").stdout.str()
    assert "softmax_nll_case" in text
    assert "checks derivatives, fails with the whole story" in text


def test_a_run_that_does_not_use_the_plugin_imports_nothing_heavy(
    project: pytest.Pytester,
) -> None:
    project.makepyfile("def test_nothing(): pass")
    code = (
        "import pytest, sys; assert pytest.main(['-q', '-p', 'no:cacheprovider', 'test_' + "
        "'a_run_that_does_not_use_the_plugin_imports_nothing_heavy.py']) == 0; "
        "heavy = {'numpy', 'torch', 'jax', 'gradcheck_suite', 'rich', 'click'} & set(sys.modules); "
        "assert 'pytest_gradcheck.plugin' in sys.modules; print('heavy:', sorted(heavy))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=project.path, capture_output=True, text=True, check=True
    )
    assert "heavy: []" in found.stdout


def test_the_plugin_can_be_left_out(project: pytest.Pytester) -> None:
    project.makepyfile("def test_nothing(): pass")
    project.runpytest_subprocess("-p", "no:gradcheck").assert_outcomes(passed=1)
