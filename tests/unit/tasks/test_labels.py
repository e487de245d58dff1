"""Output kind labels: several of N, in the task's order, each once; unknown ones are dropped and told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import AnswerError, TaskFileError
from tutelage.tasks.labels import LabelsTask

TOPICS = LabelsTask("topics", ("text",), "", labels=("Billing", "delivery time", "other", "A", "a"))


@given(st.lists(st.sampled_from(TOPICS.labels)))
def test_label_sets_survive_render_and_parse(labels: list[str]) -> None:
    value = TOPICS.canonical(labels)
    assert value == [label for label in TOPICS.labels if label in labels]
    assert TOPICS.parse(TOPICS.render(value)) == value
    assert set(json.loads(TOPICS.render(value))) == set(TOPICS.schema()["required"])


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ('{"labels": ["other", " BILLING", "other"]}', ["Billing", "other"]),
        ('```json\n["delivery  time"]\n```', ["delivery time"]),
        ('{"topics": ["other"], "why": "because"}', ["other"]),
        ('{"labels": "other"}', ["other"]),
        ("Delivery Time", ["delivery time"]),
        ('["A", "a"]', ["A", "a"]),
        ('{"labels": []}', []),
        ('{"labels": ["", "  "]}', []),
    ],
)
def test_label_sets_are_found_in_what_models_write(answer: str, value: list[str]) -> None:
    assert TOPICS.parse(answer) == value
    assert TOPICS.settle(value, {"text": ""}) == (value, None, None)


def test_unknown_labels_are_dropped_and_told() -> None:
    value = TOPICS.parse('["weather", "other", "sports", "weather"]')
    assert value == ["other", "weather", "sports"] == TOPICS.canonical(value)
    kept, problem, note = TOPICS.settle(value, {"text": ""})
    assert kept == ["other"] and note == 'dropped, no label: ["weather", "sports"]'
    assert problem == 'These are no labels: ["weather", "sports"]. Use only: Billing, delivery time, other, A, a.'


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('["weather"]', "'weather' is not a label of task 'topics'. Labels: Billing"),
        ('{"labels": [1]}', r"\[1\] is not a list of labels"),
        ('{"labels": {"other": true}}', "is not a list of labels"),
        ("none of them", "'none of them' is not a list of labels"),
        ('{"labels": ["oth', "cut off"),
    ],
)
def test_what_is_no_set_of_labels_says_why(answer: str, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason) as caught:
        TOPICS.parse(answer)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("labels", "reason"), [((), "at least one label"), (("a", "a"), "twice: a"), (("",), "is empty")]
)
def test_label_sets_that_cannot_be(labels: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(TaskFileError, match=reason):
        LabelsTask("t", ("text",), "", labels=labels)
