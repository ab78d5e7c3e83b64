"""The engine in a test: its result is kept as records like those of the conformance suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gradcheck_suite import assert_gradients
from gradcheck_suite.engine import Result
from gradcheck_suite.errors import GradientError
from gradcheck_suite.outcome import Record
from pytest_gradcheck.questions import keep


def checked(
    item: pytest.Item, call: int, function: Callable[..., Any], *primals: Any, **options: Any
) -> Result:
    """``assert_gradients``, every outcome kept whether it passes or not.

    ``call`` is the number of this call in its test, from 1.

    Raises:
        GradientError: a derivative is wrong, or could not be judged.
    """
    __tracebackhide__ = True
    try:
        result = assert_gradients(function, *primals, **options)
    except GradientError as error:
        if isinstance(error.result, Result):
            _keep(item, call, error.result)
        raise
    _keep(item, call, result)
    return result


def _keep(item: pytest.Item, call: int, result: Result) -> None:
    for record in records(result, item.nodeid, call):
        keep(item, record)


def records(result: Result, test: str, call: int = 1) -> Iterator[Record]:
    """One record per check of a result; the case is the test that asked.

    From the second call in a test on it is ``test#2``: two questions have two addresses.
    """
    case = test if call == 1 else f"{test}#{call}"
    backend, _, _ = result.backend.partition(" ")
    dtype = result.primals[0].rpartition(" ")[2] if result.primals else ""
    for outcome in result.outcomes:
        yield Record(
            clause=f"gradcheck.{outcome.check}",
            level="MUST",
            statement=f"the derivatives hold in the check {outcome.check}",
            case=case,
            check=outcome.check,
            implementation=result.function,
            backend=backend,
            device=result.device,
            dtype=dtype,
            seed=result.seed,
            verdict=outcome.verdict,
            replay=f"pytest '{test}'",
        )
