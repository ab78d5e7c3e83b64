"""What holds for every report format: whatever a run holds, its file is written and is safe."""

from __future__ import annotations

import json
import math
import os
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from runs import RUNS, many

from gradcheck_suite import discovery
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Run

SUFFIXES = sorted({suffix for each in discovery.members("reports") for suffix in each.suffixes})


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", RUNS)
def test_every_run_can_be_written(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"report{suffix}"
    RUNS[name].write(path)
    text = path.read_text(encoding="utf-8")
    if suffix == ".json" or suffix == ".jsonl":
        assert all(json.loads(line) for line in text.splitlines())
    elif suffix.endswith(".json"):
        json.loads(text)
    elif suffix in (".xml", ".svg"):
        ElementTree.fromstring(text)


@pytest.mark.parametrize("seconds", [math.nan, math.inf])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_time_that_is_no_number_can_be_written(
    suffix: str, seconds: float, tmp_path: Path
) -> None:
    strange = replace(RUNS["failed"].outcomes[0], seconds=seconds)
    Run((strange,)).write(tmp_path / f"report{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_long_runs_can_be_written(suffix: str, tmp_path: Path, long_run: Run) -> None:
    path = tmp_path / f"report{suffix}"
    long_run.write(path)
    assert path.stat().st_size > 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_there_stays_where_the_disk_is_full(
    suffix: str, tmp_path: Path, long_run: Run
) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / f"report{suffix}"
    path.write_text("before", encoding="utf-8")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            long_run.write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text(encoding="utf-8") == "before"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")
def test_a_file_that_is_replaced_keeps_its_mode_and_the_link_to_it(tmp_path: Path) -> None:
    path, link = tmp_path / "report.json", tmp_path / "latest.json"
    path.write_text("before", encoding="utf-8")
    path.chmod(0o600)
    link.symlink_to(path.name)
    RUNS["passed"].write(link)
    assert link.is_symlink()
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[0])["kind"] == "header"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "report.md"
    reader, writer = os.pipe()
    link.symlink_to(f"/dev/fd/{writer}")
    RUNS["passed"].write(link)
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        assert file.read().startswith("# ✅ Conformance: passed")
    assert link.is_symlink()


@pytest.fixture(scope="module")
def long_run() -> Run:
    return many(5_000)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("report.json", "json"),
        ("report.ctrf.json", "ctrf"),
        ("conformance.badge.json", "badge"),
        ("conformance.svg", "badge"),
        ("junit.xml", "junit"),
        ("summary.md", "markdown"),
        ("errors.github", "github"),
        ("REPORT.XML", "junit"),
    ],
)
def test_the_longest_suffix_says_which_format(name: str, kind: str) -> None:
    assert discovery.report_format(name).name == kind


def test_an_unknown_suffix_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'report\.pdf'.*\.badge\.json, \.ctrf\.json"):
        discovery.report_format("report.pdf")


def test_no_two_formats_share_a_suffix() -> None:
    suffixes = [suffix for each in discovery.members("reports") for suffix in each.suffixes]
    assert len(suffixes) == len(set(suffixes))
