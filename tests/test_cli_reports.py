"""Commands about reports: what they print, what they exit with, and whom they do not trust."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from json_places import places

import gradcheck_suite as gs
from gradcheck_suite import discovery
from gradcheck_suite.cli import cli
from gradcheck_suite.outcome import (
    Errored,
    ErrorMap,
    Failed,
    Inequality,
    Passed,
    Record,
    Run,
    Skipped,
    StepCurve,
)
from gradcheck_suite.provenance import of_run
from gradcheck_suite.reports.json_lines import JsonLines
from gradcheck_suite.specification.identity import identity
from gradcheck_suite.teeth import Planted, Teeth

HERE = of_run(specification=identity(), seed=17, flags=("run",), devices={"numpy": ["cpu"]})


def judged(margin: float = 0.1) -> Passed:
    return Passed(Inequality("|a − b|", margin * 1e-16, 1e-16))


WRONG = Failed("the sign is flipped")


def outcome(case: str, verdict: Any = None, **changes: Any) -> Record:
    record = Record(
        clause="gradient.sign",
        level="MUST",
        statement="the gradient points uphill",
        case=case,
        check="gradient",
        implementation="mine",
        backend="numpy",
        device="cpu",
        dtype="float64",
        seed=17,
        verdict=verdict or judged(),
        replay="gradcheck-suite replay …",
    )
    return replace(record, **changes)


def written(name: str, *outcomes: Record, **changes: Any) -> str:
    facts = {**HERE, **changes.pop("provenance", {})}
    Run(outcomes, facts, **changes).write(name)
    return name


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert "Traceback" not in result.output
    return result


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    message = " ".join(result.output.rpartition("Error: ")[2].split())
    for word in words:
        assert word in message


# --- report ---------------------------------------------------------------------------------------


def test_a_report_is_shown_as_its_run_was() -> None:
    written("a.json", outcome("one"), outcome("two", WRONG), notes=("look here",))
    result = invoke("report", "a.json")
    assert result.exit_code == 0
    assert "FAILED gradient.sign  mine" in result.output
    assert "note: look here" in result.output
    assert result.output.splitlines()[-1] == "NOT passed: 1 passed, 1 failed"


SUFFIXES = sorted({suffix for each in discovery.members("reports") for suffix in each.suffixes})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_report_is_written_in_every_format(suffix: str) -> None:
    written("a.json", outcome("one"), outcome("two", WRONG))
    result = invoke("report", "a.json", "--output", f"b{suffix}")
    assert result.exit_code == 0
    assert Path(f"b{suffix}").stat().st_size > 0
    assert f"report written to b{suffix}" in result.output


def test_several_formats_at_once() -> None:
    written("a.json", outcome("one"))
    invoke("report", "a.json", "--output", "b.md", "--output", "b.jsonl")
    assert JsonLines().read("b.jsonl") == JsonLines().read("a.json")
    assert Path("b.md").exists()


def test_a_truncated_report_is_shown_converted_merged_compared_and_said_to_be_one() -> None:
    written("whole.json", outcome("one"), outcome("two"), outcome("three"))
    lines = Path("whole.json").read_text("utf-8").splitlines(keepends=True)
    Path("cut.json").write_text("".join(lines[:3])[:-20], "utf-8")
    for arguments in (
        ("report", "cut.json"),
        ("report", "cut.json", "--output", "b.md"),
        ("merge", "cut.json", "whole.json", "--output", "m.json"),
        ("diff", "whole.json", "cut.json"),
        ("diff", "cut.json", "whole.json"),
        ("verify", "cut.json"),
    ):
        assert "truncated" in invoke(*arguments).output, arguments
    assert not JsonLines().read("m.json").passed
    assert invoke("diff", "whole.json", "cut.json").exit_code == 1
    assert invoke("verify", "cut.json").exit_code == 1


# --- merge ----------------------------------------------------------------------------------------


def test_merged_outcomes_say_where_they_come_from_and_headers_are_kept() -> None:
    Path("py311").mkdir()
    written("py311/numpy.json", outcome("one"), provenance={"python": "3.11.7"})
    written("torch.json", outcome("one", backend="torch"), provenance={"python": "3.12.1"})
    result = invoke("merge", "py311/numpy.json", "torch.json", "--output", "m.json")
    assert result.exit_code == 0
    run = JsonLines().read("m.json")
    assert [(record.backend, record.part) for record in run.outcomes] == [
        ("numpy", "numpy"),
        ("torch", "torch"),
    ]
    pythons = [part["provenance"]["python"] for part in run.provenance["parts"]]
    assert pythons == ["3.11.7", "3.12.1"]
    assert run.provenance["python"] == "3.11.7 / 3.12.1"
    assert run.provenance["devices"] == {"numpy": ("cpu",), "torch": ("cpu",)}
    assert run.provenance["flags"][0] == "merge"


def test_a_folder_stands_for_the_reports_in_it() -> None:
    Path("jobs").mkdir()
    written("jobs/torch.jsonl", outcome("two"))
    written("jobs/numpy.json", outcome("one"))
    for other in ("numpy.ctrf.json", "numpy.badge.json", "numpy.md"):
        written(f"jobs/{other}", outcome("one"))
    assert invoke("merge", "jobs", "--output", "m.json").exit_code == 0
    assert [record.part for record in JsonLines().read("m.json").outcomes] == ["numpy", "torch"]


def test_a_folder_without_a_report_is_refused() -> None:
    Path("jobs").mkdir()
    result = invoke("merge", "jobs", "--output", "m.json")
    assert result.exit_code == 2
    assert "no report (.json, .jsonl) lies in the folder jobs" in result.output


def test_a_merging_is_not_fed_its_own_result() -> None:
    Path("jobs").mkdir()
    written("jobs/a.json", outcome("one", WRONG))
    invoke("merge", "jobs", "--output", "jobs/all.json")
    written("jobs/a.json", outcome("one"))
    result = invoke("merge", "jobs", "--output", "./jobs/../jobs/all.json")
    assert result.exit_code == 0
    assert "left out: jobs/all.json, which --output writes" in result.output
    assert JsonLines().read("jobs/all.json").passed

    again = invoke("merge", "jobs/a.json", "jobs/all.json", "--output", "./jobs/all.json")
    refused(again, "jobs/all.json is also --output", "another file")
    Path("jobs/a.json").unlink()
    refused(invoke("merge", "jobs", "--output", "jobs/all.json"), "nothing to merge but")
    assert JsonLines().read("jobs/all.json").passed


def test_what_is_there_twice_is_kept_once() -> None:
    written("a.json", outcome("one"), outcome("two"))
    written("b.json", outcome("two", seconds=9.0), outcome("three"))
    result = invoke("merge", "a.json", "b.json", "--output", "m.json")
    assert "4 outcomes of 2 reports, 1 of them twice" in result.output
    assert [r.case for r in JsonLines().read("m.json").outcomes] == ["one", "two", "three"]


@pytest.mark.parametrize("changes", [{"python": "3.13.0"}, {"libraries": {"numpy": "2.0.0"}}])
def test_the_same_question_in_another_place_is_another_outcome(changes: dict[str, Any]) -> None:
    written("a.json", outcome("one"))
    written("b.json", outcome("one", WRONG), provenance=changes)
    result = invoke("merge", "a.json", "b.json", "--output", "m.json")
    assert result.exit_code == 0
    assert len(JsonLines().read("m.json").outcomes) == 2


def test_a_conflict_is_named_kept_and_an_exit_code() -> None:
    written("a.json", outcome("one"))
    written("b.json", outcome("one", WRONG))
    result = invoke("merge", "a.json", "b.json", "--output", "m.json")
    assert result.exit_code == 1
    words = " ".join(result.output.split())
    assert "gradient.sign/one@float64 of mine [numpy, cpu]: passed in a, failed in b" in words
    run = JsonLines().read("m.json")
    assert len(run.outcomes) == 2
    assert not run.passed


def test_reports_that_were_merged_can_be_merged_again() -> None:
    written("a.json", outcome("one"))
    written("b.json", outcome("two"))
    written("c.json", outcome("three"))
    invoke("merge", "a.json", "b.json", "--output", "m.json")
    invoke("merge", "m.json", "c.json", "--output", "n.json")
    run = JsonLines().read("n.json")
    assert [record.part for record in run.outcomes] == ["m/a", "m/b", "c"]
    assert [part["name"] for part in run.provenance["parts"]] == ["m/a", "m/b", "c"]


def test_strict_and_lenient_runs_are_not_merged() -> None:
    written("a.json", outcome("one"))
    written("b.json", outcome("two"), strict=True)
    refused(invoke("merge", "a.json", "b.json", "--output", "m.json"), "--strict", "in b alone")


def test_files_of_one_name_are_told_apart() -> None:
    for folder in ("one", "two"):
        Path(folder).mkdir()
        written(f"{folder}/r.json", outcome(folder))
    invoke("merge", "one/r.json", "two/r.json", "--output", "m.json")
    assert [r.part for r in JsonLines().read("m.json").outcomes] == ["one/r", "two/r"]


def test_merging_to_nowhere_is_refused() -> None:
    refused(invoke("merge", written("a.json", outcome("one"))), "--output", "merged.json")


# --- diff -----------------------------------------------------------------------------------------


def changed(old: Sequence[Record], new: Sequence[Record], *arguments: str) -> Result:
    written("old.json", *old)
    written("new.json", *new)
    return invoke("diff", "old.json", "new.json", *arguments)


@pytest.mark.parametrize(
    ("old", "new", "kind", "code"),
    [
        (None, WRONG, "newly failing: 1", 1),
        (None, Errored("raises"), "newly failing: 1", 1),
        (Skipped("not offered"), WRONG, "newly failing: 1", 1),
        (WRONG, None, "newly passing: 1", 0),
        (WRONG, Skipped("not offered"), "excused: 1", 0),
        (None, Skipped("not offered"), "no longer judged: 1", 0),
        (judged(0.02), judged(0.5), "drifted beyond 10×: 1", 0),
        (judged(0.02), judged(0.1), "no regression: 2 as before", 0),
        (judged(1e-9), judged(0.009), "no regression: 2 as before", 0),
        (WRONG, WRONG, "no regression: 2 as before", 0),
    ],
)
def test_every_change_has_a_name(old: Any, new: Any, kind: str, code: int) -> None:
    same = outcome("same")
    result = changed([same, outcome("one", old)], [same, outcome("one", new)])
    assert kind in result.output
    assert result.exit_code == code


def test_what_appears_and_vanishes_is_told_and_a_new_failure_counts() -> None:
    old = [outcome("same"), outcome("gone")]
    new = [outcome("same"), outcome("new"), outcome("newer", WRONG)]
    result = changed(old, new)
    for kind in ("vanished: 1", "appeared: 1", "new, and failing: 1"):
        assert kind in result.output
    assert result.exit_code == 1


def test_a_known_deviation_is_no_regression() -> None:
    result = changed([outcome("one")], [outcome("one", WRONG, deviation="known")])
    assert "newly advised: 1" in result.output
    assert result.exit_code == 0


def test_the_factor_of_a_drift_can_be_chosen() -> None:
    records = [outcome("one", judged(0.1))], [outcome("one", judged(0.3))]
    assert "drifted" not in changed(*records).output
    result = changed(*records, "--drift", "2")
    assert "drifted beyond 2×: 1" in result.output
    assert "error / bound 0.1 → 0.3" in result.output
    refused(changed(*records, "--drift", "0.5"), "0.5")


def test_what_differs_in_the_headers_is_told() -> None:
    written("a.json", outcome("one"), provenance={"libraries": {"numpy": "2.3.0"}})
    written("b.json", outcome("one"), provenance={"libraries": {"numpy": "2.4.0"}, "seed": 5})
    output = invoke("diff", "a.json", "b.json").output
    assert "numpy 2.3.0 → 2.4.0" in output
    assert "seed 17 → 5" in output


def test_a_comparison_is_written_as_markdown() -> None:
    hostile = outcome("one|</details>", Failed("<script>alert(1)</script> | \x1b[31m"))
    result = changed([outcome("one|</details>")], [hostile], "--output", "d.md")
    assert "written to d.md" in result.output
    text = Path("d.md").read_text(encoding="utf-8")
    assert text.startswith("# ❌ Conformance, `old.json` → `new.json`")
    assert "1 newly failing" in text
    assert not [each for each in ("<script", "\x1b") if each in text]
    assert text.count("</details>") == 1
    refused(changed([outcome("one")], [outcome("one")], "--output", "d.html"), "use .md")


def test_reports_without_a_question_in_common_are_not_compared() -> None:
    written("a.json", outcome("one"))
    written("b.json", outcome("two"))
    refused(invoke("diff", "a.json", "b.json"), "nothing to compare")


def test_a_merged_report_is_compared_with_one_that_is_not() -> None:
    written("a.json", outcome("one"))
    invoke("merge", "a.json", "--output", "m.json")
    assert "no regression: 1 as before" in invoke("diff", "m.json", "a.json").output


# --- verify ---------------------------------------------------------------------------------------


def tampered(name: str, change: Callable[[list[dict[str, Any]]], Any]) -> str:
    lines = [json.loads(line) for line in Path(name).read_text("utf-8").strip().split("\n")]
    change(lines)
    Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return name


def test_a_report_of_a_run_is_verified() -> None:
    result = invoke("verify", written("a.json", outcome("one"), outcome("two", WRONG)))
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "verified: a.json"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines.pop(1), "it says outcomes 2, and there are 1"),
        (lambda lines: lines[-1].update(passed=True), "it says passed True"),
        (lambda lines: lines[-1]["counts"].update(passed=7), "it says counts 1 failed, 7 passed"),
        (lambda lines: lines[-1].update(declared=1), "it says declared 1, and there are 0"),
        (lambda lines: lines.insert(1, lines[1]), "1 are, such as gradient.sign/one@float64"),
        (lambda lines: lines[2].update(replay=""), "1 have no replay line"),
        (lambda lines: lines[0]["provenance"].pop("python"), "the header says nothing of python"),
        (lambda lines: lines.pop(), "it is truncated"),
    ],
    ids=["outcome gone", "verdict", "counts", "declared", "twice", "replay", "header", "footer"],
)
def test_a_report_that_was_changed_is_not(change: Callable[..., Any], words: str) -> None:
    written("a.json", outcome("one"), outcome("two", WRONG))
    result = invoke("verify", tampered("a.json", change))
    assert result.exit_code == 1
    assert words in " ".join(result.output.split())
    assert result.output.splitlines()[-1] == "NOT verified: a.json"


@pytest.fixture(scope="module")
def in_full(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a run in full from a commit."""
    commit = ("-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "--quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        for arguments in (("init", "--quiet"), (*commit, "--allow-empty", "-m", "x")):
            subprocess.run(["git", *arguments], check=True)
        invoke("run", "numpy-reference", "--report", "full.json")
        return Path("full.json").read_text("utf-8")


def test_a_run_in_full_from_a_commit_is_certified_and_one_with_a_hole_is_not(in_full: str) -> None:
    Path("full.json").write_text(in_full, "utf-8")
    result = invoke("verify", "full.json", "--certified")
    assert result.output.splitlines()[-1] == "certified: full.json"
    assert result.exit_code == 0

    holes: dict[str, Callable[..., Any]] = {
        "a quick one": lambda lines: lines[0]["provenance"].update(quick=True),
        "narrowed: exclude": lambda lines: lines[0]["provenance"].update(exclude=["jvp.*"]),
        "float64] was not asked": lambda lines: lines.pop(1),
        "float32] was not asked": lambda lines: lines.pop(-2),
        "is not the one that is installed": lambda lines: lines[0]["provenance"][
            "specification"
        ].update(digest="0"),
        "excluded on request": lambda lines: lines[1].update(
            status="skipped", verdict={"reason": "excluded on request"}
        ),
        "known: torch rounds": lambda lines: lines[1].update(deviation="known: torch rounds"),
        "NOT passed": lambda lines: lines[1].update(
            status="failed", verdict={"summary": "wrong"}, level="MUST"
        ),
        "no planted error was tried": lambda lines: lines[-1].update(teeth=[]),
        "tracked files differ": lambda lines: lines[0]["provenance"]["git"].update(dirty=True),
        "outside a git repository": lambda lines: lines[0]["provenance"].pop("git"),
    }
    for words, hole in holes.items():
        Path("hole.json").write_text(in_full, "utf-8")
        result = invoke("verify", tampered("hole.json", hole), "--certified")
        assert result.exit_code == 1, words
        assert words in " ".join(result.output.split())


def test_each_of_merged_reports_is_certified_by_teeth_of_its_own(in_full: str) -> None:
    for name in ("old.json", "new.json"):
        Path(name).write_text(in_full, "utf-8")
    tampered("new.json", lambda lines: lines[0]["provenance"].update(python="3.99.0"))
    invoke("merge", "old.json", "new.json", "--output", "both.json")
    assert invoke("verify", "both.json", "--certified").exit_code == 0
    run = JsonLines().read("both.json")
    assert [teeth.part for teeth in run.teeth] == ["old", "old", "new", "new"]
    invoke("merge", "both.json", "--output", "again.json")
    assert {teeth.part for teeth in JsonLines().read("again.json").teeth} == {
        "both/old",
        "both/new",
    }

    tampered("new.json", lambda lines: lines[-1].update(teeth=[]))
    invoke("merge", "old.json", "new.json", "--output", "both.json")
    result = invoke("verify", "both.json", "--certified")
    assert result.exit_code == 1
    said = "tried in numpy-reference [numpy, cpu, float64] in new"
    assert said in " ".join(result.output.split())
    for suffix, listed in {
        "xml": "in old float64",
        "html": "<b>numpy-reference · numpy · cpu · old</b>",
        "md": "numpy-reference [numpy, cpu] in old`: ",
    }.items():
        invoke("report", "both.json", "--output", f"both.{suffix}")
        assert listed in Path(f"both.{suffix}").read_text("utf-8")
    assert Path("both.xml").read_text("utf-8").count('<property name="teeth"') == 2


def test_a_run_that_also_looked_beyond_the_curated_cases_is_not_narrowed(in_full: str) -> None:
    arguments = ("run", "numpy-reference", "--clause", "gradient.sign", "--search", "2")
    invoke(*arguments, "--report", "a.json")
    cases = [*JsonLines().read("a.json").provenance["cases"]]
    assert cases == ["*", "search-2"]
    Path("full.json").write_text(in_full, "utf-8")
    tampered("full.json", lambda lines: lines[0]["provenance"].update(cases=cases))
    assert invoke("verify", "full.json", "--certified").exit_code == 0
    tampered("full.json", lambda lines: lines[0]["provenance"].update(cases=cases[1:]))
    assert "narrowed: cases search-2" in invoke("verify", "full.json", "--certified").output


def test_a_test_of_ones_own_is_asked_for_no_clause(in_full: str) -> None:
    own = outcome("my.loss", clause="gradcheck.first-order", implementation="<lambda>")
    Path("full.json").write_text(in_full, "utf-8")
    run = JsonLines().read("full.json")
    facts = {**run.provenance, "runner": "pytest"}
    written("own.json", own, provenance=facts)
    invoke("merge", "full.json", "own.json", "--output", "both.json")
    assert invoke("verify", "both.json", "--certified").exit_code == 0
    alone = invoke("verify", "own.json", "--certified")
    assert alone.exit_code == 1
    assert "everything was asked: nothing of the specification was" in alone.output


@pytest.mark.parametrize(
    ("own", "asked", "narrowed"),
    [
        (None, ("float32",), True),
        (None, ("float16", "float32", "float64"), False),
        (("float32",), ("float32",), False),
        (("float32", "float16"), ("float64", "float32"), True),
        (None, (), False),
    ],
)
@pytest.mark.parametrize("isolate", [False, True])
def test_a_run_is_narrowed_by_dtypes_that_lack_one_of_the_implementations_own(
    own: Any, asked: tuple[str, ...], narrowed: bool, isolate: bool, elsewhere: Path
) -> None:
    loss = "numpy-reference"
    if own:
        (elsewhere / "mine.py").write_text(OF_ITS_DTYPES.format(own), "utf-8")
        loss = f"{elsewhere / 'mine.py'}:mine"
    gs.conformance(loss, clauses="gradient.sign", dtypes=asked, isolate=isolate).write("a.json")
    said = JsonLines().read("a.json").provenance
    assert said.get("dtypes") == (asked if narrowed else None)
    tampered("a.json", lambda lines: lines[0]["provenance"].pop("clauses"))
    result = invoke("verify", "a.json", "--certified")
    assert ("the run was narrowed: dtypes" in " ".join(result.output.split())) is narrowed


OF_ITS_DTYPES = """
from dataclasses import replace

from gradcheck_suite.addresses import resolve

mine = replace(resolve("numpy-reference"), dtypes={!r})
"""


def test_a_run_from_python_is_verified_like_any_other() -> None:
    gs.conformance("numpy-reference", clauses="gradient.sign").write("a.json")
    assert invoke("verify", "a.json").exit_code == 0
    found = JsonLines().read("a.json").provenance
    assert (found["runner"], found["clauses"]) == ("python", ("gradient.sign",))


# --- what is not trusted --------------------------------------------------------------------------


def commands(file: str) -> Iterator[tuple[str, ...]]:
    """Every command that reads a report, given a file."""
    yield ("report", file)
    for suffix in SUFFIXES:
        yield ("report", file, "--output", f"out{suffix}")
    yield ("merge", file, "good.json", "--output", "merged.json")
    yield ("diff", "good.json", file)
    yield ("diff", file, "good.json", "--output", "diff.md")
    yield ("verify", file, "--certified")
    yield ("badge", file, "--output", "badge.svg")
    yield ("update-expectations", "known.toml", file, "--dry-run")


HEADER = (
    '{"kind": "header", "format": "gradcheck-suite-report", "version": "1.0", "strict": false, '
    '"provenance": {}}\n'
)
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "blank": b"\n\n \n",
    "binary": bytes(range(256)) * 10,
    "utf-16": HEADER.encode("utf-16"),
    "latin-1 inside": HEADER.encode() + '{"kind": "é"}\n'.encode("latin-1"),
    "xml": b"<testsuite/>\n",
    "other json": b'{"format": "ctrf", "version": "1.0"}\n',
    "a number": b"1\n",
    "deep": b"[" * 100_000 + b"]" * 100_000 + b"\n",
    "deep line": HEADER.encode() + b'{"kind": ' + b"[" * 50_000 + b"\n{}\n",
    "deep header": HEADER.replace('"provenance": {}', '"provenance": {"x": ' + "[" * 300 + "]" * 300
                                  + "}").encode(),
    "parts in parts": HEADER.replace("{}", '{"parts": [{"provenance": ' * 200 + "{}"
                                     + "}]}" * 200).encode(),
    "endless digits": HEADER.encode() + b'{"kind": ' + b"9" * 5000 + b"}\n{}\n",
    "twice the same key": HEADER.encode() + b'{"kind": "outcome", "kind": "footer"}\n{}\n',
    "bare NaN": HEADER.encode() + b'{"kind": NaN}\n{}\n',
    "no outcome": HEADER.encode() + b"[]\n{}\n",
    "kind of kind": HEADER.encode() + b'{"kind": {}}\n{}\n',
    "two reports": (HEADER + '{"kind": "footer", "passed": true, "outcomes": 0, "counts": {}, '
                    '"declared": 0}\n' + HEADER).encode(),
    "counts of what": (HEADER + '{"kind": "footer", "passed": true, "outcomes": 0, "counts": '
                       '{"flaky": "x"}, "declared": 0}\n').encode(),
    "header of lists": HEADER.replace("{}", '{"libraries": [1]}').encode(),
    "part of lists": HEADER.replace("{}", '{"parts": [{"provenance": {"git": "x"}}]}').encode(),
    "nul": b"\x00" * 1000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_report_is_an_error_of_one_line_to_every_command(name: str) -> None:
    written("good.json", outcome("one"))
    Path("bad.json").write_bytes(HOSTILE[name])
    for arguments in commands("bad.json"):
        result = invoke(*arguments)
        refused(result, "bad.json")
        assert not set(result.output) & {"\x1b", "\x00", "\x07"}


@pytest.mark.parametrize("file", ["absent.json", "folder"])
def test_what_cannot_be_read_is_an_error_of_one_line(file: str) -> None:
    written("good.json", outcome("one"))
    Path("folder").mkdir()
    for arguments in commands(file):
        assert invoke(*arguments).exit_code == 2


def test_a_file_that_is_trusted_is_read_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    written("a.json", outcome("one", output="x" * 20 * 2**20))
    refused(invoke("report", "a.json"), "longer than 16,777,216 bytes", "--unlimited")
    assert invoke("report", "a.json", "--unlimited", "--output", "b.svg").exit_code == 0


ESCAPES = "\x1b]0;title\x07\x1b[2J\x1b[31m\x9b5m\r\x00 \u202e <script>alert(1)</script> [bold]x[/]"


def test_control_characters_of_others_do_not_reach_the_terminal() -> None:
    record = outcome(ESCAPES, Failed(ESCAPES, ESCAPES, ((ESCAPES, ESCAPES),), looks=ESCAPES))
    names = {"clause": ESCAPES, "implementation": ESCAPES, "backend": ESCAPES, "device": ESCAPES}
    record = replace(record, **names, replay=ESCAPES, output=ESCAPES, warnings=(ESCAPES,))
    skipped = replace(record, verdict=Skipped(ESCAPES), case="other")
    facts = {"libraries": {ESCAPES: ESCAPES}, "python": ESCAPES, "seed": 5}
    written("bad.json", record, skipped, notes=(ESCAPES,), provenance=facts)
    written("good.json", replace(record, verdict=judged()), skipped)
    for arguments in commands("bad.json"):
        result = invoke(*arguments)
        assert result.exit_code in (0, 1)
        controls = {c for c in result.output if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160}
        assert not controls
        assert "\u202e" not in result.output


def test_a_name_of_a_file_is_shown_and_not_obeyed() -> None:
    Path("\x1b[2Jx.json").write_text("no report", encoding="utf-8")
    result = invoke("verify", "\x1b[2Jx.json")
    refused(result, r"\x1b[2Jx.json")


STORY = Failed(
    "wrong",
    "row 1",
    (("got", "1"), ("specified", "2")),
    Inequality("|a − b|", 1.0, 1e-16, (("rounding", 1e-16),)),
    "off by 2",
    1e-9,
    (1, 0),
    ErrorMap((2, 2), (2, 2), ((0.0, 1.0), (0.0, 0.0)), ((0.0, 2.0), (0.0, 0.0)), "specified"),
    StepCurve("d", (1e-3, 1e-2), (1.0, 1.0), (0.1, 0.2), 1e-3, 1e-9, 1e-9, 2),
)
WHOLE = Run(
    (
        outcome("one", STORY, part="a", dialect={"empty_mean": "zero"}, warnings=("careful",)),
        outcome("two", Errored("raises", "trace"), part="b"),
        outcome("three", part="b"),
    ),
    {**HERE, "parts": [{"name": name, "outcomes": 1, "provenance": HERE} for name in "ab"]},
    teeth=(Teeth("mine", "numpy", "cpu", "float64", (Planted("zero", 1.0, "value.x"),)),),
)
SOUND = [json.loads(json.dumps(line)) for line in JsonLines().lines(WHOLE)]
PLACES = [(n, path) for n, line in enumerate(SOUND) for path in places(line) if path]
WORDS = ["", "NaN", "\x1b[2J", "\ud800", "x" * 5000]
STRANGE = st.sampled_from(
    [None, True, -1, 0, 10**400, 1e300, *WORDS, [], [[1]], {}, {"a": {"b": [1]}}]
)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(st.sampled_from(PLACES), STRANGE, st.integers(0, 1000))
def test_a_report_with_anything_anywhere_is_refused_or_safe(
    place: tuple[int, tuple[Any, ...]], strange: Any, number: int
) -> None:
    written("good.json", outcome("one"))
    lines = json.loads(json.dumps(SOUND))
    position, path = place
    inside = lines[position]
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = strange
    Path("bad.json").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    several = [*commands("bad.json")]
    arguments = several[number % len(several)]
    result = invoke(*arguments)  # no traceback, whatever it is
    assert result.exit_code in (0, 1, 2)
    assert "\x1b" not in result.output
