"""The page is one file that fetches nothing, and what people wrote cannot become markup or script."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.reports import make_report, make_row, stories

from tutelage.evaluation.page import html_page
from tutelage.evaluation.results import Answered, Report
from tutelage.types import Prediction

HOSTILE = [
    "</script><script>alert(1)</script>",
    "</SCRIPT ><!-- <script>",
    "<!--<script>",
    '<img src=x onerror="alert(1)">',
    "\"'><svg onload=alert(1)>",
    "a\u2028b\u2029c",
    "]]>&amp;&lt;\\u003c\\",
    "\x00\x1b[31m",
]


class Elements(HTMLParser):
    """Elements with their attributes, and the text of scripts, as a browser would tell them apart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1] += data

    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts[0])
        return found


def hostile(text: str) -> tuple[Report, list[Answered]]:
    row = make_row(text)
    prediction = Prediction(text, 0.5, error=None, note=text)
    failed = Prediction(None, error=text)
    answered = [Answered(text, {text: text}, text, {text: one}, {text: 0.0}) for one in (prediction, failed)]
    return make_report(row, skipped={text: text}), answered


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(text: str) -> None:
    plain = [tag for tag, _ in Elements(html_page(*hostile("plain"))).elements]
    found = Elements(html_page(*hostile(text)))
    assert [tag for tag, _ in found.elements] == plain
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    example = found.data()["examples"][0]
    assert example["input"] == {text: text} and example["gold"] == [[text, "gold", ""]]
    assert example["answers"][0]["value"] == text and example["answers"][0]["note"] == text
    assert found.data()["examples"][1]["answers"][0]["error"] == text
    assert found.data()["names"] == [text]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_script_is_ended_or_left_open(text: str) -> None:
    page = html_page(*hostile(text)).lower()
    assert page.count("<script") == page.count("</script") == 3
    assert "<!--" not in page
    assert "\u2028" not in Elements(html_page(*hostile(text))).scripts[0]


def test_nothing_is_fetched() -> None:
    found = Elements(html_page(*stories(6)))
    fetching = {"src", "href", "srcset", "data", "action", "poster", "background"}
    assert [a for _, a in found.elements if fetching & set(a)] == []
    assert "link" not in [tag for tag, _ in found.elements]
    policy = next(a["content"] for _, a in found.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'") and "http" not in policy
    assert "base-uri 'none'" in policy and "form-action 'none'" in policy  # default-src does not cover these


def test_the_page_holds_every_figure_and_answer() -> None:
    report, answered = stories(6)
    page = html_page(report, answered)
    for row in report.candidates:
        assert f">{row.name}<" in page
        for score in row.scores.values():
            assert f"{score.value:.3f}" in page
        assert row.cost_basis in page
    assert "trained on 6 teacher labels" in page and "840 input and 120 output tokens" in page
    assert "Not in the cost chart, cost unknown: small-llm." in page and ">unknown<" in page
    assert "big: not evaluated." in page
    data = Elements(page).data()
    assert len(data["examples"]) == 6 and set(data["charts"]) == {"cost", "time", "precision-recall"}
    assert [len(example["answers"]) for example in data["examples"]] == [5] * 6


def test_a_report_without_candidates_is_a_page() -> None:
    found = Elements(html_page(make_report(), []))
    assert found.data() == {"charts": {}, "names": [], "examples": []}


def test_unknown_times_are_said() -> None:
    page = html_page(make_report(make_row("a", seconds=0.0, dollars=None)), [])
    assert page.count(">unknown<") == 4


def test_seconds_above_one_are_seconds() -> None:
    assert ">2.5 s<" in html_page(make_report(make_row("a", seconds=2.5)), [])
