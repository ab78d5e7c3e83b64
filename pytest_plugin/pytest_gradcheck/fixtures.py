"""The fixtures. What they give is imported when they are asked for."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gradcheck.stash import NOTES

if TYPE_CHECKING:
    import numpy as np

    from gradcheck_suite.engine import Result
    from gradcheck_suite.protocols import Backend
    from gradcheck_suite.specified import Specified
    from pytest_gradcheck.questions import SoftmaxNLLCase


@pytest.fixture
def softmax_nll_case(request: pytest.FixtureRequest) -> SoftmaxNLLCase:
    """One question of the conformance suite; ``softmax_nll_case.check()`` asks it.

    Needs the marker ``@pytest.mark.softmax_nll(loss, backend=…)``.
    """
    from pytest_gradcheck.questions import bound_to

    return bound_to(request.param, request.node)


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Callable[..., Result]:
    """``gradcheck(function, *primals)``: checks derivatives, fails with the whole story.

    The seed comes from the test's id; give ``seed=`` for another. Options are those of
    ``gradcheck_suite.gradcheck``. Every outcome goes into the reports.
    """
    from pytest_gradcheck.engine_records import checked

    seed = _seed(request)
    calls = itertools.count(1)

    def check(function: Callable[..., Any], *primals: Any, **options: Any) -> Result:
        __tracebackhide__ = True
        return checked(request.node, next(calls), function, *primals, **{"seed": seed, **options})

    return check


@pytest.fixture
def gradcheck_backend(request: pytest.FixtureRequest) -> Backend:
    """Every installed backend in turn: ``numpy``, ``torch``, ``jax``, third parties'.

    ``gradcheck_backend.name``, ``.asarray(values, dtype, device)``, ``.asnumpy(array)``, …
    (``gradcheck_suite.protocols.Backend``). ``--gradcheck-backend a,b`` chooses among them, and
    ``--gradcheck-require`` makes one that is missing a failure.
    """
    from pytest_gradcheck.places import backend

    return backend(request.node, request.param)


@pytest.fixture
def gradcheck_device(request: pytest.FixtureRequest) -> str:
    """Every device of the backend in turn, such as ``cpu`` or ``cuda:0``.

    With ``gradcheck_backend`` in the same test, the devices of that backend; alone, those of the
    backend that ``--gradcheck-backend`` names, else ``cpu``.
    """
    device: str = request.param
    return device


@pytest.fixture
def gradcheck_rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A NumPy generator, seeded by the test's id: the same numbers in every run, any order.

    If the test fails, the line that makes the same generator is printed.
    """
    import numpy as np

    seed = _seed(request)
    line = f"gradcheck_rng was numpy.random.default_rng({seed})"
    request.node.stash.setdefault(NOTES, []).append(line)
    return np.random.default_rng(seed)


@pytest.fixture
def softmax_nll_spec() -> Callable[..., Specified]:
    """What the specification says: ``softmax_nll_spec(logits, targets, **options)``.

    Gives ``.value``, ``.gradient``, ``.target_gradient`` (float64) and their forward-error bounds
    ``.value_bound``, ``.gradient_bound``, for assertions of your own. Options: ``weight``,
    ``ignore_index``, ``label_smoothing``, ``reduction``, ``upstream``, ``dialect``, ``dtype``.
    """
    from gradcheck_suite.specified import softmax_nll

    return softmax_nll


def _seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(request.node.nodeid.encode())
