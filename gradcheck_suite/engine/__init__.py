"""The engine: a gradient checker for any function (``gradcheck``, ``assert_gradients``)."""

from gradcheck_suite.engine.api import CHECKS, DEFAULT_CHECKS, assert_gradients, gradcheck
from gradcheck_suite.engine.result import Outcome, Result

__all__ = [
    "CHECKS",
    "DEFAULT_CHECKS",
    "Outcome",
    "Result",
    "assert_gradients",
    "gradcheck",
]
