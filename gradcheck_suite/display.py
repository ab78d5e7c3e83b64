"""What a person sees in a terminal: progress, tables, stories. Rich draws it."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from gradcheck_suite.outcome import ACCOUNTS, STANDINGS, Record, Run, Status
from gradcheck_suite.story import most_telling, tell, visible
from gradcheck_suite.teeth import summary

STYLES: dict[str, str] = {
    "declared": "cyan",
    Status.PASSED: "green",
    Status.FAILED: "bold red",
    Status.INCONCLUSIVE: "yellow",
    Status.SKIPPED: "dim",
    Status.ERRORED: "bold magenta",
}
_SHORT = dict(zip(STANDINGS, ("pass", "fail", "incon.", "decl.", "skip", "error"), strict=True))
_PLAIN_EVERY = 5.0  # seconds between progress lines where there is no terminal


class Terminal(Console):
    """A console on which what others wrote cannot move the cursor, ring or colour.

    Names, reasons and output come from the code under test and from files; Rich's own control
    sequences stay, theirs are shown.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of what is printed, with control characters written out."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def terminal() -> Terminal:
    """Where the commands print to."""
    return Terminal(highlight=False)


class Meter:
    """Counts finished cases: a live bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, title: str, progress: Progress | None) -> None:
        self._console, self._title, self._progress = console, title, progress
        self._task = (
            None if progress is None else progress.add_task(escape(title), total=None, bad="")
        )
        self._total, self._done, self._bad = 0, 0, 0
        self._spoke = time.monotonic()

    def plan(self, total: int) -> None:
        self._total = total
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=total)

    def advance(self, record: Record) -> None:
        self._done += 1
        self._bad += record.decides()
        if self._progress is not None and self._task is not None:
            bad = f"[bold red]{self._bad} failing[/]" if self._bad else ""
            self._progress.update(self._task, advance=1, bad=bad)
        elif time.monotonic() - self._spoke > _PLAIN_EVERY:
            self._spoke = time.monotonic()
            self._console.print(Text(f"{self._title}: {self._done} of {self._total} cases"))


@contextmanager
def meter(console: Console, title: str) -> Iterator[Meter]:
    """A meter for one implementation; its bar vanishes when it is done."""
    if not console.is_terminal:
        yield Meter(console, title, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[bad]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Meter(console, title, progress)


def show_run(console: Console, run: Run, *, stories_at_most: int = 3) -> None:
    """Stories of what failed, known deviations, advice, and the table of one implementation."""
    failures = most_telling(run.failures)
    for record in failures[:stories_at_most]:
        text = story(record, console.width, run.provenance.get("libraries"))
        console.print(text, soft_wrap=True)
        console.print()
    _show_rest(console, failures[stories_at_most:])
    console.print(family_table(run))
    _show_unjudged(console, run.outcomes)
    _show_deviations(console, run.outcomes)
    _show_declared(console, run)
    _show_advice(console, run)
    _show_skips(console, run.outcomes)
    _show_teeth(console, run)
    for note in run.notes:
        console.print(Text(f"note: {note}", style="yellow"))


def story(record: Record, width: int, versions: Mapping[str, str] | None = None) -> Text:
    """The story of an outcome, coloured; ``versions`` of the libraries where it ran."""
    text = Text(tell(record, width=min(width, 120), versions=versions))
    text.highlight_regex(r"^[A-Z]+", STYLES[record.status])
    text.highlight_regex(r"(?m)^  [a-z]+ ", "dim")
    return text


def family_table(run: Run) -> Table:
    """Families by status, with the largest error / bound and the time."""
    first = run.outcomes[0]
    table = Table(
        title=Text(f"{first.implementation}  [{first.backend}, {first.device}]"),
        title_justify="left",
        title_style="bold",
        show_footer=True,
        box=None,
        padding=(0, 1),
        collapse_padding=True,
        header_style="dim",
    )
    counts = Counter(record.standing for record in run.outcomes)
    table.add_column("family", footer="all")
    for standing in STANDINGS:
        total = counts[standing]
        style = STYLES[standing] if total else "dim"
        footer = Text(_count(total), style=style)
        name = "inconcl." if standing == "inconclusive" else standing  # 80 columns are enough
        table.add_column(name, justify="right", footer=footer)
    table.add_column("error/bound", justify="right", footer=_margin(run.outcomes))
    table.add_column("s", justify="right", footer=_seconds(run.outcomes))
    for family, records in by_family(run.outcomes).items():
        cells = []
        for standing in STANDINGS:
            here = [record for record in records if record.standing == standing]
            number, known = len(here), sum(bool(record.deviation) for record in here)
            advice = _is_advice(run, here)
            style = "yellow" if number and (known == number or advice) else STYLES[standing]
            cells.append(Text(_count(number), style=style))
        table.add_row(family, *cells, _margin(records), _seconds(records))
    return table


def overview(runs: Sequence[Run]) -> Table:
    """One line per implementation."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("implementation", overflow="fold")  # a name may fold; a number never
    table.add_column("verdict", no_wrap=True)
    for standing in STANDINGS:
        table.add_column(_SHORT[standing], justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    for run in runs:
        if not run.outcomes:
            continue
        counts = Counter(record.standing for record in run.outcomes)
        verdict = Text("passed", "bold green") if run.passed else Text("FAILED", "bold red")
        cells = [
            Text(_count(counts[standing]), STYLES[standing] if counts[standing] else "")
            for standing in STANDINGS
        ]
        table.add_row(run.outcomes[0].implementation, verdict, *cells, _seconds(run.outcomes))
    return table


def matrix(records: Sequence[Record], *, strict: bool = False) -> Table:
    """Clause families × implementations: how many passed, and what did not, in words."""
    columns = list(dict.fromkeys(f"{r.implementation} [{r.backend}]" for r in records))
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("family", no_wrap=True)
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for family, members in by_family(records).items():
        cells = []
        for column in columns:
            own = [r for r in members if f"{r.implementation} [{r.backend}]" == column]
            cells.append(_summed(own, strict))
        table.add_row(family, *cells)
    return table


def _summed(records: Sequence[Record], strict: bool) -> Text:
    """``12 passed, 1 failed``; a known deviation or advice counts under its own name."""
    text = Text()
    counts: dict[str, int] = {}
    for record in records:
        name = record.account(strict=strict)
        counts[name] = counts.get(name, 0) + 1
    for name in ACCOUNTS:
        if name in counts:
            style = STYLES.get(name, "yellow")
            text.append(", " if text else "").append(f"{counts[name]} {name}", style)
    return text or Text("·")


def as_text(renderable: RenderableType, width: int) -> str:
    """What Rich draws, as plain text of at most ``width`` columns."""
    console = Terminal(width=width, color_system=None, file=io.StringIO(), legacy_windows=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def by_family(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records by the family of their clause, families in alphabetical order."""
    families: dict[str, list[Record]] = {}
    for record in records:
        families.setdefault(record.family, []).append(record)
    return dict(sorted(families.items()))


def _show_rest(console: Console, failures: Sequence[Record]) -> None:
    """The failures beyond the first stories: a line per clause."""
    clauses: dict[str, list[Record]] = {}
    for record in failures:
        clauses.setdefault(record.clause, []).append(record)
    for clause, records in clauses.items():
        line = f"{records[0].status.upper()} {clause} ({_cases(len(records))}): {records[0].reason}"
        text = Text(line)
        text.highlight_regex(r"^[A-Z]+", STYLES[records[0].status])
        console.print(text, no_wrap=True, overflow="ellipsis")
    if clauses:
        console.print("(all stories: --report FILE.md, or gradcheck-suite replay)\n")


def _show_unjudged(console: Console, records: Sequence[Record]) -> None:
    """Says so where not one gradient was looked at: a pass of values alone."""
    gradients = [record for record in records if record.clause.startswith("gradient.")]
    if gradients and all(record.status is Status.SKIPPED for record in gradients):
        console.print(Text(f"no gradient was judged: {gradients[0].reason}", style="bold yellow"))


def _show_deviations(console: Console, records: Sequence[Record]) -> None:
    known: dict[tuple[str, str], int] = {}
    for record in records:
        if record.deviation:
            key = (record.clause, record.deviation)
            known[key] = known.get(key, 0) + 1
    for (clause, reason), number in known.items():
        console.print(
            Text(f"known deviation from {clause} ({_cases(number)}): {reason}", style="yellow")
        )


def _show_declared(console: Console, run: Run) -> None:
    """The dialect, and what it takes out of judgement: neither passed nor skipped in silence."""
    dialect = run.outcomes[0].dialect
    if dialect:
        choices = ", ".join(f"{name}={value}" for name, value in dialect.items())
        console.print(Text(f"declared dialect: {choices}", style=STYLES["declared"]))
    limits: dict[tuple[str, str], int] = {}
    for record in run.declared:
        key = (record.clause, record.declared)
        limits[key] = limits.get(key, 0) + 1
    for (clause, sentence), number in limits.items():
        line = f"declared, {clause} ({_cases(number)}): {sentence}"
        console.print(Text(line, style=STYLES["declared"]))


def _show_advice(console: Console, run: Run) -> None:
    """SHOULD clauses that failed and do not count."""
    advice: dict[str, list[Record]] = {}
    for record in run.outcomes:
        if record.decides(strict=True) and not record.decides(strict=run.strict):
            advice.setdefault(record.clause, []).append(record)
    for clause, records in advice.items():
        console.print(
            Text(f"advice, {clause} ({_cases(len(records))}): {records[0].reason}", style="yellow")
        )


def _show_skips(console: Console, records: Sequence[Record]) -> None:
    reasons: dict[str, int] = {}
    for record in records:
        if record.standing == "skipped":
            reasons[record.reason] = reasons.get(record.reason, 0) + 1
    ordered = sorted(reasons.items(), key=lambda pair: -pair[1])
    for reason, number in ordered[: 6 if len(ordered) == 6 else 5]:
        console.print(Text(f"skipped {_cases(number)}: {reason}", style="dim"))
    if len(ordered) > 6:
        rest = sum(number for _, number in ordered[5:])
        console.print(Text(f"skipped {_cases(rest)} for {len(ordered) - 5} other reasons", "dim"))


def _show_teeth(console: Console, run: Run) -> None:
    """The errors that were planted in these very answers, and whether they were seen."""
    if run.teeth:
        style = "dim" if all(teeth.shown for teeth in run.teeth) else "yellow"
        console.print(Text(f"teeth: {summary(run.teeth)}", style=style))


def _is_advice(run: Run, records: Sequence[Record]) -> bool:
    """Whether these are bad outcomes, and none of them decides."""
    bad = [r for r in records if r.status in (Status.FAILED, Status.INCONCLUSIVE)]
    return bool(bad) and not any(record.decides(strict=run.strict) for record in bad)


def _cases(number: int) -> str:
    return f"{number} case" if number == 1 else f"{number} cases"


def _count(number: int) -> str:
    return str(number) if number else "·"


def _margin(records: Sequence[Record]) -> str:
    """The largest error / bound among the cases that passed."""
    margins = [
        record.inequality.margin
        for record in records
        if record.inequality is not None and record.status is Status.PASSED
    ]
    return f"{max(margins):.2f}" if margins else ""


def _seconds(records: Sequence[Record]) -> str:
    return f"{sum(record.seconds for record in records):.1f}"
