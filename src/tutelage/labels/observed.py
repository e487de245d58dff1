"""What traces say about inputs: each input once, how it went, and what people and teachers answered."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tutelage.errors import AnswerError
from tutelage.labels.splitting import canonical_input, example_id
from tutelage.store import Feedback, Store, Trace, TraceFilter
from tutelage.tasks import Task
from tutelage.types import Input, Label, Value, canonical_json

MOST = 200_000
"""Traces read, the newest."""
PAGE = 500
_BAD = ("wrong", "corrected", "preferred")


@dataclass(slots=True)
class Observed:
    """One input. `confidence` is the lowest there was; `failed`: without an answer, or somebody said that it was not right."""

    id: str
    input: Input
    confidence: float | None = None
    failed: bool = False
    escalated: bool = False
    traces: int = 0
    said: list[tuple[bool, Label]] = field(default_factory=list)
    """What people said, in no order: that an answer is right, or (False) that it is wrong."""
    teachers: dict[str, Label] = field(default_factory=dict)
    """By source, the newest."""

    @property
    def people(self) -> list[Label]:
        """Each person's newest label, unless the same one has called that answer wrong since."""
        found: dict[str, Label] = {}
        for right, label in sorted(self.said, key=lambda one: one[1].created):
            if right:
                found[label.source] = label
            elif (known := found.get(label.source)) and known.value == label.value:
                del found[label.source]
        return list(found.values())


@dataclass(slots=True)
class Pool:
    """All inputs by their id. `traces` were read; `unread` of them hold no input of the task (not sampled, left out, or sent in
    another form), `unfit` answers are none of the task's or do not fit their input."""

    inputs: dict[str, Observed] = field(default_factory=dict)
    traces: int = 0
    unread: int = 0
    unfit: int = 0


def observe(store: Store, task: Task, which: TraceFilter, trusted: Collection[str] = ()) -> Pool:
    """The inputs of the task's traces that `which` leaves. Labels of people are taken of those `trusted` (empty: of all)."""
    pool = Pool()
    newest = islice(store.traces.read(which), MOST)
    while page := list(islice(newest, PAGE)):
        said = store.feedback.of([trace.id for trace in page])
        for trace in page:
            _observe(pool, task, trace, said.get(trace.id, ()), trusted)
    return pool


def fields_of(given: Any, task: Task) -> Input | None:
    """The task's input fields in what a trace holds as input: the fields, a text, or a conversation whose last message of the
    user has them; None where it holds none that can be an example."""
    if isinstance(given, Mapping) and "messages" in given and "messages" not in task.fields:
        given = given["messages"]
    if isinstance(given, list):
        given = _last_said(given)
        if isinstance(given, str) and len(task.fields) > 1:
            given = _json(given)
    if isinstance(given, str) and len(task.fields) == 1:
        given = {task.fields[0]: given}
    if not isinstance(given, Mapping) or not all(_usable(given.get(name)) for name in task.fields):
        return None
    return canonical_input({name: given[name] for name in task.fields})


def _observe(pool: Pool, task: Task, trace: Trace, said: Iterable[Feedback], trusted: Collection[str]) -> None:
    pool.traces += 1
    input = fields_of(trace.input, task)
    if input is None:
        pool.unread += 1
        return
    one = pool.inputs.setdefault(id := example_id(input), Observed(id, input))
    one.traces += 1
    one.escalated |= bool(trace.escalated)
    one.failed |= trace.mode != "audit" and (trace.status >= 400 or trace.status == 0)
    # The first stage's, where the steps tell: that of the whole is the teacher's where it was asked.
    first = next((step.confidence for step in trace.steps if step.role == "answer"), trace.confidence)
    if first is not None and trace.mode != "audit":
        one.confidence = first if one.confidence is None else min(one.confidence, first)
    for feedback in said:
        one.failed |= feedback.verdict in _BAD
        if not trusted or feedback.who in trusted:
            _heard(pool, task, one, trace, feedback)
    answers = [(step.source or step.name, step.answer, step.role) for step in trace.steps]
    for source, answer, role in ((trace.source, trace.output, "answer"), *answers):
        if source.startswith("teacher:") and answer is not None and source not in one.teachers:
            value = _fitting(task, answer, input)
            pool.unfit += value is None
            if value is not None:  # traces come newest first: the first counts
                note = f"{role} in trace {trace.id}"
                one.teachers[source] = Label(id, value, source, trace.created, note)


def _heard(pool: Pool, task: Task, one: Observed, trace: Trace, feedback: Feedback) -> None:
    """Keep what a person said, with the answer that it is about or that would have been right."""
    if feedback.verdict == "preferred":
        return
    answer = feedback.value if feedback.verdict == "corrected" else trace.output
    value = None if answer is None else _fitting(task, answer, one.input)
    if value is None:
        pool.unfit += answer is not None
        return
    note = f"{feedback.verdict}, trace {trace.id}" + (f": {feedback.note}" if feedback.note else "")
    label = Label(one.id, value, f"human:{feedback.who.strip() or 'somebody'}", feedback.created, note)
    one.said.append((feedback.verdict != "wrong", label))


def _fitting(task: Task, answer: Any, input: Input) -> Value | None:
    """The answer in its canonical form, None where it is none of the task or says what the input does not."""
    try:
        value = task.parse(answer) if isinstance(answer, str) and answer.lstrip().startswith(("{", "```")) else answer
        value = task.canonical(value)
        settled = task.settle(value, input)
    except AnswerError:
        return None
    fits = settled.value == value and not (settled.problem and isinstance(value, dict))
    return value if fits and _usable(canonical_json(value)) else None


def _last_said(messages: list[Any]) -> Any:
    last = next((one for one in reversed(messages) if isinstance(one, dict) and one.get("role") == "user"), {})
    content = last.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _usable(value: Any) -> bool:
    """Text with something in it that every database takes."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in value)
