"""The page as a file: self-contained, small, and the same text for whoever has no script."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from runs import BROKEN, FAILED, HOSTILE, RUNS, many, record, run_of

from gradcheck_suite.outcome import ACCOUNTS, Errored, ErrorMap, Failed, StepCurve
from gradcheck_suite.reports.html_outcomes import DECIDING, KINDS, encoded
from gradcheck_suite.reports.html_page import HtmlPage, json_in_html
from gradcheck_suite.teeth import Planted, Teeth

CURVE = StepCurve("row 0, class 1", (0.25, 0.5), (0.1, 0.1), (1e-9, 1e-8), 0.5, 1e-9, 1e-10, 4)


class Elements(HTMLParser):
    """Elements with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def large_map() -> ErrorMap:
    cells = tuple(tuple(float(i * j) for i in range(32)) for j in range(16))
    return ErrorMap((1600, 3200), (100, 100), cells, cells)


@pytest.mark.parametrize("name", RUNS)
def test_nothing_is_fetched_and_no_attribute_runs(name: str) -> None:
    for tag, attributes in Elements(HtmlPage().text(RUNS[name])).elements:
        assert tag not in ("img", "iframe", "object", "embed", "link", "base"), attributes
        assert not {"src", "style", "srcdoc", "action"} & attributes.keys(), (tag, attributes)
        assert not [each for each in attributes if each.startswith("on")], (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#"), attributes


def test_the_policy_names_what_is_in_the_page_and_nothing_else() -> None:
    text = HtmlPage().text(RUNS["hostile"])
    (policy,) = (
        attributes["content"] or ""
        for tag, attributes in Elements(text).elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        texts = re.findall(f"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digests = (hashlib.sha256(each.encode()).digest() for each in texts)
        hashes = {f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests}
        assert set(rules[rule].split()) == hashes
        assert len(hashes) > 1


@pytest.mark.parametrize("text", ["</script><script>", "<!--", "a\u2028b\u2029c", HOSTILE[:60]])
def test_text_does_not_leave_the_script_element_that_holds_it(text: str) -> None:
    written = json_in_html({text: [text]})
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == {text: [text]}


def test_who_has_no_script_reads_the_verdict_the_grid_and_the_stories() -> None:
    page = HtmlPage().text(RUNS["failed"])
    shown = html.unescape(re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    for part in ("Not passed", "homework:loss", "gradient", "FAILED gradient.analytic", "python"):
        assert part in shown
    assert "everything is off by the same factor 4" in shown


@pytest.mark.parametrize(
    ("name", "words"),
    [("passed", "Passed"), ("nothing", "Nothing was judged"), ("errored", "Not passed")],
)
def test_the_verdict_is_the_first_thing_that_is_said(name: str, words: str) -> None:
    assert f"</span>{words}</h1>" in HtmlPage().text(RUNS[name])


def test_what_is_declared_and_noted_is_in_the_page() -> None:
    run = run_of(
        record(FAILED, dialect={"empty_mean": "zero"}, deviation="it is off by one"), notes=("odd",)
    )
    page = HtmlPage().text(run)
    for part in ("empty_mean = zero", "it is off by one", '<p class="note">odd</p>'):
        assert part in page


def test_a_run_that_was_cut_off_says_so_and_has_not_passed() -> None:
    page = HtmlPage().text(replace(RUNS["passed"], truncated=True))
    assert "</span>Cut off</h1>" in page
    assert "The run was cut off before its end" in page
    assert "</span>Not passed</h1>" in HtmlPage().text(replace(RUNS["failed"], truncated=True))


def test_the_planted_errors_are_listed_with_the_clauses_that_convict_them() -> None:
    planted = (Planted("gradient negated", 2.0, "gradient.sign"), Planted("value NaN", math.inf))
    teeth = Teeth("homework:loss", "numpy", "cpu", "float64", planted)
    page = HtmlPage().text(replace(RUNS["passed"], teeth=(teeth,)))
    for part in ("1 of 2 planted errors caught", "<td>gradient negated</td>", "gradient.sign"):
        assert part in page
    assert "✗ none" in page


def test_the_parts_of_a_merged_report_have_rows_and_versions_of_their_own() -> None:
    page = HtmlPage().text(RUNS["merged"])
    for part in ("numpy · py311-numpy", "numpy · py311-lowest", "<h3>py311-lowest</h3>"):
        assert part in page
    assert "[numpy 2.0.0, cpu, float64]" in page
    assert "<dd>2.0.0 / 2.4.6</dd>" in page


def test_every_account_has_its_place_on_the_page() -> None:
    assert sorted(KINDS) == sorted(ACCOUNTS)


@pytest.mark.parametrize("name", RUNS)
def test_deciding_kinds_are_those_that_decide(name: str) -> None:
    run = RUNS[name]
    for each in run.outcomes:
        found = each.account(strict=run.strict)
        assert found in KINDS
        assert (found in DECIDING) == each.decides(strict=run.strict)


def test_an_outcome_comes_out_of_the_columns_as_it_went_in() -> None:
    verdict = replace(FAILED, error_map=large_map(), step_curve=CURVE)
    outcome = record(verdict, dtype="float32", snippet="assert False")
    outcome = replace(outcome, replay=f"replay '{outcome.id}' homework:loss")
    data = json.loads(json_in_html(encoded(run_of(*RUNS["passed"].outcomes, outcome))))
    strings, row = data["strings"], 2
    assert strings[data["columns"]["clause"][row]] == outcome.clause
    assert strings[data["columns"]["kind"][row]] == "failed"
    told = [strings[number] for number in data["story"][row]]
    story = dict(zip(told[::2], told[1::2], strict=True))
    assert story["at"] == "row 3, class 3:  got 0.1351   specified 0.03378"
    assert story["bound"] == str(BROKEN)
    assert story["snippet"] == "assert False"
    command = strings[data["replay"][row]].replace("\x00", outcome.id)
    assert command == outcome.replay
    assert data["margin"][row] == pytest.approx(BROKEN.margin, rel=1e-2)
    assert data["evidence"][str(row)]["curve"]["along"] == CURVE.along


def test_numbers_that_json_does_not_know_reach_the_page() -> None:
    data = encoded(RUNS["infinite"])
    assert data["margin"] == ["Infinity"]
    json_in_html(data)


def size(run: Any) -> int:
    return len(HtmlPage().text(run).encode())


def test_a_page_of_5000_outcomes_is_small() -> None:
    assert size(many(5_000)) < 2_000_000


def test_a_page_stays_small_where_every_outcome_failed_with_plots_and_a_long_traceback() -> None:
    failed = replace(FAILED, error_map=large_map(), step_curve=CURVE)
    errored = Errored("raises ValueError", "Traceback\n" * 1000)
    run = run_of(
        *(
            record(
                replace(errored, traceback=f"{i}{errored.traceback}") if i % 2 else failed,
                case=f"rows4-classes5-mean-{i}",
                output=f"{i} " * 500,
            )
            for i in range(5_000)
        )
    )
    assert size(run) < 3_000_000


def test_plots_are_kept_for_every_clause_before_they_are_kept_for_every_case() -> None:
    failed = Failed("wrong", error_map=large_map(), step_curve=CURVE)
    records = [record(failed, f"family.clause{i // 300}") for i in range(1_500)]
    kept = encoded(run_of(*records))["evidence"]
    assert {0, 300, 600, 900, 1200} <= set(kept)
    assert len(kept) < len(records)
