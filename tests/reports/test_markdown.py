"""Markdown: short enough for a step summary, the worst first, and never the markup of others."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from runs import FAILED, HOSTILE, PASSED, RUNS, many, record, run_of

from gradcheck_suite.outcome import Run
from gradcheck_suite.reports.markdown import Markdown
from gradcheck_suite.reports.markdown_text import code, fenced, prose

MEBIBYTE = 2**20


def text_of(run: Run) -> str:
    return Markdown().text(run)


class Page(HTMLParser):
    """The elements and the text of what Markdown renders to."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


# --- what it says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("passed", "# ✅ Conformance: passed: 2 passed"),
        ("failed", "# ❌ Conformance: NOT passed: 2 passed, 2 failed"),
        ("nothing", "# ❌ Conformance: NOT passed: nothing ran"),
        ("skips", "# ❌ Conformance: NOT passed: 2 skipped"),
        ("known", "# ✅ Conformance: passed: 2 passed, 1 known deviation"),
    ],
)
def test_the_first_line_is_the_verdict(name: str, title: str) -> None:
    assert text_of(RUNS[name]).splitlines()[0] == title


def test_stories_come_before_the_details() -> None:
    text = text_of(RUNS["failed"])
    assert text.index("row 3, class 3") < text.index("By clause family")


def test_what_fails_is_the_first_row() -> None:
    good, bad = record(PASSED, implementation="good"), record(FAILED, implementation="bad")
    rows = [line for line in text_of(run_of(good, good, bad)).splitlines() if line.startswith("|")]
    assert rows[:4] == [
        "|  | implementation | passed | failed | error / bound |",
        "|---|---|--:|--:|--:|",
        "| ❌ | `bad [numpy, cpu]` |  | 1 |  |",
        "| ✅ | `good [numpy, cpu]` | 2 |  | 0.25 |",
    ]


def test_each_mistake_is_told_before_a_second_case_of_one() -> None:
    first, again = record(FAILED, case="one"), record(FAILED, case="two")
    other = record(FAILED, "value.definition", case="three")
    text = text_of(run_of(first, again, other))
    assert text.index("case     three") < text.index("case     two")


@pytest.mark.parametrize(
    ("name", "title", "line"),
    [
        ("known", "Known deviations", "`stability.saturated`: p − 1 is formed after rounding (×1)"),
        ("advice", "Advice", "`stability.range`: gradient is not what is specified (×1)"),
        ("declared", "Declared", "`reduction.empty-mean`: the mean of no rows is 0 (×1)"),
        ("skips", "Skipped", "`homework:loss`: label smoothing is not supported (×2)"),
    ],
)
def test_what_does_not_count_is_listed_with_its_reason(name: str, title: str, line: str) -> None:
    _, _, below = text_of(RUNS[name]).partition(f"<summary>{title}</summary>")
    assert line in below.partition("</details>")[0]


def test_where_it_ran_is_said() -> None:
    assert "| `libraries.numpy` | `2.4.6` |" in text_of(RUNS["passed"])
    assert "| `py311-lowest: libraries.numpy` | `2.0.0` |" in text_of(RUNS["merged"])


def test_each_of_merged_reports_has_its_own_rows() -> None:
    rows = [line for line in text_of(RUNS["merged"]).splitlines() if line.startswith("| ❌")]
    assert rows[0].startswith("| ❌ | `homework:loss [numpy, cpu] in py311-lowest` |")


# --- how long it is --------------------------------------------------------------------------


def test_it_stays_under_a_mebibyte_and_is_cut_between_stories() -> None:
    text = text_of(many(20_000))
    assert 0.9 * MEBIBYTE < len(text.encode()) < MEBIBYTE
    assert text.count("<details") == text.count("</details>")
    told = text.count("<b>FAILED</b>")
    assert f"\n… and {2_000 - told} more.\n" in text


@pytest.mark.parametrize("letter", ["a", "∂", "😀", "`", "\x00", "<"])
def test_it_stays_under_a_mebibyte_whatever_the_names(letter: str) -> None:
    long = letter * 10_000
    records = [
        record(
            FAILED, f"{long}.{i}", implementation=f"{i}{long}", output=long, dialect={long: long}
        )
        for i in range(150)
    ]
    text = text_of(
        Run(tuple(records), {f"{i}{long}": long for i in range(150)}, notes=(long,) * 150)
    )
    assert len(text.encode()) < MEBIBYTE
    assert "… and 50 more." in text


# --- what others wrote is text -----------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_it_renders_to_known_elements_alone(name: str) -> None:
    page = Page(text_of(RUNS[name]))
    known = {"h1", "h2", "blockquote", "p", "table", "thead", "tbody", "tr", "th", "td", "code"}
    assert page.tags.keys() <= known | {"pre", "ul", "li", "b", "details", "summary"}
    assert {name for name, _ in page.attributes} <= {"open", "style"}


def test_a_hostile_name_does_not_break_the_table() -> None:
    page = Page(text_of(RUNS["hostile"]))
    table = text_of(RUNS["hostile"]).splitlines()
    head = next(line for line in table if line.startswith("|  | implementation"))
    row = next(line for line in table if line.startswith("| ❌"))
    assert row.count("|") == head.count("|")
    assert "<script>alert('x')</script>" in page.text


@pytest.mark.parametrize(
    "text", [HOSTILE, "a|b", "`", "``` x", "_a_", "<b>", "a\nb", "[x](y)", "\\|"]
)
@pytest.mark.parametrize("written", [code, prose])
def test_text_of_others_comes_out_as_it_is(text: str, written: object) -> None:
    assert callable(written)
    page = Page(f"| a | b |\n|---|---|\n| {written(text)} | c |\n")
    assert page.tags["td"] == 2
    assert not page.tags.keys() - {"table", "thead", "tbody", "tr", "th", "td", "code", "p"}
    shown = page.text.split()
    assert "c" in shown
    if text is not HOSTILE:
        assert text.split()[0] in page.text


def test_a_fence_is_longer_than_what_it_holds() -> None:
    page = Page(fenced("before\n````\nafter\n~~~\n<b>"))
    assert page.tags == {"pre": 1, "code": 1}
    assert "after" in page.text
