"""The errors raised on purpose: each names the argument, what was given and the remedy."""

from __future__ import annotations


class GradcheckSuiteError(Exception):
    """Base of the errors below."""


class UsageError(GradcheckSuiteError, ValueError):
    """An argument does not make sense; the message names it, what was given and the remedy."""


class Unsupported(GradcheckSuiteError):
    """A backend or implementation does not offer this kind of derivative, and says so."""


class ImplementationError(GradcheckSuiteError):
    """The code under test returned something that cannot be a result (None, a string …)."""


class BackendUnavailable(GradcheckSuiteError):
    """A framework is not installed, or is installed and does not import."""


class TimeLimitExceeded(BaseException):
    """A case ran past its time limit.

    Not an ``Exception``: the code under test must not swallow it in a broad ``except``.
    """


class GradientError(AssertionError):
    """A gradient is wrong, or could not be judged; ``result`` holds the whole story."""

    def __init__(self, message: str, result: object = None) -> None:
        super().__init__(message)
        self.result = result


class WrongShape(ImplementationError):
    """The code under test returned an array of another shape than specified."""
