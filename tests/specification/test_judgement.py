"""From arrays to a verdict: what a pass says of a bound that is too wide to judge by."""

from __future__ import annotations

import numpy as np

from gradcheck_suite.checks.judgement import judge, worst_of
from gradcheck_suite.numerics.tolerance import Bound
from gradcheck_suite.outcome import Failed, Passed
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.recipe import Recipe
from gradcheck_suite.specification.reference import Reference

REFERENCE = Reference(Recipe(rows=3, classes=4).build(0, "float32"), Dialect())


def bound(*widths: float) -> Bound:
    return Bound.of((len(widths),), [("rounding", np.array(widths))])


def verdict(got: np.ndarray, width: Bound) -> Passed | Failed:
    found = judge("value", got, REFERENCE.rows, width, reference=REFERENCE)
    assert isinstance(found, Passed | Failed)
    return found


def test_a_bound_wider_than_the_promise_passes_nothing_by_itself_and_says_so() -> None:
    exact = np.asarray(REFERENCE.rows, np.float64)
    sharp, wide = verdict(exact, bound(1e-6, 1e-6, 1e-6)), verdict(exact, bound(1e-6, 5.0, np.inf))
    assert isinstance(sharp, Passed)
    assert isinstance(wide, Passed)
    assert sharp.note == ""
    assert wide.note.startswith("judged for being finite alone: 2 of 3")


def test_even_there_a_result_that_is_not_finite_fails() -> None:
    for broken in (np.nan, np.inf):
        got = np.array([*np.asarray(REFERENCE.rows, np.float64)[:2], broken])
        assert isinstance(verdict(got, bound(1e-6, 5.0, np.inf)), Failed)


def test_the_worst_of_several_passes_keeps_what_another_notes() -> None:
    exact = np.asarray(REFERENCE.rows, np.float64)
    noted = verdict(exact, bound(1e-6, 5.0, np.inf))
    nearer = verdict(exact + 5e-7, bound(1e-6, 1e-6, 1e-6))
    found = worst_of([nearer, noted])
    assert isinstance(found, Passed)
    assert isinstance(nearer, Passed)
    assert found.inequality == nearer.inequality
    assert "finite alone" in found.note
