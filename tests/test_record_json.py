"""Records as JSON and back: nothing is lost, and every line is strict JSON."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from gradcheck_suite import record_json
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
from gradcheck_suite.reports.json_lines import JsonLines
from gradcheck_suite.teeth import Planted, Teeth

text = st.text(max_size=12)
words = st.text(min_size=1, max_size=12)
number = st.floats(allow_nan=True, allow_infinity=True)
maybe = st.none() | number
inequalities = st.builds(
    Inequality, text, number, number, st.lists(st.tuples(text, number), max_size=3).map(tuple)
)
pairs = st.lists(st.tuples(text, text), max_size=3).map(tuple)
grids = st.lists(st.lists(number, max_size=3).map(tuple), max_size=3).map(tuple)
several = st.lists(number, max_size=3).map(tuple)
shapes = st.lists(st.integers(1, 10**6), min_size=2, max_size=2).map(tuple)
error_maps = st.none() | st.builds(ErrorMap, shapes, shapes, grids, grids, text)
step_curves = st.none() | st.builds(
    StepCurve, text, several, several, several, number, number, number, st.integers(1, 8)
)
verdicts = st.one_of(
    st.builds(Passed, st.none() | inequalities, maybe, text),
    st.builds(
        Failed,
        text,
        text,
        pairs,
        st.none() | inequalities,
        text,
        maybe,
        st.lists(st.integers(0, 10**6), max_size=2).map(tuple),
        error_maps,
        step_curves,
    ),
    st.builds(Inconclusive, text, st.none() | inequalities, maybe, maybe),
    st.builds(Skipped, words),
    st.builds(Errored, text, text),
)
records = st.builds(
    Record,
    clause=words,
    level=st.sampled_from(["MUST", "SHOULD", "DECLARED"]),
    statement=text,
    case=words,
    check=words,
    implementation=text,
    backend=words,
    device=words,
    dtype=words,
    seed=st.integers(0, 2**63),
    verdict=verdicts,
    dialect=st.dictionaries(words, words, max_size=2),
    deviation=text,
    seconds=st.floats(0, 1e6),
    replay=text,
    warnings=st.lists(text, max_size=2).map(tuple),
    output=text,
    snippet=text,
    part=text,
)
planted = st.lists(st.builds(Planted, text, number, text), max_size=2).map(tuple)
teeth = st.lists(st.builds(Teeth, words, words, words, words, planted, text), max_size=2).map(tuple)
PLAIN = Record(
    clause="value.definition",
    level="MUST",
    statement="L = lse − f_c",
    case="seed-example",
    check="value",
    implementation="mine",
    backend="numpy",
    device="cpu",
    dtype="float64",
    seed=17,
    verdict=Passed(Inequality("|a − b|", math.nan, math.inf)),
)
many = settings(max_examples=100, derandomize=True, database=None, deadline=None)


def values(record: Any) -> Any:
    """The record as nested tuples in which NaN equals NaN."""
    if hasattr(record, "__dataclass_fields__"):
        return (type(record), *(values(getattr(record, f.name)) for f in fields(record)))
    if isinstance(record, dict):
        return {key: values(part) for key, part in record.items()}
    if isinstance(record, tuple):
        return tuple(values(part) for part in record)
    return "NaN" if isinstance(record, float) and math.isnan(record) else record


@many
@given(records)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    line = json.dumps(record_json.encode(record), allow_nan=False)
    back = record_json.decode(json.loads(line))
    assert values(back) == values(record)
    assert back.status is record.status


@many
@given(st.lists(records, max_size=3), st.booleans())
def test_a_report_is_strict_json_line_by_line(found: list[Record], strict: bool) -> None:
    run = Run(tuple(found), {"seed": 17}, strict=strict, notes=("a note",))
    lines = [json.loads(json.dumps(line, allow_nan=False)) for line in JsonLines().lines(run)]
    assert [line["kind"] for line in lines] == ["header", *["outcome"] * len(found), "footer"]
    assert lines[-1]["passed"] == run.passed


LINES = "one\x85two\u2028three\x1cfour\rfive\n"


@settings(many, max_examples=50, phases=(Phase.explicit, Phase.generate))
@example(found=[replace(PLAIN, output=LINES)], shown=(), truncated=False)
@given(found=st.lists(records, max_size=3), shown=teeth, truncated=st.booleans())
def test_a_report_is_read_back(
    found: list[Record],
    shown: tuple[Teeth, ...],
    truncated: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("report") / "run.json"
    facts = {"seed": 17, "libraries": {"numpy": "2.4.6"}, "flags": ("run",), "of others": [1, None]}
    run = Run(tuple(found), facts, True, ("a note",), shown, truncated)
    run.write(path)
    assert values(JsonLines().read(path)) == values(run)


def test_numbers_that_json_does_not_know_are_written_as_words() -> None:
    inequality = record_json.encode(PLAIN)["verdict"]["inequality"]
    assert (inequality["error"], inequality["tolerance"]) == ("NaN", "Infinity")


@pytest.mark.parametrize(
    "broken",
    [
        {"status": None},
        {"status": "flaky"},
        {"verdict": None},
        {"verdict": {"note": 1}},
        {"seconds": "soon"},
        {"seconds": True},
        {"seed": 1.5},
        {"warnings": "one"},
        {"dialect": []},
        {"level": "MAY"},
        {"clause": None},
        {"verdict": {"inequality": {"quantity": "", "error": 1e999, "tolerance": 1}}},
        {"verdict": {"inequality": {"quantity": "", "error": 10**400, "tolerance": 1}}},
        {"status": "skipped", "verdict": {"reason": ""}},
    ],
    ids=lambda broken: str(broken)[:50],
)
def test_what_is_no_record_is_refused(broken: dict[str, Any]) -> None:
    """A value of None takes the key away; the message names a field of what is broken."""
    encoded = {**record_json.encode(PLAIN), **broken}
    encoded = {key: value for key, value in encoded.items() if value is not None}
    with pytest.raises(ValueError, match=rf"^({'|'.join(broken)})\b.*: expected .+, got "):
        record_json.decode(encoded)


def test_fields_of_a_newer_writer_are_left_out() -> None:
    encoded = {**record_json.encode(PLAIN), "colour": "red"}
    encoded["verdict"] = {**encoded["verdict"], "shade": 3}
    assert values(record_json.decode(encoded)) == values(PLAIN)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("<testsuite/>\n", "is no JSON Lines file"),
        ('{"kind": "outcome"}\n', "its first line is no header"),
        ("[1, 2]\n", "its first line is no header"),
        (
            '{"format": "gradcheck-suite-report", "version": "9.0"}\n{"kind": "footer"}\n',
            "has version 9.0",
        ),
    ],
    ids=["empty", "xml", "no header", "a list", "another version"],
)
def test_what_is_no_report_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        JsonLines().read(path)
