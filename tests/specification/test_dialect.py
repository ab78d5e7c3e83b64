"""Dialects: named choices, PyTorch's by default, and a misspelt one is never taken for silence."""

from __future__ import annotations

from dataclasses import fields

import pytest

from gradcheck_suite import backends
from gradcheck_suite.errors import UsageError
from gradcheck_suite.specification.dialect import BACKEND_DEFAULTS, CHOICES, Dialect


def test_every_choice_is_a_field_and_its_first_value_the_default() -> None:
    defaults = {choice.name: choice.default for choice in fields(Dialect)}
    assert defaults == {name: next(iter(values)) for name, values in CHOICES.items()}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_has_alternatives_and_each_says_what_it_means(choice: str) -> None:
    values = CHOICES[choice]
    assert len(values) > 1
    assert all(values.values())


@pytest.mark.parametrize(
    ("choice", "value"), [(choice, value) for choice in CHOICES for value in CHOICES[choice]]
)
def test_every_value_can_be_declared_and_is_shown_if_it_differs(choice: str, value: str) -> None:
    dialect = Dialect.of({choice: value})
    assert getattr(dialect, choice) == value
    is_default = value == next(iter(CHOICES[choice]))
    assert dialect.declared() == ({} if is_default else {choice: value})


def test_undeclared_is_pytorchs() -> None:
    assert Dialect.of({}) == Dialect()
    assert Dialect().declared() == {}


def test_an_unknown_choice_is_named_beside_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown choice 'mean_indx'; known choices: mean_index,"):
        Dialect.of({"mean_indx": "valid"})


@pytest.mark.parametrize("value", ["rows", "", "Valid"])
def test_an_unknown_value_is_named_beside_the_known_ones(value: str) -> None:
    message = f"mean_index={value!r} is no choice; use one of weights, valid, batch"
    with pytest.raises(UsageError, match=message):
        Dialect.of({"mean_index": value})


def test_a_declaration_wins_over_what_the_backend_cannot_follow() -> None:
    defaults = BACKEND_DEFAULTS["jax"]
    assert Dialect.of({}, defaults).out_of_range == "nan"
    assert Dialect.of({"out_of_range": "raise"}, defaults).out_of_range == "raise"
    assert Dialect.of({"mean_index": "valid"}, defaults).out_of_range == "nan"


@pytest.mark.parametrize("backend", BACKEND_DEFAULTS)
def test_backend_defaults_belong_to_a_backend_and_are_choices(backend: str) -> None:
    assert backend in backends.names()
    Dialect.of({}, BACKEND_DEFAULTS[backend])


def test_neither_a_dialect_nor_the_list_of_choices_can_be_changed() -> None:
    with pytest.raises(AttributeError):
        Dialect().mean_index = "valid"  # type: ignore[misc]
    with pytest.raises(TypeError):
        CHOICES["mean_index"] = {}  # type: ignore[index]
