"""What is said of labels becomes decisions and labels, or is refused with a reason and stores nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.reviews import TEACHER, a_review, say, word

from tutelage.errors import AnswerError, DataError, StaleDecision
from tutelage.project import Project
from tutelage.review.deciding import Unusual
from tutelage.review.desk import Desk
from tutelage.store import in_force
from tutelage.types import Label, Value

STRINGS = 'output = "strings"\ngrounded = true\n'
RECORD = """output = "record"
[schema]
required = ["total"]
[schema.properties]
total = {type = "number"}
currency = {type = "string", enum = ["EUR", "USD"]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return a_review(tmp_path)


@pytest.fixture
def desk(project: Project) -> Desk:
    return Desk(project, "train")


def holds(project: Project, id: str) -> Value | None:
    found = in_force(project.store.labels.of([id])[id])
    return found.value if found else None


def given(project: Project, id: str) -> list[tuple[str, str, Any]]:
    return [(one.source, one.status, one.value) for one in project.store.labels.of([id])[id]]


def test_accepting_editing_and_rejecting_become_labels_of_the_person(project: Project, desk: Desk) -> None:
    one = say(desk, "e0", "d0", "ann")
    assert (one.verdict, one.value, one.suggestion, one.suggested_by, one.confidence) == (
        "accept",
        "money",
        "money",
        TEACHER,
        0.9,
    )
    assert say(desk, "e1", "d1", "ann", "edit", "WEATHER").value == "weather"
    assert say(desk, "e2", "d2", "ann", "reject").value is None
    say(desk, "e3", "d3", "ann", "skip")
    assert [holds(project, id) for id in ("e0", "e1", "e2", "e3")] == ["money", "weather", None, "money"]
    assert given(project, "e1")[1:] == [("human:ann", "given", "weather")]
    assert given(project, "e2")[1:] == [("human:ann", "rejected", "money")]
    assert [one.id for one in project.store.decisions.read()] == ["d0", "d1", "d2", "d3"]


def test_an_edit_that_changes_nothing_accepts(desk: Desk) -> None:
    assert say(desk, "e0", "d0", "ann", "edit", " Money ").verdict == "accept"


def test_a_word_that_is_sent_twice_is_one(project: Project, desk: Desk) -> None:
    sent = word(desk, "e0", "d0", "ann", "edit", "sport")
    first = desk.decide("e0", sent)
    assert desk.decide("e0", sent) == first
    assert len(list(project.store.decisions.read())) == 1 and len(given(project, "e0")) == 2


@pytest.mark.parametrize(
    ("verdict", "value", "changes", "reason"),
    [
        ("edit", "moneyy", {}, "'moneyy' is not a label of task 'topics'. Labels: money, weather, sport"),
        ("edit", "", {}, "is not a label"),
        ("accept", "sport", {}, "not the suggested one"),
        ("praise", None, {}, "cannot be said of a label"),
        ("undo", None, {}, "cannot be said of a label"),
        ("accept", None, {"tags": ("wrong", "odd")}, r"'odd' is not among \[review\] tags"),
        ("accept", None, {"note": "x" * 2001}, "2001 characters, 2000 are allowed"),
        ("accept", None, {"id": ""}, "no number of its own"),
    ],
)
def test_what_cannot_be_said_is_refused_and_stores_nothing(
    project: Project, desk: Desk, verdict: str, value: object, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises((DataError, AnswerError), match=reason):
        desk.decide("e0", replace(word(desk, "e0", "d0", "ann", verdict, value), **changes))
    assert list(project.store.decisions.read()) == [] and len(given(project, "e0")) == 1


def test_a_stale_page_is_refused(project: Project, desk: Desk) -> None:
    old = word(desk, "e0", "d1", "ann", "edit", "sport")
    say(desk, "e0", "d0", "ann")
    with pytest.raises(StaleDecision, match="decided elsewhere"):
        desk.decide("e0", old)
    other = word(desk, "e1", "d2", "ann", "accept")
    project.store.labels.add([Label("e1", "weather", "teacher:m@2")])
    with pytest.raises(StaleDecision, match="Another answer is suggested"):
        desk.decide("e1", other)
    assert [one.id for one in project.store.decisions.read()] == ["d0"]


def test_strings_that_are_not_in_the_text_are_refused(tmp_path: Path) -> None:
    desk = Desk(a_review(tmp_path, STRINGS, [["Captain Flint", "Bob"]]), "train")
    with pytest.raises(AnswerError, match='not in the text: \\["Bob"\\]'):
        say(desk, "e0", "d0", "ann", "accept")
    with pytest.raises(AnswerError, match="not in the text"):
        say(desk, "e0", "d0", "ann", "edit", ["Capt"])
    assert say(desk, "e0", "d0", "ann", "edit", ["Captain Flint", "captain  flint", "Ann"]).value == [
        "Captain Flint",
        "Ann",
    ]


def test_fields_that_do_not_fit_the_schema_are_refused(tmp_path: Path) -> None:
    desk = Desk(a_review(tmp_path, RECORD, [{"total": 1, "currency": None}]), "train")
    for fields, reason in (
        ({"total": "many", "currency": None}, "total: 'many'"),
        ({"total": "2", "currency": "XYZ"}, "currency: 'XYZ'"),
        ({"total": None, "currency": "EUR"}, "total is missing"),
    ):
        with pytest.raises(AnswerError, match=reason):
            say(desk, "e0", "d0", "ann", "edit", fields)
    assert say(desk, "e0", "d0", "ann", "edit", {"total": "2.5", "currency": "eur"}).value == {
        "total": 2.5,
        "currency": "EUR",
    }


def test_a_text_that_breaks_a_limit_is_kept_when_it_is_meant(tmp_path: Path) -> None:
    desk = Desk(a_review(tmp_path, 'output = "text"\nmax_characters = 5\n', ["short"]), "train")
    sent = word(desk, "e0", "d0", "ann", "edit", "too long")
    with pytest.raises(Unusual, match=r"8 characters of at most 5.*save again"):
        desk.decide("e0", sent)
    assert desk.decide("e0", replace(sent, anyway=True)).value == "too long"


def test_undo_brings_back_what_was_said_before(project: Project, desk: Desk) -> None:
    say(desk, "e0", "d0", "ann", "edit", "sport")
    say(desk, "e0", "d1", "ann", "reject")
    say(desk, "e1", "d2", "ann", "skip")
    for id, held in (("d2", None), ("d1", "sport"), ("d0", "money")):
        newest = desk.newest("ann")
        assert newest is not None and newest.id == id
        sent = replace(word(desk, "e0", f"u{id}", "ann", "undo"), queue="file")
        undone = desk.undo(sent, id)
        assert desk.undo(sent, id) == undone
        assert holds(project, "e0") == held
    assert given(project, "e0")[-1] == ("human:ann", "withdrawn", "sport")
    assert project.store.decisions.stand() == []
    with pytest.raises(DataError, match="nothing to take back"):
        desk.undo(word(desk, "e0", "u", "ann", "undo"), "d0")


def test_undo_brings_back_a_label_that_the_person_gave_elsewhere(project: Project) -> None:
    project.store.labels.add([Label("e0", "weather", "human:ann")])
    desk = Desk(project, "train")
    say(desk, "e0", "d0", "ann", "edit", "sport")
    desk.undo(word(desk, "e0", "u0", "ann", "undo"), "d0")
    assert holds(project, "e0") == "weather"


def test_undo_of_what_is_not_the_newest_is_refused(desk: Desk) -> None:
    say(desk, "e0", "d0", "ann")
    say(desk, "e1", "d1", "ann")
    with pytest.raises(StaleDecision, match="something else"):
        desk.undo(word(desk, "e0", "u0", "ann", "undo"), "d0")
