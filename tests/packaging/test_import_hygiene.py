"""Nobody pays for a framework they did not ask for: looking is free, importing is not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FRAMEWORKS = ("jax", "optax", "scipy", "torch")
SCRIPT = Path(sys.executable).with_name("gradcheck-suite" + (".exe" if os.name == "nt" else ""))

Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Runs a command where every framework is installed, and importing one ends the process."""
    for name in FRAMEWORKS:
        folder = tmp_path / "frameworks" / name
        folder.mkdir(parents=True)
        trap = f"raise SystemExit('{name} was imported')\n"
        (folder / "__init__.py").write_text(trap, encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=elsewhere,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "frameworks")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    return run


def test_the_trap_works(run: Runner) -> None:
    result = run(sys.executable, "-c", "import torch")
    assert result.returncode != 0
    assert "torch was imported" in result.stderr


def test_importing_the_package_imports_no_framework(run: Runner) -> None:
    result = run(sys.executable, "-W", "error", "-c", "import gradcheck_suite")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_public_names_are_there_without_a_framework(run: Runner) -> None:
    code = "import gradcheck_suite as gs; [getattr(gs, name) for name in gs.__all__]"
    result = run(sys.executable, "-c", code)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "command",
    [(SCRIPT,), (sys.executable, "-m", "gradcheck_suite")],
    ids=["gradcheck-suite", "python -m gradcheck_suite"],
)
def test_help_imports_no_framework(run: Runner, command: tuple[str | Path, ...]) -> None:
    result = run(*command, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Usage: " in result.stdout


def test_loading_the_plugin_imports_neither_a_framework_nor_numpy(run: Runner) -> None:
    code = "import pytest_gradcheck.plugin, sys; print('numpy' in sys.modules)"
    result = run(sys.executable, "-c", code)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "False", "")
