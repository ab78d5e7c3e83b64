"""Named dialects: defined once, accepted wherever choices are, and shown with what they exempt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck_suite as gs
from gradcheck_suite.addresses import resolve, shipped
from gradcheck_suite.cli.arguments import dialect_choices
from gradcheck_suite.errors import UsageError
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.presets import PRESETS, expanded


@pytest.mark.parametrize("name", PRESETS)
def test_a_named_dialect_declares_choices_that_exist(name: str) -> None:
    choices = expanded(name)

    assert choices == dict(PRESETS[name].choices)
    assert Dialect.of(choices)
    assert PRESETS[name].description


def test_choices_stand_for_themselves_and_nothing_for_none() -> None:
    assert expanded({"mean_index": "valid"}) == {"mean_index": "valid"}
    assert expanded(None) == {}


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("kears", "did you mean keras"),
        ("mean_index", "mean_index is a choice: give it a value, mean_index=weights"),
        ("xyz", "known are pytorch, optax"),
    ],
)
def test_a_misspelt_dialect_is_an_error_that_helps(given: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"dialect: '{given}' is no dialect.*{hint}"):
        expanded(given)


def test_a_name_can_be_declared_by_the_implementation_and_choices_over_it() -> None:
    implementation = gs.Implementation("mine", homework, backend="numpy", dialect="keras")

    found = resolve(implementation, dialect={"mean_index": "batch"})

    assert found.dialect == {**PRESETS["keras"].choices, "mean_index": "batch"}


def test_on_the_command_line_a_later_choice_wins_over_a_name() -> None:
    choices = dialect_choices(("keras", "mean_index=batch"))

    assert choices == {**PRESETS["keras"].choices, "mean_index": "batch"}


def test_every_shipped_declaration_makes_sense() -> None:
    for implementation in shipped():
        Dialect.of(expanded(implementation.dialect))


def homework(scores: Any, y: Any) -> Any:
    rows = np.arange(len(y))
    p = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    p /= p.sum(axis=1, keepdims=True)
    return -np.log(p[rows, y]).mean(), (p - np.eye(scores.shape[1])[y]) / len(y)


def clipping(scores: Any, y: Any) -> Any:
    return homework(scores, np.clip(y, 0, scores.shape[1] - 1))


def test_a_run_takes_a_name_and_its_records_hold_the_choices() -> None:
    run = gs.conformance(homework, dialect="numpy-homework", clauses="value.definition")

    assert run.passed
    assert run.outcomes[0].dialect == dict(PRESETS["numpy-homework"].choices)


def test_a_declared_limitation_is_no_pass_and_no_skip() -> None:
    dialect = {"out_of_range": "declared-clip"}
    run = gs.conformance(clipping, dialect=dialect, clauses="reject.target-range")

    judged = [record for record in run.outcomes if record.standing != "skipped"]
    assert {record.standing for record in judged} == {"declared"}
    assert "is answered as class" in judged[0].declared
    assert not any(record.standing == "passed" for record in run.outcomes)
    assert f"{len(judged)} declared" in str(run)


def test_undeclared_clipping_stays_a_failure() -> None:
    run = gs.conformance(clipping, clauses="reject.target-range", strict=True)

    assert not run.passed
