"""Which clauses convict which mutant: the matrix of ``docs/clause-matrix.md``.

    python -m benchmarks.matrix                    # every mutant, two processes
    python -m benchmarks.matrix --backends numpy   # a part of it, printed and not written
    python -m benchmarks.matrix --kept rows.jsonl  # what is there of an interrupted run is kept

Every mutant is put to every clause in the first of its dtypes, until one case of the clause
convicts it; to the clause that it names in its other dtypes as well. A clause that is advice
(SHOULD) counts for the mutants that name it alone: most correct losses do not follow it either.
JAX compiles for every case, so that its mutants get the first case of the other clauses alone.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.corpus import ROOT, installed, mutants, over_mutants
from gradcheck_suite import backends
from gradcheck_suite.addresses import resolve
from gradcheck_suite.outcome import Status
from gradcheck_suite.runner import DEFAULT_DTYPES, Runner, Selection
from gradcheck_suite.specification.clause import Clause, clauses

#: Frameworks that pay for every new case: the other clauses are asked their first case alone.
COMPILED = ("jax",)
PAGE = ROOT / "docs" / "clause-matrix.md"


@dataclass(frozen=True, slots=True)
class Row:
    """One mutant: who should convict it, and who does."""

    name: str
    backend: str
    mechanism: str
    named: str
    convicted: frozenset[str]

    @property
    def alone(self) -> bool:
        return self.convicted == {self.named}


def row(backend: str, name: str) -> Row:
    """Puts one mutant to every clause."""
    warnings.simplefilter("ignore")
    if backend == "torch":
        import torch

        torch.set_num_threads(1)
    mutant = next(each for each in mutants.of(backend) if each.name == name)
    implementation = resolve(mutant.implementation)
    dtypes = implementation.dtypes or DEFAULT_DTYPES
    everywhere = Selection(dtypes=dtypes[:1], quick=backend in COMPILED)
    convicted = _convicting(implementation, everywhere, mutant.clause)
    if mutant.clause not in convicted:
        named = Selection(clauses=(mutant.clause,), dtypes=dtypes)
        convicted |= _convicting(implementation, named, mutant.clause)
    return Row(name, backend, mutant.mechanism, mutant.clause, frozenset(convicted))


def _convicting(implementation, selection: Selection, named: str) -> set[str]:
    runner = Runner(implementation, backends.load(implementation.backend), selection=selection)
    found: set[str] = set()
    for job in runner.jobs:
        if job.clause.id not in found:
            record = runner.judge(job)
            counts = record.level != "SHOULD" or record.clause == named
            if counts and record.status is Status.FAILED:
                found.add(job.clause.id)
    return found


def page(rows: Sequence[Row]) -> str:
    """The Markdown page."""
    return "\n".join([*_head(rows), *_totals(rows), *_grid(rows), *_sections(rows)]) + "\n"


def _head(rows: Sequence[Row]) -> Iterator[str]:
    by_backend = Counter(row.backend for row in rows)
    missed = [row for row in rows if row.named not in row.convicted]
    yield "# Which clause convicts which mutant"
    yield ""
    yield "Written by `python -m benchmarks.matrix`; do not edit."
    yield ""
    yield (
        f"{len(rows)} deliberately wrong implementations ({_counts(by_backend)}), {len(clauses())} "
        "clauses. Every mutant names one clause that must convict it"
        + (f"; {len(missed)} are not convicted by it." if missed else ", and it does.")
    )
    alone = sum(row.alone for row in rows)
    yield f"{alone} of them are convicted by the clause they name and by no other."
    yield ""
    yield (
        "A mutant is asked every clause in the first of its dtypes, and the clause that it names "
        "in the others too; one of JAX the first case of every other clause alone. Advice (SHOULD) "
        "counts for the mutants that name it: most correct losses do not follow it either."
    )
    yield ""


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counted.items()))


def _totals(rows: Sequence[Row]) -> Iterator[str]:
    yield "## Clauses"
    yield ""
    yield "*Convicts*: mutants of any clause. *Named*: mutants made for it. *Alone*: those that no"
    yield "other clause convicts."
    yield ""
    yield "| nr | clause | level | convicts | named | alone |"
    yield "|--:|---|---|--:|--:|--:|"
    for number, clause in enumerate(clauses(), 1):
        convicts = sum(clause.id in row.convicted for row in rows)
        named = sum(clause.id == row.named for row in rows)
        alone = sum(row.convicted == {clause.id} for row in rows)
        link = f"[{clause.id}](#{_anchor(clause)})"
        yield f"| {number} | {link} | {clause.level} | {convicts} | {named} | {alone or ''} |"
    yield ""


def _grid(rows: Sequence[Row]) -> Iterator[str]:
    """One line per mutant, one character per clause, under the clause's number."""
    width = max((len(_title(row)) for row in rows), default=0)
    ids = [clause.id for clause in clauses()]
    yield "## The matrix"
    yield ""
    yield "One column per clause, in the order above. `#`: the clause that the mutant names, and it"
    yield "convicts it; `x`: another clause that does; `!`: named, and it does not."
    yield ""
    yield "```text"
    digits = len(str(len(ids)))
    numbers = [f"{number:>{digits}}" for number in range(1, len(ids) + 1)]
    for place in range(max((len(number) for number in numbers), default=0)):
        yield (" " * (width + 2) + "".join(number[place] for number in numbers)).rstrip()
    for row in sorted(rows, key=lambda row: (ids.index(row.named), row.backend, row.name)):
        marks = (_mark(row, id) for id in ids)
        yield f"{_title(row):<{width}}  " + "".join(marks)
    yield "```"
    yield ""


def _mark(row: Row, clause: str) -> str:
    if clause == row.named:
        return "#" if clause in row.convicted else "!"
    return "x" if clause in row.convicted else "·"


def _title(row: Row) -> str:
    return f"{row.backend} {row.name}"


def _sections(rows: Sequence[Row]) -> Iterator[str]:
    yield "## Mutants, by the clause they name"
    yield ""
    for clause in clauses():
        yield f"### {clause.id}"
        yield ""
        yield f"{clause.level}: {clause.statement}"
        yield ""
        yield "| mutant | what is wrong | also convicted by |"
        yield "|---|---|---|"
        for row in rows:
            if row.named == clause.id:
                yield f"| {row.backend} `{row.name}` | {_cell(row.mechanism)} | {_others(row)} |"
        yield ""


def _others(row: Row) -> str:
    """Clauses by family, so that ten of them are still one line."""
    if row.named not in row.convicted:
        return "**not convicted by this clause**"
    families: dict[str, list[str]] = {}
    for clause in clauses():
        if clause.id in row.convicted and clause.id != row.named:
            families.setdefault(clause.family, []).append(clause.id.partition(".")[2])
    several = (
        f"{family}.{names[0]}" if len(names) == 1 else f"{family}.{{{', '.join(names)}}}"
        for family, names in families.items()
    )
    return "; ".join(several) or "**no other**"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(clause: Clause) -> str:
    return clause.id.replace(".", "")


def rows_of(
    wanted: Sequence[tuple[str, str]], jobs: int, console: Console, kept: Path | None
) -> list[Row]:
    """A row per mutant, in order; those in the file are not found again, the others go there."""
    found: dict[tuple[str, str], Row] = {}
    if kept is not None and kept.exists():
        for line in kept.read_text("utf-8").splitlines():
            values = json.loads(line)
            each = Row(**{**values, "convicted": frozenset(values["convicted"])})
            found[each.backend, each.name] = each
    left = [each for each in wanted if each not in found]
    for each in over_mutants(row, left, jobs, console):
        found[each.backend, each.name] = each
        if kept is not None:
            values = {**asdict(each), "convicted": sorted(each.convicted)}
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values, ensure_ascii=False) + "\n")
    return [found[each] for each in wanted]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matrix", description=__doc__)
    parser.add_argument("--backends", nargs="+", default=list(installed()), choices=installed())
    parser.add_argument("--only", nargs="+", help="names of mutants")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--kept", type=Path, help="rows that are done; the others are added")
    parser.add_argument("--output", type=Path, help=f"default {PAGE.name}, if nothing is left out")
    options = parser.parse_args(arguments)
    wanted = [
        (backend, mutant.name)
        for backend in options.backends
        for mutant in mutants.of(backend)
        if not options.only or mutant.name in options.only
    ]
    console = Console()
    rows = rows_of(wanted, options.jobs, console, options.kept)
    whole = not options.only and set(options.backends) == set(mutants.backends())
    output = options.output or (PAGE if whole else None)
    for each in rows:
        if each.named not in each.convicted:
            console.print(f"not convicted by {each.named}: {each.backend} {each.name}")
    alone = sum(each.alone for each in rows)
    console.print(f"{len(rows)} mutants, {alone} convicted by their own clause alone")
    if output is None:
        for each in rows:
            console.print(f"{each.backend} {each.name}: {', '.join(sorted(each.convicted))}")
    else:
        output.write_text(page(rows), encoding="utf-8")
        console.print(f"written: {output}")


if __name__ == "__main__":
    main()
