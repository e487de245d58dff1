"""What a person says on a page becomes a decision and the labels that follow from it, or is refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from tutelage.errors import AnswerError, DataError, StaleDecision
from tutelage.project import Project
from tutelage.review.outcome import HUMAN, same_answer, spoken
from tutelage.review.shown import Shown, stack
from tutelage.store import Decision, Verdict, now
from tutelage.tasks import Task
from tutelage.types import Input, Label, Standing, Value

LONGEST_NOTE = 2000
LONGEST_ID = 64
LONGEST_PAUSE = 3600.0
"""Seconds after which nobody was thinking about the example any more; how long it took is then not known."""


class Unusual(AnswerError):
    """An answer that breaks a limit of the task, and may be kept all the same when it is sent again with `anyway`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """What a page sends. `id` was made with the page, so that a word that is sent twice is one. `value` is the answer as the
    form holds it, `shown` the key of what was suggested, `seen` the newest decision that the page knew of."""

    id: str
    annotator: str
    verdict: str
    value: Any = None
    queue: str = ""
    shown: str | None = None
    seen: str | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    seconds: float | None = None
    anyway: bool = False


def decide(project: Project, shown: Shown, word: Word) -> Decision:
    """Store what was said of an example. Sent again, nothing happens.

    Raises DataError or AnswerError for what cannot be stored (Unusual: unless sent with `anyway`), and StaleDecision where the
    page showed what does not hold any more. Then nothing is stored.
    """
    if again := next((one for one in shown.decisions if one.id == word.id), None):
        return again
    verdict = _verdict(project, shown, word)
    value = answer(project.task, shown.example.input, word.value, word.anyway) if verdict == "edit" else None
    suggested = shown.suggestion
    if suggested and (verdict == "accept" or (value is not None and same_answer(project.task, value, suggested.value))):
        verdict = "accept"
        value = answer(project.task, shown.example.input, suggested.value, True)
    decision = Decision(
        id=word.id,
        example_id=shown.example.id,
        annotator=word.annotator,
        verdict=verdict,
        purpose=shown.purpose,
        queue=word.queue,
        value=value,
        suggestion=suggested.value if suggested else None,
        suggested_by=suggested.source if suggested else None,
        confidence=suggested.confidence if suggested else None,
        tags=word.tags,
        note=word.note.strip() or None,
        seconds=word.seconds if word.seconds is not None and 0 <= word.seconds <= LONGEST_PAUSE else None,
        created=now(),
    )
    project.store.decisions.add(decision, _labels(shown, decision), seen=word.seen)
    return decision


def undo(project: Project, shown: Shown, word: Word, target: Decision) -> Decision:
    """Take the annotator's decision `target` back: what they had said before holds again, or nothing.

    Sent again, nothing happens. Raises StaleDecision where another decision on the example came between.
    """
    if again := next((one for one in shown.decisions if one.id == word.id), None):
        return again
    decision = Decision(
        id=word.id,
        example_id=target.example_id,
        annotator=word.annotator,
        verdict="undo",
        purpose=target.purpose,
        queue=word.queue,
        undoes=target.id,
        created=now(),
    )
    project.store.decisions.add(decision, _before(shown, decision, target), seen=shown.seen)
    return decision


def answer(task: Task, input: Input, value: Any, anyway: bool = False) -> Value:
    """`value` in its canonical form. Raises AnswerError where it is no answer of the task to this input."""
    found = task.canonical(value)
    settled = task.settle(found, input)
    if settled.problem is None:
        return settled.value
    if settled.value != found:  # something would be dropped
        raise AnswerError(settled.problem)
    if not anyway:
        raise Unusual(f"{settled.problem} Or save again to keep it so.")
    return found


def _verdict(project: Project, shown: Shown, word: Word) -> Verdict:
    """What the word says, where it can be said of what is shown. Raises DataError, StaleDecision."""
    if not word.id or len(word.id) > LONGEST_ID:
        raise DataError("The form has no number of its own. Load the page again.")
    if word.verdict not in get_args(Verdict) or word.verdict == "undo":
        raise DataError(f"{word.verdict!r} cannot be said of a label. Known: accept, edit, reject, skip.")
    verdict: Verdict = word.verdict  # type: ignore[assignment]  # one of them, as was just seen
    if unknown := [tag for tag in word.tags if tag not in project.file.review.tags]:
        raise DataError(
            f"{unknown[0]!r} is not among [review] tags in task.toml: {', '.join(project.file.review.tags)}."
        )
    if len(word.note) > LONGEST_NOTE:
        raise DataError(f"The note has {len(word.note)} characters, {LONGEST_NOTE} are allowed. Shorten it.")
    if word.shown != (shown.suggestion.key if shown.suggestion else None) and verdict != "skip":
        raise StaleDecision(
            f"Another answer is suggested for example {shown.example.id} than when this page was opened. Nothing was stored; "
            "load the page again to see it."
        )
    if verdict in ("accept", "reject") and shown.suggestion is None:
        raise DataError(f"Nothing is suggested here, so there is nothing to {verdict}. Say what is right, or skip.")
    if verdict == "accept" and word.value is not None and shown.suggestion is not None:
        _unchanged(project.task, word.value, shown.suggestion.value)
    return verdict


def _unchanged(task: Task, value: Any, suggested: Value) -> None:
    """Raises DataError where what stands in the form is not what is suggested: to accept would lose it."""
    try:
        same = same_answer(task, task.canonical(value), suggested)
    except AnswerError:
        same = False
    if not same:
        raise DataError("The answer in the form is not the suggested one. Save it, or put it back before you accept.")


def _labels(shown: Shown, decision: Decision) -> list[Label]:
    if decision.verdict == "skip":
        return []
    if decision.verdict == "reject":
        assert decision.suggestion is not None
        return _said(shown, decision, decision.suggestion, "rejected")
    assert decision.value is not None
    return _said(shown, decision, decision.value, "given")


def _said(shown: Shown, decision: Decision, value: Value, status: Standing) -> list[Label]:
    """The label by which the annotator says it, as the newest word of all."""
    source = HUMAN + decision.annotator
    label = Label(decision.example_id, value, source, decision.created, status=status)
    words = spoken(shown.labels)
    mine = words.get(decision.annotator)
    if mine is None or list(words)[-1] == decision.annotator or (mine.value, mine.status) != (value, status):
        return [label]
    # The store leaves out what its source has said already, and somebody else's word is newer by now.
    return [Label(decision.example_id, mine.value, source, decision.created, status="withdrawn"), label]


def _before(shown: Shown, decision: Decision, target: Decision) -> list[Label]:
    """The label that holds again once `target` is taken back, or the one that takes the annotator's label back."""
    if target.verdict == "skip":
        return []
    source = HUMAN + decision.annotator
    earlier = [
        one for one in stack(shown.decisions, decision.annotator) if one.id != target.id and one.verdict != "skip"
    ]
    if earlier:
        return _labels(shown, _again(earlier[-1], decision))
    mine = [one for one in shown.labels if one.source == source]
    first = min(one.created for one in shown.decisions if one.annotator == decision.annotator)
    imported = [one for one in mine if one.created < first]
    if imported and imported[-1].status != "withdrawn":
        return _said(shown, decision, imported[-1].value, imported[-1].status)
    return [Label(target.example_id, mine[-1].value, source, decision.created, status="withdrawn")] if mine else []


def _again(earlier: Decision, decision: Decision) -> Decision:
    """`earlier` as it is said once more with `decision`."""
    return Decision(
        id=decision.id,
        example_id=earlier.example_id,
        annotator=earlier.annotator,
        verdict=earlier.verdict,
        value=earlier.value,
        suggestion=earlier.suggestion,
        created=decision.created,
    )


def told(decision: Decision) -> str:
    """What was decided, in a word for people."""
    return {"accept": "Accepted", "edit": "Saved", "reject": "Rejected", "skip": "Skipped", "undo": "Taken back"}[
        decision.verdict
    ]


def tags_of(project: Project, given: Sequence[str]) -> tuple[str, ...]:
    """Tags in the order of task.toml, each once; unknown ones stay, to be refused by name."""
    known = project.file.review.tags
    return (*(tag for tag in known if tag in given), *dict.fromkeys(tag for tag in given if tag not in known))
