"""A clause explained: with its bound, its threads and what every case of it exercises."""

from __future__ import annotations

import pytest

from gradcheck_suite.errors import UsageError
from gradcheck_suite.explanation import bounds_of, explain
from gradcheck_suite.numerics.forward_error.formulas import FORMULAS
from gradcheck_suite.specification.clause import Clause, clauses, select
from gradcheck_suite.specification.recipe import Recipe
from gradcheck_suite.specification.recipe_words import in_words

every_clause = pytest.mark.parametrize("clause", clauses(), ids=lambda clause: clause.id)


def one(id: str) -> Clause:
    (clause,) = select(id)
    return clause


@every_clause
@pytest.mark.parametrize("width", [80, 120])
def test_a_clause_is_explained_within_the_width(clause: Clause, width: int) -> None:
    lines = explain(clause, width).splitlines()

    assert lines[0] == f"{clause.id}  ({clause.level})"
    assert max(map(len, lines)) <= max(width, 11 + max(len(each.id) for each in clause.cases) + 1)


@every_clause
def test_every_case_is_told_in_words(clause: Clause) -> None:
    text = " ".join(explain(clause).split())

    for recipe in clause.cases:
        assert f"{recipe.id}: {in_words(recipe)}" in text


def test_recipes_that_differ_are_told_apart() -> None:
    recipes = {recipe for clause in clauses() for recipe in clause.cases}

    assert len({in_words(recipe) for recipe in recipes}) == len(recipes)


@pytest.mark.parametrize(
    ("id", "names"),
    [
        ("value.definition", ["value_bound"]),
        ("gradient.analytic", ["gradient_bound"]),
        ("reduction.mean", ["value_bound", "gradient_bound"]),
        ("hessian.analytic", ["hvp_bound"]),
        ("gradient.targets", ["target_gradient_bound"]),
        ("purity.global-state", []),
    ],
)
def test_the_bound_is_the_one_that_the_check_reads(id: str, names: list[str]) -> None:
    assert bounds_of(one(id)) == tuple(FORMULAS[name] for name in names)


def test_a_finite_difference_is_told_with_its_own_error() -> None:
    assert FORMULAS["truncation_error"] in bounds_of(one("gradient.finite-difference"))


def test_threads_are_written_out() -> None:
    text = explain(one("gradient.upstream"))

    assert "https://github.com/linkedin/Liger-Kernel/issues/968" in text
    assert "https://github.com/NVIDIA/TransformerEngine/issues/2402" in text


def test_words_say_where_the_ignored_index_lies() -> None:
    assert "1 ignored (class 0)" in in_words(Recipe(ignored=1, ignore_index=0))
    assert "past the last class" in in_words(Recipe(ignored=1, ignore_index=5))
    assert "every row ignored (index −100)" in in_words(Recipe(ignored=4))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("gradient.analytical", "gradient.analytic"),
        ("ignore.any_index", "ignore.any-index"),
        ("gradients.*", "gradient.*"),
        ("valeu", "value.*"),
        ("ignore.nonsense", "ignore.value"),
    ],
)
def test_a_misspelt_clause_is_answered_with_what_may_be_meant(given: str, meant: str) -> None:
    with pytest.raises(UsageError, match="did you mean") as raised:
        select(given)

    assert meant in str(raised.value).rpartition("did you mean")[2]
