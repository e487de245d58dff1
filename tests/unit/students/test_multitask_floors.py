"""Floors are the usual ones but where others are clearly better on dev."""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from tutelage.answering.multitask import UNSURE
from tutelage.answering.multitask_read import Layout, Slot
from tutelage.answering.spans import NO_TAG, Span
from tutelage.students.multitask import floored, tags_of
from tutelage.students.multitask_lesson import Place
from tutelage.tasks.record import RecordTask
from tutelage.types import Example, Labelled

TASK = RecordTask("t", ("text",), "", answer_schema={"type": "object", "properties": {"no": {"type": "number"}}})


LAYOUT = Layout((Slot("no", "number"),))


def floor_of(odds: list[float], right: int) -> float:
    """The floor that is chosen where the first `right` texts have a value and the others none."""
    tokenizer = Tokenizer(models.WordLevel({"7": 0}, unk_token="7"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    dev, outputs = [], []
    for at, one in enumerate(odds):
        dev.append(Labelled(Example(str(at), {"text": "7"}, "dev"), {"no": 7 if at < right else None}, "import"))
        outputs.append(np.array([[0.0, one, -9.0]], np.float32))
    given = ["7"] * len(odds), [tokenizer.encode("7")] * len(odds), outputs
    words = Layout((Slot("no", "words"),))
    assert floored(TASK, words, dev, (*given[:2], [np.zeros((1, 3), np.float32)] * len(odds))).floors == {}
    return floored(TASK, LAYOUT, dev, given).floors["no"]


def test_a_floor_is_moved_where_that_is_clearly_better_on_dev() -> None:
    assert floor_of([1.0, 1.5, -1.0, -1.5], 2) == 0.3  # probabilities of .73, .82 against .27, .18
    assert floor_of([-4.0, -4.2, -9.0, -9.0], 2) == 0.01


def test_a_floor_that_is_hardly_better_on_dev_is_left() -> None:
    assert floor_of([1.0] * 15 + [-1.0] + [-9.0] * 24, 15) == UNSURE
    assert floor_of([2.0, 2.0, -9.0, -9.0], 2) == UNSURE


def test_tags_of_overlapping_places() -> None:
    atoms = [Span(at, at + 1) for at in range(6)]
    layout = Layout((Slot("a", "text"), Slot("b", "text")))
    places = [Place(0, Span(0, 4)), Place(1, Span(2, 3)), Place(0, Span(4, 6), False)]
    assert tags_of(atoms, places, layout).tolist() == [1, 2, 3, 2, NO_TAG, NO_TAG]
