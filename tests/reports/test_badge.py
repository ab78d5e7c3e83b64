"""Badges: what a run says in four words, for shields.io and as a picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from runs import RUNS

from gradcheck_suite.reports.badge import Badge

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("name", "message", "color"),
    [
        ("passed", "2 passed", "brightgreen"),
        ("failed", "2 failed", "red"),
        ("errored", "1 errored", "red"),
        ("inconclusive", "1 inconclusive", "orange"),
        ("known", "2 passed, 1 known", "brightgreen"),
        ("advice", "2 passed", "brightgreen"),
        ("declared", "2 passed", "brightgreen"),
        ("truncated", "truncated", "orange"),
        ("nothing", "no data", "lightgrey"),
        ("skips", "no data", "lightgrey"),
    ],
)
def test_a_badge_says_what_a_run_came_to(
    name: str, message: str, color: str, tmp_path: Path
) -> None:
    path = tmp_path / "conformance.badge.json"
    RUNS[name].write(path)
    assert json.loads(path.read_text("utf-8")) == {
        "schemaVersion": 1,
        "label": "conformance",
        "message": message,
        "color": color,
    }


@pytest.mark.parametrize("name", RUNS)
def test_the_picture_can_be_read_aloud(name: str, tmp_path: Path) -> None:
    RUNS[name].write(tmp_path / "conformance.svg")
    root = ElementTree.parse(tmp_path / "conformance.svg").getroot()
    badge = Badge.of(RUNS[name])
    said = f"conformance: {badge.message}"
    assert (root.tag, root.get("role"), root.get("aria-label")) == (f"{SVG}svg", "img", said)
    assert root.findtext(f"{SVG}title") == said
    shown = [t.text for t in root.iter(f"{SVG}text") if t.get("aria-hidden") is None]
    assert shown == ["conformance", badge.message]


def test_both_halves_fit_side_by_side(tmp_path: Path) -> None:
    RUNS["failed"].write(tmp_path / "conformance.svg")
    root = ElementTree.parse(tmp_path / "conformance.svg").getroot()
    rects = [r for r in root.iter(f"{SVG}rect") if r.get("fill") in ("#555", "#e05d44")]
    left, right = rects
    assert int(left.get("width", 0)) == int(right.get("x", 0))
    assert int(left.get("width", 0)) + int(right.get("width", 0)) == int(root.get("width", 0))
    for text, rect in zip(list(root.iter(f"{SVG}text"))[1::2], rects, strict=True):
        assert int(text.get("textLength", 0)) < int(rect.get("width", 0))


def test_a_label_of_others_is_text() -> None:
    badge = Badge("<script>&\"'\x1b\n", "1 passed", "brightgreen")
    root = ElementTree.fromstring(badge.svg())
    assert root.findtext(f"{SVG}title") == "<script>&\"'\\x1b: 1 passed"
    assert json.loads(badge.endpoint())["label"] == badge.label
