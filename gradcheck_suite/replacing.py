"""A file written whole or not at all: beside the old one, and then in its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[Path]:
    """Where to write what takes the place of ``path``, once it is written to its end.

    Where that fails (a full disk), what was at ``path`` is still there. Something that is no file,
    ``/dev/stdout``, cannot be replaced: it is written to itself, and so is a file in a folder
    where nothing else can be made. The suffix is that of ``path``, and a link is followed.

    Raises:
        OSError: it cannot be written, or not replaced.
    """
    given = Path(path)
    whole = given.resolve()  # of a pipe a name that cannot be opened
    if (given.exists() and not given.is_file()) or not os.access(whole.parent, os.W_OK):
        yield given
        return
    beside = whole.with_name(f".part-{whole.name}")
    try:
        yield beside
        if whole.exists():
            shutil.copymode(whole, beside)
        os.replace(beside, whole)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
