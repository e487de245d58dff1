"""The page of the break-even in a real browser: its arithmetic is Python's, and it asks nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.e2e.test_report_page import opened

from tutelage.evaluation.breakeven import Assumptions, Figure, break_even, cells, headline
from tutelage.evaluation.breakeven_files import write_break_even

pytestmark = pytest.mark.e2e

FIGURES = {
    "labels_dollars": 20.0,
    "review_hours": 2.0,
    "review_dollars_per_hour": 40.0,
    "training_hours": 0.5,
    "other_dollars": 1.0,
    "dollars_per_hour": 1.0,
    "occupancy": 0.5,
    "student_seconds": 0.0123,
    "student_dollars": 0.01,
    "teacher_dollars": 3.0,
    "cached_share": 0.6,
    "cached_share_measured": 0.4,
    "cached_saving": 2.0,
    "escalation": 0.1,
    "audit_share": 0.01,
}


def assumed(always_on: bool = False, **more: float) -> Assumptions:
    return Assumptions({name: Figure(value, "a test") for name, value in (FIGURES | more).items()}, always_on)


def test_the_page_reckons_as_python_does(browser: Browser, tmp_path: Path) -> None:
    requests = [100.0, 5000.0, 3_000_000.0]
    path = write_break_even("things", break_even(assumed(), requests), tmp_path)["breakeven.html"]
    found = opened(browser, path)

    def shown() -> list[list[str]]:
        rows = found.page.locator("#days tbody tr").all()
        return [row.locator("td").all_inner_texts() for row in rows]

    assert shown() == cells(break_even(assumed(), requests))
    for name, value in {"escalation": 0.35, "cached_share": 1.0, "review_hours": 7.5}.items():
        found.page.locator(f'input[type=number][data-name="{name}"]').fill(str(value))
    moved = break_even(assumed(escalation=0.35, cached_share=1.0, review_hours=7.5), requests)
    assert shown() == cells(moved)
    assert found.page.inner_text("#headline") == headline(moved)
    assert found.page.locator('input[type=range][data-name="escalation"]').input_value() == "0.35"
    found.page.check("#always_on")
    daily = break_even(assumed(True, escalation=0.35, cached_share=1.0, review_hours=7.5), requests)
    assert shown() == cells(daily) and found.page.inner_text("#headline") == headline(daily)
    found.page.click("#reset")
    assert shown() == cells(break_even(assumed(), requests))
    assert found.complaints == [] and [url for url in found.requests if not url.startswith("file:")] == []


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_nothing_is_wider_than_the_window(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_break_even("things", break_even(assumed()), tmp_path)["breakeven.html"]
    found = opened(browser, path, size)
    assert found.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert found.complaints == []
