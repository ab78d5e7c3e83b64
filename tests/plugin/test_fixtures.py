"""The fixtures, in tests as people write them."""

from __future__ import annotations

import json

import pytest

from gradcheck_suite import backends
from gradcheck_suite.reports.line_reading import read_report
from gradcheck_suite.review.verifying import verified


def test_every_installed_backend_gets_a_test_of_its_own(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_it(gradcheck_backend, gradcheck_device):
            x = gradcheck_backend.asarray([1.0, 2.0], "float32", gradcheck_device)
            assert gradcheck_backend.describe(x).dtype == "float32"
        """
    )
    result = project.runpytest("-v")

    result.assert_outcomes(passed=len(backends.installed()))
    result.stdout.fnmatch_lines(["*::test_it[[]numpy-cpu]*"])


def test_backends_can_be_chosen(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(gradcheck_backend): assert gradcheck_backend.name == 'numpy'")

    project.runpytest("--gradcheck-backend", "numpy").assert_outcomes(passed=1)


def test_a_device_alone_is_a_string(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(gradcheck_device): assert gradcheck_device == 'cpu'")

    project.runpytest().assert_outcomes(passed=1)


def test_the_generator_is_the_tests_own_and_the_same_in_every_run(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        """
        import json, pathlib, pytest

        @pytest.mark.parametrize("number", [0, 1])
        def test_it(gradcheck_rng, number):
            with pathlib.Path("drawn").open("a") as file:
                file.write(f"{number} {gradcheck_rng.integers(10**9)}\\n")
        """
    )
    project.runpytest("-p", "no:randomly")
    project.runpytest("-k", "1")
    drawn = project.path.joinpath("drawn").read_text().split()

    assert drawn[0::2] == ["0", "1", "1"]
    assert drawn[1] != drawn[3]
    assert drawn[3] == drawn[5]


def test_a_failure_prints_how_to_make_the_same_generator(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(gradcheck_rng): assert gradcheck_rng.normal() > 100")
    result = project.runpytest()

    result.stdout.fnmatch_lines(["gradcheck_rng was numpy.random.default_rng(*)"])


def test_the_specification_is_there_for_assertions_of_ones_own(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        """
        import numpy as np
        import losses

        def test_it(softmax_nll_spec, gradcheck_rng):
            logits, targets = gradcheck_rng.normal(size=(6, 4)), np.arange(6) % 4
            specified = softmax_nll_spec(logits, targets)
            value, gradient = losses.correct(logits, targets)
            assert abs(value - specified.value) <= specified.value_bound
            assert (abs(gradient - specified.gradient) <= specified.gradient_bound).all()
            rows = softmax_nll_spec(logits, targets, reduction="none", weight=np.ones(4))
            assert rows.value.shape == (6,)
        """
    )

    project.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("[1.0, 2.0], [0]", "logits: got shape (2,); expected (N, C)"),
        ("[[1.0, 2.0]], [0, 1]", "targets: got shape (2,)"),
        ("[[1.0, 2.0]], [0.5]", "class indices are integers"),
        ("[[1.0, 2.0]], [0], reduction='avg'", "use one of none, sum, mean"),
        ("[[1.0, 2.0]], [0], weight=[1.0]", "weight: got shape (1,); expected (2,)"),
        ("'logits', [0]", "logits: got str; expected an array"),
    ],
)
def test_the_specification_refuses_what_makes_no_sense(
    project: pytest.Pytester, call: str, message: str
) -> None:
    project.makepyfile(f"def test_it(softmax_nll_spec): softmax_nll_spec({call})")
    result = project.runpytest()

    result.assert_outcomes(failed=1)
    assert message in result.stdout.str()


def test_the_engines_outcomes_go_into_the_records(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import numpy as np

        def test_right(gradcheck):
            gradcheck(lambda x: ((x**2).sum(), 2 * x), np.arange(1.0, 7.0))

        def test_wrong(gradcheck):
            gradcheck(lambda x: ((x**2).sum(), 2.02 * x), np.arange(1.0, 7.0))
        """
    )
    result = project.runpytest("--gradcheck-report", "report.json")
    lines = project.path.joinpath("report.json").read_text(encoding="utf-8").splitlines()
    reverse = [line for line in map(json.loads, lines) if line.get("clause") == "gradcheck.reverse"]

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*gradcheck *passed*"])
    assert {line["status"] for line in reverse} == {"passed", "failed"}
    assert all("::test_" in line["case"] for line in reverse)


def test_a_test_that_calls_the_engine_twice_asks_two_questions(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import numpy as np

        def square(x):
            return (x**2).sum(), 2 * x

        def test_twice(gradcheck):
            gradcheck(square, np.arange(1.0, 7.0))
            gradcheck(square, np.arange(1.0, 3.0))
        """
    )
    project.runpytest("--gradcheck-report", "report.json").assert_outcomes(passed=1)
    report = read_report(project.path / "report.json")
    test = "test_a_test_that_calls_the_engine_twice_asks_two_questions.py::test_twice"

    assert {record.case for record in report.run.outcomes} == {test, f"{test}#2"}
    assert {record.replay for record in report.run.outcomes} == {f"pytest '{test}'"}
    twice = next(f for f in verified(report) if f.what == "nothing is answered twice")
    assert twice.holds


def test_fixtures_say_what_they_are_for(project: pytest.Pytester) -> None:
    text = project.runpytest("--fixtures").stdout.str()

    for name in ("backend", "device", "rng"):
        assert f"gradcheck_{name}" in text
    assert "softmax_nll_spec" in text
    assert "What the specification says" in text
