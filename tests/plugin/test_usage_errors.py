"""What makes no sense is refused under one name: that of the option the user wrote."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("option", "value", "begins"),
    [
        ("--gradcheck-report", "x.pdf", "no report format for "),
        ("--gradcheck-report", "nowhere/x.json", "there is no folder "),
        ("--gradcheck-baseline", "none.json", ""),
        ("--gradcheck-expectations", "none.toml", ""),
    ],
)
def test_a_file_that_cannot_be_used_is_named_once(
    project: pytest.Pytester, option: str, value: str, begins: str
) -> None:
    result = project.runpytest_subprocess(option, value)
    (line,) = (each for each in result.errlines if each.startswith("ERROR"))

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert line.startswith(f"ERROR: {option}: {begins}")
    assert not any(f": {own}: " in line for own in ("path", "report", "expectations"))
