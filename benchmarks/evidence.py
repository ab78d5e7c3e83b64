"""Evidence over seeds: no correct implementation is accused, in any dtype. ``docs/evidence.md``.

    python -m benchmarks.evidence --backends numpy torch --seeds 20 --kept evidence.jsonl
    python -m benchmarks.evidence --backends jax --seeds 20 --minutes 40 --kept evidence.jsonl
    python -m benchmarks.evidence --half --backends torch jax --seeds 20 --kept evidence.jsonl
    python -m benchmarks.evidence --write --kept evidence.jsonl

Every correct implementation (those that ship and those of ``tests/correct``) is put through the
whole conformance run, seed by seed, in one process per backend, so that what JAX compiles for one
seed serves the next; what it compiled for one implementation is dropped before the next one, or
memory would grow to tens of gigabytes. What has been run is kept, a line per implementation and
seed, and not run again; the page is written from all that is kept.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import gradcheck_suite as gs
from benchmarks.corpus import ROOT, installed, right_ones
from gradcheck_suite.addresses import shipped
from gradcheck_suite.outcome import STANDINGS
from gradcheck_suite.runner import DEFAULT_DTYPES

PAGE = ROOT / "docs" / "evidence.md"
HALF = ("float16", "bfloat16")
PATIENCE = 600.0  # seconds for one case: the machine may be busy


def wanted(backend: str, half: bool) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Implementations, and the dtypes that each is asked in.

    Half precisions are those of what ships for PyTorch and JAX: NumPy has no arithmetic of its own
    in them. An implementation that declares its dtypes is asked in those alone.
    """
    ships = {each.name for each in shipped()}
    for implementation in right_ones(backend):
        if half and implementation.name not in ships:
            continue
        dtypes = HALF if half else DEFAULT_DTYPES
        own = implementation.dtypes or dtypes
        kept = tuple(dtype for dtype in dtypes if dtype in own)
        if kept and not (half and backend == "numpy"):
            yield implementation, kept


def run_backend(backend: str, seeds: int, half: bool, deadline: float, kept: Path) -> None:
    """Runs what is not kept yet, an implementation at every seed before the next one."""
    warnings.simplefilter("ignore")
    if backend == "torch":
        import torch

        torch.set_num_threads(1)
    done = {(line["implementation"], tuple(line["dtypes"]), line["seed"]) for line in read(kept)}
    for implementation, dtypes in wanted(backend, half):
        for seed in range(1, seeds + 1):
            if (implementation.name, dtypes, seed) in done:
                continue
            if time.monotonic() > deadline:
                return
            begun = time.process_time()
            run = gs.conformance(
                implementation, dtypes=dtypes, seed=seed, isolate=False, time_limit=PATIENCE
            )
            line = {
                "implementation": implementation.name,
                "backend": backend,
                "dtypes": dtypes,
                "seed": seed,
                "counts": {dtype: counted(run, dtype) for dtype in dtypes},
                "accused": [(r.id, r.status.value, r.reason) for r in run.failures],
                "teeth_shown": run.teeth_shown,
                "seconds": round(time.process_time() - begun, 2),
            }
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            for accusation in line["accused"]:
                print(f"{implementation.name}, seed {seed}: {' '.join(accusation)}", flush=True)
            if backend == "torch":
                # torch.compile gives a function up after 8 versions of it, and runs it as it is.
                torch.compiler.reset()
        if backend == "jax":
            import jax

            jax.clear_caches()


def counted(run: gs.Run, dtype: str) -> dict[str, int]:
    """Outcomes by standing; what a known deviation or a SHOULD clause excuses counts as advice."""
    counts: Counter[str] = Counter()
    for record in run.outcomes:
        if record.dtype == dtype:
            excused = record.decides(strict=True) or bool(record.deviation)
            excused &= not record.decides()
            counts["advice" if excused else record.standing] += 1
    return dict(counts)


def read(kept: Path) -> list[dict[str, Any]]:
    if not kept.exists():
        return []
    return [json.loads(line) for line in kept.read_text("utf-8").splitlines()]


def page(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The Markdown page."""
    yield "# Evidence over seeds: correct implementations are not accused"
    yield ""
    yield "Written by `python -m benchmarks.evidence --write`; do not edit."
    yield ""
    names = ("numpy", "torch", "jax", "optax", "scipy")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    yield f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {versions}, CPU."
    yield ""
    total = sum(sum(counts.values()) for line in lines for counts in line["counts"].values())
    accused = [(line, each) for line in lines for each in line["accused"]]
    toothless = sorted({line["implementation"] for line in lines if not line["teeth_shown"]})
    yield (
        f"{len(lines)} full runs, {total:,} outcomes, **{len(accused)} accusations** (outcomes "
        "that stand between a run and *passed*). In "
        + ("every run" if not toothless else f"the runs of all but {', '.join(toothless)}")
        + " every error planted in the answers was caught by the same clauses; what has no "
        "gradient has none to plant one in."
    )
    yield ""
    yield "*seeds*: how many were run. *advice*: SHOULD clauses, and deviations that are known"
    yield "([findings.md](findings.md)). *declared*: what the dialect takes out of judgement."
    yield ""
    columns = ("passed", "failed", "inconclusive", "errored", "advice", "declared", "skipped")
    assert set(columns) == {*STANDINGS, "advice"}
    yield "| implementation | backend | dtype | seeds | " + " | ".join(columns) + " |"
    yield "|---|---|---|--:|" + "--:|" * len(columns)
    rows: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    seeds: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        for dtype, counts in line["counts"].items():
            key = (line["backend"], line["implementation"], dtype)
            rows[key].update(counts)
            seeds[key] += 1
    for key in sorted(rows, key=_order):
        backend, name, dtype = key
        cells = [str(rows[key][column] or "") for column in columns]
        yield f"| {name} | {backend} | {dtype} | {seeds[key]} | " + " | ".join(cells) + " |"
    if accused:
        yield ""
        yield "## Accusations"
        yield ""
        for line, (job, status, reason) in accused:
            yield f"- {line['implementation']}, seed {line['seed']}: `{job}` {status}: {reason}"


def _order(key: tuple[str, str, str]) -> tuple[str, str, int]:
    backend, name, dtype = key
    return backend, name, (*DEFAULT_DTYPES, *HALF).index(dtype)


def main(arguments: Iterable[str] | None = None) -> int:
    """Runs one process per backend, or writes the page; 1 where somebody is accused."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--backends", nargs="+", default=list(installed()), choices=installed())
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--half", action="store_true", help="float16 and bfloat16")
    parser.add_argument("--minutes", type=float, default=600.0, help="of one backend, at most")
    parser.add_argument("--kept", type=Path, required=True, help="what has been run, a line each")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}; run nothing")
    parser.add_argument("--here", action="store_true", help="one backend, in this process")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.here:
        (backend,) = options.backends
        deadline = time.monotonic() + 60.0 * options.minutes
        run_backend(backend, options.seeds, options.half, deadline, options.kept)
    elif not options.write:
        again = [sys.executable, "-m", "benchmarks.evidence", "--here", *sys.argv[1:]]
        for backend in options.backends:
            subprocess.run([*again, "--backends", backend], check=True)
    lines = read(options.kept)
    if options.write:
        PAGE.write_text("\n".join(page(lines)) + "\n", encoding="utf-8")
    return 1 if any(line["accused"] for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
