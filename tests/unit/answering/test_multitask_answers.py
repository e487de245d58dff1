"""From the logits of a model to a record: spans read as values, closed sets, and how sure each field is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tokenizers import Encoding, Tokenizer, models, pre_tokenizers

from tutelage.answering.multitask import evidence, record_of
from tutelage.answering.multitask_read import (
    READINGS,
    Choice,
    Layout,
    Slot,
    atoms_of,
    chunks,
    day_comes_first,
    later,
    layout_marks,
    read,
)
from tutelage.embeddings.runtime import Array
from tutelage.tasks.record import RecordTask

TEXT = {"type": "string"}


def encode(text: str) -> Encoding:
    """Each character is a piece; words are what BERT takes for one."""
    tokenizer = Tokenizer(models.BPE({one: at for at, one in enumerate(sorted(set(text)))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer.encode(text)


def task(**properties: Any) -> RecordTask:
    return RecordTask("t", ("text",), "", answer_schema={"type": "object", "properties": properties})


def logits(layout: Layout, text: str, tagged: dict[int, tuple[str, float]], chosen: list[float] | None = None) -> Array:
    """Sure of O but where `tagged` (slot) says otherwise: the words and the log odds of their tags."""
    encoding = encode(text)
    found = np.full((len(encoding), layout.tags + sum(layout.groups)), -9.0, np.float32)
    found[:, 0] = 0.0
    for slot, (words, odds) in tagged.items():
        start = text.index(words)
        for number, at in enumerate(range(start, start + len(words))):
            piece = encoding.char_to_token(at)
            if piece is not None:
                found[piece, 1 + 2 * slot + min(number, 1)] = odds
    found[:, layout.tags :] = chosen or []
    return found


def test_a_field_is_read_from_the_span_that_is_most_probable() -> None:
    text = "Total 1.651,15 PLN, due 17 August 2025"
    layout = Layout((Slot("total", "number"), Slot("due", "date")))
    record = task(total={"type": "number"}, due={"type": "string", "format": "date"})
    found = record_of(
        record, layout, text, encode(text), logits(layout, text, {0: ("1.651,15", 4.0), 1: ("17 August 2025", 4.0)})
    )
    assert found.value == {"total": 1651.15, "due": "2025-08-17"}
    assert found.confidence == min(found.parts.values())
    assert found.parts["total"] == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-3)


def test_what_cannot_be_read_or_is_less_probable_than_null_is_null() -> None:
    text = "Total soon, perhaps 12"
    layout = Layout((Slot("total", "number"),))
    record = task(total={"type": "number"})
    assert record_of(record, layout, text, encode(text), logits(layout, text, {0: ("soon", 4.0)})).value == {
        "total": None
    }
    unsure = record_of(record, layout, text, encode(text), logits(layout, text, {0: ("12", -4.0)}))
    assert unsure.value == {"total": None}
    assert unsure.confidence == pytest.approx(1 - 1 / (1 + np.exp(4)), abs=1e-2)


def test_a_span_that_cannot_be_read_is_read_up_to_where_it_can() -> None:
    text = "Total 12.50 EUR"
    layout = Layout((Slot("total", "number"),))
    given = logits(layout, text, {0: ("12.50", 3.0)})
    given[encode(text).char_to_token(12) or 0, 2] = 1.0  # EUR goes on with it, less surely
    assert record_of(task(total={"type": "number"}), layout, text, encode(text), given).value == {"total": 12.5}


def test_places_of_one_value_speak_together() -> None:
    text = "A-7 or B-8, so A-7"
    layout = Layout((Slot("no", "text"),))
    given = logits(layout, text, {0: ("B-8", 0.4)})
    for start in (0, 15):
        for at in range(start, start + 3):
            given[encode(text).char_to_token(at) or 0, 1 + (at > start)] = 0.2
    assert record_of(task(no=TEXT), layout, text, encode(text), given).value == {"no": "A-7"}


def test_a_date_is_counted_from_the_date_that_was_found() -> None:
    text = "Of 2025-01-30, net 30"
    day = {"type": "string", "format": "date"}
    layout = Layout((Slot("due", "days-after", of="day"), Slot("day", "date")))
    given = logits(layout, text, {1: ("2025-01-30", 5.0)})
    given[encode(text).char_to_token(19) or 0, 1] = given[encode(text).char_to_token(20) or 0, 2] = 5.0
    assert record_of(task(due=day, day=day), layout, text, encode(text), given).value == {
        "due": "2025-03-01",
        "day": "2025-01-30",
    }


def test_words_from_several_places_make_one_value() -> None:
    text = "10g/½oz leaves"
    layout = Layout(
        (Slot("unit", "words", spellings={"oz": "ounce"}), Slot("quantity", "words", spellings={"1⁄2": "1/2"}))
    )
    given = logits(layout, text, {0: ("g", 5.0), 1: ("10", 5.0)})
    for at, slot in ((4, 1), (5, 0), (6, 0)):
        given[encode(text).char_to_token(at) or 0, 1 + 2 * slot] = 5.0
    found = record_of(task(unit=TEXT, quantity=TEXT), layout, text, encode(text), given)
    assert found.value == {"unit": "g ounce", "quantity": "10 1/2"}


def test_lists_hold_every_span_and_closed_sets_their_surest_value() -> None:
    text = "jazz and rock"
    items = {"type": "array", "items": TEXT}
    layout = Layout(
        (Slot("genres", "text", listed=True),),
        (
            Choice("mood", (None, "glad", "sad")),
            Choice("extras", (None, "tea"), True),
            Choice("extras", (None, "cake"), True),
        ),
    )
    given = logits(layout, text, {0: ("jazz", 5.0)}, [0.0, 0.0, 3.0, 0.0, 4.0, 4.0, 0.0])
    for at in range(9, 13):
        given[encode(text).char_to_token(at) or 0, 1 + (at > 9)] = 5.0
    record = task(
        genres=items, mood={"enum": ["glad", "sad"]}, extras={"type": "array", "items": {"enum": ["tea", "cake"]}}
    )
    found = record_of(record, layout, text, encode(text), given)
    assert found.value == {"genres": ["jazz", "rock"], "mood": "sad", "extras": ["tea"]}
    assert set(found.parts) == {"genres", "mood", "extras"}


def test_an_empty_text_has_nothing_but_what_is_chosen() -> None:
    layout = Layout((Slot("no", "text"), Slot("unit", "words")), (Choice("mood", ("glad", "sad")),))
    empty = np.zeros((2, layout.tags + 2), np.float32)
    empty[:, -1] = 1.0
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    found = record_of(task(no=TEXT, unit=TEXT, mood={"enum": ["glad", "sad"]}), layout, "", tokenizer.encode(""), empty)
    assert found.value == {"no": None, "unit": None, "mood": "sad"}


def test_a_layout_is_json() -> None:
    layout = Layout((Slot("a", "words", True, "", False, {"x": "y"}, ends=("ltd",)),), (Choice("b", (None, 3)),))
    assert Layout.of_json(json.loads(json.dumps(layout.json()))) == layout
    assert (layout.tags, layout.groups) == (3, [2])


@pytest.mark.parametrize(
    ("reading", "written", "value"),
    [
        ("text", " Ada\n Lane ", "Ada Lane"),
        ("number", "4 336,45", 4336.45),
        ("number", "1.234", 1.234),
        ("number", "EUR 1.234", 1234),
        ("date", "20-Feb-2026", "2026-02-20"),
        ("date", "03/04/2026", "2026-04-03"),
        ("days-after", "30", 30),
        ("words", "10g, grated", "10 g grated"),
    ],
)
def test_readings(reading: str, written: str, value: Any) -> None:
    assert read(Slot("f", reading), written, True) == value


@pytest.mark.parametrize(
    ("reading", "written"),
    [("text", " "), ("number", "soon"), ("date", "soon"), ("days-after", "0"), ("days-after", "999")],
)
def test_what_a_reading_cannot_read(reading: str, written: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(Slot("f", reading), written, True)


@pytest.mark.parametrize(
    ("reading", "text", "found"),
    [
        ("number", "3 x 17,35 = 52,05 for €7", ["3", "17,35", "52,05", "7"]),
        ("number", "2 270.30", ["2", "2 270.30", "270.30"]),
        (
            "date",
            "of 05.11.2026, May 3rd, 2026 and 2026-01-02 (not 12.2026)",
            ["05.11.2026", "May 3rd, 2026", "2026-01-02"],
        ),
        ("days-after", "net 30 of 12.50 on 2026", ["30"]),
    ],
)
def test_what_a_reading_finds(reading: str, text: str, found: list[str]) -> None:
    assert [text[span.start : span.end] for span in READINGS[reading].find(text)] == found


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("(dates MM/DD/YYYY) 03/04/2026", False),
        ("DD/MM/YYYY 03/04/2026", True),
        ("03/04/2026 and 03/25/2026", False),
        ("25/03/2026", True),
        ("03/04/2026", True),
    ],
)
def test_which_comes_first_is_said_by_a_legend_or_another_date(text: str, first: bool) -> None:
    assert day_comes_first(text, True) is first


def test_later_is_none_for_what_is_no_date() -> None:
    assert (later("2024-02-28", 2), later("soon", 2), later(None, 1)) == ("2024-03-01", None, None)


def test_atoms_and_their_marks() -> None:
    text = "INV 10g\n\nDue  €5\tx"
    encoding = encode(text)
    atoms = atoms_of(encoding, text)
    assert [text[span.start : span.end] for span in atoms.spans] == ["INV", "10", "g", "Due", "€", "5", "x"]
    marks = layout_marks(encoding, atoms, text)
    assert [marks[first] for first in atoms.first] == [2 + 12, 3, 0, 1 + 12, 6, 0, 6]


def test_evidence_is_that_of_the_strongest_token() -> None:
    assert evidence(np.array([[0.0, 9.0], [1.0, -9.0]], np.float32)) == pytest.approx([1.313, 9.0], abs=1e-3)


def test_whole_words_are_found_with_and_without_marks_at_their_ends() -> None:
    text = "**Sold by** Ada S.A.   12 Lane\nRef: A-7/b."
    names = Slot("who", "text", words=2, digits="none")
    found = [text[span.start : span.end] for span in chunks(names, text)]
    assert {"Ada S.A", "Ada S.A.", "Sold by", "by** Ada"} <= set(found)
    assert not any("12" in one or "\n" in one or "   " in one for one in found)
    numbers = Slot("no", "text", words=1, digits="all")
    assert [text[span.start : span.end] for span in chunks(numbers, text)] == ["12", "A-7/b", "A-7/b."]


@pytest.mark.parametrize(
    "text", ["A-17/b.", "Invoice#A-17/b", 'ref="A-17/b";x', "<no>A-17/b</no>", "no:A-17/b|due:1", "[A-17/b]"]
)
def test_a_value_may_be_glued_to_its_cue(text: str) -> None:
    assert "A-17/b" in [text[span.start : span.end] for span in chunks(Slot("no", "text", words=1), text)]


def test_marks_alone_are_no_value() -> None:
    assert not list(chunks(Slot("no", "text", words=3), "- - |"))


def test_marks_within_numbers_are_no_glue_and_a_tab_is_a_gap() -> None:
    assert [(one.start, one.end) for one in chunks(Slot("no", "text", words=1, digits="all"), "No.17")] == [
        (0, 5),
        (3, 5),
    ]
    text = "S.A. 12.50\tnet"
    found = [text[span.start : span.end] for span in chunks(Slot("no", "text", words=3), text)]
    assert found.count("12.50") == 1 and not {"A", "50", "12.50\tnet"} & set(found)


def test_a_span_that_ends_as_train_s_do_is_preferred() -> None:
    text = "Seller: Ada Foods Ltd, Rome"
    for ends, value in (((), "Seller"), (("gmbh", "ltd"), "Ada Foods Ltd"), (("bv",), "Seller")):
        layout = Layout((Slot("who", "text", words=3, ends=ends),), floors={"who": 0.0})
        given = logits(layout, text, {0: ("Ada Foods Ltd", 0.5)})
        given[encode(text).char_to_token(0) or 0, 1] = 1.0
        assert record_of(task(who=TEXT), layout, text, encode(text), given).value == {"who": value}


@pytest.mark.parametrize(
    ("recurs", "value"), [(1.0, "Bodo Foods Ltd"), (3.0, "Adam Foods Ltd"), (1 / 3, "Bodo Foods Ltd")]
)
def test_a_value_that_stands_elsewhere_too_is_preferred_where_those_of_train_did(recurs: float, value: str) -> None:
    text = "Bodo Foods Ltd, Adam Foods Ltd, bills@adam.test"
    layout = Layout((Slot("who", "text", words=3, ends=("ltd",), recurs=recurs),))
    given = logits(layout, text, {0: ("Bodo Foods Ltd", 1.5)})
    start = text.index("Adam")
    for at in range(start, start + len("Adam Foods Ltd")):
        if (piece := encode(text).char_to_token(at)) is not None:
            given[piece, 1 + (at > start)] = 1.0
    found = record_of(task(who=TEXT), layout, text, encode(text), given)
    assert found.value == {"who": value}
    assert 0 < found.parts["who"] < 1


def test_a_span_begins_where_a_value_begins() -> None:
    text = "Ada Foods"
    layout = Layout((Slot("who", "text", words=2),))
    given = logits(layout, text, {0: ("Ada Foods", 0.5)})
    given[encode(text).char_to_token(4) or 0, 2] = 3.0  # surer of Foods, but as what goes on
    assert record_of(task(who=TEXT), layout, text, encode(text), given).value == {"who": "Ada Foods"}


def test_a_field_that_was_never_null_takes_the_best_there_is() -> None:
    text = "No. A-7 of B"
    slot = Slot("no", "text", words=1, digits="all")
    given = logits(Layout((slot,)), text, {0: ("A-7", -4.0)})
    found = [
        record_of(task(no=TEXT), Layout((slot,), floors=floors), text, encode(text), given)
        for floors in ({}, {"no": 0.0})
    ]
    assert [one.value for one in found] == [{"no": None}, {"no": "A-7"}]
    assert found[1].confidence == pytest.approx(1 / (1 + np.exp(4)), abs=1e-2)
    assert found[0].confidence == pytest.approx(1 - 1 / (1 + np.exp(4)), abs=1e-2)


def test_one_span_fills_one_field_and_orders_hold() -> None:
    text = "net 80, tax 20, total 100"
    layout = Layout((Slot("total", "number"), Slot("tax", "number")), orders=(("tax", "total"),))
    given = logits(layout, text, {0: ("20", 0.5), 1: ("100", 0.7)})
    both = task(total={"type": "number"}, tax={"type": "number"})
    given[encode(text).char_to_token(text.index("100")) or 0, 1] = 3.0  # the total, more surely than the tax
    for at in (text.index("100") + 1, text.index("100") + 2):
        given[encode(text).char_to_token(at) or 0, 2] = 3.0
    found = record_of(both, Layout(layout.slots, (), layout.orders, {"tax": 0.0}), text, encode(text), given)
    assert isinstance(found.value, dict) and found.value["total"] == 100
    assert found.value["tax"] != 100


def test_fields_that_wait_for_each_other_are_settled_all_the_same() -> None:
    day = {"type": "string", "format": "date"}
    slots = (Slot("a", "days-after", of="b"), Slot("b", "days-after", of="a"))
    given = logits(Layout(slots), "in 30 days", {0: ("30", 3.0)})
    assert record_of(task(a=day, b=day), Layout(slots), "in 30 days", encode("in 30 days"), given).value == {
        "a": None,
        "b": None,
    }
