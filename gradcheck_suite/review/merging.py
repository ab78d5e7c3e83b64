"""Many reports in one: the environments of tox, the jobs of CI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from gradcheck_suite import provenance
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Record, Run

#: What a report says of its place that the merged one says too: equal, or side by side.
_SIDE_BY_SIDE = ("suite", "python", "platform", "processor")
_ONLY_IF_EQUAL = ("specification", "seed", "git", "runner")


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of a merging.

    Attributes:
        run: every outcome, each with the name of its report as ``part``.
        conflicts: the same question, in the same place, with another answer: in words.
        folded: how many outcomes were there twice and are kept once.
    """

    run: Run
    conflicts: tuple[str, ...]
    folded: int


def merged(runs: Sequence[tuple[str, Run]]) -> Merged:
    """One run of many, each given with its name.

    An outcome that is there twice (the same question, asked in the same place: machine, Python,
    libraries, commit, seed) is kept once; with another status each time, it is kept both times,
    and named.

    Raises:
        UsageError: some runs are strict and some are not: what counts would depend on the order.
    """
    strict = {run.strict for _, run in runs}
    if len(strict) > 1:
        names = ", ".join(name for name, run in runs if run.strict)
        raise UsageError(f"report: SHOULD clauses count (--strict) in {names} alone; run all alike")
    kept: list[Record] = []
    first: dict[tuple[Any, ...], Record] = {}
    conflicts: list[str] = []
    folded = 0
    for name, run in runs:
        places = _places(run)
        for record in run.outcomes:
            part = _part(name, record.part)
            address = (*_address(record), places.get(record.part, ""))
            known = first.setdefault(address, record)
            if known is record:
                first[address] = replace(record, part=part)
            elif known.status is record.status:
                folded += 1
                continue
            else:
                conflicts.append(
                    f"{record.id} of {record.implementation} [{record.backend}, {record.device}]: "
                    f"{known.status} in {known.part}, {record.status} in {part}"
                )
            kept.append(replace(record, part=part))
    notes = (*_notes(runs), *(f"conflict: {each}" for each in conflicts))
    whole = Run(
        tuple(kept),
        _provenance(runs, kept),
        strict.pop() if strict else False,
        notes,
        teeth=tuple(
            replace(teeth, part=_part(name, teeth.part))
            for name, run in runs
            for teeth in run.teeth
        ),
        truncated=any(run.truncated for _, run in runs),
    )
    return Merged(whole, tuple(conflicts), folded)


def names_of(paths: Sequence[str]) -> tuple[str, ...]:
    """A name for each file: its own without the suffix, with as many folders as it takes."""
    pure = [PurePath(path) for path in paths]
    names = [path.stem for path in pure]
    for depth in range(2, max((len(path.parts) for path in pure), default=0) + 1):
        if len(set(names)) == len(names):
            break
        names = [
            name if names.count(name) == 1 else "/".join(path.with_suffix("").parts[-depth:])
            for name, path in zip(names, pure, strict=True)
        ]
    return tuple(
        name if names.count(name) == 1 else f"{name}-{names[: position + 1].count(name)}"
        for position, name in enumerate(names)
    )


def _part(name: str, inner: str) -> str:
    """Of a report by its name, or of a part of it where it was merged itself."""
    return f"{name}/{inner}" if inner else name


def _address(record: Record) -> tuple[Any, ...]:
    """What was asked of whom."""
    return (
        record.implementation,
        record.backend,
        record.device,
        record.clause,
        record.case,
        record.dtype,
        record.seed,
        tuple(sorted(record.dialect.items())),
    )


def _places(run: Run) -> dict[str, str]:
    """Part → what tells its place from another: machine, Python, libraries, commit."""
    parts = {"": run.provenance}
    for part in run.provenance.get("parts", ()):
        parts[part.get("name", "")] = part.get("provenance", {})
    return {
        name: repr(
            (
                [facts.get(key, "") for key in ("python", "platform", "processor")],
                sorted(facts.get("libraries", {}).items()),
                facts.get("git", {}).get("commit", ""),
            )
        )
        for name, facts in parts.items()
    }


def _notes(runs: Sequence[tuple[str, Run]]) -> list[str]:
    found = [f"{name}: {note}" for name, run in runs for note in run.notes]
    for key, what in (("specification", "specifications"), ("git", "states of the project")):
        said = {repr(run.provenance[key]) for _, run in runs if key in run.provenance}
        if len(said) > 1:
            found.append(f"these reports are of {len(said)} different {what}")
    return found


def _provenance(runs: Sequence[tuple[str, Run]], kept: Sequence[Record]) -> dict[str, Any]:
    """Of the whole: what all say, else side by side; of each part, its own."""
    facts = [run.provenance for _, run in runs]
    whole: dict[str, Any] = {}
    for key in _SIDE_BY_SIDE:
        said = dict.fromkeys(each[key] for each in facts if key in each)
        if said:
            whole[key] = " / ".join(said)
    libraries: dict[str, dict[str, None]] = {}
    for each in facts:
        for library, version in each.get("libraries", {}).items():
            libraries.setdefault(library, {})[version] = None
    whole["libraries"] = {name: " / ".join(found) for name, found in libraries.items()}
    for key in _ONLY_IF_EQUAL:
        values = [each.get(key) for each in facts]
        if values and values[0] is not None and all(each == values[0] for each in values):
            whole[key] = values[0]
    started = [each["started"] for each in facts if "started" in each]
    if started:
        whole["started"] = min(started)
    whole["seconds"] = round(sum(each.get("seconds", 0.0) for each in facts), 3)
    whole["quick"] = any(each.get("quick", False) for each in facts)
    whole["devices"] = provenance.devices(kept)
    whole["parts"] = tuple(part for name, run in runs for part in _parts(name, run))
    return whole


def _parts(name: str, run: Run) -> list[Mapping[str, Any]]:
    """The report itself; or, where it was merged, its parts."""
    inner = run.provenance.get("parts")
    if not inner:
        said = {"name": name, "outcomes": len(run.outcomes), "truncated": run.truncated}
        return [{**said, "provenance": run.provenance}]
    return [{**part, "name": f"{name}/{part.get('name', '')}"} for part in inner]
