"""An answer beside gold: right, wrong and missing, string by string and field by field."""

from __future__ import annotations

from tutelage.evaluation.marking import coloured, marked, of_gold
from tutelage.tasks.record import RecordTask
from tutelage.tasks.text import TextTask

RECORD = RecordTask(
    "t",
    ("text",),
    "",
    answer_schema={
        "properties": {
            "vendor": {"type": "string"},
            "total": {"type": "number"},
            "paid": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
        }
    },
)


def test_answers_are_told_right_wrong_and_missing() -> None:
    found = [("tom", "right", ""), ("Kite", "wrong", ""), ("Ann", "missing", "")]
    assert coloured(["Tom", "Ann"], ["tom", "Kite"]) == found
    assert coloured([], []) == []


def test_an_answer_twice_is_right_once() -> None:
    assert coloured(["Tom"], ["Tom", "tom"]) == [("Tom", "right", ""), ("tom", "wrong", "")]
    assert coloured(["Tom", "tom"], ["Tom"]) == [("Tom", "right", ""), ("tom", "missing", "")]


def test_a_record_is_told_field_by_field() -> None:
    gold = {"vendor": "Acme", "total": 12, "paid": True, "tags": ["a", "b"]}
    answer = {"vendor": "ACME", "total": 12.5, "paid": None, "tags": ["b", "c"]}
    assert marked(RECORD, gold, answer) == [
        ("ACME", "right", "vendor"),
        ("12.5", "wrong", "total"),
        ("12", "missing", "total"),
        ("true", "missing", "paid"),
        ("b", "right", "tags"),
        ("c", "wrong", "tags"),
        ("a", "missing", "tags"),
    ]
    assert marked(RECORD, gold, None) == []
    shown = [("Acme", "gold", "vendor"), ("12", "gold", "total"), ("a", "gold", "tags")]
    assert of_gold("record", {"vendor": "Acme", "total": 12, "paid": None, "tags": ["a"]}) == shown


def test_a_text_is_shown_as_it_is() -> None:
    task = TextTask("t", ("text",), "")
    assert marked(task, "A title", "a  Title") == [("a  Title", "text", "")]
    assert of_gold("text", "A title") == [("A title", "text", "")]
    assert of_gold("label", "billing") == [("billing", "gold", "")]
