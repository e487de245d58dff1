from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tutelage.errors import StaleDecision
from tutelage.store import Answer, Decision, Preference, Queued, Store, in_force, open_store
from tutelage.store.qualities import label_key
from tutelage.types import Example, Label

E = Example("e1", {"text": "Where is my card?"}, "train")
TEACHER = Label("e1", "card_lost", "teacher:m@1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "t.db")
    store.examples.add([E])
    store.labels.add([TEACHER])
    yield store
    store.close()


def decision(id: str, verdict: str = "accept", **more: object) -> Decision:
    facts = {"example_id": "e1", "annotator": "ann", "value": "card_arrival", "verdict": verdict} | more
    return Decision(id=id, **facts)  # type: ignore[arg-type]


def test_a_decision_and_its_label_are_stored_once_and_together(store: Store) -> None:
    one = decision("d1", "edit", suggestion="card_lost", tags=("wrong",), note="n", seconds=1.5, confidence=0.25)
    label = Label("e1", "card_arrival", "human:ann")
    assert store.decisions.add(one, [label])
    assert not store.decisions.add(one, [label])
    found = list(store.decisions.read())
    assert found == [replace(one, created=found[0].created)]
    assert [one.value for one in store.labels.read("train")] == ["card_arrival"]


def test_a_page_that_has_not_seen_the_newest_decision_is_refused(store: Store) -> None:
    store.decisions.add(decision("d1"))
    with pytest.raises(StaleDecision, match="Nothing was stored"):
        store.decisions.add(decision("d2"), [Label("e1", "other", "human:ann")])
    assert [one.id for one in store.decisions.read()] == ["d1"]
    assert [one.value for one in store.labels.read("train")] == ["card_lost"]
    assert store.decisions.add(decision("d2"), seen=store.decisions.newest("e1", "ann"))
    assert store.decisions.add(decision("d3", annotator="ben"))
    assert store.decisions.add(decision("d4", annotator="cy", purpose="conflict"))
    with pytest.raises(StaleDecision):
        store.decisions.add(decision("d5", annotator="ben"), seen="d3")


def test_what_stands_is_the_newest_that_was_not_taken_back(store: Store) -> None:
    store.decisions.add(decision("d1"))
    store.decisions.add(decision("d2", "skip"), seen="d1")
    store.decisions.add(decision("d3", "undo", undoes="d2"), seen="d2")
    store.decisions.add(decision("d4", annotator="ben"))
    assert [one.id for one in store.decisions.stand()] == ["d1", "d4"]
    assert [one.id for one in store.decisions.last("ann", 2)] == ["d3", "d2"]
    store.decisions.add(decision("d5", "undo", undoes="d1"), seen="d3")
    assert [one.id for one in store.decisions.stand("ann")] == []


def test_a_rejected_answer_stands_nowhere_and_a_withdrawn_word_was_never_said(store: Store) -> None:
    rejected = Label("e1", "card_lost", "human:ann", status="rejected")
    store.labels.add([rejected])
    assert list(store.labels.read("train")) == list(store.labels.read("train", "teacher")) == []
    assert store.labels.labelled_by("human:ann") == {"e1"}
    store.labels.add([replace(rejected, status="withdrawn")])
    assert [one.value for one in store.labels.read("train")] == ["card_lost"]
    assert store.labels.labelled_by("human:ann") == set()
    assert store.labels.counts() == [("teacher:m@1", "train", 1)]
    assert [one.status for one in store.labels.of(["e1", "e2"])["e1"]] == ["given", "rejected", "withdrawn"]


def test_a_pseudo_label_holds_where_nobody_else_gave_one() -> None:
    weak, teacher = Label("e1", "a", "weak:rules@1"), Label("e1", "b", "teacher:m@1")
    assert in_force([teacher, weak]) == teacher
    assert in_force([teacher, weak], "weak") == weak
    assert in_force([teacher, weak], "gold") is None
    assert in_force([teacher, weak], source="weak:rules@1") == weak


def test_preferences_queues_and_qualities_come_back(store: Store) -> None:
    answers = (Answer("a", "x"), Answer("b", ["y"], "f"))
    one = Preference(id="p1", example_id="e1", annotator="ann", kind="pair", answers=answers, scores=(1.0, 0.0))
    assert store.preferences.add(one) and not store.preferences.add(one)
    store.preferences.add(replace(one, id="p2"))
    store.preferences.add(Preference(id="p3", example_id="e1", annotator="ann", kind="undo", undoes="p2"))
    (found,) = store.preferences.stand()
    assert found == replace(one, created=found.created)
    queue = [Queued("e2", 0.5, "doubtful"), Queued("e1")]
    store.queues.put("errors", "train", [Queued("e9")])
    store.queues.put("errors", "train", queue)
    assert store.queues.read("errors", "train") == queue and store.queues.read("errors", "dev") == []
    assert store.queues.counts() == {("errors", "train"): 2}
    key = label_key("e1", TEACHER.source, TEACHER.value)
    store.qualities.put({key: 0.75}, "first")
    store.qualities.put({key: 0.5}, "second")
    assert store.qualities.of([key, "other"]) == {key: 0.5}
