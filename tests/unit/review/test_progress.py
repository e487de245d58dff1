from __future__ import annotations

import pytest

from tutelage.review.outcome import answer_key, outcome
from tutelage.review.progress import Counter, Tally, wilson
from tutelage.store import Decision
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask

TASK = LabelTask("mood", ("text",), "Which mood?", labels=("happy", "sad"))
TEACHER = "teacher:m@1"


def decision(id: str, example: str, verdict: str = "accept", **more: object) -> Decision:
    facts = {"annotator": "ann", "suggestion": "sad", "suggested_by": TEACHER, "value": "sad"} | more
    return Decision(id=id, example_id=example, verdict=verdict, **facts)  # type: ignore[arg-type]


def test_what_a_decision_says() -> None:
    said = [
        decision("1", "a"),
        decision("2", "a", "edit", value="Sad"),
        decision("3", "a", "edit", value="happy"),
        decision("4", "a", "reject", value=None),
        decision("5", "a", "skip", value=None),
        decision("6", "a", "edit", suggestion=None),
    ]
    assert [outcome(TASK, one) for one in said] == [
        "unchanged",
        "unchanged",
        "adjusted",
        "rejected",
        "skipped",
        "given",
    ]


def test_the_order_of_strings_is_no_change() -> None:
    task = StringsTask("names", ("text",), "Who?")
    assert answer_key(task, ["Ann", "Bob"]) == answer_key(task, ["Bob ", "Ann"])
    assert answer_key(task, ["Ann"]) != answer_key(task, ["Bob"])


def test_counted_as_they_come_and_as_they_stand() -> None:
    counter = Counter(TASK, {"a", "b", "c", "d"})
    counter.extend(
        [
            decision("1", "a", tags=("typo",)),
            decision("2", "a", "edit", value="happy", tags=("wrong", "typo")),
            decision("3", "b", "reject", annotator="bob", suggested_by="teacher:m@2"),
            decision("4", "c", "skip"),
            decision("5", "elsewhere"),
            decision("6", "d"),
        ]
    )
    found = counter.progress()
    assert (found.total, found.decided) == (4, 3)
    assert found.all == Tally(unchanged=1, adjusted=1, rejected=1, skipped=1)
    assert found.by_source == {TEACHER: Tally(1, 1, 0, 1), "teacher:m@2": Tally(rejected=1)}
    assert found.by_annotator == {"ann": Tally(1, 1, 0, 1), "bob": Tally(rejected=1)}
    assert found.tags == {"wrong": 1, "typo": 1}

    counter.add(decision("7", "a", "undo", undoes="2"))  # what stood before stands again
    counter.add(decision("8", "d", "undo", undoes="6"))
    found = counter.progress()
    assert (found.decided, found.tags) == (2, {"typo": 1})
    assert found.all == Tally(unchanged=1, rejected=1, skipped=1)


def test_the_pace_leaves_pauses_out() -> None:
    counter = Counter(TASK, total=10)
    times = ["10:00:00", "10:00:10", "10:00:30", "12:00:00", "12:00:30"]
    for number, time in enumerate(times):
        counter.add(decision(str(number), str(number), created=f"2026-11-21T{time}+00:00"))
    assert counter.progress().pace == pytest.approx(3600 * 3 / 60)
    assert Counter(TASK).progress().pace is None


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20
    found, none = wilson(81, 263), wilson(0, 20)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert (none.low, round(none.high, 4)) == (0.0, 0.1611)


def test_facts_are_json() -> None:
    facts = Counter(TASK, total=3).progress().facts()
    assert facts["all"]["shares"] == {}  # type: ignore[index]
    counter = Counter(TASK, total=3)
    counter.add(decision("1", "a"))
    shares = counter.progress().facts()["all"]["shares"]  # type: ignore[index]
    assert shares["unchanged"]["value"] == 1 and shares["skipped"]["value"] == 0
