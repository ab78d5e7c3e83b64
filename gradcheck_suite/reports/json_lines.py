"""JSON Lines: a header, one line per outcome, a footer. A file without a footer is truncated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from gradcheck_suite import record_json
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Run

FORMAT = "gradcheck-suite-report"
VERSION = "0.1"


class JsonLines:
    """Writes and reads runs; every line is strict JSON."""

    name = "json"
    suffixes = (".json", ".jsonl")

    def write(self, run: Run, path: str | PathLike[str]) -> None:
        """Writes the run, line by line."""
        with Path(path).open("w", encoding="utf-8") as file:
            for line in self.lines(run):
                file.write(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n")

    def lines(self, run: Run) -> Iterator[dict[str, Any]]:
        yield {
            "kind": "header",
            "format": FORMAT,
            "version": VERSION,
            "strict": run.strict,
            "provenance": dict(run.provenance),
        }
        for record in run.outcomes:
            yield {"kind": "outcome", **record_json.encode(record)}
        yield {
            "kind": "footer",
            "passed": run.passed,
            "counts": {status.value: count for status, count in run.counts().items()},
            "declared": len(run.declared),
            "notes": list(run.notes),
            "teeth": [record_json.encode_teeth(teeth) for teeth in run.teeth],
        }

    def read(self, path: str | PathLike[str]) -> Run:
        """The run that a file holds.

        Raises:
            UsageError: it is no report, of another version, or truncated (no footer).
        """
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        try:
            parsed = [json.loads(line) for line in lines if line]
        except ValueError as error:
            raise UsageError(f"report: {path} is no JSON Lines file: {error}") from error
        header = parsed[0] if parsed and isinstance(parsed[0], dict) else {}
        if header.get("format") != FORMAT:
            raise UsageError(f"report: {path} is no {FORMAT}: its first line is no header")
        if header["version"].partition(".")[0] != VERSION.partition(".")[0]:
            raise UsageError(f"report: {path} has version {header['version']}, known is {VERSION}")
        if parsed[-1].get("kind") != "footer":
            raise UsageError(f"report: {path} is truncated: it has no footer")
        outcomes = tuple(
            record_json.decode({key: value for key, value in line.items() if key != "kind"})
            for line in parsed[1:-1]
        )
        footer = parsed[-1]
        return Run(
            outcomes,
            header["provenance"],
            header["strict"],
            tuple(footer["notes"]),
            tuple(record_json.decode_teeth(teeth) for teeth in footer["teeth"]),
        )


REPORTS = (JsonLines(),)
