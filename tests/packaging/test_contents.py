"""What is in the wheel and in the source distribution: all that belongs there, nothing else."""

from __future__ import annotations

import json
import sysconfig
import tarfile
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest

import gradcheck_suite

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    "gradcheck_suite": ROOT / "gradcheck_suite",
    "pytest_gradcheck": ROOT / "pytest_plugin" / "pytest_gradcheck",
}
DISTRIBUTION = metadata.distribution("gradcheck-suite")


def is_editable() -> bool:
    origin = json.loads(DISTRIBUTION.read_text("direct_url.json") or "{}")
    return bool(origin.get("dir_info", {}).get("editable"))


installed_wheel = pytest.mark.skipif(
    is_editable(), reason="an editable install: the wheel's contents are judged under tox"
)


def source_files() -> set[str]:
    """The files of the two packages as the checkout has them, by the place they install to."""
    return {
        PurePosixPath(package, *path.relative_to(folder).parts).as_posix()
        for package, folder in SOURCES.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@installed_wheel
def test_wheel_holds_the_two_packages_and_nothing_else() -> None:
    files = {file.as_posix() for file in DISTRIBUTION.files or () if file.suffix != ".pyc"}
    shipped = {file for file in files if file.partition("/")[0] in SOURCES}
    assert shipped == source_files()
    rest = {file.partition("/")[0] for file in files - shipped}
    assert rest <= {f"gradcheck_suite-{DISTRIBUTION.version}.dist-info", ".."}  # ..: the script


@installed_wheel
def test_what_is_tested_is_the_wheel_and_not_the_checkout() -> None:
    site_packages = Path(sysconfig.get_path("purelib")).resolve()
    assert Path(gradcheck_suite.__file__).resolve().is_relative_to(site_packages)


@pytest.mark.parametrize("package", SOURCES)
def test_package_says_it_is_typed(package: str) -> None:
    assert f"{package}/py.typed" in source_files()


@installed_wheel
def test_licence_travels_with_the_wheel() -> None:
    licence = DISTRIBUTION.read_text("licenses/LICENSE")
    assert licence == (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_source_distribution_can_build_test_and_explain_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = pytest.importorskip("hatchling.build")
    monkeypatch.chdir(ROOT)
    with tarfile.open(tmp_path / backend.build_sdist(str(tmp_path))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        ".ci/run",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "gradcheck_suite/py.typed",
        "pyproject.toml",
        "pytest_plugin/pytest_gradcheck/py.typed",
        "tests/packaging/test_contents.py",
        "tox.ini",
    } <= names
    assert not [name for name in names if name.startswith((".tox", ".venv", ".mypy_cache"))]
