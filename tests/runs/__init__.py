"""Runs as reports meet them: good, bad, empty, hostile, long."""

from __future__ import annotations

import math
from dataclasses import replace

from gradcheck_suite.outcome import (
    Errored,
    Failed,
    Inconclusive,
    Inequality,
    Passed,
    Record,
    Run,
    Skipped,
    Verdict,
)

HOLDS = Inequality("|a − b|", 1.0e-9, 4.0e-9, (("rounding", 3e-9), ("sum", 1e-9)))
BROKEN = Inequality("|0.1351 − 0.03378|", 0.1013, 1.9e-16, (("division", 1.9e-16),))
PASSED = Passed(HOLDS, resolution=1e-5)
EXACT = Passed()
FAILED = Failed(
    "gradient is not what is specified",
    at="row 3, class 3",
    sides=(("got", "0.1351"), ("specified", "0.03378")),
    inequality=BROKEN,
    looks="everything is off by the same factor 4",
)
ERRORED = Errored("raises ValueError: no", "Traceback (most recent call last):\nValueError: no")
SKIPPED = Skipped("label smoothing is not supported")
DECLARED = Passed(note="declared: the mean of no rows is 0")
PROVENANCE = {
    "suite": "0.1.0",
    "python": "3.11.9",
    "platform": "Linux",
    "libraries": {"numpy": "2.4.6"},
    "started": "2026-11-24T15:26:29+00:00",
    "seed": 17,
}
HOSTILE = (
    "<script>alert('x')</script>\"|`*_[a](javascript:b)]]>&amp;"
    "\x1b[31m\r\n\n\x00\u202e\ud800\ufffe%:,@"
)


def record(verdict: Verdict, clause: str = "gradient.analytic", **other: object) -> Record:
    values: dict[str, object] = {
        "clause": clause,
        "level": "MUST",
        "statement": "the gradient is T·p − τ",
        "case": "rows4-classes5-mean",
        "check": "gradient",
        "implementation": "homework:loss",
        "backend": "numpy",
        "device": "cpu",
        "dtype": "float64",
        "seed": 17,
        "seconds": 0.0123,
        "replay": "gradcheck-suite replay 'gradient.analytic/rows4@float64' homework:loss",
    }
    return Record(verdict=verdict, **(values | other))  # type: ignore[arg-type]


def run_of(*records: Record, notes: tuple[str, ...] = (), strict: bool = False) -> Run:
    return Run(records, PROVENANCE, strict=strict, notes=notes)


KNOWN = record(FAILED, "stability.saturated", deviation="p − 1 is formed after rounding")
ADVICE = record(FAILED, "stability.range", level="SHOULD")
GOOD = (record(PASSED), record(EXACT, "value.definition"))
HOSTILE_RECORD = record(
    Failed(HOSTILE, at=HOSTILE, sides=((HOSTILE, HOSTILE),), looks=HOSTILE, inequality=BROKEN),
    clause="gradient.analytic",
    implementation=HOSTILE,
    case=HOSTILE,
    dtype=HOSTILE,
    statement=HOSTILE,
    dialect={HOSTILE: HOSTILE},
    warnings=(HOSTILE,),
    output=HOSTILE,
    replay=HOSTILE,
    snippet=HOSTILE,
)
LONG_NAME = "n" * 10_000

RUNS = {
    "passed": run_of(*GOOD),
    "failed": run_of(*GOOD, record(FAILED), record(FAILED, case="rows1-classes2-sum")),
    "inconclusive": run_of(*GOOD, record(Inconclusive("too noisy", resolution=math.nan))),
    "errored": run_of(*GOOD, record(ERRORED)),
    "nothing": run_of(notes=("torch is not installed",)),
    "skips": run_of(record(SKIPPED), record(SKIPPED, "smoothing.value")),
    "declared": run_of(*GOOD, record(DECLARED, "reduction.empty-mean")),
    "known": run_of(*GOOD, KNOWN),
    "advice": run_of(*GOOD, ADVICE),
    "truncated": replace(run_of(*GOOD), truncated=True),
    "merged": Run(
        (record(PASSED, part="py311-numpy"), record(FAILED, part="py311-lowest")),
        {
            "libraries": {"numpy": "2.0.0 / 2.4.6"},
            "parts": [
                {"name": "py311-numpy", "provenance": PROVENANCE},
                {"name": "py311-lowest", "provenance": {"libraries": {"numpy": "2.0.0"}}},
            ],
        },
    ),
    "infinite": run_of(record(Failed("∞", inequality=Inequality("|a|", math.inf, math.nan)))),
    "hostile": Run(
        (
            HOSTILE_RECORD,
            replace(HOSTILE_RECORD, verdict=Skipped(HOSTILE)),
            replace(HOSTILE_RECORD, verdict=Errored(HOSTILE, HOSTILE)),
            replace(HOSTILE_RECORD, deviation=HOSTILE),
            replace(HOSTILE_RECORD, verdict=Passed(note=f"declared: {HOSTILE}")),
        ),
        {HOSTILE: HOSTILE, "libraries": {"numpy": HOSTILE}, "started": HOSTILE},
        notes=(HOSTILE,),
    ),
    "long name": run_of(
        record(FAILED, case=LONG_NAME, implementation=LONG_NAME, output=LONG_NAME),
        notes=(LONG_NAME,),
    ),
}


def many(number: int) -> Run:
    """Every tenth fails, in 40 clauses of 10 families."""
    verdicts = (FAILED, *(PASSED,) * 7, SKIPPED, DECLARED)
    return run_of(
        *(
            record(
                verdicts[i % 10],
                clause=f"family{i % 7}.clause{i % 40}",
                case=f"rows4-classes5-mean-{i}",
                implementation=f"library.losses:loss{i % 5}",
                dtype=("float64", "float32")[i % 2],
            )
            for i in range(number)
        )
    )
