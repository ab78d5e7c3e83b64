"""The grading sheet: clauses, points, hints; and what a homework earned."""

import tomllib
import warnings
from pathlib import Path

import homework

import gradcheck_suite as gs

LINES = tomllib.loads(Path(__file__).with_name("grading.toml").read_text(encoding="utf-8"))[
    "graded"
]
SHEET = {}


def judge(line):
    """Whether the clause holds, and its sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = gs.conformance(
            homework.loss,
            backend="numpy",
            clauses=line["clause"],
            cases=line.get("cases", "*"),
            dtypes="float64",
        )
    return run.passed, run.outcomes[0].statement


def lines():
    """The sheet as it is printed."""
    earned, possible = sum(SHEET.values()), sum(line["points"] for line in LINES)
    yield f"{'homework.py':<40} {earned} / {possible} points"
    for line in LINES:
        points = SHEET.get(line["clause"], 0)
        hint = "" if points else line["hint"]
        yield f"  {line['clause']:<25} {points} / {line['points']}        {hint}".rstrip()
