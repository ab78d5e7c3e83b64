"""Where a run happened, as far as commands of the machine say it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradcheck_suite import provenance


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """Each is asked once in a process: here, once in a test."""
    for question in (provenance.git_state, provenance._gpus):
        question.cache_clear()
    yield
    for question in (provenance.git_state, provenance._gpus):
        question.cache_clear()


def git(*arguments: str) -> None:
    name = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    subprocess.run(["git", *name, *arguments], check=True, capture_output=True)


def test_a_project_is_at_a_commit_until_a_tracked_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "git" not in provenance.of_run()
    git("init", "--quiet")
    provenance.git_state.cache_clear()
    assert provenance.of_run()["git"] == {"commit": "", "dirty": False}
    Path("loss.py").write_text("a = 1\n", encoding="utf-8")
    git("add", "loss.py")
    git("commit", "-m", "a loss")
    Path("report.json").write_text("untracked\n", encoding="utf-8")
    provenance.git_state.cache_clear()
    state = provenance.of_run()["git"]
    assert len(state["commit"]) == 40
    assert not state["dirty"]
    Path("loss.py").write_text("a = 2\n", encoding="utf-8")
    provenance.git_state.cache_clear()
    assert provenance.of_run()["git"]["dirty"]


def command(folder: Path, name: str, script: str) -> None:
    """An executable of the machine, as the tests want it."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def test_gpus_are_named_with_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path, "nvidia-smi", "echo 'NVIDIA H100, 80GB, 550.54'; echo 'NVIDIA T4, 550.54'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert provenance.of_run()["gpus"] == (
        "NVIDIA H100, 80GB, driver 550.54",
        "NVIDIA T4, driver 550.54",
    )


def test_a_machine_without_git_and_gpus_is_a_place_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = provenance.of_run()
    assert found["gpus"] == ()
    assert "git" not in found
    command(tmp_path, "nvidia-smi", "echo no devices were found; exit 9")
    provenance._gpus.cache_clear()
    assert provenance.of_run()["gpus"] == ()
