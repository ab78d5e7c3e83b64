"""A failing case made small: fewer rows and classes, fewer options, simpler numbers.

Works on cases, not on the choices that drew them: what it tries is what a reader would, in
that order, and every attempt is asked of the implementation again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradcheck_suite.case import Case
from gradcheck_suite.specification.recipe import representable

#: Attempts that one failure is worth.
ATTEMPTS = 400
_SINGLE_NUMBERS_AT_MOST = 64


def shrink(case: Case, fails: Callable[[Case], bool], *, attempts: int = ATTEMPTS) -> Case:
    """The smallest case found that still fails, after at most so many attempts.

    Args:
        case: fails.
        fails: whether a case fails in the same way; asked of candidates alone.
        attempts: how often it may be asked.
    """
    left, progress = attempts, True
    while progress:
        progress = False
        for simpler in (_rows, _classes, _options, _targets, _logits, _numbers, _upstream):
            adopted = True
            while adopted:
                adopted = False
                for candidate in simpler(case):
                    if left <= 0:
                        return case
                    left -= 1
                    if fails(candidate):
                        case, adopted, progress = candidate, True, True
                        break
    return case


def _rows(case: Case) -> Iterator[Case]:
    """Half of the rows, then a quarter, then one less: from the end, then from the start."""
    for kept in _kept(case.rows):
        changes: dict[str, Any] = {"logits": case.logits[kept], "targets": case.targets[kept]}
        if case.upstream.ndim:
            changes["upstream"] = case.upstream[kept]
        yield case.with_(**changes)


def _classes(case: Case) -> Iterator[Case]:
    """Fewer classes; a target that loses its class gets the first of the others."""
    for kept in _kept(case.classes):
        changes: dict[str, Any] = {"logits": case.logits[:, kept]}
        if case.options.weight is not None:
            changes["weight"] = case.options.weight[kept]
        if case.target_kind == "probabilities":
            targets = case.targets[:, kept].copy()
            targets[:, 0] += case.targets.sum(axis=1) - targets.sum(axis=1)
            changes["targets"] = targets
        else:
            place = np.full(case.classes, 0)
            place[kept] = np.arange(len(kept))
            ignored = case.options.ignore_index
            valid = case.targets != ignored
            targets = case.targets.copy()
            targets[valid] = place[targets[valid]]
            changes["targets"] = targets
            if ignored is not None and 0 <= ignored < case.classes:
                if ignored not in kept:
                    continue
                changes["ignore_index"] = int(place[ignored])
                changes["targets"] = np.where(valid, targets, place[ignored])
        yield case.with_(**changes)


def _kept(size: int) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
    everything = np.arange(size)
    if size > 1:
        yield everything[:1]
        yield everything[-1:]
    cut = size // 2
    while cut:
        ends = (0, size - cut)
        for start in ends if cut > 1 or size > 16 else range(size):
            kept = np.delete(everything, slice(start, start + cut))
            if 0 < len(kept) < size:
                yield kept
        cut //= 2


def _options(case: Case) -> Iterator[Case]:
    options = case.options
    if options.reduction != "none":
        rows = np.full(case.rows, float(case.upstream))
        yield case.with_(reduction="none", upstream=rows)
        if options.reduction == "mean":
            yield case.with_(reduction="sum")
    if options.label_smoothing:
        yield case.with_(label_smoothing=0.0)
        if options.label_smoothing != 0.5:
            yield case.with_(label_smoothing=0.5)
    if options.ignore_index is not None:
        valid = np.where(case.targets == options.ignore_index, 0, case.targets)
        yield case.with_(targets=valid, ignore_index=None)
        if options.ignore_index != -100:
            moved = np.where(case.targets == options.ignore_index, -100, case.targets)
            yield case.with_(targets=moved, ignore_index=-100)
    if options.weight is not None:
        yield case.with_(weight=None)
        for simple in (np.ones(case.classes), (options.weight > 0).astype(float)):
            if np.any(options.weight != simple):
                yield case.with_(weight=simple)
        if case.classes <= _SINGLE_NUMBERS_AT_MOST:
            for place in np.flatnonzero(options.weight != 1.0):
                yield case.with_(weight=_with(options.weight, place, 1.0))


def _targets(case: Case) -> Iterator[Case]:
    """The first class everywhere, then in one row; probabilities as one-hot rows."""
    if case.target_kind == "index":
        valid = case.targets != case.options.ignore_index
        first = np.where(valid, 0, case.targets)
        if np.any(first != case.targets):
            yield case.with_(targets=first)
        for row in np.flatnonzero(first != case.targets)[:_SINGLE_NUMBERS_AT_MOST]:
            yield case.with_(targets=_with(case.targets, row, 0))
        return
    hard = np.eye(case.classes)[case.targets.argmax(axis=1)]
    for simple in (np.eye(case.classes)[np.zeros(case.rows, dtype=int)], hard):
        if np.any(simple != case.targets) and np.sum(simple != 0) <= np.sum(case.targets != 0):
            if np.array_equal(simple, hard) and np.array_equal(hard, case.targets):
                continue
            yield case.with_(targets=simple)


def _logits(case: Case) -> Iterator[Case]:
    """Zeros; the row's shape without its offset; whole numbers; halves."""
    f = case.logits
    with np.errstate(invalid="ignore"):
        forms = [
            np.zeros(f.shape),
            np.where(f == f.max(axis=1, keepdims=True), 0.0, -1.0),
            np.where(np.isneginf(f), f, 0.0),
            f - f.max(axis=1, keepdims=True),
            f - f[:, :1],
            np.round(f),
            np.round(f / 2),
        ]
    for form in forms:
        simple = np.asarray(representable(form, case.dtype))
        if _complexity(simple) < _complexity(f):
            yield case.with_(logits=simple)


def _numbers(case: Case) -> Iterator[Case]:
    """One logit at a time to 0, to a whole number, to its half."""
    if case.logits.size > _SINGLE_NUMBERS_AT_MOST:
        return
    for place in np.argwhere(case.logits != 0):
        at = tuple(place)
        value = case.logits[at]
        simpler = [0.0]
        if np.isfinite(value):
            simpler += [float(np.round(value)), float(np.trunc(value / 2)), float(np.sign(value))]
        else:
            simpler += [-1.0]
        for number in dict.fromkeys(simpler):
            if number != value and (abs(number) < abs(value) or number == np.round(value)):
                changed = _with(case.logits, at, number)
                if _complexity(changed) < _complexity(case.logits):
                    yield case.with_(logits=representable(changed, case.dtype))


def _upstream(case: Case) -> Iterator[Case]:
    u = case.upstream
    if np.any(u != 1.0):
        yield case.with_(upstream=np.ones(u.shape))
        if np.any(np.abs(u) != 1.0):
            yield case.with_(upstream=np.where(u < 0, -1.0, 1.0))
        for row in np.flatnonzero(u != 1.0)[:8] if u.ndim else ():
            yield case.with_(upstream=_with(u, row, 1.0))


def _with(values: Any, place: Any, number: float) -> Any:
    changed = values.copy()
    changed[place] = number
    return changed


def _complexity(values: Any) -> tuple[float, ...]:
    """Fewer infinities, fewer non-zeros, fewer fractions, smaller numbers: in this order."""
    finite = values[np.isfinite(values)]
    return (
        float(values.size - finite.size),
        float(np.count_nonzero(finite)),
        float(np.count_nonzero(finite != np.round(finite))),
        float(np.abs(finite).sum()),
    )
