"""The story of an outcome: what, where, by which inequality, and how to see it again."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_suite.outcome import (
    Errored,
    Failed,
    Inconclusive,
    Inequality,
    Passed,
    Record,
    Skipped,
)
from gradcheck_suite.story import tell

REPLAY = (
    "gradcheck-suite replay 'gradient.analytic/rows4-classes5-mean-ignored1@float32' "
    "my_pkg:fused_ce --backend torch --device cuda:0 --seed 17"
)
FAILURE = Record(
    clause="gradient.analytic",
    level="MUST",
    statement="the gradient is T·p − τ, element by element, times u",
    case="rows4-classes5-mean-ignored1",
    check="gradient",
    implementation="my_pkg.fused_ce",
    backend="torch",
    device="cuda:0",
    dtype="float32",
    seed=17,
    verdict=Failed(
        "gradient is not what is specified",
        at="row 2, class 4",
        sides=(
            ("got", "0.0624"),
            ("specified", "0.0832"),
            ("finite difference of its own value", "0.0624 ± 2e-06"),
        ),
        inequality=Inequality(
            "|0.0624 − 0.0832|",
            2.08e-2,
            3.1e-7,
            (("exponential", 2.1e-7), ("sum of the row", 8e-8), ("quotient", 2e-8)),
        ),
        looks="every valid row is off by the same factor 0.750 = valid rows / rows: the mean's "
        "denominator counts ignored rows",
    ),
    replay=REPLAY,
)
VERSIONS = {"torch": "2.13"}


def labels(story: str) -> list[str]:
    """The words at the margin, in order."""
    lines = story.splitlines()[1:]
    return [line.split()[0] for line in lines if line[:2] == "  " and line[2:3].strip()]


def lines_of(story: str, label: str) -> str:
    """The text under a label, unfolded."""
    taken: list[str] = []
    for line in story.splitlines()[1:]:
        if line.startswith((f"  {label} ", " " * 11 if taken else f"  {label} ")):
            taken.append(line[11:])
        elif taken:
            break
    return " ".join(part.strip() for part in taken)


def test_a_failure_is_told_in_the_order_in_which_one_asks() -> None:
    story = tell(FAILURE, versions=VERSIONS)
    assert story.splitlines()[0] == (
        "FAILED gradient.analytic  my_pkg.fused_ce [torch 2.13, cuda:0, float32]"
    )
    assert labels(story) == ["clause", "case", "what", "at", "bound", "looks", "replay"]
    assert lines_of(story, "clause").startswith("the gradient is T·p − τ, element by element")
    assert lines_of(story, "case") == "rows4-classes5-mean-ignored1   seed 17"


def test_each_number_is_named_and_the_inequality_shows_every_term() -> None:
    story = tell(FAILURE, width=200)
    at = lines_of(story, "at")
    assert at == (
        "row 2, class 4:  got 0.0624   specified 0.0832   "
        "finite difference of its own value 0.0624 ± 2e-06"
    )
    assert lines_of(story, "bound") == (
        "|0.0624 − 0.0832| = 2.1e-02  >  3.1e-07 = 2.1e-07 (exponential) + "
        "8.0e-08 (sum of the row) + 2.0e-08 (quotient)"
    )


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120])
def test_lines_are_no_longer_than_the_width_but_for_words_that_cannot_break(width: int) -> None:
    for line in tell(FAILURE, width=width).splitlines():
        longest = max(len(word) for word in line.split())
        assert len(line) <= max(width, 11 + 2 + longest + 2)


def test_a_story_of_80_columns_fits_them() -> None:
    assert max(len(line) for line in tell(FAILURE, versions=VERSIONS).splitlines()) <= 80


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_the_replay_line_can_be_pasted(width: int) -> None:
    story = tell(FAILURE, width=width)
    pasted = story[story.index("  replay") + 11 :]
    assert shlex.split(pasted.replace("\\\n", "")) == shlex.split(REPLAY)


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(
    st.lists(
        st.text("abc/._-:='*", min_size=1, max_size=30), min_size=1, max_size=8
    ),
    st.integers(40, 120),
)  # fmt: skip
def test_any_command_survives_being_folded(words: list[str], width: int) -> None:
    command = "gradcheck-suite replay " + shlex.join(words)
    story = tell(replace(FAILURE, replay=command), width=width)
    pasted = story[story.index("  replay") + 11 :]
    assert shlex.split(pasted.replace("\\\n", "")) == shlex.split(command)


def test_a_quoted_word_is_not_folded() -> None:
    command = (
        f"{REPLAY} --dialect 'a  value with spaces that is longer than any line can be, twice'"
    )
    story = tell(replace(FAILURE, replay=command))
    pasted = story[story.index("  replay") + 11 :]
    assert shlex.split(pasted.replace("\\\n", "")) == shlex.split(command)


def test_a_replay_in_python_stays_on_one_line() -> None:
    code = "gs.conformance(loss, clauses='gradient.analytic', cases='rows4-classes5-mean-ignored1')"
    assert tell(replace(FAILURE, replay=code)).endswith(code)


def test_an_error_keeps_its_traceback_line_by_line() -> None:
    traceback = 'Traceback (most recent call last):\n  File "mine.py", line 3\nValueError: no'
    story = tell(replace(FAILURE, verdict=Errored("raises ValueError: no", traceback)))
    assert labels(story) == ["clause", "case", "what", "trace", "replay"]
    for line in traceback.splitlines():
        assert f" {line}\n" in story


def test_what_was_printed_and_warned_is_told() -> None:
    record = replace(FAILURE, warnings=("UserWarning: slow",), output="step 1\n  step 2\n\n")
    story = tell(record)
    assert labels(story)[-3:] == ["warned", "printed", "replay"]
    assert lines_of(story, "warned") == "UserWarning: slow"
    assert "step 1\n" in story


@pytest.mark.parametrize(
    ("verdict", "title", "said"),
    [
        (Passed(Inequality("|a − b|", 1.0, 2.0), resolution=3e-5), "PASSED", "bound"),
        (Inconclusive("a kink", resolution=0.3, promised=1e-4), "INCONCLUSIVE", "what"),
        (Skipped("has no option weight"), "SKIPPED", "what"),
    ],
)
def test_every_verdict_has_a_story(verdict: Passed, title: str, said: str) -> None:
    story = tell(replace(FAILURE, verdict=verdict))
    assert story.startswith(f"{title} gradient.analytic")
    assert said in labels(story)
    if verdict.status != "skipped":
        assert "relative gradient errors down to" in lines_of(story, "sees")


def test_a_known_deviation_and_the_dialect_stand_beside_the_result() -> None:
    record = replace(FAILURE, deviation="optax wraps −1", dialect={"out_of_range": "nan"})
    story = tell(record)
    assert story.startswith("FAILED (known deviation) gradient.analytic")
    assert lines_of(story, "dialect") == "out_of_range=nan"
    assert lines_of(story, "known") == "optax wraps −1"


def test_numbers_that_are_none_are_told() -> None:
    verdict = Failed("the gradient is NaN", inequality=Inequality("|nan − 1|", math.nan, 1e-9))
    assert "|nan − 1| = nan  >  1.0e-09" in tell(replace(FAILURE, verdict=verdict), width=120)


def test_versions_come_from_where_it_ran() -> None:
    assert "[torch 1.0, cuda:0, float32]" in tell(FAILURE, versions={"torch": "1.0"})


def test_a_snippet_is_told_as_it_is_written() -> None:
    record = replace(FAILURE, snippet="case = gs.Case.of(\n    logits=[[0.0]],\n)")

    assert "  snippet  case = gs.Case.of(\n               logits=[[0.0]],\n           )" in tell(
        record
    )


def test_what_an_id_holds_for_machines_is_not_told_as_the_case() -> None:
    record = replace(FAILURE, case="rows1-classes2-none~eNqrVs")

    assert "  case     rows1-classes2-none   seed" in tell(record)
