"""A subject at a size that few cases have: value and gradient come from one evaluation."""

from __future__ import annotations

from typing import Any, cast

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.protocols import Gradients, Subject


def sized(subject: Subject, case: Case) -> Subject:
    """The subject, asked at this case once, the cheapest way there is (``at_this_size``).

    Without a gradient it is the subject itself.
    """
    if subject.supports(case, "gradient"):
        return subject
    return cast(Subject, _Sized(subject, case))


class _Sized:
    """Answers one case from one evaluation, and every other as the subject does."""

    def __init__(self, subject: Subject, case: Case) -> None:
        self._subject, self._case = subject, case
        self._found: Gradients | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subject, name)

    def value(self, case: Case) -> FloatArray:
        return self._once().value if case is self._case else self._subject.value(case)

    def gradients(self, case: Case, *, targets: bool = False) -> Gradients:
        if case is self._case and not targets:
            return self._once()
        return self._subject.gradients(case, targets=targets)

    def _once(self) -> Gradients:
        if self._found is None:
            self._found = self._subject.at_this_size(self._case)
        return self._found
