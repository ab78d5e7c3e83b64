"""Row by row: large cases are bounded in blocks of rows, so that temporaries stay small."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck_suite.case import row_blocks
from gradcheck_suite.numerics.tolerance import Bound


def by_rows(bound: Callable[[slice], Bound], rows: int, classes: int) -> Bound:
    """The bound of all rows, from that of a slice of rows; rows do not know each other.

    Where one block is not enough, a bound of rows keeps its terms and a bound of elements
    its total, and the terms of an element are derived again when they are asked for.
    """
    parts = list(row_blocks(rows, classes))
    if len(parts) == 1:
        return bound(parts[0])
    first = bound(parts[0])
    if first.total.ndim == 1:
        found = [first, *(bound(part) for part in parts[1:])]
        return Bound.concatenated(found)
    total = np.empty((rows, classes))
    total[parts[0]] = first.total
    for part in parts[1:]:
        total[part] = bound(part).total
    return Bound(total, (), lambda row: bound(slice(row, row + 1)))
