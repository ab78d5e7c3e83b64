"""What the installed distribution says about itself."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FRAMEWORKS = {"jax", "optax", "scipy", "torch"}


def requirements(extra: str = "") -> dict[str, Requirement]:
    """Name → requirement, of the core or of one extra, as the installed metadata has them."""
    found = {}
    for line in metadata.requires("gradcheck-suite") or ():
        requirement = Requirement(line)
        marker = requirement.marker
        in_core = marker is None or marker.evaluate({"extra": ""})
        in_extra = bool(extra) and marker is not None and marker.evaluate({"extra": extra})
        if (in_extra and not in_core) if extra else in_core:
            found[requirement.name] = requirement
    return found


def test_version_is_the_one_of_pyproject() -> None:
    assert metadata.version("gradcheck-suite") == PROJECT["version"]


def test_pytest_finds_it_as_a_plugin() -> None:
    about = metadata.metadata("gradcheck-suite")
    assert "Framework :: Pytest" in about.get_all("Classifier", [])
    (point,) = metadata.distribution("gradcheck-suite").entry_points.select(group="pytest11")
    assert (point.name, point.value) == ("gradcheck", "pytest_gradcheck.plugin")


def test_command_line_entry_point_loads() -> None:
    (point,) = metadata.distribution("gradcheck-suite").entry_points.select(group="console_scripts")
    assert point.name == "gradcheck-suite"
    assert callable(point.load())


def test_core_requires_no_framework() -> None:
    assert not FRAMEWORKS & requirements().keys()


@pytest.mark.parametrize("extra", ["jax", "optax", "pytest", "scipy", "torch"])
def test_extra_brings_its_library(extra: str) -> None:
    assert extra in requirements(extra)


def test_extra_all_names_every_other_extra() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert Requirement(everything).extras == PROJECT["optional-dependencies"].keys() - {"all"}
