"""What an annotator is shown of an example: its text, what is suggested and how surely, and what people have said."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tutelage.project import Project
from tutelage.review.outcome import HUMAN, answer_key, same_answer, spoken
from tutelage.store import Decision, Purpose, in_force
from tutelage.tasks import Task
from tutelage.types import Example, Label, Prediction, Value, digest

FRESH = 60.0
"""Seconds after which it is asked again who has predicted anything."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An answer that nobody decided on here: the label in force of a model, an import or of people who gave it elsewhere, else
    a candidate's stored prediction."""

    value: Value
    source: str
    confidence: float | None = None
    note: str | None = None

    @property
    def key(self) -> str:
        """By which a page says what it showed."""
        return digest([self.source, self.value])


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """An example before an annotator. `own` is their decision on it that stands, `words` what people say of it by their names,
    `seen` the newest decision that the page knows of. Of a `double` nothing is suggested, and nobody else's word is told."""

    example: Example
    purpose: Purpose
    suggestion: Suggestion | None
    own: Decision | None = None
    words: Mapping[str, Label] = field(default_factory=dict)
    seen: str | None = None
    labels: Sequence[Label] = ()
    decisions: Sequence[Decision] = ()


class Reader:
    """Reads what is shown, a few queries for however many examples."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._predictors, self._asked = project.store.predictions.predictors(), time.monotonic()

    def read(self, purposes: Mapping[str, Purpose], annotator: str) -> dict[str, Shown]:
        """Those of the examples (id -> for what they are shown) that are stored, in the order given."""
        store, ids = self._project.store, list(purposes)
        if time.monotonic() - self._asked > FRESH:
            self._predictors, self._asked = store.predictions.predictors(), time.monotonic()
        examples, labels, decisions = store.examples.pick(ids), store.labels.of(ids), store.decisions.of(ids)
        predictions = store.predictions.about(ids, self._predictors)
        found = {}
        for id in (id for id in ids if id in examples):
            said, made = labels.get(id, []), decisions.get(id, [])
            blind = purposes[id] == "double"
            words = spoken(said)
            found[id] = Shown(
                example=examples[id],
                purpose=purposes[id],
                suggestion=None if blind else suggestion(said, predictions.get(id, []), made),
                own=next(iter(reversed(stack(made, annotator))), None),
                words={who: one for who, one in words.items() if who == annotator} if blind else words,
                seen=seen(made, annotator),
                labels=said,
                decisions=made,
            )
        return found


def suggestion(
    labels: Sequence[Label], predictions: Sequence[Prediction], decisions: Sequence[Decision]
) -> Suggestion | None:
    """The answer in force of all that was not decided here, with its source's confidence in it; else the newest prediction's."""
    here = {HUMAN + who for who in {one.annotator for one in decisions} if stack(decisions, who)}
    label = in_force([one for one in labels if one.source not in here])
    if label is None:
        found = next((one for one in reversed(predictions) if one.value is not None), None)
        if found is None or found.value is None:
            return None
        return Suggestion(found.value, found.source, found.confidence, found.note)
    theirs = [one for one in predictions if one.source == label.source and one.value == label.value]
    sure = next((one.confidence for one in reversed(theirs) if one.confidence is not None), None)
    if sure is None and isinstance(label.value, str):
        sure = label.distribution.get(label.value)
    return Suggestion(label.value, label.source, sure, label.note)


def seen(decisions: Iterable[Decision], annotator: str) -> str | None:
    """The newest decision that concerns the annotator, as `DecisionTable.add` asks for."""
    mine = [one.id for one in decisions if one.annotator == annotator or one.purpose == "conflict"]
    return mine[-1] if mine else None


def stack(decisions: Iterable[Decision], annotator: str) -> list[Decision]:
    """The annotator's decisions that were not taken back, the newest last."""
    mine: dict[str, Decision] = {}
    for one in decisions:
        if one.annotator == annotator:
            if one.verdict == "undo":
                mine.pop(one.undoes or "", None)
            else:
                mine[one.id] = one
    return list(mine.values())


def in_conflict(task: Task, labels: Sequence[Label], decisions: Sequence[Decision]) -> bool:
    """Whether two people contradict each other, neither of whom corrected what the other had said, and nobody has settled it
    since."""
    words = spoken(labels)
    settled = [one for who in {one.annotator for one in decisions} for one in stack(decisions, who)]
    moments = [one.created for one in settled if one.purpose == "conflict" and one.verdict != "skip"]
    if moments and all(one.created <= max(moments) for one in words.values()):
        return False
    said = list(words.values())
    overruled = {(HUMAN + one.annotator, one.suggested_by) for one in settled}
    return any(
        _contradict(task, one, other)
        for at, one in enumerate(said)
        for other in said[:at]
        if not overruled & {(one.source, other.source), (other.source, one.source)}
    )


def _contradict(task: Task, one: Label, other: Label) -> bool:
    if one.status == other.status == "given":
        return not same_answer(task, one.value, other.value)
    return one.status != other.status and answer_key(task, one.value) == answer_key(task, other.value)
