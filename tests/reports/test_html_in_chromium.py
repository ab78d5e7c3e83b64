"""The page in a browser: filters, addresses, keyboard, plots, small screens, hostile text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from runs import FAILED, HOSTILE, RUNS, SKIPPED, many, record, run_of

from gradcheck_suite.outcome import ErrorMap, Failed, Record, Run, StepCurve
from gradcheck_suite.reports.evidence import visible
from gradcheck_suite.reports.html_page import HtmlPage

Open = Callable[..., Any]
ALL_OPEN = "for (const each of document.querySelectorAll('#list details')) each.open = true"

MAP = ErrorMap(
    (4, 5),
    (1, 1),
    tuple(tuple((-1.0) ** (i + j) * 10.0 ** -(i + j) for j in range(5)) for i in range(4)),
    tuple(tuple(0.5 if i == j else 1e6 for j in range(5)) for i in range(4)),
)
LARGE = ErrorMap((1600, 32), (100, 1), ((0.25,) * 32,) * 16, ((30.0,) * 32,) * 16)
STEPS = tuple(2.0**-k for k in range(18, 3, -1))
CURVE = StepCurve(
    "row 3, class 3",
    STEPS,
    (0.1,) * 15,
    tuple(max(h**4, 1e-15 / h) for h in STEPS),
    2.0**-10,
    1e-12,
    1e-12,
    4,
)
PLOTTED = replace(FAILED, error_map=MAP, step_curve=CURVE)
LONG_WORD = "rows4-classes5-mean-" + "ignored1-" * 12


def several() -> Run:
    """Three implementations on three backends, some of whose outcomes are bad."""
    found: list[Record] = []
    for name, backend in (("homework:loss", "numpy"), ("fused_ce", "torch"), ("optax", "jax")):
        here = {"implementation": name, "backend": backend}
        found += [replace(each, **here) for each in RUNS["declared"].outcomes]
        found += [
            record(SKIPPED, "smoothing.value", **here),
            record(FAILED, "stability.range", level="SHOULD", **here),
            record(FAILED, "stability.saturated", deviation="known", **here),
        ]
    found[3:3] = [
        record(PLOTTED, case=f"case{i}", dtype=("float64", "float32")[i % 2]) for i in range(12)
    ]
    found.append(
        record(
            Failed("wrong", error_map=LARGE),
            "layout.sizes",
            case=LONG_WORD,
            implementation="fused_ce",
            backend="torch",
            dialect={"a" * 40: "b" * 80},
            output="printed " * 40,
        )
    )
    return Run(
        tuple(found), RUNS["failed"].provenance, notes=("optax: no longer seen: " + "x" * 200,)
    )


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What the console says and the network is asked for: nothing, when the test is over."""
    found: list[str] = []
    yield found
    assert not found


@pytest.fixture
def opened(chromium: Any, tmp_path: Path, complaints: list[str]) -> Iterator[Open]:
    """Opens a page; whatever its console says, or it asks the network for, is a complaint."""
    contexts: list[Any] = []

    def open_page(run: Run, fragment: str = "", *, width: int = 1280, **options: Any) -> Any:
        path = tmp_path / "report.html"
        HtmlPage().write(run, path)
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda request: requested(request.url))
        page.goto(path.as_uri() + fragment)
        return page

    def requested(url: str) -> None:
        if not url.startswith("file:///") or "report.html" not in url:
            complaints.append(f"asked for {url}")

    yield open_page
    for context in contexts:
        context.close()


def lines(page: Any) -> list[str]:
    """What the outcomes that are shown say in a line."""
    found: list[str] = page.locator("#list summary").all_inner_texts()
    return [" ".join(each.split()) for each in found]


def found(page: Any) -> str:
    return str(page.locator("#found").inner_text())


def until(page: Any, expression: str) -> None:
    """Waits; ``wait_for_function`` would, but the page's policy lets nobody evaluate strings."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came true: {expression}")


def open_all(page: Any) -> None:
    """Opens every outcome that is listed, and waits for the stories."""
    page.evaluate(ALL_OPEN)
    number = page.locator("#list details").count()
    until(page, f"document.querySelectorAll('.told').length === {number}")


def test_what_stands_in_the_way_is_shown_first_with_its_story(opened: Open) -> None:
    page = opened(several())
    assert page.locator("h1").inner_text().endswith("Not passed")
    assert "13 of 31 outcomes" in found(page)
    story = page.locator("details[open] .facts")
    assert story.count() == 1
    text = story.inner_text()
    for part in (
        "everything is off by the same factor 4",
        "specified 0.03378",
        "1.9e-16",
        "seed 17",
    ):
        assert part in text
    assert page.evaluate("location.hash") == ""


def test_every_implementation_is_in_the_overview(opened: Open) -> None:
    page = opened(several())
    rows = page.locator(".grid tbody th").all_inner_texts()
    assert rows == ["homework:loss numpy", "fused_ce torch", "optax jax"]


def test_a_cell_of_the_overview_leads_to_its_outcomes(opened: Open) -> None:
    page = opened(several())
    page.locator(".grid tr", has_text="fused_ce").locator("[data-family=stability]").click()
    assert "1 of 31 outcomes" in found(page)
    (line,) = lines(page)
    assert "fused_ce torch" in line
    assert page.locator("select[name=family]").input_value() == "stability"
    page.go_back()
    until(page, "document.querySelector('#found').innerText.startsWith('13 of')")


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("backend", "torch", 1),
        ("dtype", "float32", 6),
        ("family", "layout", 1),
        ("clause", "gradient.analytic", 12),
        ("implementation", "homework:loss", 12),
    ],
)
def test_a_filter_shows_its_outcomes_and_stands_in_the_address(
    opened: Open, name: str, value: str, number: int
) -> None:
    page = opened(several())
    page.select_option(f"select[name={name}]", value)
    assert f"{number} of 31 outcomes" in found(page)
    assert page.evaluate("location.hash") == f"#{name}={quote(value, safe='')}"
    page.reload()
    assert f"{number} of 31 outcomes" in found(page)
    assert page.locator(f"select[name={name}]").input_value() == value
    page.get_by_role("button", name="Clear").click()
    assert "13 of 31 outcomes" in found(page)


def test_the_parts_of_a_merged_report_are_told_apart(opened: Open) -> None:
    page = opened(RUNS["merged"], "#status=all")
    page.select_option("select[name=part]", "py311-lowest")
    assert "1 of 2 outcomes" in found(page)
    assert "py311-lowest" in lines(page)[0]


def test_statuses_and_words_are_filters_too(opened: Open) -> None:
    page = opened(several())
    page.locator("label.toggle", has_text="passed").click()
    assert "19 of 31 outcomes" in found(page)
    assert "status=failed,passed" in page.evaluate("location.hash")
    page.fill("input[name=q]", "FACTOR case1")
    assert "3 of 31 outcomes" in found(page)  # case1, case10, case11
    page.fill("input[name=q]", "nowhere")
    assert "No outcome matches" in found(page)


def test_an_address_opens_its_outcome_whatever_else_is_chosen(opened: Open) -> None:
    name = quote("gradient.analytic/case11@float32 homework:loss numpy cpu")
    page = opened(several(), f"#status=passed&outcome={name}")
    line = page.locator("details[open]")
    assert "case11" in line.locator("summary").inner_text()
    assert page.evaluate(
        "document.activeElement === document.querySelector('details[open] summary')"
    )
    assert line.evaluate("e => e.getBoundingClientRect().top") < 900
    page.evaluate("name => { location.hash = `outcome=layout.sizes/${name}@float64`; }", LONG_WORD)
    until(page, "document.querySelector('details[open] .case').innerText.includes('ignored')")


def test_an_address_of_nothing_says_so(opened: Open) -> None:
    page = opened(several(), "#outcome=gradient.analytic/gone@float64")
    assert "is not in this report" in found(page)


def test_opening_an_outcome_puts_it_into_the_address(opened: Open) -> None:
    page = opened(several())
    page.locator("summary", has_text="case2").click()
    until(page, "location.hash.includes('case2')")
    page.locator("summary", has_text="case2").click()
    until(page, "!location.hash.includes('case2')")


def test_everything_is_reached_by_keyboard(opened: Open) -> None:
    page = opened(several())
    focused = "document.activeElement"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.name") == "status"
    for _ in range(40):
        page.keyboard.press("Tab")
        if "case1" in page.evaluate(f"{focused}.innerText ?? ''"):
            break
    assert page.evaluate(f"{focused}.tagName") == "SUMMARY"
    assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.parentElement.open")


def test_going_to_a_section_keeps_what_is_chosen(opened: Open) -> None:
    page = opened(several(), "#backend=torch")
    page.get_by_role("link", name="Provenance").click()
    until(page, "document.activeElement.id === 'provenance'")
    assert page.evaluate("location.hash") == "#backend=torch"


def test_more_is_shown_when_it_is_asked_for(opened: Open) -> None:
    page = opened(several())
    assert len([line for line in lines(page) if " case" in line]) == 5
    page.get_by_role("button", name="Show 7 more of 12").click()
    assert len([line for line in lines(page) if " case" in line]) == 12
    assert "case5" in page.evaluate("document.activeElement.innerText")


def test_the_replay_command_is_copied(opened: Open) -> None:
    page = opened(several(), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").first.click()
    page.get_by_role("button", name="Copied").wait_for()
    shown = page.locator(".command code").first.inner_text()
    assert page.evaluate("navigator.clipboard.readText()") == shown
    assert shown.startswith("gradcheck-suite replay")


def painted(page: Any, selector: str) -> int:
    """Pixels of a canvas that are not empty."""
    page.locator(selector).first.scroll_into_view_if_needed()
    page.wait_for_selector(f"{selector} canvas")
    return int(
        page.evaluate(
            """selector => {
                const plot = document.querySelector(selector + " canvas");
                const copy = new OffscreenCanvas(plot.width, plot.height).getContext("2d");
                copy.drawImage(plot, 0, 0);
                const area = copy.getImageData(0, 0, plot.width, plot.height);
                return area.data.filter((value, at) => at % 4 === 3 && value > 0).length;
            }""",
            selector,
        )
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_failure_has_its_plots(opened: Open, scheme: str) -> None:
    page = opened(several(), color_scheme=scheme)
    assert painted(page, "details[open] .plot") > 1000
    assert painted(page, "#margin-plot .strip") > 1000
    cells = page.locator("details[open] .map i")
    assert cells.count() == 20
    assert cells.nth(1).get_attribute("title") == "row 0, class 1: error −0.1, 10⁶ × the bound"
    assert cells.nth(0).get_attribute("class") == "held"
    page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    assert painted(page, "details[open] .plot") > 1000


def test_a_point_of_the_margins_leads_to_its_outcome(opened: Open) -> None:
    page = opened(run_of(record(FAILED), *RUNS["passed"].outcomes[1:]))
    page.locator("#margin-plot").scroll_into_view_if_needed()
    strip = page.locator("#margin-plot .u-over")
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    right = box["width"] * 8.2 / 8.41  # 10⁴ of 10⁻⁴ˑ² … 10⁴ˑ²
    for y in range(2, 20, 2):
        page.mouse.click(box["x"] + right, box["y"] + y)
        if "outcome=" in page.evaluate("location.hash"):
            break
    assert "gradient.analytic" in page.evaluate("location.hash")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_nothing_makes_the_page_wider_than_the_screen(
    opened: Open, width: int, scripts: bool
) -> None:
    page = opened(several(), width=width, java_script_enabled=scripts)
    if scripts:
        page.evaluate(
            "document.querySelectorAll('#list details').forEach(each => each.open = true)"
        )
        page.wait_for_selector(".told >> nth=5")
        wide = page.evaluate(
            """() => [...document.querySelectorAll("body *")]
                .filter(each => !each.closest(".scroll, .off, .skip, .labels, .u-wrap"))
                .filter(each => each.getBoundingClientRect().right > innerWidth + 0.5
                    || (each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display
                        !== "inline" && each.clientWidth > 1))
                .map(each => each.tagName + "." + each.className).slice(0, 5)"""
        )
        assert wide == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
    else:
        for story in page.locator("article").all():
            box = story.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


CONTRAST = """() => {
    const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const pixel = (...colours) => {
        context.clearRect(0, 0, 1, 1);
        for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = rgb => rgb.map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const found = new Map();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());) {
        const element = node.parentElement;
        const unseen = element.closest("script, noscript, .off, .skip, option");
        if (unseen || !node.data.trim() || !element.checkVisibility()) continue;
        const behind = [];
        for (let each = element; each; each = each.parentElement) {
            behind.unshift(getComputedStyle(each).backgroundColor);
        }
        const ground = pixel("#fff", ...behind);
        const text = pixel(`rgb(${ground.join(" ")})`, getComputedStyle(element).color);
        const [low, high] = [luminance(ground), luminance(text)].sort((a, b) => a - b);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < 4.5) found.set(`${element.tagName}.${element.className}`, ratio.toFixed(2));
    }
    return [...found];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(opened: Open, scheme: str) -> None:
    """WCAG 2.1, 1.4.3 (AA): 4.5 to 1."""
    page = opened(several(), "#status=all", color_scheme=scheme)
    open_all(page)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(24, 23, 21)") == (scheme == "dark")
    assert page.evaluate(CONTRAST) == []


def test_hostile_text_is_shown_and_never_run(opened: Open) -> None:
    page = opened(RUNS["hostile"], "#status=all")
    open_all(page)
    assert page.locator("body script:not([src])").count() == 9  # ours and the data
    told = page.locator(".facts").first.inner_text()
    assert " ".join(visible(HOSTILE).split()) in " ".join(told.split())
    page.locator(".cell").first.click()
    until(page, "location.hash.includes('alert')")
    assert found(page).endswith("of 5 outcomes")
    assert lines(page)


def test_what_is_not_ours_is_not_run_even_if_it_gets_into_the_page(
    opened: Open, complaints: list[str]
) -> None:
    page = opened(RUNS["passed"])
    page.evaluate(
        """() => {
            const script = Object.assign(document.createElement("script"), {text: "hacked = 1"});
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", "<p id=x onclick='hacked = 1'>x</p>");
        }"""
    )
    page.locator("#x").click()
    assert page.evaluate("typeof hacked") == "undefined"
    assert all("Content Security Policy" in each for each in complaints)
    assert len(complaints) == 2
    complaints.clear()


@pytest.mark.parametrize("name", RUNS)
def test_every_run_has_a_page(opened: Open, name: str) -> None:
    page = opened(RUNS[name], "#status=all")
    assert f"{len(RUNS[name].outcomes)}" in found(page)


def test_without_scripts_there_are_the_verdict_the_table_and_the_stories(opened: Open) -> None:
    page = opened(several(), java_script_enabled=False)
    assert "Not passed" in page.locator("h1").inner_text()
    assert page.locator(".grid tbody tr").count() == 3
    stories = page.locator("article").all_inner_texts()
    assert len(stories) == 13
    assert "everything is off by the same factor 4" in stories[0]
    assert not page.locator("#filters").is_visible()


def test_a_printed_page_has_no_controls(opened: Open) -> None:
    page = opened(several())
    page.emulate_media(media="print")
    assert not page.locator("#filters").is_visible()
    assert not page.locator("button").first.is_visible()
    assert page.locator("details[open] .facts").is_visible()


def test_a_long_report_shows_a_part_and_answers_at_once(opened: Open) -> None:
    page = opened(many(20_000), "#status=all")
    assert "20,000 of 20,000 outcomes" in found(page)
    assert page.locator("*").count() < 5_000
    page.fill("input[name=q]", "mean-19999")
    assert "1 of 20,000 outcomes" in found(page)
