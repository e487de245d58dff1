"""What an answer claims, part by part, and how probably each claim is right by a student's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tutelage.prompting.voting import form_of
from tutelage.tasks import Task
from tutelage.tasks.matching import normal
from tutelage.types import Prediction, Value, canonical_json

UNTOLD = 0.5
"""The confidence of a student that tells none."""
SHOWN = 60
"""Characters of an answer that are shown."""


@dataclass(frozen=True)
class Claim:
    """Part of an answer: `given` by the label, else by the student alone. `chance` is the probability that it is right, `words`
    what the student says of it."""

    given: bool
    chance: float
    words: str

    @property
    def right(self) -> float:
        """The probability that the label is right here."""
        return self.chance if self.given else 1 - self.chance


def claims(task: Task, label: Value, answer: Prediction) -> list[Claim]:
    """The claims of the label and of the answer, of strings or a record; [] where the student failed or nothing is claimed."""
    if answer.value is None:
        return []
    if isinstance(label, dict) and isinstance(answer.value, dict):
        return [claim for field in label for claim in _field(task, field, label[field], answer)]
    return _strings(list(label), answer)


def _field(task: Task, field: str, given: Any, answer: Prediction) -> list[Claim]:
    """One claim where both agree; where they do not each has its own."""
    assert isinstance(answer.value, dict)
    said = answer.value.get(field)
    sure = answer.parts.get(field, _confidence(answer))
    form = form_of(task, field)
    if form(given) == form(said):
        return [Claim(True, sure, f"{field}: {shown(given)}, of which it is unsure")]
    differs = f"{field}: {shown(given)}; it says {shown(said)}"
    return [Claim(True, 1 - sure, differs), Claim(False, sure, differs)]


def _strings(given: list[str], answer: Prediction) -> list[Claim]:
    """A string that the student does not find is as doubtful as its answer as a whole is sure."""
    said = {normal(str(text)): str(text) for text in answer.value or ()}
    sure = {normal(text): chance for text, chance in answer.parts.items()}
    known, found = {normal(text) for text in given}, list[Claim]()
    for text in dict.fromkeys(given):
        if normal(text) in said:
            found.append(Claim(True, sure.get(normal(text), _confidence(answer)), f"{shown(text)}: it is unsure"))
        else:
            found.append(Claim(True, 1 - _confidence(answer), f"{shown(text)}: it does not find that"))
    for form, text in said.items():
        if form not in known:
            found.append(Claim(False, sure.get(form, _confidence(answer)), f"{shown(text)}: it finds that too"))
    return found


def _confidence(answer: Prediction) -> float:
    return UNTOLD if answer.confidence is None else answer.confidence


def shown(value: Any) -> str:
    """A part of an answer in a line for people."""
    text = " ".join((value if isinstance(value, str) else canonical_json(value)).split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
