"""Gradient checks for any function, and a conformance suite for softmax cross-entropy.

Nothing heavy is imported before it is used: the names below load on first access.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck_suite import strategies
    from gradcheck_suite.case import Case
    from gradcheck_suite.engine import Result, assert_gradients, gradcheck
    from gradcheck_suite.errors import BackendUnavailable, GradientError, UsageError
    from gradcheck_suite.implementation import Deviation, Implementation
    from gradcheck_suite.outcome import (
        Errored,
        Failed,
        Inconclusive,
        Inequality,
        Passed,
        Record,
        Run,
        Skipped,
        Status,
    )
    from gradcheck_suite.suite import conformance, search

_HOME = {
    "BackendUnavailable": "errors",
    "Case": "case",
    "Deviation": "implementation",
    "Errored": "outcome",
    "Failed": "outcome",
    "GradientError": "errors",
    "Implementation": "implementation",
    "Inconclusive": "outcome",
    "Inequality": "outcome",
    "Passed": "outcome",
    "Record": "outcome",
    "Result": "engine",
    "Run": "outcome",
    "Skipped": "outcome",
    "Status": "outcome",
    "UsageError": "errors",
    "assert_gradients": "engine",
    "conformance": "suite",
    "gradcheck": "engine",
    "search": "suite",
}

__all__ = [
    "BackendUnavailable",
    "Case",
    "Deviation",
    "Errored",
    "Failed",
    "GradientError",
    "Implementation",
    "Inconclusive",
    "Inequality",
    "Passed",
    "Record",
    "Result",
    "Run",
    "Skipped",
    "Status",
    "UsageError",
    "assert_gradients",
    "conformance",
    "gradcheck",
    "search",
    "strategies",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("gradcheck_suite.provenance").version()
    if name == "strategies":  # a room, and public as a whole
        return import_module("gradcheck_suite.strategies")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
