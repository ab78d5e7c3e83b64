"""What has to stand in two files says the same in both."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_ci_runs_the_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1]
    assert f"$ {command}" in (ROOT / "README.md").read_text("utf-8").splitlines()


def test_pre_commit_and_tox_lint_with_the_same_ruff() -> None:
    (ruff,) = PYPROJECT["dependency-groups"]["lint"]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert hooks.count('"ruff') == hooks.count(f'"{ruff}"') > 0


def test_lowest_environment_pins_the_floor_of_every_requirement() -> None:
    """tox.ini's ``lowest`` pins are the ``>=`` of pyproject.toml: one number, written twice.

    torch is left out: only one of its CPU builds is published where a plain pip looks.
    """
    extras = PYPROJECT["project"]["optional-dependencies"]
    declared = [
        Requirement(line)
        for line in (
            *PYPROJECT["project"]["dependencies"],
            *(line for name, lines in extras.items() if name != "all" for line in lines),
            *(line for line in PYPROJECT["dependency-groups"]["tests"] if isinstance(line, str)),
        )
    ]
    floors = {
        requirement.name: str(requirement.specifier).removeprefix(">=")
        for requirement in declared
        if requirement.name not in ("gradcheck-suite", "torch")
    }
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    lines = tox["testenv"]["deps"].splitlines()
    pinned = [Requirement(line.removeprefix("lowest: ")) for line in lines if "lowest: " in line]
    pins = {requirement.name: requirement.specifier for requirement in pinned}
    pins.pop("jaxlib")  # jax's own other half
    assert pins == {name: SpecifierSet(f"=={version}") for name, version in floors.items()}
