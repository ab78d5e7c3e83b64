"""The summary at the end of a run that used the plugin."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from gradcheck_suite import display
from gradcheck_suite.story import visible

if TYPE_CHECKING:
    from pytest_gradcheck.ledger import Ledger

_REASONS_AT_MOST = 5


def show(terminalreporter: Any, ledger: Ledger) -> None:
    """The table clause family × implementation, the census of skips, what was promised."""
    write = terminalreporter
    width = write._tw.fullwidth
    run = ledger.run()
    if not (run.outcomes or run.notes or ledger.problems or ledger.written):
        return
    write.section("gradcheck", "-")
    if run.outcomes:
        for line in display.as_text(
            display.matrix(run.outcomes, strict=run.strict), width
        ).splitlines():
            write.write_line(line.rstrip())
        _census(write, ledger)
    for note in run.notes:
        write.write_line(f"note: {visible(note)}", yellow=True)
    for line in ledger.since_baseline():
        write.write_line(_clipped(line, width), bold=True)
    for path in ledger.written:
        write.write_line(f"report written to {path}")
    for problem in ledger.problems:
        write.write_line(f"ERROR {problem}", red=True, bold=True)


def _census(write: Any, ledger: Ledger) -> None:
    """What was declared in place of an answer; how many questions were skipped, and why."""
    for sentence, number in Counter(r.declared for r in ledger.run().declared).items():
        write.write_line(_clipped(f"declared {number}: {sentence}", write._tw.fullwidth))
    reasons = Counter(r.reason for r in ledger.run().outcomes if r.standing == "skipped")
    shown = reasons.most_common(_REASONS_AT_MOST)
    for reason, number in shown:
        write.write_line(_clipped(f"skipped {number}: {reason}", write._tw.fullwidth))
    rest = len(reasons) - len(shown)
    if rest:
        others = sum(reasons.values()) - sum(number for _, number in shown)
        write.write_line(f"skipped {others} for {rest} other reasons")


def _clipped(line: str, width: int) -> str:
    line = visible(line)
    return line if len(line) <= width else line[: width - 1] + "…"
