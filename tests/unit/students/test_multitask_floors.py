"""Floors are those with which most of dev is right."""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from tutelage.answering.multitask_read import Layout, Slot
from tutelage.answering.spans import NO_TAG, Span
from tutelage.students.multitask import floored, tags_of
from tutelage.students.multitask_lesson import Place
from tutelage.tasks.record import RecordTask
from tutelage.types import Example, Labelled

TASK = RecordTask("t", ("text",), "", answer_schema={"type": "object", "properties": {"no": {"type": "number"}}})


def test_the_floor_lies_between_what_is_right_and_what_is_null() -> None:
    tokenizer = Tokenizer(models.WordLevel({"7": 0}, unk_token="7"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    dev, outputs = [], []
    for at, odds in enumerate((-1.0, -1.5, -3.0, -3.5)):  # probabilities of .27, .18, .05, .03
        value = {"no": 7} if at < 2 else {"no": None}
        dev.append(Labelled(Example(str(at), {"text": "7"}, "dev"), value, "import"))
        outputs.append(np.array([[0.0, odds, -9.0]], np.float32))
    texts, encodings = ["7"] * 4, [tokenizer.encode("7")] * 4
    found = floored(TASK, Layout((Slot("no", "number"),)), dev, (texts, encodings, outputs))
    assert found.floors == {"no": 0.1}
    words = Layout((Slot("no", "words"),))
    assert floored(TASK, words, dev, (texts, encodings, [np.zeros((1, 3), np.float32)] * 4)).floors == {}


def test_tags_of_overlapping_places() -> None:
    atoms = [Span(at, at + 1) for at in range(6)]
    layout = Layout((Slot("a", "text"), Slot("b", "text")))
    places = [Place(0, Span(0, 4)), Place(1, Span(2, 3)), Place(0, Span(4, 6), False)]
    assert tags_of(atoms, places, layout).tolist() == [1, 2, 3, 2, NO_TAG, NO_TAG]
