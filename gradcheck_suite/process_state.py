"""Process-wide settings that code under test could change: Python's, NumPy's, the backend's."""

from __future__ import annotations

import gc
import os
import random
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradcheck_suite.protocols import Backend


def capture(backend: Backend) -> dict[str, Any]:
    """The settings as they are now, by name."""
    name, keys, *rest = np.random.get_state(legacy=True)
    options: dict[str, Any] = dict(np.get_printoptions())
    options.pop("override_repr", None)
    return {
        "random.getstate()": random.getstate(),
        # The array as bytes, so that == gives one answer.
        "numpy.random.get_state()": (name, np.asarray(keys).tobytes(), *rest),
        "numpy.geterr()": np.geterr(),
        "numpy.get_printoptions()": options,
        "warnings.filters": list(warnings.filters),
        "sys.getrecursionlimit()": sys.getrecursionlimit(),
        "gc.isenabled()": gc.isenabled(),
        "os.environ": dict(os.environ),
        **backend.global_state(),
    }


def restore(state: Mapping[str, Any], backend: Backend) -> None:
    """Puts back what ``capture`` returned."""
    random.setstate(state["random.getstate()"])
    name, keys, *rest = state["numpy.random.get_state()"]
    np.random.set_state((name, np.frombuffer(keys, dtype=np.uint32), *rest))
    np.seterr(**state["numpy.geterr()"])
    np.set_printoptions(**state["numpy.get_printoptions()"])
    if list(warnings.filters) != state["warnings.filters"]:
        warnings.filters[:] = state["warnings.filters"]  # type: ignore[index]
    sys.setrecursionlimit(state["sys.getrecursionlimit()"])
    (gc.enable if state["gc.isenabled()"] else gc.disable)()
    if os.environ != state["os.environ"]:
        os.environ.clear()
        os.environ.update(state["os.environ"])
    backend.restore(state)


@contextmanager
def preserved(backend: Backend) -> Iterator[None]:
    """A scope after which every setting is as it was, whatever happened inside."""
    state = capture(backend)
    try:
        yield
    finally:
        restore(state, backend)
