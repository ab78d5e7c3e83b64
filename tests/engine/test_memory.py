"""A first-order check holds three arrays of the primal's size beside the function's own."""

import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")


@pytest.fixture
def memory(monkeypatch):
    """The benchmark, which is beside the tests and in no wheel; the wheel comes first."""
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setattr(sys, "path", [*sys.path, str(root)])
    return importlib.import_module("benchmarks.memory")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read on Linux")
@pytest.mark.parametrize(("check", "arrays"), [("reverse", 3), ("second", 14)])
def test_the_memory_of_a_check_is_bounded(memory, check, arrays):
    """At 512×32000 float32 an array has 62.5 MiB: first order is 188, and 256 are promised.

    Smaller arrays than 32 MiB malloc would keep for itself when they are freed.
    """
    size = 160 * 32000 * 8 / memory.MIB
    assert memory.beside_its_own(160, 32000, "float64", check) <= arrays * size + 12.0
