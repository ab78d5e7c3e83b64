"""Whether a report can be relied on; and whether it certifies what it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gradcheck_suite.outcome import Record, Run
from gradcheck_suite.reports.line_reading import Report
from gradcheck_suite.reports.line_types import Footer
from gradcheck_suite.specification.clause import clauses
from gradcheck_suite.specification.identity import identity
from gradcheck_suite.teeth import summary

#: What every header says of where it comes from. (The seed is with each outcome too.)
COMPLETE = (
    "suite",
    "specification",
    "python",
    "platform",
    "libraries",
    "devices",
    "flags",
    "started",
)
_NAMED = 3  # examples in a sentence


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: the rule, in a few words.
        wrong: how it is broken; empty where it holds.
    """

    what: str
    wrong: str = ""

    @property
    def holds(self) -> bool:
        return not self.wrong


def verified(report: Report, *, certified: bool = False) -> tuple[Finding, ...]:
    """What was looked at in a report that could be read: that its lines are of their types.

    ``certified`` asks further that the run passed in full, with nothing in its way: the whole
    specification, no clause left out, no expectation used, from a commit, and shown to see.
    """
    more = _certified(report.run) if certified else ()
    return (*_reliable(report), *more)


def _reliable(report: Report) -> Iterator[Finding]:
    run = report.run
    yield Finding(f"every line is of version {report.version}")
    yield Finding("it is complete", _cut_off(run, report.footer))
    yield Finding("the footer adds up", _miscounted(run, report.footer))
    yield Finding("nothing is answered twice", _twice(run))
    yield Finding("what fails can be seen again", _not_shown_again(run))
    for name, facts in _headers(run):
        missing = [key for key in COMPLETE if key not in facts]
        wrong = f"the header says nothing of {', '.join(missing)}" if missing else ""
        yield Finding(f"it says where it comes from{name}", wrong)


def _certified(run: Run) -> Iterator[Finding]:
    yield Finding("it passed", "" if run.passed else str(run))
    ours = _of_the_specification(run)
    yield Finding("everything was asked", _left_out(ours))
    unasked = [record for record in run.outcomes if record.unasked]
    yield Finding("nothing was skipped unasked", _examples(unasked, lambda each: each.reason))
    known = [record for record in run.outcomes if record.deviation]
    yield Finding("no known deviation was used", _examples(known, lambda each: each.deviation))
    yield Finding("planted errors were caught in every dtype", _unwatched(ours))
    for name, facts in _headers(run):
        yield Finding(f"the project is at a commit{name}", _uncommitted(facts))


def _cut_off(run: Run, footer: Footer | None) -> str:
    if not run.truncated:
        return ""
    why = "; ".join(footer.notes) or "its footer says so" if footer else "no footer"
    return f"it is truncated: {why}"


def _miscounted(run: Run, footer: Footer | None) -> str:
    if footer is None:
        return "there is none"
    counted = Footer.of(run)
    for name in ("outcomes", "counts", "declared", "passed"):
        said, is_ = getattr(footer, name), getattr(counted, name)
        if said != is_:
            return f"it says {name} {_plain(said)}, and there are {_plain(is_)}"
    return ""


def _plain(said: Any) -> str:
    return ", ".join(f"{n} {name}" for name, n in said.items()) if type(said) is dict else str(said)


def _twice(run: Run) -> str:
    counts = Counter((r.part, r.implementation, r.backend, r.device, r.id) for r in run.outcomes)
    twice = [address for address, count in counts.items() if count > 1]
    return f"{len(twice)} are, such as {twice[0][-1]} of {twice[0][1]}" if twice else ""


def _not_shown_again(run: Run) -> str:
    lost = [record for record in run.failures if not (record.replay or record.snippet)]
    return f"{len(lost)} have no replay line, such as {lost[0].id}" if lost else ""


def _of_the_specification(run: Run) -> Run:
    """Without what a person's own test asked: that is no clause, and nothing is planted in it."""
    known = {clause.id for clause in clauses()}
    return replace(run, outcomes=tuple(r for r in run.outcomes if r.clause in known))


def _left_out(run: Run) -> str:
    """Which questions were not put to an implementation, whatever it answered."""
    for name, facts in _headers(run):
        for key in ("clauses", "exclude", "cases", "dtypes"):
            whole = key == "cases" and "*" in facts.get(key, ())  # "*, search-200": all, and more
            if facts.get(key) and not whole:
                return f"the run was narrowed{name}: {key} {', '.join(map(str, facts[key]))}"
        if facts.get("quick"):
            return f"the run was a quick one{name}"
        if facts.get("specification") != identity():
            return f"its specification is not the one that is installed here{name}"
    asked: dict[tuple[str, ...], set[str]] = {}
    for record in run.outcomes:
        asked.setdefault(record.place, set()).add(f"{record.clause}/{record.case}")
    if not asked:
        return "nothing of the specification was"
    every = [f"{clause.id}/{case.id}" for clause in clauses() for case in clause.cases]
    for where, ids in asked.items():
        missing = [question for question in every if question not in ids]
        if missing:
            return f"{_words(where)} was not asked {_few(missing)}"
    return ""


def _unwatched(run: Run) -> str:
    """Where planted errors were not caught, or none was tried."""
    if run.teeth_shown:
        return ""
    if not all(teeth.shown for teeth in run.teeth):
        return summary(run.teeth)
    tried = {teeth.place for teeth in run.teeth}
    lacking = dict.fromkeys(r.place for r in run.executed if r.place not in tried)
    where = f" in {_few(map(_words, lacking))}" if tried and lacking else ""
    return f"no planted error was tried{where}"


def _uncommitted(facts: Mapping[str, Any]) -> str:
    state = facts.get("git") or {}
    if not state.get("commit"):
        return "it was run outside a git repository, or before its first commit"
    return "tracked files differ from it" if state.get("dirty") else ""


def _headers(run: Run) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The header of the run, or those of the reports it was merged from, with their names."""
    parts = run.provenance.get("parts")
    if not parts:
        yield "", run.provenance
        return
    for part in parts:
        yield f" ({part.get('name', '?')})", part.get("provenance", {})


def _examples(records: list[Record], why: Any) -> str:
    reasons = [f"{record.id} ({why(record)})" for record in records[:_NAMED]]
    return f"{len(records)}, such as {'; '.join(reasons)}" if records else ""


def _words(place: tuple[str, ...]) -> str:
    implementation, backend, device, dtype, part = place
    return f"{implementation} [{backend}, {device}, {dtype}]" + (f" in {part}" if part else "")


def _few(names: Iterable[str]) -> str:
    several = [*names]
    more = f" and {len(several) - _NAMED} more" if len(several) > _NAMED else ""
    return ", ".join(several[:_NAMED]) + more
