"""What a decision says about the label that was shown: left as it was, adjusted, rejected, skipped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Literal, TypeAlias

from tutelage.errors import AnswerError
from tutelage.store import by_person
from tutelage.store.decisions import Decision
from tutelage.tasks import Task
from tutelage.types import Label, Value, canonical_json

HUMAN = "human:"

Outcome: TypeAlias = Literal["unchanged", "adjusted", "rejected", "skipped", "given"]
"""`given`: an answer where none was suggested, as of a blind second label."""


def answer_key(task: Task, value: Value) -> str:
    """Equal for equal answers: the canonical form; the order of strings does not matter. What is no answer of the task (any
    more) is equal to itself alone."""
    with contextlib.suppress(AnswerError):
        value = task.canonical(value)
    if task.output == "strings" and isinstance(value, list):
        value = sorted(value)
    return canonical_json(value)


def same_answer(task: Task, a: Value, b: Value) -> bool:
    return answer_key(task, a) == answer_key(task, b)


def spoken(labels: Iterable[Label]) -> dict[str, Label]:
    """What each person says, by name; the newest word last. Who took back what they said says nothing."""
    found: dict[str, Label] = {}
    for one in labels:
        if by_person(one.source):
            who = one.source.removeprefix(HUMAN)
            found.pop(who, None)
            if one.status != "withdrawn":
                found[who] = one
    return found


def last_word(labels: Iterable[Label]) -> Label | None:
    """What people said of an example last: an answer, or that one is no answer; None where nothing stands."""
    return next(reversed(spoken(labels).values()), None)


def right_by(task: Task, word: Label, value: Value) -> bool | None:
    """Whether `value` is right by the word of a person; None where they only said of another answer that it is none."""
    same = same_answer(task, value, word.value)
    return same if word.status == "given" else False if same else None


def outcome(task: Task, decision: Decision) -> Outcome:
    """What a decision (not an undo) says. An edit that changes nothing left the suggestion unchanged; so does an accepted
    example whose answer was not stored with the decision."""
    if decision.verdict == "skip":
        return "skipped"
    if decision.verdict == "reject":
        return "rejected"
    if decision.suggestion is None:
        return "given"
    if decision.value is None or same_answer(task, decision.value, decision.suggestion):
        return "unchanged"
    return "adjusted"
