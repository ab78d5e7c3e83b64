"""Where the classes are: arrays of any rank as N rows of C classes, and back (Array API)."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

Array = Any


def as_rows(array: Array, axis: int) -> Array:
    """(…, C, …) with the classes on ``axis`` as (N, C)."""
    xp = array_namespace(array)
    return xp.reshape(xp.moveaxis(array, axis, -1), (-1, array.shape[axis]))


def in_rows(
    logits: Array, targets: Array, class_mask: Array | None, axis: int
) -> tuple[Array, Array, Array | None]:
    """Logits, targets and mask as (N, C), (N,) or (N, C), and (C,) or (N, C)."""
    xp = array_namespace(logits)
    index = targets.ndim < logits.ndim
    rows = xp.reshape(targets, (-1,)) if index else as_rows(targets, axis)
    deep = class_mask is not None and class_mask.ndim > 1
    return as_rows(logits, axis), rows, as_rows(class_mask, axis) if deep else class_mask


def as_given(rows: Array, like: Array, axis: int) -> Array:
    """The inverse: (N, C) with the axes of ``like``; (N,) with those of its rows."""
    xp = array_namespace(rows)
    batch = tuple(xp.moveaxis(like, axis, -1).shape[:-1])
    if rows.ndim == 1:
        return xp.reshape(rows, batch)
    return xp.moveaxis(xp.reshape(rows, (*batch, rows.shape[-1])), -1, axis)
