"""Feedback: checked against the trace and its task, kept once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.traced import trace

from tutelage.gateway.errors import WireError
from tutelage.gateway.traces import record_feedback
from tutelage.store import Feedback, Store, open_store
from tutelage.tasks.label import LabelTask

TASKS = {"colour": LabelTask("colour", ("text",), "", labels=("red", "blue"))}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "tutelage.db")
    yield store
    store.close()


def say(store: Store, **body: object) -> dict[str, str | bool]:
    return record_feedback(store, json.dumps(body).encode(), "ada", TASKS)


def test_feedback_is_kept_under_the_id_of_the_trace_or_of_the_answer(store: Store) -> None:
    one = trace(task="colour")
    store.traces.add([one])
    said = say(store, trace=f"chatcmpl-{one.id}", verdict="corrected", value="red", note="obvious")
    assert said == {"object": "feedback", "trace": one.id, "verdict": "corrected", "added": True}
    assert not say(store, trace=one.id, verdict="corrected", value="red", note="obvious")["added"]
    (kept,) = store.feedback.read()
    assert kept == Feedback(
        trace=one.id, verdict="corrected", who="ada", value="red", note="obvious", created=kept.created
    )


def test_a_trace_without_a_task_takes_any_value(store: Store) -> None:
    one = trace()
    store.traces.add([one])
    assert say(store, trace=one.id, verdict="preferred", value={"any": ["thing"]})["added"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"verdict": "right"}, 400, "trace: Field required"),
        (
            {"trace": "t", "verdict": "good"},
            400,
            "verdict: Input should be 'right', 'wrong', 'corrected' or 'preferred'",
        ),
        ({"trace": "t", "verdict": "corrected"}, 400, "'corrected' needs a value"),
        ({"trace": "t", "verdict": "right", "stars": 5}, 400, "stars: Extra inputs"),
        ({"trace": "t" * 61, "verdict": "right"}, 400, "trace: String should have at most 60"),
        ({"trace": "nobody", "verdict": "right"}, 404, "There is no trace 'nobody'"),
        ({"trace": "known", "verdict": "corrected", "value": "green"}, 400, "value: 'green' is not a label"),
    ],
)
def test_what_is_wrong_is_said(store: Store, body: dict[str, object], status: int, words: str) -> None:
    store.traces.add([trace("known", task="colour")])
    with pytest.raises(WireError) as error:
        say(store, **body)
    assert (error.value.status, words in str(error.value)) == (status, True), str(error.value)
    assert list(store.feedback.read()) == []


def test_a_body_that_is_no_json_is_said(store: Store) -> None:
    with pytest.raises(WireError, match="body: Invalid JSON"):
        record_feedback(store, b"{", "ada")
