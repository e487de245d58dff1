"""The arithmetic of the break-even."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import UsageError
from tutelage.evaluation.breakeven import (
    Assumptions,
    Figure,
    break_even,
    breakeven_section,
    csv_text,
    headline,
    per_1000,
    unknown,
)
from tutelage.evaluation.breakeven_files import page, terminal_text

BASE = {
    "labels_dollars": 20.0,
    "review_hours": 2.0,
    "review_dollars_per_hour": 40.0,
    "training_hours": 0.5,
    "dollars_per_hour": 1.0,
    "occupancy": 0.5,
    "student_seconds": 0.01,
    "teacher_dollars": 3.0,
    "escalation": 0.1,
}


def assumed(always_on: bool = False, **more: float) -> Assumptions:
    return Assumptions({name: Figure(value, "a test") for name, value in (BASE | more).items()}, always_on)


def test_the_sums() -> None:
    found = break_even(assumed(audit_share=0.2, other_dollars=5), [1000])
    assert found.once == {"labels": 20, "review": 80, "training": 0.5, "other": 5}
    student = 1000 * 0.01 / 3600 / 0.5
    system = student + (0.1 + 0.9 * 0.2) * 3
    assert found.teacher == 3 and found.system == pytest.approx(system)
    [day] = found.days
    assert day.saved == pytest.approx(3 - system) and day.until_paid == pytest.approx(105.5 / (3 - system) * 1000)
    assert headline(found) == f"It pays after {math.ceil(day.until_paid):,} requests."


def test_more_cached_tokens_make_the_teacher_cheaper() -> None:
    cached = assumed(cached_share=0.9, cached_share_measured=0.4, cached_saving=2)
    assert per_1000(cached)[0] == pytest.approx(3 - 0.5 * 2)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 10))
def test_more_escalation_and_audit_never_cost_less(escalation: float, audit: float, teacher: float) -> None:
    least = per_1000(assumed(escalation=0, audit_share=0, teacher_dollars=teacher))[1]
    most = per_1000(assumed(escalation=1, audit_share=1, teacher_dollars=teacher))[1]
    found = per_1000(assumed(escalation=escalation, audit_share=audit, teacher_dollars=teacher))[1]
    assert least - 1e-9 <= found <= most + 1e-9


def test_a_machine_paid_by_the_day() -> None:
    few, many, crowd = break_even(assumed(always_on=True), [1000, 100_000, 20_000_000]).days
    assert (few.machines, many.machines, crowd.machines) == (1, 1, math.ceil(20_000_000 * 0.01 / 86400 / 0.5))
    assert few.system == pytest.approx(24 + 0.3) and few.days == math.inf
    assert many.days == pytest.approx(100.5 / (300 - 24 - 30))
    assert break_even(assumed(always_on=True), [10]).json()["days"][0]["days_until_paid"] is None


def test_what_never_pays_says_so() -> None:
    found = break_even(assumed(escalation=1), [1000])
    assert headline(found).startswith("It never pays: 1,000 requests cost $3.006 with it and $3 with the teacher.")
    assert next(csv.DictReader(io.StringIO(csv_text(found))))["days_until_paid"] == ""
    assert "never" in terminal_text(found)


def test_the_interval_of_the_escalation_is_that_of_the_requests() -> None:
    figures = dict(assumed().figures) | {"escalation": Figure(0.1, "certificate", 0.05, 0.2)}
    found = break_even(Assumptions(figures), [1000])
    day = found.json()["days"][0]
    assert day["requests_until_paid_low"] < day["requests_until_paid"] < day["requests_until_paid_high"]
    assert "by the interval of the escalation" in headline(found)


def test_nothing_paid_and_nothing_saved_is_paid_at_once() -> None:
    free = assumed(labels_dollars=0, review_hours=0, training_hours=0, student_seconds=0, escalation=1)
    assert break_even(free, [10]).days[0].days == 0


def test_only_what_decides_is_asked_for() -> None:
    figures = {
        name: Figure(0.0, "") for name in ("labels_dollars", "review_hours", "training_hours", "student_seconds")
    }
    assert unknown(Assumptions(figures)) == ["teacher_dollars", "escalation"]
    assert unknown(Assumptions(figures, always_on=True)) == [
        "dollars_per_hour",
        "occupancy",
        "teacher_dollars",
        "escalation",
    ]
    with pytest.raises(UsageError, match=r"Not known, and not guessed: --teacher-dollars .*; --escalation"):
        break_even(Assumptions(figures))


def test_a_section_of_the_report() -> None:
    section = breakeven_section(assumed(), [1000, 5000])
    assert len(section.rows) == 2 and all(len(row) == len(section.columns) for row in section.rows)
    assert section.notes[0].startswith("It pays after") and any("(a test)" in note for note in section.notes)


def test_the_page_names_every_figure_and_escapes() -> None:
    text = page("<b>", break_even(assumed(), [1000]))
    assert "<b>:" not in text and "&lt;b&gt;" in text
    assert text.count('type="range"') == text.count('type="number"') == 15
