"""Outcomes are values, and only what ran and held is good news."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import (
    Errored,
    Failed,
    Inconclusive,
    Inequality,
    Passed,
    Record,
    Run,
    Skipped,
    Status,
    Verdict,
)

HOLDS = Inequality("|a − b|", 1.0, 2.0)
PASSED, SKIPPED = Passed(HOLDS), Skipped("no such option")
FAILED, ERRORED = Failed("wrong"), Errored("raises ValueError")
INCONCLUSIVE = Inconclusive("too noisy")


def record(verdict: Verdict, *, level: str = "MUST", deviation: str = "") -> Record:
    return Record(
        clause="gradient.analytic",
        level=level,
        statement="the gradient is T·p − τ",
        case="rows4-classes5-mean",
        check="gradient",
        implementation="mine",
        backend="numpy",
        device="cpu",
        dtype="float32",
        seed=17,
        verdict=verdict,
        deviation=deviation,
    )


# --- inequalities --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "tolerance", "margin"),
    [
        (1.0, 2.0, 0.5),
        (2.0, 2.0, 1.0),
        (3.0, 2.0, 1.5),
        (0.0, 0.0, 0.0),
        (1e-300, 0.0, math.inf),
        (1.0, math.inf, 0.0),
        (math.inf, math.inf, math.inf),
        (math.nan, 1.0, math.inf),
        (1.0, math.nan, math.inf),
        (math.nan, math.inf, math.inf),
        (math.nan, math.nan, math.inf),
    ],
)
def test_an_inequality_holds_up_to_its_tolerance_and_never_with_nan(
    error: float, tolerance: float, margin: float
) -> None:
    inequality = Inequality("|a − b|", error, tolerance)
    assert inequality.margin == margin
    assert inequality.holds == (margin <= 1.0)


def test_an_inequality_is_printed_with_every_term() -> None:
    terms = (("rounding", 3e-7), ("truncation", 1e-8))
    text = str(Inequality("|0.0624 − 0.0832|", 2.08e-2, 3.1e-7, terms))
    assert text == (
        "|0.0624 − 0.0832| = 2.1e-02  >  3.1e-07 = 3.0e-07 (rounding) + 1.0e-08 (truncation)"
    )
    assert "≤" in str(HOLDS)


# --- records -------------------------------------------------------------------------------------


def test_a_record_has_an_address_and_its_verdicts_numbers() -> None:
    one = record(Passed(HOLDS, resolution=1e-5, note="all right"))
    assert one.id == "gradient.analytic/rows4-classes5-mean@float32"
    assert one.family == "gradient"
    assert (one.error, one.tolerance, one.resolution) == (1.0, 2.0, 1e-5)
    assert one.reason == "all right"
    bare = record(SKIPPED)
    assert (bare.error, bare.tolerance, bare.resolution) == (None, None, None)


@pytest.mark.parametrize(
    ("verdict", "status", "reason"),
    [
        (PASSED, Status.PASSED, ""),
        (FAILED, Status.FAILED, "wrong"),
        (INCONCLUSIVE, Status.INCONCLUSIVE, "too noisy"),
        (SKIPPED, Status.SKIPPED, "no such option"),
        (ERRORED, Status.ERRORED, "raises ValueError"),
    ],
)
def test_a_verdict_is_one_of_five_and_says_why(
    verdict: Verdict, status: Status, reason: str
) -> None:
    assert record(verdict).status is status
    assert record(verdict).reason == reason


def test_a_skip_without_a_reason_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="a skip carries its reason"):
        Skipped("")


def test_outcomes_cannot_be_changed_afterwards() -> None:
    with pytest.raises(FrozenInstanceError):
        record(FAILED).verdict = PASSED  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Run(()).outcomes = (record(PASSED),)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("verdict", "level", "deviation", "decides", "strictly"),
    [
        pytest.param(PASSED, "MUST", "", False, False, id="passed"),
        pytest.param(SKIPPED, "MUST", "", False, False, id="skipped"),
        pytest.param(FAILED, "MUST", "", True, True, id="failed MUST"),
        pytest.param(FAILED, "DECLARED", "", True, True, id="failed DECLARED"),
        pytest.param(FAILED, "SHOULD", "", False, True, id="failed SHOULD"),
        pytest.param(INCONCLUSIVE, "MUST", "", True, True, id="inconclusive MUST"),
        pytest.param(INCONCLUSIVE, "SHOULD", "", False, True, id="inconclusive SHOULD"),
        pytest.param(ERRORED, "MUST", "", True, True, id="errored MUST"),
        pytest.param(ERRORED, "SHOULD", "", True, True, id="a crash is a crash at any level"),
        pytest.param(FAILED, "MUST", "known", False, False, id="known deviation"),
        pytest.param(INCONCLUSIVE, "MUST", "known", False, False, id="known to be noisy"),
        pytest.param(ERRORED, "MUST", "known", True, True, id="nothing excuses a crash"),
        pytest.param(ERRORED, "SHOULD", "known", True, True, id="nor advice"),
    ],
)
def test_what_stands_between_a_run_and_passed(
    verdict: Verdict, level: str, deviation: str, decides: bool, strictly: bool
) -> None:
    one = record(verdict, level=level, deviation=deviation)
    assert one.decides() == decides
    assert one.decides(strict=True) == strictly
    beside = record(PASSED)
    run = Run((beside, one))
    assert (run.passed, bool(run), run.exit_code) == (not decides, not decides, int(decides))
    assert run.failures == ((one,) if decides else ())
    assert replace(run, strict=True).passed == (not strictly)


# --- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcomes", [(), (record(SKIPPED),), (record(SKIPPED),) * 3])
def test_a_run_in_which_nothing_ran_has_not_passed(outcomes: tuple[Record, ...]) -> None:
    run = Run(outcomes)
    assert not run.passed
    assert not run
    assert run.failures == ()
    assert run.exit_code == 2


def test_a_run_counts_what_it_holds_and_says_so() -> None:
    run = Run((record(PASSED), record(PASSED), record(FAILED), record(SKIPPED)))
    assert run.counts() == {Status.PASSED: 2, Status.FAILED: 1, Status.SKIPPED: 1}
    assert len(run.executed) == 3
    assert str(run) == "NOT passed: 2 passed, 1 failed, 1 skipped"
    assert str(Run((record(PASSED),))) == "passed: 1 passed"
    assert str(Run(())) == "NOT passed: nothing ran"


def test_a_run_is_written_in_the_format_of_the_suffix(tmp_path: Path) -> None:
    run = Run((record(PASSED), record(FAILED)))
    run.write(tmp_path / "report.json")
    run.write(str(tmp_path / "report.md"))
    assert '"status": "failed"' in (tmp_path / "report.json").read_text(encoding="utf-8")
    assert "NOT passed" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_an_unknown_suffix_is_refused_beside_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no report format for '.*report\.docx'; use .*\.json,"):
        Run(()).write(tmp_path / "report.docx")


def test_reading_outcomes_takes_no_array_library() -> None:
    code = "import sys, gradcheck_suite.outcome, gradcheck_suite.record_json; print('numpy' in sys.modules)"  # noqa: E501
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "False"
