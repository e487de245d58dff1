"""The report's page in a real browser, opened from a file with the network refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser import SIZES
from tests.reports import make_report, make_row, stories

from tutelage.evaluation.exports import write_report
from tutelage.evaluation.marking import Mark
from tutelage.evaluation.results import Answered, Report
from tutelage.types import Prediction

pytestmark = pytest.mark.e2e


@dataclass
class Opened:
    """A page, and whatever it complained about or asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def report() -> tuple[Report, list[Answered]]:
    return stories(40)


@pytest.fixture(scope="module")
def path(report: tuple[Report, list[Answered]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(*report, tmp_path_factory.mktemp("reports"))["html"]


def opened(browser: Browser, path: Path, size: tuple[int, int] = SIZES[0], scheme: str = "light") -> Opened:
    dark = scheme == "dark"
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light", offline=True
    )
    found = Opened(context.new_page())
    found.page.on("console", lambda message: found.complaints.append(message.text))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.on("dialog", lambda dialog: found.complaints.append(f"dialog: {dialog.message}"))
    context.route(re.compile("^(?!file:|data:)"), lambda route: route.abort())
    found.page.goto(path.as_uri())
    return found


@pytest.fixture
def open_page(browser: Browser, path: Path) -> Iterator[Opened]:
    found = opened(browser, path)
    yield found
    found.page.context.close()
    assert found.complaints == []
    assert [url for url in found.requests if not url.startswith(("file:", "data:"))] == []


def shown(page: Page) -> int:
    """The number of examples that the filters leave."""
    text = page.locator("#count").inner_text()
    return int(text.split(" of ")[-1].split()[0])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_three_charts_are_drawn_and_nothing_overflows(
    browser: Browser, path: Path, size: tuple[int, int], scheme: str
) -> None:
    found = opened(browser, path, size, scheme)
    page = found.page
    for name, marks in (("cost", 4), ("time", 5), ("precision-recall", 5)):
        chart = page.locator(f"#chart-{name}")
        expect(chart.locator(".mark-symbol.role-mark path")).to_have_count(marks)
        expect(chart.locator(".mark-rule.role-mark line").first).to_be_attached()
        assert {"teacher-1.5b", "spacy-sm"} <= set(chart.locator(".mark-text.role-mark text").all_text_contents())
        box, frame = chart.locator("svg").bounding_box(), chart.bounding_box()
        assert box is not None and frame is not None
        assert box["height"] > 200 and box["width"] <= frame["width"] + 1
        for text in chart.locator(".role-legend-label text, .mark-text.role-mark text").all():
            inside = text.bounding_box()
            assert inside is not None and inside["x"] >= box["x"] - 1, "a text is cut"
            assert inside["x"] + inside["width"] <= box["x"] + box["width"] + 1, "a text is cut"
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    tops = page.locator("figure").evaluate_all("figures => figures.map(one => one.offsetTop)")
    assert len(set(tops)) == (1 if size[0] == 1280 else 3)
    assert found.complaints == [] and [url for url in found.requests if not url.startswith(("file:", "data:"))] == []
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_take_the_pages_colours(browser: Browser, path: Path, scheme: str) -> None:
    page = opened(browser, path, scheme=scheme).page
    label = page.locator("#chart-cost .role-axis-label text").first
    expect(label).to_be_attached()
    ink, paper = label.evaluate("one => [getComputedStyle(one).fill, getComputedStyle(document.body).backgroundColor]")
    assert contrast(ink, paper) >= 4.5
    marks = page.locator("#chart-time .mark-symbol.role-mark path")
    fills = {mark.evaluate("one => getComputedStyle(one).fill") for mark in marks.all()}
    assert len(fills) == 4
    assert all(contrast(fill, paper) >= 3 for fill in fills)
    assert page.locator("#chart-cost svg").evaluate("one => getComputedStyle(one).backgroundColor").endswith(", 0)")
    page.context.close()


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two CSS colours `rgb(r, g, b)`."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else math.pow((p + 0.055) / 1.055, 2.4) for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return high / low


@pytest.mark.parametrize("name", ["cost", "time", "precision-recall"])
def test_hovering_a_point_shows_its_figures(
    open_page: Opened, report: tuple[Report, list[Answered]], name: str
) -> None:
    row = next(row for row in report[0].candidates if row.name == "teacher-1.5b")
    point = open_page.page.locator(f"#chart-{name} .mark-symbol.role-mark path[aria-label*='teacher-1.5b']")
    point.hover(force=True)
    tooltip = open_page.page.locator("#vg-tooltip-element.visible")
    expect(tooltip).to_be_visible()
    text = tooltip.inner_text()
    score = row.scores["f1"]
    for figure in (
        "teacher-1.5b",
        "recorded model",
        f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})",
        "$0.43",
    ):
        assert figure in text
    assert f"{row.latency.p50:.4g} s" in text


def test_filters_and_search_change_the_list(open_page: Opened, report: tuple[Report, list[Answered]]) -> None:
    page, answered = open_page.page, report[1]
    names = [row.name for row in report[0].candidates]
    wrong = sum(any(score < 1 for score in one.scores.values()) for one in answered)
    assert shown(page) == wrong < 40
    page.select_option("#show", "all")
    assert shown(page) == 40
    page.select_option("#show", "all-wrong")
    assert shown(page) == sum(all(score < 1 for score in one.scores.values()) for one in answered)
    page.select_option("#show", "failed")
    assert shown(page) == sum(any(p.error for p in one.predictions.values()) for one in answered) > 0
    assert page.locator("article").first.locator(".error").first.inner_text().startswith("failed: ")
    page.select_option("#show", "disagree")
    assert 0 < shown(page) < 40
    page.select_option("#show", "wrong")
    page.select_option("#candidate", label="spacy-sm")
    assert shown(page) == sum(one.scores["spacy-sm"] < 1 for one in answered) < wrong
    assert page.locator("article").first.locator("dt").all_inner_texts() == ["gold", *names]
    page.select_option("#candidate", "")
    page.select_option("#show", "all")
    page.fill("#search", "CAPTAIN flint")
    assert shown(page) == sum("Captain Flint" in one.input["text"] for one in answered) > 0
    page.fill("#search", "no such word")
    assert shown(page) == 0 and page.locator("article").count() == 0
    page.locator("#search").press("Enter")
    assert page.url.endswith("report.html")


def test_right_wrong_and_missing_are_told_apart_by_more_than_colour(open_page: Opened) -> None:
    page = open_page.page
    assert page.locator(".chip.wrong").first.get_attribute("title") == "wrong"
    assert page.locator(".chip.missing").first.get_attribute("title") == "missing"
    borders = [
        page.locator(f".chip.{kind}").first.evaluate("one => getComputedStyle(one).borderTopStyle")
        for kind in ("right", "missing")
    ]
    assert borders == ["solid", "dashed"]
    decorations = page.locator(".chip.wrong").first.evaluate("one => getComputedStyle(one).textDecorationLine")
    assert "line-through" in decorations


def test_next_and_previous_by_keyboard_and_button(open_page: Opened) -> None:
    page = open_page.page
    page.select_option("#show", "all")
    page.locator("h1").click()
    count = page.locator("#count")
    expect(count).to_have_text("1 to 10 of 40 examples")
    expect(page.locator("#previous")).to_be_disabled()
    first = page.locator("article").first.inner_text()
    page.keyboard.press("n")
    expect(count).to_have_text("11 to 20 of 40 examples")
    page.keyboard.press("ArrowRight")
    expect(count).to_have_text("21 to 30 of 40 examples")
    page.locator("#next").click()
    expect(page.locator("#next")).to_be_disabled()
    page.keyboard.press("n")
    expect(count).to_have_text("31 to 40 of 40 examples")
    for _ in range(3):
        page.keyboard.press("p")
    assert page.locator("article").first.inner_text() == first
    # Letters typed into the search are letters.
    page.locator("#search").press_sequentially("pn")
    expect(count).not_to_have_text("11 to 20 of 40 examples")
    assert page.locator("#search").input_value() == "pn"


def test_columns_sort_and_the_unknown_stands_last(open_page: Opened) -> None:
    page = open_page.page
    head = page.locator("#table th", has_text="$ per 1,000")
    column = "rows => rows.map(row => row.cells[7].innerText)"
    rows = page.locator("#table tbody tr")
    head.get_by_role("button").click()
    assert rows.evaluate_all(column) == ["0.43", "0.0012", "0.0009", "0.0008", "unknown"]
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").press("Enter")
    assert rows.evaluate_all(column) == ["0.0008", "0.0009", "0.0012", "0.43", "unknown"]
    page.locator("#table th", has_text="candidate").get_by_role("button").click()
    names = rows.evaluate_all("rows => rows.map(row => row.cells[0].innerText)")
    assert all(one > other for one, other in pairwise(names))
    assert head.get_attribute("aria-sort") is None


def test_five_thousand_examples_filter_at_once(
    browser: Browser, report: tuple[Report, list[Answered]], tmp_path: Path
) -> None:
    many = [replace(report[1][at % 40], id=f"{at:032x}") for at in range(5000)]
    found = opened(browser, write_report(report[0], many, tmp_path)["html"])
    page = found.page
    page.select_option("#show", "all")
    assert shown(page) == 5000
    seconds = page.evaluate(
        """() => {
          const search = document.getElementById("search"), start = performance.now();
          search.value = "captain"; search.dispatchEvent(new Event("input")); document.body.offsetHeight;
          return (performance.now() - start) / 1000;
        }"""
    )
    assert 0 < shown(page) < 5000
    assert seconds < 0.5
    assert found.complaints == []
    page.context.close()


def test_hostile_texts_are_shown_and_do_nothing(browser: Browser, tmp_path: Path) -> None:
    hostile = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\u2028\u2029\'"&lt;'
    row = make_row(hostile)
    answer, failed = Prediction(hostile, 0.5, note=hostile), Prediction(None, error=hostile)
    answered = [
        Answered(hostile, {hostile: hostile}, "gold", {hostile: one}, {hostile: 0.0}, {hostile: marks})
        for one, marks in ((answer, [Mark(hostile, "wrong", hostile)]), (failed, []))
    ]
    found = opened(browser, write_report(make_report(row), answered, tmp_path)["html"])
    page = found.page
    expect(page.locator("#chart-cost .mark-symbol.role-mark path")).to_have_count(1)
    assert page.locator("article .text").first.evaluate("one => one.textContent") == hostile
    assert page.locator(".chip.wrong").first.evaluate("one => one.textContent") == hostile
    page.locator("#chart-cost .mark-symbol.role-mark path").hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    expect(tooltip).to_be_visible()
    assert "<img src=x" in tooltip.inner_text()
    assert page.locator("img").count() == 0 and page.locator("script").count() == 3
    assert found.complaints == []
    page.context.close()


def test_records_are_shown_field_by_field_and_texts_as_they_are(browser: Browser, tmp_path: Path) -> None:
    gold = {"vendor": "Acme", "tags": ["a", "b"], "note": None}
    answer = {"vendor": "Bo", "tags": ["b"], "note": None}
    marks = [Mark("Bo", "wrong", "vendor"), Mark("Acme", "missing", "vendor"), Mark("b", "right", "tags")]
    one = Answered("1", {"text": "t"}, gold, {"a": Prediction(answer)}, {"a": 0.5}, {"a": marks})
    report = replace(make_report(make_row("a")), output="record")
    found = opened(browser, write_report(report, [one], tmp_path / "record")["html"])
    cells = found.page.locator("article dd")
    assert cells.nth(0).locator(".field").all_inner_texts() == ["vendor\nAcme", "tags\nab"]
    assert cells.nth(1).locator(".field").all_inner_texts() == ["vendor\nBoAcme", "tags\nb"]
    assert cells.nth(1).locator(".missing").get_attribute("title") == "missing"
    text = Answered("1", {"text": "t"}, "A\ntitle", {"a": Prediction("a")}, {"a": 0.5}, {"a": [Mark("a", "text")]})
    path = write_report(replace(report, output="text"), [text], tmp_path / "text")["html"]
    plain = opened(browser, path)
    assert plain.page.locator("article dd .text").all_inner_texts() == ["A\ntitle", "a"]
    assert plain.page.locator("article .chip").count() == 0
    for page in (found, plain):
        page.page.context.close()
        assert page.complaints == []
