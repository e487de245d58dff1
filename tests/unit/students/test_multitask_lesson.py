"""Gold's values are found in their texts, by the reading that finds most of them."""

from __future__ import annotations

from typing import Any

import pytest

from tutelage.answering.multitask_read import Choice, Layout, Slot
from tutelage.answering.spans import Span
from tutelage.students.multitask_lesson import Lesson, make_lesson
from tutelage.students.multitask_shape import endings, recurrence
from tutelage.students.multitask_words import aligned, learned_spellings
from tutelage.tasks.record import RecordTask
from tutelage.types import Example, Labelled

TEXT, NUMBER, DAY = {"type": "string"}, {"type": "number"}, {"type": "string", "format": "date"}


def lesson(properties: dict[str, Any], rows: list[tuple[str, dict[str, Any]]]) -> Lesson:
    task = RecordTask("t", ("text",), "", answer_schema={"type": "object", "properties": properties})
    given = [
        Labelled(Example(str(at), {"text": text}, "train"), task.canonical(value), "import")
        for at, (text, value) in enumerate(rows)
    ]
    return make_lesson(task, given)


def shown(found: Lesson, at: int, text: str) -> list[tuple[str, str, bool]]:
    return [
        (found.layout.slots[one.slot].field, text[one.span.start : one.span.end], one.sure) for one in found.places[at]
    ]


def test_each_field_is_read_by_what_it_is() -> None:
    text = "From: Ada Lane\nNo. A-7 of 17 August 2025\nTotal: 1.651,15 EUR"
    value = {"who": "Ada Lane", "no": "A-7", "day": "2025-08-17", "total": 1651.15}
    found = lesson({"who": TEXT, "no": TEXT, "day": DAY, "total": NUMBER}, [(text, value)] * 2)
    assert [slot.reading for slot in found.layout.slots] == ["text", "text", "date", "number"]
    assert shown(found, 0, text) == [
        ("who", "Ada Lane", True),
        ("no", "A-7", True),
        ("day", "17 August 2025", True),
        ("total", "1.651,15", True),
    ]
    assert found.facts["values_not_in_text"] == 0


def test_values_that_stand_nowhere_are_counted_listed_and_left_out() -> None:
    rows: list[tuple[str, dict[str, Any]]] = [("Ada came", {"who": "Ada"}), ("He came", {"who": "Bo"})]
    found = lesson({"who": TEXT}, rows)
    assert (found.facts["values_not_in_text"], found.facts["values_not_in_text_shown"]) == (1, ["who: Bo"])
    assert found.facts["fields"]["who"] == {"reading": "text", "values": 2, "in_text": 0.5, "not_in_text": 1}
    assert [len(places) for places in found.places] == [1, 0]


def test_a_date_is_counted_from_another_where_the_days_stand_in_the_text() -> None:
    rows = [
        (
            f"Invoice of 2025-03-{10 + at}, {at} boxes. Terms: net 30.",
            {"day": f"2025-03-{10 + at}", "due": f"2025-04-{9 + at:02}"},
        )
        for at in range(6)
    ]
    found = lesson({"day": DAY, "due": DAY}, rows)
    assert [(slot.field, slot.reading, slot.of) for slot in found.layout.slots][-1] == ("due", "days-after", "day")
    assert ("due", "30", True) in shown(found, 0, rows[0][0])
    assert found.facts["values_not_in_text"] == 0
    assert found.facts["fields"]["due"]["counted_from"] == "day"


def test_of_several_places_those_are_learned_whose_neighbours_speak_for_the_field() -> None:
    rows = [(f"Chair 9{at}.50\nTable 1.20\nTotal: {100 + at}.70", {"total": 100.7 + at}) for at in range(8)]
    text = "Chair 55.10\nTotal: 55.10"
    found = lesson({"total": NUMBER}, [*rows, (text, {"total": 55.1})])
    assert shown(found, 8, text) == [("total", "55.10", False), ("total", "55.10", True)]
    assert found.places[8][1].span.start == text.rindex("55.10")


def test_a_closed_set_is_learned_where_the_values_do_not_stand_in_the_text() -> None:
    signs = {"€": "EUR", "£": "GBP"}
    rows = [
        (f"Total {sign}{at}.00", {"currency": code, "paid": at % 2 == 0})
        for at in range(6)
        for sign, code in signs.items()
    ]
    found = lesson({"currency": TEXT, "paid": {"type": "boolean"}}, rows)
    assert found.layout == Layout((), (Choice("currency", ("EUR", "GBP")), Choice("paid", (False, True))))
    assert found.chosen[:3] == [[0, 1], [1, 1], [0, 0]]


def test_null_is_one_of_the_choices_where_it_occurs_and_listed_enums_are_one_choice_a_value() -> None:
    properties = {"mood": {"enum": ["glad", "sad"]}, "extras": {"type": "array", "items": {"enum": ["tea", "cake"]}}}
    rows: list[tuple[str, dict[str, Any]]] = [
        ("a", {"mood": "glad", "extras": ["tea", "cake"]}),
        ("b", {"mood": None, "extras": ["cake"]}),
        ("c", {"mood": "sad", "extras": []}),
    ]
    found = lesson(properties, rows)
    assert found.layout.choices == (
        Choice("mood", (None, "glad", "sad")),
        Choice("extras", (None, "cake"), True),
        Choice("extras", (None, "tea"), True),
    )
    assert found.chosen == [[1, 1, 1], [0, 1, 0], [2, 0, 0]]


def test_values_put_together_from_words_are_learned_with_their_spellings() -> None:
    rows: list[tuple[str, dict[str, Any]]] = [
        ("250g/9oz carrots, grated", {"unit": "g oz", "quantity": "250 9"}),
        ("20g/ ½oz butter", {"unit": "g oz", "quantity": "20 1/2"}),
        ("2 tablespoons oil", {"unit": "tablespoon", "quantity": "2"}),
        ("3 tablespoons oil", {"unit": "tablespoon", "quantity": "3"}),
        ("5g/½oz salt", {"unit": "g oz", "quantity": "5 1/2"}),
        ("1 egg", {"unit": None, "quantity": "1"}),
    ]
    found = lesson({"unit": TEXT, "quantity": TEXT}, rows)
    unit, quantity = found.layout.slots
    assert (unit.reading, unit.spellings) == ("words", {"tablespoons": "tablespoon"})
    assert (quantity.reading, quantity.spellings) == ("words", {"1⁄2": "1/2"})
    assert found.facts["values_not_in_text"] == 0
    assert [one[1] for one in shown(found, 1, rows[1][0])] == ["g", "oz", "20", "½"]


def test_words_of_numbers_are_whole() -> None:
    rows: list[tuple[str, dict[str, Any]]] = [
        ("4 x 125g balls", {"quantity": "4x 125"}),
        ("½-1 tsp salt", {"quantity": "1/2-1"}),
        ("8–10 sheets", {"quantity": "8-10"}),
        ("1½ cups", {"quantity": "1 1/2"}),
    ]
    assert lesson({"quantity": TEXT}, rows).facts["values_not_in_text"] == 0


def test_lists_have_a_place_for_each_item() -> None:
    text = "play jazz and rock"
    found = lesson({"genres": {"type": "array", "items": TEXT}}, [(text, {"genres": ["jazz", "rock"]})] * 2)
    assert found.layout.slots == (Slot("genres", "text", True),)
    assert [one[1] for one in shown(found, 0, text)] == ["jazz", "rock"]


def test_alignment_takes_the_words_that_are_closest_together() -> None:
    text = "a cup, then a pinch of salt"
    assert [text[span.start : span.end] for span, _ in aligned(text, "a of", {})] == ["a", "of"]
    assert [span.start for span, _ in aligned(text, "a of", {})] == [12, 20]
    assert aligned(text, "pepper", {}) == []
    assert [word for _, word in aligned("of a kind", "a of", {})] == ["of", "a"]


@pytest.mark.parametrize(
    ("pairs", "wanted"),
    [
        ([("2 cups flour", "cup"), ("3 cups milk", "cup")], {"cups": "cup"}),
        ([("2 cups flour", "cup")], {}),
        ([("2 cups", "cups"), ("3 cups", "cups"), ("4 cups", "cups"), ("1 cups", "cup"), ("9 cups", "cup")], {}),
    ],
)
def test_spellings_are_learned_where_they_hold_mostly(pairs: list[tuple[str, str]], wanted: dict[str, str]) -> None:
    assert learned_spellings(pairs) == wanted


def test_what_all_spans_have_in_common_is_learned() -> None:
    rows = [
        (
            f"From: Ada Lane Ltd.\nNo. A-{at}\nof 2025-01-{10 + at}, due 2025-02-{10 + at}\ntax {at}.50 of {at + 9}.75",
            value,
        )
        for at in range(24 - 6)
        for value in [
            {"who": "Ada Lane Ltd.", "no": f"A-{at}", "day": f"2025-01-{10 + at}", "due": f"2025-02-{10 + at}"}
            | {"tax": at + 0.5, "total": at + 9.75}
        ]
    ]
    found = lesson({"who": TEXT, "no": TEXT, "day": DAY, "due": DAY, "tax": NUMBER, "total": NUMBER}, rows * 2)
    who, no = found.layout.slots[:2]
    assert (who.words, who.digits, no.words, no.digits) == (3, "none", 1, "all")
    assert found.layout.orders == (("day", "due"), ("tax", "total"))
    assert found.layout.floors == dict.fromkeys(("who", "no", "day", "due", "tax", "total"), 0.0)


def test_spans_within_words_are_not_whole() -> None:
    rows = [(f"code:x{at}y", {"code": f"{at}"}) for at in range(10, 40)]
    found = lesson({"code": TEXT}, [(text.replace("x", "-").replace("y", "-z"), value) for text, value in rows])
    assert found.layout.slots[0].words == 0


def test_the_last_words_of_many_different_values_are_learned_where_they_are_few() -> None:
    names = [f"Firm {at} {end}" for at in range(10) for end in ("Ltd", "GmbH")]
    assert endings(names) == ("gmbh", "ltd")
    assert endings([*names, "Firm of one"]) == ()  # 1 in 21
    assert endings([f"Firm {at}" for at in range(20)]) == ()
    assert endings(["Ada Ltd"] * 20) == ()  # a single value is no shape


def test_how_much_more_often_values_recur_than_others_of_their_shape() -> None:
    slot = Slot("who", "text", words=2, digits="none", ends=("ltd",))

    def found(*texts: str) -> float:
        spans = [(text, Span(text.index("Ada"), text.index("Ada") + 8)) for text in texts]
        return recurrence(slot, spans)

    assert found(*[f"{at}: To Bodo Ltd\nfrom Adam Ltd\nbills@adam.test" for at in range(9)]) == 3.0
    assert found(*[f"{at}: To Bodo Ltd\nfrom Adam Ltd\nbills@bodo.test" for at in range(9)]) == round(1 / 3, 4)
