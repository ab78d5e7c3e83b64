"""The command line: what it prints, what it exits with, and a replay line that replays."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gradcheck_suite import backends
from gradcheck_suite.addresses import shipped
from gradcheck_suite.cli import cli
from gradcheck_suite.cli.arguments import not_installed
from gradcheck_suite.outcome import Run, Status
from gradcheck_suite.reports.json_lines import JsonLines
from gradcheck_suite.specification.clause import clauses
from gradcheck_suite.specification.dialect import CHOICES
from gradcheck_suite.specification.presets import PRESETS

LOSS = """
import numpy as np

def loss(logits, targets, *, weight=None, reduction="mean"):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    t = np.eye(logits.shape[1], dtype=logits.dtype)[targets] if targets.ndim == 1 else targets
    tau = t if weight is None else t * weight
    with np.errstate(all="ignore"):
        rows = -np.where(tau > 0, tau * log_p, 0).sum(axis=1)
    gradient = tau.sum(axis=1, keepdims=True) * np.exp(log_p) - tau
    if reduction == "none":
        return rows, gradient
    den = {"sum": 1, "mean": len(rows) if targets.ndim == 2 else max(tau.sum(), 0)}[reduction]
    with np.errstate(all="ignore"):
        return rows.sum() / den, gradient / den
"""
RIGHT = ("", "")
FLIPPED = ("np.exp(log_p) - tau", "np.exp(log_p) * -1 + tau")
NO_MEAN = ("rows.sum() / den, gradient / den", "rows.sum() / den, gradient")
UNMASKED = ("np.where(tau > 0, tau * log_p, 0)", "(tau * log_p)")
NO_WEIGHTS = ('"mean": len(rows) if targets.ndim == 2 else max(tau.sum(), 0)', '"mean": len(rows)')


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def write(mistake: tuple[str, str] = RIGHT, path: str = "mine.py") -> str:
    """A loss of the user's own, with one mistake; returns its address."""
    assert mistake[0] in LOSS
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(LOSS.replace(*mistake), encoding="utf-8")
    return f"{path}:loss"


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def process(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gradcheck_suite", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def refused(result: Result, *words: str) -> None:
    """A usage error: exit code 2, one message with these words, no traceback."""
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    message = " ".join(result.output.rpartition("Error: ")[2].split())
    for word in words:
        assert word in message


def fits(output: str, width: int = 80) -> bool:
    """Whether every line does, but for those of one word (an address) that cannot be broken."""
    lines = [line.rstrip() for line in output.splitlines()]
    return all(len(line) <= width or len(line.split()[0]) > width - 15 for line in lines)


# --- run -----------------------------------------------------------------------------------------


def test_a_correct_loss_passes_with_a_table_and_exit_code_0() -> None:
    result = invoke("run", write())
    assert result.exit_code == 0
    last = result.output.splitlines()[-1]
    assert re.fullmatch(r"passed: \d+ passed, \d+ skipped, \d+ advised", last)
    assert {" value ", " gradient ", " reduction ", " all "} <= set(
        re.findall(r"^ \w+ ", result.output, flags=re.MULTILINE)
    )
    assert fits(result.output)


@pytest.mark.parametrize(
    ("mistake", "clause", "looks"),
    [
        pytest.param(FLIPPED, "gradient.analytic", "the sign is flipped", id="flipped sign"),
        pytest.param(
            NO_MEAN, "reduction.mean-gradient", "off by the same factor 4", id="missing 1/m"
        ),
        pytest.param(
            NO_WEIGHTS, "reduction.mean", "off by the same factor", id="weights uncounted"
        ),
    ],
)
def test_a_wrong_loss_fails_by_clause_element_and_inequality_and_can_be_replayed(
    mistake: tuple[str, str], clause: str, looks: str
) -> None:
    address = write(mistake)
    result = invoke("run", address, "--clause", clause, "--dtype", "float64")
    assert result.exit_code == 1
    story = next(part for part in result.output.split("\n\n") if f"FAILED {clause} " in part)
    unfolded = " ".join(story.split())
    assert looks in unfolded
    assert re.search(r"bound +\|.+ [−+] .+\| = \S+ > \S+", unfolded)
    assert re.search(r"got -?\d", unfolded)
    assert "specified" in unfolded or "(p − t)/m" in unfolded
    assert fits(result.output)

    command = shlex.split(story[story.index("  replay") + 11 :].replace("\\\n", ""))
    assert command[:2] == ["gradcheck-suite", "replay"]
    again = process(*command[1:])
    assert again.returncode == 1
    assert again.stdout.strip() == story.strip()


def test_a_path_with_spaces_can_be_replayed() -> None:
    address = write(FLIPPED, "my losses/mine.py")
    result = invoke("run", address, "--clause", "gradient.sign", "--case", "seed-example")
    story = result.output.split("\n\n")[0]
    command = shlex.split(story[story.index("  replay") + 11 :].replace("\\\n", ""))
    assert process(*command[1:]).returncode == 1


def test_a_mistake_of_the_users_is_told_with_its_traceback() -> None:
    Path("mine.py").write_text("def loss(logits, targets):\n    return logits.no_such_method()\n")
    result = invoke("run", "mine.py:loss", "--backend", "numpy", "--clause", "value.*")
    assert result.exit_code == 1
    assert "raises AttributeError: 'numpy.ndarray' object has no attribute" in result.output
    assert "mine.py" in result.output.partition("trace ")[2]
    assert str(Path(backends.__file__).parent) not in result.output


def test_a_module_is_found_in_the_current_folder() -> None:
    write(path="losses.py")
    assert invoke("run", "losses:loss", "--clause", "value.definition").exit_code == 0


def test_what_ships_for_numpy_runs_without_a_word() -> None:
    result = invoke("run", "--backend", "numpy", "--clause", "value.definition")
    assert result.exit_code == 0
    names = {each.name for each in shipped() if each.backend == "numpy" and not each.requires}
    assert names <= set(result.output.split())
    assert fits(result.output)


def test_without_an_argument_numpys_run_in_full_and_the_others_quickly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which are run, and how: what they are asked is left out, for it takes a while."""
    asked = {}

    def conformance(name: str, *, backend: str, quick: bool, **options: object) -> Run:
        asked[name] = (backend, quick)
        return Run(())

    monkeypatch.setattr("gradcheck_suite.cli.judging.conformance", conformance)
    assert invoke("run").exit_code == 2  # nothing ran
    assert {backend for backend, _ in asked.values()} == set(backends.installed())
    assert all(quick == (backend != "numpy") for backend, quick in asked.values())
    assert next(iter(asked.values())) == ("numpy", False)
    everything = set(asked)
    for backend in backends.installed():
        asked.clear()
        invoke("run", "--backend", backend)
        assert set(asked.values()) == {(backend, False)}
        everything -= set(asked)
    assert not everything


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """What is run, in this order → whether quickly; nothing is asked of it."""
    found: dict[str, bool] = {}

    def conformance(name: str, *, quick: bool, **options: object) -> Run:
        found[name] = quick
        return Run(())

    monkeypatch.setattr("gradcheck_suite.cli.judging.conformance", conformance)
    return found


def test_all_is_everything_whose_libraries_are_installed_in_full(asked: dict[str, bool]) -> None:
    invoke("run", "--all")
    here = {each.name for each in shipped() if not not_installed(each)}
    assert asked == dict.fromkeys(here, False)
    refused(invoke("run", "--all", "numpy-reference"), "--all:", "named as well")


def test_a_pattern_stands_for_the_names_that_fit_and_a_name_is_run_once(
    asked: dict[str, bool],
) -> None:
    invoke("run", "numpy-s*", "numpy-reference", "numpy-specification", "--quick")
    assert asked == dict.fromkeys(
        (
            "numpy-softmax-loss",
            "numpy-specification",
            "numpy-specification-head",
            "numpy-reference",
        ),
        True,
    )


def test_a_misspelt_name_is_refused_before_anything_runs(asked: dict[str, bool]) -> None:
    refused(invoke("run", "numpy-reference", "numpy-refrence"), "did you mean numpy-reference")
    refused(invoke("run", "numpy-reference", "nump-*"), "'nump-*'", "no name that ships fits")
    assert not asked


def test_a_pattern_of_what_is_not_installed_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "gradcheck_suite.cli.judging.not_installed", lambda implementation: implementation.requires
    )
    refused(invoke("run", "optax-*"), "'optax-*'", "what fits needs", "optax")


def test_excluded_clauses_are_shown_as_skipped() -> None:
    result = invoke("run", write(FLIPPED), "--clause", "value.*", "--exclude", "value.*")
    assert result.exit_code == 2  # nothing ran
    assert re.search(r"skipped \d+ cases: excluded on request", result.output)
    result = invoke(
        "run", write(FLIPPED), "--clause", "*.sign", "--clause", "value.def*", "--exclude", "*.sign"
    )
    assert result.exit_code == 0


@pytest.mark.parametrize("flag", ["-x", "--fail-fast"])
def test_fail_fast_stops_at_the_first_failure(flag: str) -> None:
    write(FLIPPED)
    arguments = ("run", "mine.py:loss", "--clause", "gradient.*", flag, "--report", "run.json")
    assert invoke(*arguments, "mine.py:loss").exit_code == 1  # given twice: the second is not run
    run = JsonLines().read("run.json")
    assert run.outcomes[-1].status is Status.FAILED
    assert len(run.failures) == 1


def test_quick_asks_every_clause_once_for_every_arrangement() -> None:
    arguments = ("run", "numpy-reference", "--quick", "--report", "run.json")
    assert invoke(*arguments).exit_code == 0
    asked = sorted(record.clause for record in JsonLines().read("run.json").outcomes)
    assert asked == sorted(
        clause.id for clause in clauses() for _ in {case.arrangement for case in clause.cases}
    )


def test_advice_is_given_and_counts_only_when_strict() -> None:
    arguments = ("run", write(UNMASKED), "--clause", "value.*")
    relaxed, strict = invoke(*arguments), invoke(*arguments, "--strict")
    assert "advice, value.zero-times-log-zero" in relaxed.output
    assert (relaxed.exit_code, strict.exit_code) == (0, 1)
    assert "FAILED value.zero-times-log-zero" in strict.output


def test_a_declared_dialect_is_held_and_printed_and_replayed() -> None:
    arguments = ("run", write(NO_WEIGHTS), "--clause", "reduction.mean", "--case", "*weighted")
    assert invoke(*arguments).exit_code == 1
    result = invoke(*arguments, "--dialect", "mean_index=batch")
    assert result.exit_code == 0
    assert "declared dialect: mean_index=batch" in result.output
    result = invoke(*arguments, "--dialect", "mean_index=valid", "--dialect", "empty_mean=zero")
    assert result.exit_code == 0  # no row is ignored: valid rows are all rows
    wrong = invoke(
        "run", write(NO_MEAN), "--clause", "reduction.mean", "--dialect", "mean_index=batch"
    )
    assert "--dialect mean_index=batch" in " ".join(wrong.output.split())


def test_two_workers_find_what_one_finds() -> None:
    write(NO_MEAN)
    for jobs in ("1", "2"):
        invoke("run", "mine.py:loss", "--jobs", jobs, "--report", f"{jobs}.json")
    one, two = (JsonLines().read(f"{jobs}.json").outcomes for jobs in ("1", "2"))
    # By their text: a NaN in an inequality equals nothing, itself included.
    assert [(r.id, repr(r.verdict)) for r in one] == [(r.id, repr(r.verdict)) for r in two]


def test_a_seed_is_in_every_outcome_and_in_the_replay() -> None:
    arguments = ("run", write(FLIPPED), "--clause", "gradient.ties", "--seed", "5")
    result = invoke(*arguments, "--report", "run.json")
    assert "--seed 5" in result.output
    assert {record.seed for record in JsonLines().read("run.json").outcomes} == {5}


# --- reports -------------------------------------------------------------------------------------


def test_reports_are_written_in_the_format_of_their_suffix() -> None:
    reports = ("--report", "run.json", "--report", "run.md")
    result = invoke("run", write(FLIPPED), "--clause", "gradient.*", *reports)
    assert result.exit_code == 1
    assert "report written to run.json" in result.output
    run = JsonLines().read("run.json")
    assert not run.passed
    assert result.output.splitlines()[-1] == str(run)
    assert run.provenance["libraries"]["numpy"]
    text = Path("run.md").read_text(encoding="utf-8")
    assert text.startswith(f"# ❌ Conformance: {run}")
    assert text.count("  replay ") == len(run.failures)


def test_two_runs_with_the_same_seed_leave_reports_that_differ_in_times_alone() -> None:
    """With two workers too: outcomes finish in another order each time."""
    write(FLIPPED)
    reports = []
    for _ in range(2):
        invoke("run", "mine.py:loss", "--quick", "--jobs", "2", "--report", "run.json")
        text = Path("run.json").read_text(encoding="utf-8")
        header, *rest = [json.loads(line) for line in text.strip().split("\n")]
        for name in ("started", "seconds"):
            del header["provenance"][name]
        for outcome in rest[:-1]:
            del outcome["seconds"]
        reports.append((header, rest))
    assert len(reports[0][1]) > 50
    assert reports[0] == reports[1]


def test_the_header_says_where_a_report_comes_from() -> None:
    subprocess.run(["git", "init", "--quiet", "."], check=True)
    flags = ["run", write(), "--quick", "--seed", "5", "--report", "run.json"]
    invoke(*flags)
    with Path("run.json").open(encoding="utf-8") as report:
        found = json.loads(report.readline())["provenance"]
    assert found["flags"] == flags
    assert found["seed"] == 5
    assert found["specification"]["clauses"] == len(clauses())
    assert found["git"] == {"commit": "", "dirty": False}
    assert found["devices"] == {"numpy": ["cpu"]}
    assert set(found) >= {"suite", "python", "platform", "processor", "libraries", "started"}


def test_a_command_that_makes_no_sense_leaves_an_earlier_report_alone() -> None:
    Path("run.json").write_text("kept", encoding="utf-8")
    refused(invoke("run", "no-such-loss", "--report", "run.json"), "does not ship")
    assert Path("run.json").read_text(encoding="utf-8") == "kept"


def test_an_unknown_suffix_is_refused_before_the_work() -> None:
    refused(invoke("run", "no-such-loss", "--report", "run.docx"), "'run.docx'", ".json, .jsonl")


def test_a_report_that_cannot_be_written_is_refused_before_the_work() -> None:
    refused(invoke("run", write(), "--quick", "--report", "no/such/folder/run.json"), "no/such")


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("numpy-refrence",), ("'numpy-refrence' does not ship", "mean numpy-reference")),
        (("no.such.module:loss",), ("no module 'no'", "is it installed")),
        (("absent.py:loss",), ("there is no file absent.py",)),
        (("math:no_such_name",), ("math has no attribute 'no_such_name'",)),
        (("math:pi",), ("math:pi is a float; expected a function",)),
        (("math:sqrt",), ("--backend: cannot be seen from math:sqrt", "backend='jax'")),
        (("numpy-reference", "--clause", "gradients.*"), ("'gradients.*' matches no clause",)),
        (("numpy-reference", "--exclude", "gradients.*"), ("'gradients.*' matches no clause",)),
        (
            ("numpy-reference", "--case", "rows9*"),
            ("--case: rows9* matches no case", "explain CLAUSE"),
        ),
        (
            ("numpy-reference", "--dtype", "float63"),
            ("--dtype: 'float63' is unknown; use",),
        ),
        (("numpy-reference", "--report", "x.pdf"), ("--report: no report format for 'x.pdf'",)),
        (("numpy-reference", "--backend", "tensorflow"), ("known backends: jax, numpy, torch",)),
        (("numpy-reference", "--device", "cuda:7"), ("numpy has no 'cuda:7' here; it has cpu",)),
        (
            ("numpy-reference", "--dialect", "mean_index"),
            ("give it a value, mean_index=weights",),
        ),
        (("numpy-reference", "--dialect", "mean=x"), ("unknown choice 'mean'", "mean_index")),
        (("numpy-reference", "--dialect", "mean_index=x"), ("use one of weights, valid, batch",)),
        (("numpy-reference", "--seed", "-1"), ("seed",)),
        (("numpy-reference", "--jobs", "0"), ("jobs",)),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_run_is_refused_with_a_remedy(
    arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(invoke("run", *arguments), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("value.definition", "numpy-reference"), ("is no CLAUSE/CASE@DTYPE, such as '",)),
        (("value.nothing/seed-example@float64", "numpy-reference"), ("matches no clause",)),
        (("value.definition/nothing@float64", "numpy-reference"), ("matches no case",)),
        (("value.definition/seed-example@float63", "numpy-reference"), ("is unknown; use",)),
    ],
    ids=["no case", "clause", "case", "dtype"],
)
def test_what_cannot_be_replayed_is_refused(
    arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(invoke("replay", *arguments), *words)


def test_a_broken_framework_is_named_and_needs_no_traceback(elsewhere: Path) -> None:
    (elsewhere / "broken" / "torch").mkdir(parents=True)
    trap = "raise OSError('libcudart.so.12: cannot open shared object file')\n"
    (elsewhere / "broken" / "torch" / "__init__.py").write_text(trap, encoding="utf-8")
    result = process("run", write(), "--backend", "torch", path=str(elsewhere / "broken"))
    assert result.returncode == 2
    assert "torch is installed and does not import: OSError: libcudart" in result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    doctor = process("doctor", path=str(elsewhere / "broken"))
    assert doctor.returncode == 0
    assert "libcudart" in doctor.stdout
    assert re.search(r"numpy +\S+ +cpu +works", doctor.stdout)


# --- the other commands --------------------------------------------------------------------------


def test_replay_shows_a_pass_too() -> None:
    result = invoke("replay", "gradient.analytic/seed-example@float64", "numpy-reference")
    assert result.exit_code == 0
    assert result.output.startswith("PASSED gradient.analytic")
    assert "bound" in result.output


def test_explain_says_what_why_and_how() -> None:
    result = invoke("explain", "gradient.upstream")
    assert result.exit_code == 0
    labels = re.findall(r"^  ([a-z]+) ", result.output, flags=re.MULTILINE)
    assert labels == ["asks", "because", "origin", "decided", "bound", "cases"]


def test_every_clause_can_be_explained_in_80_columns() -> None:
    result = invoke("explain", "*")
    assert result.exit_code == 0
    for clause in clauses():
        assert f"{clause.id}  ({clause.level})" in result.output
        assert clause.cases[0].id in result.output
    assert fits(result.output)


def test_explain_of_a_declared_clause_lists_its_choices() -> None:
    output = " ".join(invoke("explain", "reject.target-range").output.split())
    assert (
        "dialect out_of_range: raise, nan, declared-clip, undefined; advice until declared"
        in output
    )


def test_explain_refuses_what_is_no_clause() -> None:
    refused(invoke("explain", "gradient.analytical"), "matches no clause; families are")


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("clauses", [clause.id for clause in clauses()]),
        ("implementations", [each.name for each in shipped()]),
        ("backends", list(backends.names())),
        ("dialects", [*PRESETS, *CHOICES]),
    ],
    ids=["clauses", "implementations", "backends", "dialects"],
)
def test_list_names_everything_in_80_columns(what: str, names: list[str]) -> None:
    result = invoke("list", what)
    assert result.exit_code == 0
    assert set(names) <= set(result.output.split())
    assert fits(result.output)
    assert set(names) <= set(invoke("list").output.split())


def test_doctor_says_what_is_there() -> None:
    result = invoke("doctor")
    assert result.exit_code == 0
    assert set(backends.names()) <= set(result.output.split())
    assert re.search(r"numpy +[\d.]+ +cpu +works", result.output)
    assert fits(result.output)


def test_the_module_is_the_command() -> None:
    result = process("run", "numpy-reference", "--quick")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1].startswith("passed: ")
    assert "\x1b" not in result.stdout  # plain lines where there is no terminal
    assert process("run", "no-such-loss").returncode == 2
    assert process("--version").stdout.startswith("gradcheck-suite, version ")


@pytest.mark.parametrize("command", ["", "run", "replay", "explain", "list", "doctor"])
def test_help_explains_every_command(command: str) -> None:
    result = invoke(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.output
    assert "\\b" not in result.output
    assert fits(result.output)
