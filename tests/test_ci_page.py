"""docs/ci.md and the reusable workflow: their commands are taken out and run as shell."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "conformance.yml").read_text("utf-8"))
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["conformance"]["steps"]
COMMANDS = {step["name"]: step for step in STEPS if "run" in step}
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
GITLAB: dict[str, Any] = BLOCKS[1]["conformance"]
SHELL = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c"]  # as GitHub's and GitLab's

RIGHT = """
import numpy as np


def loss(logits, targets):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(targets))
    gradient = np.exp(log_p)
    gradient[rows, targets] -= 1
    with np.errstate(all="ignore"):
        return -log_p[rows, targets].sum() / np.float64(len(rows)), gradient / max(1, len(rows))
"""
WRONG = RIGHT.replace("gradient / max(1, len(rows))", "gradient")


class Repository:
    """A project of somebody's, with a loss, a remote, and a pip that only takes notes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write(RIGHT)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("init", "--quiet", "--bare", str(folder.with_name("remote.git")))
        self.git("remote", "add", "origin", str(folder.with_name("remote.git")))
        pip = folder.with_name("bin") / "pip"
        pip.parent.mkdir()
        pip.write_text(f'#!/bin/sh\necho "$@" >> {folder.with_name("pip.txt")}\n', encoding="utf-8")
        pip.chmod(0o755)
        scripts = Path(sys.executable).parent
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT")}
        self.environment = {
            **kept,
            "PATH": f"{pip.parent}:{scripts}:{os.environ['PATH']}",
            "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(folder.with_name("summary.md")),
        }

    def write(self, source: str) -> None:
        package = self.folder / "my_package"
        package.mkdir(parents=True, exist_ok=True)
        package.joinpath("losses.py").write_text(source, encoding="utf-8")

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def shell(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SHELL, script],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )

    def step(self, name: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        """A step of the workflow, its inputs filled in as GitHub does."""
        given = {key: value["default"] for key, value in INPUTS.items() if "default" in value}
        given |= {"losses": "my_package.losses:loss", "arguments": "--quick"} | inputs
        filled = {
            variable: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: given[m[1]], text)
            for variable, text in COMMANDS[name].get("env", {}).items()
        }
        return self.shell(COMMANDS[name]["run"], **filled)

    @property
    def summary(self) -> str:
        return self.folder.with_name("summary.md").read_text("utf-8")

    @property
    def reports(self) -> set[str]:
        return {path.name for path in (self.folder / "reports").iterdir()}


INPUTS: dict[str, dict[str, Any]] = WORKFLOW[True]["workflow_call"]["inputs"]  # YAML's "on" is true


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


# --- the reusable workflow -------------------------------------------------------------------


def test_a_right_loss_goes_through_every_step(repository: Repository) -> None:
    for name in COMMANDS:
        done = repository.step(name)
        assert done.returncode == 0, f"{name}:\n{done.stdout}\n{done.stderr}"
    assert (
        repository.folder.with_name("pip.txt").read_text("utf-8") == "install . gradcheck-suite\n"
    )
    assert repository.summary.startswith("# ✅ Conformance: passed: ")
    assert (repository.folder / "baseline" / "conformance.json").is_file()
    suffixes = ("json", "html", "md", "xml", "badge.json", "svg")
    assert repository.reports == {f"conformance.{suffix}" for suffix in suffixes}


def test_a_loss_that_became_wrong_fails_is_annotated_and_compared(repository: Repository) -> None:
    for name in ("Judge", "Keep for comparison"):
        assert repository.step(name).returncode == 0
    repository.write(WRONG)
    judged, compared, summed = (repository.step(n) for n in ("Judge", "What changed", "Summary"))
    assert (judged.returncode, compared.returncode, summed.returncode) == (1, 1, 0)
    assert "\n::error title=FAILED gradient." in judged.stdout
    assert "changes.md" in repository.reports
    assert (repository.folder / "reports" / "changes.md").read_text("utf-8") in repository.summary
    assert "# ❌ Conformance: NOT passed: " in repository.summary


def test_steps_that_have_to_tell_of_a_failure_run_after_one() -> None:
    for name in ("What changed", "Summary"):
        assert "!cancelled()" in COMMANDS[name]["if"]
    upload = next(step for step in STEPS if "upload-artifact" in step.get("uses", ""))
    assert "!cancelled()" in upload["if"]


def test_no_input_is_pasted_into_a_script() -> None:
    """``${{ … }}`` in a script would be run as shell, whatever it holds."""
    assert not any("${{" in step["run"] for step in COMMANDS.values())
    assert set(INPUTS) >= {
        name for step in STEPS for name in re.findall(r"inputs\.([\w-]+)", json.dumps(step))
    }


def test_the_page_gives_inputs_that_the_workflow_has() -> None:
    call = BLOCKS[0]["jobs"]["conformance"]
    assert call["uses"].endswith(".github/workflows/conformance.yml@main")
    assert call["with"].keys() <= INPUTS.keys()


# --- GitLab ----------------------------------------------------------------------------------


@pytest.fixture
def artifacts(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """What GitLab's API serves: the address, and the folder behind it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    folder = tmp_path / "gitlab"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_gitlab_compares_with_the_last_run_of_the_default_branch(
    repository: Repository, artifacts: tuple[str, Path]
) -> None:
    address, folder = artifacts
    script = "\n".join(GITLAB["script"])
    variables = {
        "CI_API_V4_URL": address,
        "CI_PROJECT_ID": "7",
        "CI_DEFAULT_BRANCH": "main",
        "CI_JOB_TOKEN": "secret",
        "NO_PROXY": "127.0.0.1",
    }
    first = repository.shell(script, **variables)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "no earlier report to compare with" in first.stdout
    assert repository.reports == {f"conformance.{each}" for each in ("json", "html", "xml", "svg")}

    raw = folder / "projects" / "7" / "jobs" / "artifacts" / "main" / "raw" / "reports"
    raw.mkdir(parents=True)
    shutil.copy(repository.folder / "reports" / "conformance.json", raw)
    repository.write(WRONG)
    second = repository.shell(script, **variables)
    assert second.returncode == 1, second.stdout + second.stderr
    assert "changes.md" in repository.reports
    assert GITLAB["artifacts"]["reports"]["junit"] == "reports/conformance.xml"


# --- the other blocks of the page ------------------------------------------------------------


def test_the_page_can_be_followed_from_top_to_bottom(repository: Repository) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        if "merge jobs" in block:
            for name in ("numpy", "torch"):
                target = repository.folder / "jobs" / f"{name}.json"
                target.parent.mkdir(exist_ok=True)
                shutil.copy(repository.folder / "reports" / "conformance.json", target)
        if "baseline/" in block:
            (repository.folder / "baseline").mkdir()
            shutil.copy(
                repository.folder / "reports" / "conformance.json", repository.folder / "baseline"
            )
        done = repository.shell(block)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert repository.reports >= {"conformance.json", "conformance.html", "changes.md", "junit.xml"}
    remote = repository.folder.with_name("remote.git")
    shown = repository.git("--git-dir", str(remote), "show", "badges:conformance.svg")
    assert "<title>conformance: " in shown
