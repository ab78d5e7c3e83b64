"""What is known to be bad: the file of expectations, read once a run, and the baseline."""

from __future__ import annotations

import pytest

from gradcheck_suite.errors import UsageError
from gradcheck_suite.expectations import Expectations
from gradcheck_suite.outcome import Record
from pytest_gradcheck.baseline import baseline
from pytest_gradcheck.stash import EXPECTATIONS, SETTINGS


def expectations(config: pytest.Config) -> Expectations:
    """The entries of the file that the run was given; none without one.

    Raises:
        pytest.UsageError: the file cannot be read.
    """
    if EXPECTATIONS not in config.stash:
        path = config.stash[SETTINGS].expectations
        try:
            found = Expectations.read(config.rootpath / path) if path else Expectations(())
        except UsageError as error:
            raise pytest.UsageError(f"--gradcheck-expectations: {error}") from None
        config.stash[EXPECTATIONS] = found
    return config.stash[EXPECTATIONS]


def judged_record(record: Record, config: pytest.Config) -> tuple[Record, str]:
    """The outcome as the expectations and the baseline have it, and what is unexpected."""
    known, before = expectations(config), baseline(config)
    surprise = known.surprise(record)
    record = known.applied(record)
    return (before.applied(record) if before and not surprise else record), surprise


def since_baseline(record: Record, config: pytest.Config) -> str:
    """That a failure is new, where an earlier report says that it is."""
    before = baseline(config)
    return before.news if before and record.decides(strict=True) else ""
