"""pytest's own JUnit file: each question's facts are properties of its test case."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

ONE = ("--gradcheck-clauses", "gradient.analytic", "--gradcheck-dtypes", "float64")


def cases(project: pytest.Pytester, *arguments: str) -> list[ElementTree.Element]:
    project.runpytest_subprocess("--junitxml", "junit.xml", *arguments)
    return list(ElementTree.parse(project.path / "junit.xml").iter("testcase"))


def properties(case: ElementTree.Element) -> list[tuple[str, str]]:
    return [(each.get("name", ""), each.get("value", "")) for each in case.iter("property")]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_question_says_what_was_asked_and_by_how_much_it_holds(
    project: pytest.Pytester, workers: str
) -> None:
    if workers != "0":
        pytest.importorskip("xdist")
    spread = ("-n", workers) if workers != "0" else ()
    found = cases(project, "--softmax-nll", "losses:missing_one_over_m", *ONE, *spread)
    failed = next(case for case in found if case.find("failure") is not None)
    facts = dict(properties(failed))
    assert (
        facts.items()
        >= {
            "clause": "gradient.analytic",
            "level": "MUST",
            "implementation": "losses:missing_one_over_m",
            "backend": "numpy",
            "device": "cpu",
            "dtype": "float64",
            "status": "failed",
            "seed": "17",
        }.items()
    )
    assert failed.get("name") == f"{facts['case']}[float64]"
    assert float(facts["error"]) > float(facts["bound"])
    assert float(facts["margin"]) == pytest.approx(
        float(facts["error"]) / float(facts["bound"]), rel=1e-4
    )


def test_a_skip_and_a_known_deviation_have_theirs(project: pytest.Pytester) -> None:
    project.path.joinpath("known.toml").write_text(
        '[[expected]]\nid = "gradient.analytic/*"\nreason = "1/m is missing"\n', encoding="utf-8"
    )
    known = ("--gradcheck-expectations", "known.toml")
    found = cases(project, "--softmax-nll", "losses:missing_one_over_m", *ONE, *known)
    by_kind: dict[str | None, dict[str, str]] = {}
    for case in found:
        skip = case.find("skipped")
        by_kind[None if skip is None else skip.get("type")] = dict(properties(case))
    assert by_kind["pytest.xfail"]["known deviation"] == "1/m is missing"
    assert by_kind["pytest.xfail"]["status"] == "failed"
    assert by_kind["pytest.skip"]["status"] == "skipped"


def test_the_outcomes_of_the_fixture_follow_one_another(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import numpy as np

        def test_engine(gradcheck):
            gradcheck(lambda x: ((x**2).sum(), 2 * x), np.arange(1.0, 7.0))
        """
    )
    (case,) = cases(project)
    names = [name for name, _ in properties(case)]
    clauses = [value for name, value in properties(case) if name == "clause"]
    assert "gradcheck.reverse" in clauses
    assert names[0] == "clause"
    assert names.count("status") == len(clauses)


def test_a_test_without_questions_has_no_properties(project: pytest.Pytester) -> None:
    project.makepyfile("def test_nothing():\n    pass\n")
    (case,) = cases(project)
    assert properties(case) == []
