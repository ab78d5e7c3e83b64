"""A case as an implementation offers it: where the question is not about reduction or targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck_suite.case import Case
from gradcheck_suite.outcome import Skipped
from gradcheck_suite.protocols import Subject


def offered(subject: Subject, case: Case, *, any_targets: bool = True) -> Case | Skipped:
    """The case, or the first of its variants that the implementation takes.

    A loss that has no rows to offer is asked for their mean or sum; one that takes no class
    indices is given one-hot rows (``any_targets``). What a layout or a size breaks shows in each,
    and most losses that people write offer one of them only.
    """
    reason = ""
    for candidate in _variants(case, any_targets):
        found = subject.supports(candidate)
        if not found:
            return candidate
        reason = reason or found
    return Skipped(reason)


def _variants(case: Case, any_targets: bool) -> Iterator[Case]:
    kinds = [case]
    if any_targets and case.target_kind == "index" and case.options.ignore_index is None:
        kinds.append(case.with_(targets=np.eye(case.classes)[case.targets]))
    for variant in kinds:
        yield variant
        if case.options.reduction == "none":
            for name in ("mean", "sum"):
                yield variant.with_(reduction=name, upstream=case.upstream[0])
