"""A reasoning in a note is found again, whatever else the note says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tutelage.tasks.reasoning import noted, reasoning_in


@given(st.sampled_from([None, "2 repairs", '2 tries; dropped, not in the text: ["a"]']), st.text())
def test_it_is_found_again(note: str | None, reasoning: str) -> None:
    told = " ".join(reasoning.split())
    assert reasoning_in(noted(note, reasoning)) == (told or None)


def test_other_notes_have_none() -> None:
    assert reasoning_in(None) is None and reasoning_in("") is None and reasoning_in("1 repair") is None
    assert noted(None, None) is None and noted("1 repair", " ") == "1 repair"
    assert noted("1 repair", "It rains.\nSo it is wet.") == "1 repair; reasoning: It rains. So it is wet."
