"""Copies with the cues and the order of others keep what is labelled."""

from __future__ import annotations

import pytest

from tutelage.answering.multitask_read import Choice, Layout, Slot
from tutelage.answering.spans import Span
from tutelage.students.multitask_lesson import Lesson, Place
from tutelage.students.multitask_mix import is_cue, joined, lines_of, mixed

LAYOUT = Layout((Slot("no", "text"), Slot("day", "date")), (Choice("currency", ("EUR", "USD")),))


def document(text: str, *values: tuple[int, str]) -> tuple[str, list[Place]]:
    return text, [Place(slot, Span(text.index(one), text.index(one) + len(one))) for slot, one in values]


DOCUMENTS = [
    document("Hello\n\n- No.: A-7\n- Date:  1 May 2026\n\nBye", (0, "A-7"), (1, "1 May 2026")),
    document("Number = B-8\nIssued  2 May 2026\n\nKind regards", (0, "B-8"), (1, "2 May 2026")),
    document("nothing here"),
]
LESSON = Lesson(LAYOUT, [places for _, places in DOCUMENTS], [[0], [1], [0]])
TEXTS = [text for text, _ in DOCUMENTS]


def test_copies_hold_the_same_values() -> None:
    found, texts = mixed(LESSON, TEXTS, 8, 0)
    assert texts[:3] == TEXTS and len(texts) == len(found.places) == len(found.chosen) > 8
    assert found.facts["mixed_copies"] == len(texts) - 3
    for text, places, chosen in list(zip(texts, found.places, found.chosen, strict=True))[3:]:
        values = sorted((one.slot, text[one.span.start : one.span.end]) for one in places)
        assert values in ([(0, "A-7"), (1, "1 May 2026")], [(0, "B-8"), (1, "2 May 2026")])
        assert chosen == ([0] if "A-7" in text else [1])
    assert any("Number = A-7" in text or "- Number = A-7" in text for text in texts)
    assert any(text.index("A-7") > text.index("1 May") for text in texts if "A-7" in text)


def test_the_same_seed_gives_the_same_copies() -> None:
    assert mixed(LESSON, TEXTS, 2, 1)[1] == mixed(LESSON, TEXTS, 2, 1)[1]


def test_a_text_whose_value_goes_over_a_line_has_no_copy() -> None:
    text, places = document("To: Ada\nLane\nNo.: 7", (0, "Ada\nLane"))
    assert lines_of(text, places) is None
    assert mixed(Lesson(LAYOUT, [places], [[0]]), [text], 1, 0)[1] == [text]


def test_lines_and_places_come_back_as_they_were() -> None:
    for text, places in DOCUMENTS:
        lines = lines_of(text, places)
        assert lines is not None and joined(lines) == (text, places)


@pytest.mark.parametrize(
    ("text", "cue"),
    [
        ("Invoice No.:   ", True),
        ("of which EUR ", False),
        ("Total € ", False),
        ("VAT 20%: ", False),
        ("", False),
        ("this is to remind you that your invoice ", False),
    ],
)
def test_what_is_a_cue(text: str, cue: bool) -> None:
    assert is_cue(text, LAYOUT) is cue
