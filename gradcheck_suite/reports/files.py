"""The report files of a run: some grow while it goes on, the others are written at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcheck_suite import discovery
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Record, Run

if TYPE_CHECKING:
    from gradcheck_suite.protocols import GrowingReport


class ReportFiles:
    """Where a run is written to, by the suffix of each path.

    Args:
        paths: of the files.
        provenance: what is known of the run before it starts.
        strict: whether SHOULD clauses count.

    Raises:
        UsageError: a suffix is unknown, there is no such folder, or a path is given twice: said
            before the work, not after it.
    """

    def __init__(
        self, paths: Sequence[str], provenance: Mapping[str, Any], *, strict: bool = False
    ) -> None:
        self.paths = tuple(paths)
        self.provenance = provenance
        self.strict = strict
        self._growing: dict[str, GrowingReport] = {}
        for path in paths:
            writable(path)
        seen: dict[Path, str] = {}
        for path in paths:
            file = Path(path).resolve()
            if file in seen:
                also = f" (as {seen[file]} too)" if seen[file] != path else ""
                raise UsageError(
                    f"path: {path} is given twice{also}; give every report a file of its own"
                )
            seen[file] = path

    def begin(self) -> None:
        """Opens those that grow, in the place of what was there; the first call does.

        Raises:
            UsageError: a file cannot be written.
        """
        for path in self.paths:
            if path in self._growing:
                continue
            # Of a ``GrowingFormat``; the protocols know arrays, and this file needs none.
            begin = getattr(discovery.report_format(path), "begin", None)
            if begin is not None:
                self._growing[path] = _told(path, begin, path, self.provenance, self.strict)

    def add(self, record: Record) -> None:
        """One more outcome. A file that cannot grow (a full disk) is told of at the end."""
        for path, report in [*self._growing.items()]:
            try:
                report.add(record)
            except OSError:
                del self._growing[path]

    def finish(self, run: Run) -> None:
        """Writes what the run came to.

        Raises:
            UsageError: a file cannot be written.
        """
        for path in self.paths:
            if path in self._growing:
                _told(path, self._growing[path].finish, run)
            else:
                _told(path, run.write, path)


def writable(path: str) -> None:
    """Looks at a path before the work.

    Raises:
        UsageError: its suffix is no format's, or there is no such folder.
    """
    discovery.report_format(path)
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise UsageError(f"path: there is no folder {folder}; make it first")


def _told(path: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except OSError as error:
        raise UsageError(f"path: {path}: {error.strerror or error}") from None
