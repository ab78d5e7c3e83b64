"""The examples, each run as its README says, in a process of its own against what is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PLANTED = {
    "torch_function": ("fused_ce.py", " * upstream[:, None]", "", "gradient.upstream"),
    "jax_custom_vjp": ("smooth_nll.py", ", -u * log_p", ", None", "gradient.targets"),
    "two_backends": ("nll.py", "else total / len(targets)", "else total / 3", "reduction.mean"),
}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the example: a repository of its own."""
    for framework in ("torch", "jax"):
        if framework in request.param:
            pytest.importorskip(framework)
    return Path(shutil.copytree(EXAMPLES / request.param, tmp_path / request.param))


@pytest.mark.parametrize("example", sorted(PLANTED), indirect=True)
def test_its_tests_pass(example: Path) -> None:
    done = run(example)

    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 20


@pytest.mark.parametrize("example", sorted(PLANTED), indirect=True)
def test_the_mistake_that_its_readme_suggests_is_seen(example: Path) -> None:
    name, right, wrong, clause = PLANTED[example.name]
    file = example / name
    text = file.read_text(encoding="utf-8")
    assert text.count(right) == 1
    file.write_text(text.replace(right, wrong), encoding="utf-8")
    done = run(example, "-k", clause)

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"FAILED {clause}" in done.stdout


@pytest.mark.parametrize("example", ["numpy_homework"], indirect=True)
def test_the_grading_sheet_is_the_one_in_its_readme(example: Path) -> None:
    done = run(example)
    readme = (example / "README.md").read_text(encoding="utf-8")
    sheet = [line[4:] for line in readme.splitlines() if line.startswith("    ")]

    assert done.returncode == 1
    assert "\n".join(sheet) in done.stdout
    assert "rows4" not in done.stdout, "a case is revealed"
    assert "hint: subtract something before you exponentiate" in done.stdout


@pytest.mark.parametrize("example", ["numpy_homework"], indirect=True)
def test_a_stable_homework_earns_all_points(example: Path) -> None:
    file = example / "homework.py"
    text = file.read_text(encoding="utf-8")
    stable = text.replace("np.exp(logits)", "np.exp(logits - logits.max(axis=1, keepdims=True))")
    stable = stable.replace(
        "-np.log(p[rows, targets]).mean()",
        "(np.log(exponentials.sum(1)) + logits.max(1) - logits[rows, targets]).mean()",
    )
    file.write_text(stable, encoding="utf-8")
    done = run(example)

    assert done.returncode == 0, done.stdout
    assert "10 / 10 points" in done.stdout


@pytest.mark.parametrize("folder", sorted(EXAMPLES.glob("*/")), ids=lambda folder: folder.name)
def test_every_example_is_tried_and_listed(folder: Path) -> None:
    assert folder.name in {*PLANTED, "numpy_homework"}
    assert f"({folder.name})" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert (folder / "README.md").is_file()
