"""Answers side by side: what of each is not in all of the others, and nothing lost of any."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tutelage.review.differing import LONGEST, Line, Part, side_by_side
from tutelage.tasks.label import LabelTask
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.tasks.text import TextTask

TEXT, STRINGS = TextTask("t", ("text",), ""), StringsTask("s", ("text",), "")


def marked(line: Line) -> list[str]:
    return [part.text for part in line.parts if part.differs]


def test_words_that_differ_between_two_texts() -> None:
    ((ours,), (theirs,)) = side_by_side(TEXT, ["It leaves on Monday from here.", "It leaves on Tuesday from here."])
    assert (marked(ours), marked(theirs)) == (["Monday"], ["Tuesday"])


def test_a_word_between_two_differences_is_marked_with_them() -> None:
    ((ours,), (theirs,)) = side_by_side(TEXT, ["We all go by bus or tram today.", "We all go on foot or bike today."])
    assert (marked(ours), marked(theirs)) == (["by bus or tram"], ["on foot or bike"])


def test_texts_with_little_in_common_or_too_long_are_not_marked() -> None:
    for a, b in (("Yes.", "I fear that nobody knows"), ("a b " * LONGEST, "a c " * LONGEST)):
        assert side_by_side(TEXT, [a, b]) == [[Line("", (Part(a, False),))], [Line("", (Part(b, False),))]]
    assert not any(marked(lines[0]) for lines in side_by_side(TEXT, ["a b c d", "a b c e", "a b c f"]))


@given(st.text(), st.text())
def test_no_character_is_lost(a: str, b: str) -> None:
    for text, lines in zip((a, b), side_by_side(TEXT, [a, b]), strict=True):
        assert "".join(part.text for part in lines[0].parts) == text


def test_strings_that_not_all_have() -> None:
    lists = side_by_side(STRINGS, [["Ada", "Bob"], ["Bob", "Cid"], []])
    assert [marked(lines[0]) for lines in lists] == [["Ada", "Bob"], ["Bob", "Cid"], []]
    assert marked(side_by_side(STRINGS, [["Ada", "Bob"], ["Bob"]])[0][0]) == ["Ada"]


def test_fields_of_records() -> None:
    properties = {
        "total": {"type": "number"},
        "who": {"type": "string"},
        "parts": {"type": "array", "items": {"type": "string"}},
    }
    task = RecordTask("r", ("text",), "", answer_schema={"type": "object", "properties": properties})
    ours, theirs = side_by_side(task, [
        {"who": "Ada", "total": 2.5, "parts": ["a", "b"]}, {"parts": ["b"], "who": "Ada", "total": None},
    ])  # fmt: skip
    assert [line.name for line in ours] == ["total", "who", "parts"]
    assert [marked(line) for line in ours] == [["2.5"], [], ["a"]]
    assert [marked(line) for line in theirs] == [["–"], [], []]


def test_labels_are_shown_as_they_are() -> None:
    task = LabelTask("l", ("text",), "", labels=("yes", "no"))
    assert [lines[0] for lines in side_by_side(task, ["yes", "no"])] == [
        Line("", (Part("yes", False),)), Line("", (Part("no", False),))
    ]  # fmt: skip
