"""What pytest loads in every run of every project that has the suite installed.

It imports nothing of ``gradcheck_suite`` before a test asks for it, and says nothing in a
run that did not use it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradcheck_suite.engine import Result
    from pytest_gradcheck.cases import SoftmaxNLLCase

_FIXTURE = "softmax_nll_case"
_MARKER = "softmax_nll"


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(loss, **options): judge a softmax cross-entropy against its specification, one "
        f"test per clause and case, in a test that takes the fixture {_FIXTURE}; options are those "
        "of gradcheck_suite.conformance (backend, dtypes, device, clauses, exclude, dialect, …)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per clause × case × dtype for a test that takes ``softmax_nll_case``."""
    if _FIXTURE not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker(_MARKER)
    if marker is None:
        raise pytest.Collector.CollectError(
            f"{metafunc.definition.nodeid} takes {_FIXTURE} and has no marker; "
            f"add @pytest.mark.{_MARKER}(my_loss, backend=…)"
        )
    from pytest_gradcheck.cases import cases_of

    cases = cases_of(marker, metafunc.config)
    metafunc.parametrize(_FIXTURE, cases, ids=[case.id for case in cases], indirect=True)


@pytest.fixture
def softmax_nll_case(request: pytest.FixtureRequest) -> SoftmaxNLLCase:
    """One question of the conformance suite; ``softmax_nll_case.check()`` asks it.

    Needs the marker ``@pytest.mark.softmax_nll(loss, backend=…)``.
    """
    case: SoftmaxNLLCase = request.param
    return case


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Callable[..., Result]:
    """``gradcheck(function, *primals)``: checks derivatives, fails with the whole story.

    The seed comes from the test's id; give ``seed=`` for another. Options are those of
    ``gradcheck_suite.gradcheck``.
    """
    from gradcheck_suite import assert_gradients

    seed = zlib.crc32(request.node.nodeid.encode())

    def check(function: Callable[..., Any], *primals: Any, **options: Any) -> Result:
        __tracebackhide__ = True
        return assert_gradients(function, *primals, **{"seed": seed, **options})

    return check
