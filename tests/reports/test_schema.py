"""The committed JSON Schema says what the types say, and what the reader takes."""

from __future__ import annotations

import copy
import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from json_places import places

import gradcheck_suite as gs
from gradcheck_suite.cli import cli
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import (
    Errored,
    ErrorMap,
    Failed,
    Inconclusive,
    Inequality,
    Passed,
    Record,
    Run,
    Skipped,
    StepCurve,
)
from gradcheck_suite.provenance import of_run
from gradcheck_suite.reports.json_lines import JsonLines
from gradcheck_suite.reports.schema import schema
from gradcheck_suite.specification.identity import identity
from gradcheck_suite.teeth import Planted, Teeth

SCHEMA = schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

INEQUALITY = Inequality("|a − b|", 1e-17, 1e-16, (("rounding", 1e-16),))
ERROR_MAP = ErrorMap((1, 2), (1, 2), ((0.0, 1.0),), ((0.0, 2.0),), "specified")
STEP_CURVE = StepCurve("d", (1e-3, 1e-2), (1.0, 1.0), (0.1, float("nan")), 1e-3, 1e-9, 1e-9, 2)
VERDICTS = (
    Passed(INEQUALITY, 1e-9, "a note"),
    Failed("wrong", "row 1", (("got", "1"),), INEQUALITY, "×4", 1e-9, (1,), ERROR_MAP, STEP_CURVE),
    Inconclusive("a kink", INEQUALITY, 1e-2, 1e-4),
    Skipped("no forward mode"),
    Errored("raises", "Traceback"),
)
RUN = Run(
    tuple(
        Record(
            clause=f"value.number-{number}",
            level="MUST",
            statement="a sentence",
            case="seed-example",
            check="value",
            implementation="mine",
            backend="numpy",
            device="cpu",
            dtype="float64",
            seed=17,
            verdict=verdict,
            dialect={"empty_mean": "zero"},
            seconds=0.25,
            warnings=("careful",),
            part="one",
        )
        for number, verdict in enumerate(VERDICTS)
    ),
    of_run(
        specification=identity(),
        seed=17,
        flags=("run",),
        devices={"numpy": ["cpu"]},
        parts=[{"name": "one", "outcomes": 5, "truncated": False, "provenance": {}}],
        seconds=1.5,
    ),
    notes=("a note",),
    teeth=(Teeth("mine", "numpy", "cpu", "float64", (Planted("zero", math.inf, "value.x"),)),),
)
LINES = json.loads(json.dumps(list(JsonLines().lines(RUN)), allow_nan=False))


def test_the_committed_schema_is_the_one_that_the_types_give() -> None:
    file = resources.files("gradcheck_suite.reports").joinpath("report.schema.json")
    text = file.read_text(encoding="utf-8")
    printed = CliRunner().invoke(cli, ["schema"])
    assert text == printed.output, "write it anew: gradcheck-suite schema > …/report.schema.json"
    assert json.loads(text) == SCHEMA


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_field_of_a_record_is_described() -> None:
    for name, definition in SCHEMA["$defs"].items():
        for field, about in definition.get("properties", {}).items():
            assert "description" in about, f"{name}.{field}"


def test_a_real_report_is_valid_line_by_line() -> None:
    run = gs.conformance("numpy-reference", clauses=("gradient.*", "jvp.*"), quick=True)
    for line in JsonLines().lines(run):
        VALIDATOR.validate(line)


def test_every_kind_of_verdict_is_valid() -> None:
    for line in LINES:
        VALIDATOR.validate(line)


def mutated(line: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """The line with the value at a path replaced; ``...`` takes it away."""
    line = copy.deepcopy(line)
    inside = line
    for key in path[:-1]:
        inside = inside[key]
    if new is ...:
        del inside[path[-1]]
    else:
        inside[path[-1]] = new
    return line


def is_read(path: Path, position: int, line: Any) -> str:
    """Why a report with this line in the place of its own is refused; empty if it is read."""
    lines = [*LINES]
    lines[position] = line
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    try:
        JsonLines().read(path)
    except UsageError as error:
        return str(error)
    return ""


PLACES = [
    (position, path)
    for position, line in enumerate(LINES)
    for path in places(line)
    if path and path != ("kind",)  # another kind of line is another line
]
STRANGE = [
    None, True, False, 0, -1, 1.0, 1.5, 10**400, 1e300, "", "x", "NaN", "Infinity", "9.9",
    [], [1], ["a"], [["a", 1]], {}, {"a": 1}, {"a": "b"}, ...,
]  # fmt: skip


@settings(max_examples=600, derandomize=True, database=None, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(STRANGE))
def test_the_reader_takes_what_the_schema_allows_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[int, Any], new: Any
) -> None:
    position, path = place
    line = mutated(LINES[position], path, new)
    if path == ("version",) and new == "9.9":
        return  # well written, and from the future
    beyond = new == 10**400 and VALIDATOR.is_valid(line)

    refusal = is_read(tmp_path_factory.getbasetemp() / "report.json", position, line)

    if beyond:  # JSON has numbers that float64 has not
        assert not refusal or "that float64 holds" in refusal or "version" in refusal
    else:
        assert (not refusal) == VALIDATOR.is_valid(line), refusal
