"""Where the plugin keeps things between hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gradcheck_suite.expectations import Expectations
    from pytest_gradcheck.baseline import Baseline
    from pytest_gradcheck.options import Settings

#: On the config: what was asked for, and the known deviations and the earlier
#: report, once they are read.
SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
EXPECTATIONS: pytest.StashKey[Expectations] = pytest.StashKey()
BASELINE: pytest.StashKey[Baseline] = pytest.StashKey()
#: On an item: its outcomes as JSON strings, the backends and devices it used as ``torch-cuda:0``,
#: and lines that are printed if it fails.
RECORDS: pytest.StashKey[list[str]] = pytest.StashKey()
USES: pytest.StashKey[list[str]] = pytest.StashKey()
NOTES: pytest.StashKey[list[str]] = pytest.StashKey()
