"""What the commands about reports cost: time and memory for 100,000 outcomes.

    python -m benchmarks.reports [--outcomes N] [--failing SHARE]

The outcomes are those of a right and of a wrong NumPy loss, over and over under other names;
one in a hundred fails, with its error map and its V-curve. Each command runs in a process of its
own, whose peak resident memory is the figure. Writes a Markdown table to standard output.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import gradcheck_suite as gs
from gradcheck_suite.outcome import Failed, Record, Run, Status
from gradcheck_suite.reports.files import ReportFiles

SHARDS = 4
SEED = 17


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took; ``processor``: how many of its seconds it did not wait."""

    what: str
    seconds: float
    processor: float
    mebibytes: float
    written: int

    def __str__(self) -> str:
        size = f"{self.written / 2**20:.1f} MiB" if self.written else ""
        times = f"{self.seconds:.1f} s | {self.processor:.1f} s"
        return f"| {self.what} | {times} | {self.mebibytes:.0f} MiB | {size} |"


def wrong(logits, targets):
    """The mean's 1/m is missing from the gradient."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(targets))
    gradient = np.exp(log_p)
    gradient[rows, targets] -= 1
    return -log_p[rows, targets].mean(), gradient


def outcomes(number: int, failing: float) -> Iterator[Record]:
    """So many, of which a share fails."""
    right = gs.conformance("numpy-reference", seed=SEED).outcomes
    bad = gs.conformance(wrong, backend="numpy", clauses="gradient.*", seed=SEED).outcomes
    bad = tuple(record for record in bad if record.status is Status.FAILED)
    every = max(1, round(1 / failing)) if failing else number + 1
    pool, failures = itertools.cycle(right), itertools.cycle(bad)
    for position in range(number):
        record = next(failures if position % every == every - 1 else pool)
        name = f"losses:number{position // len(right)}"
        replay = f"gradcheck-suite replay '{record.id}' {name} --backend numpy --seed {SEED}"
        yield replace(record, implementation=name, replay=replay)


def measured(what: str, *command: str, written: tuple[str, ...] = ()) -> Cost:
    """Time and peak memory of a command; it may say that something fails."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    size = sum(Path(path).stat().st_size for path in written)
    return Cost(what, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, size)


def command(what: str, *words: str, written: tuple[str, ...] = ()) -> Cost:
    return measured(what, "-m", "gradcheck_suite", *words, written=written)


def costs(number: int, failing: float) -> Iterator[Cost]:
    """In the current folder, which fills with reports."""
    here = ("--outcomes", str(number), "--failing", str(failing), "--write")
    yield measured("written as they finish", "-m", "benchmarks.reports", *here, "old.json",
                   written=("old.json",))  # fmt: skip
    shards = [f"shard{shard}.json" for shard in range(SHARDS)]
    records = [*outcomes(number, failing)]
    for shard, path in enumerate(shards):
        Run(tuple(records[shard::SHARDS]), {"python": "3.11"}).write(path)
    failure = Failed("gradient is not what is specified")
    changed = (
        replace(record, verdict=failure if position % 50 == 0 else record.verdict)
        for position, record in enumerate(records)
    )
    Run(tuple(changed)).write("new.json")
    yield command("`verify`", "verify", "old.json")
    yield command(f"`merge` of {SHARDS}", "merge", *shards, "--output", "merged.json",
                  written=("merged.json",))  # fmt: skip
    yield command("`diff`", "diff", "old.json", "new.json", "--output", "diff.md",
                  written=("diff.md",))  # fmt: skip
    for suffix in (".json", ".md", ".html", ".xml", ".ctrf.json", ".svg"):
        path = f"out{suffix}"
        yield command(f"`report` to {suffix}", "report", "old.json", "--output", path,
                      written=(path,))  # fmt: skip
    yield command("`report` to the terminal", "report", "old.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcomes", type=int, default=100_000)
    parser.add_argument("--failing", type=float, default=0.01)
    parser.add_argument("--write", metavar="PATH", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        run = Run(tuple(outcomes(given.outcomes, given.failing)))
        files = ReportFiles([given.write], {})
        files.begin()
        for record in run.outcomes:
            files.add(record)
        files.finish(run)
        return
    root = Path(__file__).resolve().parents[1]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    print(f"{given.outcomes:,} outcomes, {given.failing:.0%} of them failing\n")
    print("| | time | of it on a processor | peak memory | written |")
    print("|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for cost in costs(given.outcomes, given.failing):
            print(cost, flush=True)
        os.chdir(root)


if __name__ == "__main__":
    main()
