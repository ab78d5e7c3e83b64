"""The record: written as outcomes finish, read strictly, whole or as far as it goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Errored, Failed, Inequality, Passed, Record, Run, Skipped
from gradcheck_suite.reports.files import ReportFiles
from gradcheck_suite.reports.json_lines import JsonLines
from gradcheck_suite.reports.line_reading import Limits, read_report

RECORD = Record(
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
    verdict=Passed(Inequality("|a − b|", 1e-17, 1e-16, (("rounding", 1e-16),))),
    seconds=0.25,
)
OTHERS = (
    replace(RECORD, clause="gradient.sign", verdict=Failed("the sign is flipped")),
    replace(RECORD, clause="gradient.ties", verdict=Errored("raises ValueError", "Traceback")),
    replace(RECORD, clause="jvp.analytic", verdict=Skipped("no forward mode")),
)
RUN = Run((RECORD, *OTHERS), {"seed": 17, "libraries": {"numpy": "2.4.6"}}, notes=("a note",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rewritten(path: Path, position: int, **changes: Any) -> None:
    """The report with fields of one line replaced; None takes a field away."""
    lines = lines_of(path)
    line = {**lines[position], **changes}
    lines[position] = {name: value for name, value in line.items() if value is not None}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


# --- written as outcomes finish -------------------------------------------------------------------


def test_a_report_can_be_read_after_every_outcome(path: Path) -> None:
    files = ReportFiles([str(path)], {"seed": 17})
    files.begin()
    for number, record in enumerate(RUN.outcomes, 1):
        files.add(record)
        found = JsonLines().read(path)
        assert found.outcomes == RUN.outcomes[:number]
        assert found.truncated
    files.finish(RUN)
    assert JsonLines().read(path) == RUN


def test_a_finished_report_does_not_depend_on_the_order_in_which_outcomes_finished(
    tmp_path: Path,
) -> None:
    texts = []
    for name, records in (("one", RUN.outcomes), ("two", RUN.outcomes[::-1])):
        files = ReportFiles([str(tmp_path / f"{name}.json")], {})
        files.begin()
        for record in records:
            files.add(record)
        files.finish(RUN)
        texts.append((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one.json", "two.json"]


def test_an_earlier_report_stays_until_there_is_something_to_run(path: Path) -> None:
    RUN.write(path)
    files = ReportFiles([str(path)], {})
    assert JsonLines().read(path) == RUN
    files.begin()
    assert JsonLines().read(path).outcomes == ()


def test_a_file_that_cannot_grow_is_told_of_at_the_end_and_not_in_the_middle(path: Path) -> None:
    files = ReportFiles([str(path)], {})
    files.begin()
    path.unlink()
    path.mkdir()
    for record in RUN.outcomes:
        files.add(record)
    with pytest.raises(UsageError, match="Is a directory"):
        files.finish(RUN)


def test_one_path_for_two_reports_is_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="is given twice"):
        ReportFiles([str(path), str(path)], {})
    again = f"{path.parent}/../{path.parent.name}/{path.name}"
    with pytest.raises(UsageError, match=r"is given twice \(as .* too\)"):
        ReportFiles([str(path), again], {})


SLOW = """
import time
import numpy as np

def loss(logits, targets):
    time.sleep(0.02)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(targets))
    gradient = np.exp(log_p)
    gradient[rows, targets] -= 1
    return -log_p[rows, targets], gradient
"""


def killed_after(path: Path, outcomes: int, *command: str) -> None:
    """Runs a command in a session of its own and kills it, and what it started, midway."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=path.parent,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline and process.poll() is None:
            if path.exists() and path.read_bytes().count(b"\n") > outcomes:
                break
            time.sleep(0.01)
        assert process.poll() is None, "it was over before it could be killed"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    "command",
    [
        ("gradcheck_suite", "run", "slow.py:loss", "--report"),
        ("pytest", "-p", "no:cacheprovider", "--softmax-nll", "slow:loss", "--gradcheck-report"),
    ],
    ids=["gradcheck-suite run", "pytest"],
)
def test_a_run_that_is_killed_leaves_a_report_of_what_it_finished(
    path: Path, command: tuple[str, ...]
) -> None:
    (path.parent / "slow.py").write_text(SLOW, encoding="utf-8")
    killed_after(path, 5, "-m", *command, path.name)

    found = read_report(path)

    assert found.footer is None
    assert len(found.run.outcomes) >= 5
    assert found.run.truncated
    assert not found.run.passed
    assert str(found.run).startswith("NOT passed, truncated: ")
    assert "is truncated: it has no footer" in found.run.notes[0]
    assert found.run.provenance["specification"]["clauses"] > 50
    assert not list(path.parent.glob("*.part"))


# --- read as far as it goes -----------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 2, 3, 5])
def test_a_report_without_a_footer_is_truncated_and_cannot_pass(path: Path, kept: int) -> None:
    replace(RUN, outcomes=(RECORD,) * 4).write(path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:kept]), encoding="utf-8")

    found = JsonLines().read(path)

    assert found.truncated
    assert not found.passed
    assert len(found.outcomes) == kept - 1


def test_a_last_line_that_is_cut_in_the_middle_is_left_out(path: Path) -> None:
    RUN.write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    for kept in range(1, len(lines[1]) - 1, 7):
        path.write_bytes(lines[0] + lines[1][:kept])
        found = JsonLines().read(path)
        assert (found.outcomes, found.truncated) == ((), True)
        assert "in the middle of a line" in found.notes[0]


def test_a_truncated_report_stays_one_when_it_is_written_again(path: Path) -> None:
    RUN.write(path)
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:3]), "utf-8")
    found = JsonLines().read(path)
    found.write(path)
    assert JsonLines().read(path) == found


def test_halves_of_characters_are_written_and_read(path: Path) -> None:
    run = Run((replace(RECORD, output="\ud800 and \udfff, τ and 😀"),))
    run.write(path)
    path.read_bytes().decode("utf-8")
    assert JsonLines().read(path).outcomes == run.outcomes


# --- versions -------------------------------------------------------------------------------------


def test_a_newer_minor_version_is_read_and_what_it_adds_is_left_out(path: Path) -> None:
    RUN.write(path)
    rewritten(path, 0, version="1.7", weather="fine")
    rewritten(path, 1, mood="good")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([lines[0], '{"kind": "interlude"}\n', *lines[1:]]), encoding="utf-8")
    assert JsonLines().read(path) == RUN


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("2.0", "version 2.0 of the format, and 1.x is known here; upgrade gradcheck-suite"),
        ("10.3", "upgrade gradcheck-suite"),
        ("0.1", "version 0.1 of the format, and 1.x is known here; run again"),
        ("1", 'line 1: version: expected one such as "1.0"'),
        ("one.two", "version: expected"),
        (1.0, "version: expected"),
        (None, "version: expected"),
        ("1." + "9" * 5000, "version: expected"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_another_major_version_is_refused_with_the_remedy(
    path: Path, version: Any, words: str
) -> None:
    RUN.write(path)
    rewritten(path, 0, version=version)
    with pytest.raises(UsageError) as refusal:
        JsonLines().read(path)
    assert words in str(refusal.value)


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(outcomes=3), "line 5: more than 3 outcomes"),
        (Limits(line=100), "line 1: longer than 100 bytes"),
        (Limits(total=1000), "the file is longer than 1,000 bytes"),
    ],
    ids=["outcomes", "line", "file"],
)
def test_what_is_over_the_limits_is_refused_with_the_remedy(
    path: Path, limits: Limits, words: str
) -> None:
    RUN.write(path)
    with pytest.raises(UsageError) as refusal:
        JsonLines().read(path, limits)
    assert words in str(refusal.value)
    assert "--unlimited" in str(refusal.value)


def test_a_line_over_the_limit_is_not_read_to_its_end(path: Path) -> None:
    RUN.write(path)
    with path.open("ab") as file:
        file.truncate(10 * 2**30)  # sparse: zeros without a newline
    with pytest.raises(UsageError, match="longer than"):
        JsonLines().read(path)
