"""Harvest: what is chosen of the traces and why, whose answers become labels, and that twice adds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.traced import trace

from tutelage.labels.harvest import HarvestOptions, HarvestReport, harvest
from tutelage.labels.novelty import distances
from tutelage.labels.observed import fields_of
from tutelage.labels.splitting import example_id, split_of
from tutelage.project import Project, open_project
from tutelage.store import Feedback, Step, Trace
from tutelage.tasks.label import LabelTask
from tutelage.types import Example, Label

TASK = 'name = "colour"\noutput = "label"\nlabels = ["red", "blue"]\ninstructions = "Name it."\n'


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "task.toml").write_text(TASK)
    project = open_project(tmp_path)
    yield project
    project.store.close()


def asked(text: str, **facts: Any) -> Trace:
    return trace(**{"task": "colour", "input": {"text": text}, "source": "tagger", "output": "red", **facts})


def texts(split: str | None = None) -> Iterator[str]:
    """Inputs whose hash puts them into train, or into another split."""
    number = 0
    while True:
        text = f"what colour has the thing number {number}?"
        if (split_of(example_id({"text": text})) == "train") == (split is None):
            yield text
        number += 1


def run(project: Project, **options: Any) -> HarvestReport:
    return harvest(project, project.store, HarvestOptions(**options))


def labels(project: Project) -> set[tuple[str, object, str]]:
    return {
        (one.example.input["text"], one.value, one.source)
        for split in ("train", "dev", "calibration", "test")
        for source, _, _ in project.store.labels.counts()
        for one in project.store.labels.read(split, source=source)
    }


def test_equal_shares_of_what_teaches_most(project: Project) -> None:
    some = texts()
    known = [
        Example(example_id({"text": text}), {"text": text}, "train") for _, text in zip(range(5), some, strict=False)
    ]
    project.store.examples.add(known)
    sure = [asked(next(some), confidence=0.99) for _ in range(40)]
    doubtful = [asked(next(some), confidence=0.1 + at / 100) for at in range(6)]
    failed = [asked(next(some), status=502, error="x", output=None) for _ in range(6)]
    escalated = [asked(next(some), escalated=True) for _ in range(6)]
    novel = [asked(f"zwölf Boxkämpfer jagen {at}") for at in range(300)]
    novel = [one for one in novel if split_of(example_id(one.input)) == "train"][:6]
    project.store.traces.add([*sure, *doubtful, *failed, *escalated, *novel, trace(task="other", input="no")])
    report = run(project, n=20)
    assert report.taken == {"doubtful": 4, "novel": 4, "failed": 4, "escalated": 4, "random": 4}
    assert (report.traces, report.inputs, report.added, report.known) == (64, 64, 20, 0)
    stored = {one.input["text"] for one in project.store.examples.read()}
    assert {one.input["text"] for one in doubtful[:4]} <= stored
    assert len(stored & {one.input["text"] for one in novel}) >= 4
    assert len(stored & {one.input["text"] for one in failed}) >= 4


def test_the_same_traces_add_nothing_twice(project: Project) -> None:
    some = texts()
    project.store.examples.add([Example(example_id({"text": "a b c"}), {"text": "a b c"}, "train")])
    made = [asked(next(some), confidence=at / 200, source="teacher:gpt@1", output="blue") for at in range(150)]
    made += [asked(next(texts("other")), confidence=0.5), asked(made[0].input["text"])]
    project.store.traces.add(made)
    project.store.feedback.add(Feedback(trace=made[3].id, verdict="right", who="ada"))
    dry = run(project, n=30, dry_run=True)
    assert list(project.store.examples.read("train")) != [] and sum(project.store.examples.counts().values()) == 1
    first = run(project, n=30)
    assert (dry.taken, dry.added, dry.by_split) == (first.taken, first.added, first.by_split)
    assert first.added == 31
    assert first.taken["people"] == 1
    before = labels(project)
    again = run(project, n=30)
    assert (again.added, again.known, again.labels, again.taken) == (0, 31, {}, first.taken)
    assert labels(project) == before


def test_what_people_say_becomes_their_label(project: Project) -> None:
    some = texts()
    made = [asked(next(some), output=output) for output in ("red", "red", "red", "red", "red", "red", "red", "red")]
    right, corrected, wrong, preferred, revoked, unfit, twice, lately = made
    later = asked(twice.input["text"], output="blue")
    old = asked(lately.input["text"], output="blue")
    project.store.traces.add([*made, later, old])
    for number, (one, verdict, who, value) in enumerate(
        [
            (right, "right", "ada", None),
            (corrected, "corrected", "ada", "Blue"),
            (corrected, "corrected", "bob", "red"),
            (wrong, "wrong", "ada", None),
            (preferred, "preferred", "ada", "blue"),
            (revoked, "right", "ada", None),
            (revoked, "wrong", "ada", None),
            (unfit, "corrected", "ada", "green"),
            (twice, "right", "ada", None),
            (later, "wrong", "ada", None),  # of another answer
            (lately, "right", "ada", None),
            (old, "right", "ada", None),
        ]
    ):
        created = f"2026-11-21T10:00:{number:02d}"
        project.store.feedback.add(Feedback(trace=one.id, verdict=verdict, who=who, value=value, created=created))  # type: ignore[arg-type]
    report = run(project, n=0)
    assert labels(project) == {
        (right.input["text"], "red", "human:ada"),
        (corrected.input["text"], "blue", "human:ada"),
        (corrected.input["text"], "red", "human:bob"),
        (twice.input["text"], "red", "human:ada"),
        (lately.input["text"], "blue", "human:ada"),
    }
    assert report.labels == {"human:ada": 4, "human:bob": 1}
    assert (report.taken, report.unfit) == ({"people": 4}, 1)


def test_only_trusted_people_count(project: Project) -> None:
    some = texts()
    made = [asked(next(some)), asked(next(some))]
    project.store.traces.add(made)
    for one, who in zip(made, ("ada", "anybody"), strict=True):
        project.store.feedback.add(Feedback(trace=one.id, verdict="right", who=who))
    assert run(project, n=0, labels="none").added == 0
    assert run(project, n=0, trusted=("ada",)).labels == {"human:ada": 1}
    assert {source for _, _, source in labels(project)} == {"human:ada"}


def test_a_teachers_answers_are_marked_as_such(project: Project) -> None:
    some = texts()
    answered = asked(next(some), source="teacher:gpt@1", output="blue")
    audited = asked(
        next(some),
        steps=(
            Step(name="tagger", answer="red"),
            Step(name="large", source="teacher:gpt@2", role="audit", answer='{"label": "blue"}'),
            Step(name="teacher:gpt@3", role="shadow", error="timeout"),
            Step(name="teacher:gpt@4", role="shadow", answer="green"),
        ),
    )
    upstream = asked(next(some), steps=(Step(name="gpt-5", answer="blue"),))
    project.store.traces.add([answered, audited, upstream])
    assert run(project, n=3, labels="people").labels == {}
    report = run(project, n=3)
    assert labels(project) == {
        (answered.input["text"], "blue", "teacher:gpt@1"),
        (audited.input["text"], "blue", "teacher:gpt@2"),
    }
    assert (report.labels, report.unfit) == ({"teacher:gpt@1": 1, "teacher:gpt@2": 1}, 1)
    (note,) = {one.note for one in project.store.labels.read("train", source="teacher:gpt@2")}
    assert note == f"audit in trace {audited.id}"


def test_only_random_inputs_enter_the_splits_that_measure(project: Project) -> None:
    others = texts("other")
    made = [asked(next(others), confidence=0.01, escalated=True, status=500) for _ in range(30)]
    project.store.traces.add(made)
    project.store.feedback.add(Feedback(trace=made[0].id, verdict="right", who="ada"))
    there = made[1].input
    project.store.examples.add([Example(example_id(there), there, "test")])
    project.store.feedback.add(Feedback(trace=made[1].id, verdict="right", who="ada"))
    report = run(project, n=0)
    assert (report.added, report.held_back, report.taken) == (0, 1, {})
    assert labels(project) == {(there["text"], "red", "human:ada")}
    assert run(project, n=5).taken == {"random": 5}
    assert project.store.examples.splits([example_id(there)]) == {example_id(there): "test"}
    assert project.store.examples.counts()["train"] == 0
    assert all(one.split == split_of(one.id) for one in project.store.examples.read() if one.input != there)


def test_what_people_said_about_random_inputs_adds_nothing_the_second_time(project: Project) -> None:
    others = texts("other")
    made = [asked(next(others)) for _ in range(30)]
    project.store.traces.add(made)
    for one in made:
        project.store.feedback.add(Feedback(trace=one.id, verdict="right", who="ada"))
    first = run(project, n=10)
    assert (first.added, first.held_back, first.labels) == (10, 20, {"human:ada": 10})
    again = run(project, n=10)
    assert (again.added, again.held_back, again.labels) == (0, 20, {})


def test_traces_without_an_input_are_counted(project: Project) -> None:
    project.store.traces.add([asked("x", input=given) for given in (None, "", {"text": 3}, {"other": "x"}, [], ["a"])])
    report = run(project)
    assert (report.traces, report.unread, report.inputs, report.added) == (6, 6, 0, 0)


def test_labels_never_reach_inputs_that_are_no_examples(project: Project) -> None:
    project.store.traces.add([asked(next(texts()), source="teacher:gpt@1")])
    assert run(project, n=0).labels == {}
    project.store.labels.add([Label("x" * 32, "red", "import")])


TWO = LabelTask("t", ("title", "body"), "", labels=("a", "b"))
ONE = LabelTask("t", ("text",), "", labels=("a", "b"))


@pytest.mark.parametrize(
    ("given", "task", "expected"),
    [
        ({"text": "a", "more": 1}, ONE, {"text": "a"}),
        ("a", ONE, {"text": "a"}),
        ([{"role": "user", "content": "no"}, {"role": "user", "content": "a"}, {"role": "assistant"}], ONE, {"text": "a"}),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], ONE, {"text": "ab"}),
        ({"messages": [{"role": "user", "content": "a"}]}, ONE, {"text": "a"}),
        ([{"role": "user", "content": '{"title": "a", "body": "b"}'}], TWO, {"body": "b", "title": "a"}),
        ([{"role": "user", "content": "{"}], TWO, None),
        ({"title": "a"}, TWO, None),
        ({"text": "\ud800"}, ONE, None),
        ({"text": "a\0"}, ONE, None),
    ],
)  # fmt: skip
def test_inputs_are_found_in_what_clients_sent(given: Any, task: LabelTask, expected: object) -> None:
    assert fields_of(given, task) == expected


def test_distances_are_from_the_nearest_known_text() -> None:
    same, near, far = distances(["the red house", "x"], ["the red house", "the red horse", "ölpest"])
    assert same < 1e-6
    assert same < near < far == 1
    assert distances([], ["a"]) == [1.0] == distances(["  "], ["a"])
    assert distances(["a"], []) == []
