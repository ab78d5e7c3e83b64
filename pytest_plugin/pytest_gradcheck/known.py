"""What is known to be bad: the file of expectations, read once a run, and the baseline."""

from __future__ import annotations

import pytest

from gradcheck_suite.errors import UsageError
from gradcheck_suite.expectations import Expectations
from gradcheck_suite.outcome import Record
from pytest_gradcheck.baseline import baseline
from pytest_gradcheck.options import readable, refused
from pytest_gradcheck.stash import EXPECTATIONS, SETTINGS


def expectations(config: pytest.Config) -> Expectations:
    """The entries of the file that the run was given; none without one.

    Raises:
        pytest.UsageError: the file cannot be read.
    """
    if EXPECTATIONS not in config.stash:
        path, flag = config.stash[SETTINGS].expectations, "--gradcheck-expectations"
        try:
            known = Expectations.read(readable(config, flag, path)) if path else Expectations(())
        except UsageError as error:
            raise refused(flag, error) from None
        config.stash[EXPECTATIONS] = known
    return config.stash[EXPECTATIONS]


def judged_record(
    record: Record, config: pytest.Config, *, strict: bool = False
) -> tuple[Record, str]:
    """The outcome as the expectations and the baseline have it, and what is unexpected.

    ``strict``: advice counts; where it does not, it stays advice, whatever the baseline has.
    """
    known, before = expectations(config), baseline(config)
    surprise = known.surprise(record)
    record = known.applied(record)
    if before and not surprise:
        record = before.applied(record, strict=strict)
    return record, surprise


def since_baseline(record: Record, config: pytest.Config) -> str:
    """What an earlier report says of a failure, where one was given."""
    before = baseline(config)
    return before.news(record) if before and record.decides(strict=True) else ""
