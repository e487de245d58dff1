"""Escalation by field: of a record only the doubtful fields are asked of the last stage, in one shorter question, and merged.

The threshold is then one of each field's calibrated confidence. What the last stage says of the fields that the student is sure
of is never asked, so that its answers to some fields must not depend on being asked for all: that is what a certificate of such
a cascade assumes besides, for it is proved on the last stage's answers to whole questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import UsageError
from tutelage.evaluation.candidates import Candidate, candidate, close
from tutelage.evaluation.fields import field_matches
from tutelage.evaluation.metrics import Floats
from tutelage.project import Project
from tutelage.prompting.family import prompted_for
from tutelage.prompting.prompted import Prompted
from tutelage.routing.cascade import Rule, Stage, noted, novel_inputs
from tutelage.routing.confidence import Confidence
from tutelage.tasks import Task
from tutelage.tasks.record import RecordTask
from tutelage.types import Input, Prediction, Predictor, Usage, Value

Asker = Callable[[tuple[str, ...]], Predictor]
"""The predictor that answers these fields of a record."""


Wrap = Callable[[str, Predictor], Predictor]
"""What becomes of a part, by its name."""


class FieldCascade:
    """A student, and a last stage that is asked for the fields that the student is not sure of."""

    def __init__(self, name: str, stages: tuple[Stage, Stage], rule: Rule, task: RecordTask, ask: Asker) -> None:
        self._name, self.stages, self.rule, self._task, self._ask = name, stages, rule, task, ask

    @property
    def name(self) -> str:
        return self._name

    def through(self, wrap: Wrap) -> FieldCascade:
        """The parts wrapped; the last stage is then asked whole questions, whose answers `wrap` may know: what they cost is
        an upper bound."""
        student, last = (replace(one, predictor=wrap(one.predictor.name, one.predictor)) for one in self.stages)
        return FieldCascade(self._name, (student, last), self.rule, self._task, lambda fields: last.predictor)

    def watched(self, wrap: Wrap, around: Wrap) -> FieldCascade:
        """The parts wrapped once, and `around` put around each question about some fields, which is asked as before."""
        student, last = (replace(one, predictor=wrap(one.predictor.name, one.predictor)) for one in self.stages)
        ask, name = self._ask, last.predictor.name
        return FieldCascade(
            self._name, (student, last), self.rule, self._task, lambda fields: around(name, ask(fields))
        )

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, in order. `source` names who answered, "student + last" where both did. Raises as the stages do."""
        student, last = self.stages
        found = await student.predictor.predict(inputs)
        novel = novel_inputs(self.rule, self._task.input_text, inputs)
        asked: dict[tuple[str, ...], list[int]] = {}
        sure: list[Mapping[str, float]] = []
        for at, one in enumerate(found):
            sure.append(field_confidence(self._task, student.confidence, one))
            doubtful = self._doubtful(sure[at], one, novel=novel[at])
            if doubtful:
                asked.setdefault(doubtful, []).append(at)
        merged = {at: self._own(one, sure[at]) for at, one in enumerate(found)}
        groups = await asyncio.gather(
            *(self._ask(fields).predict([inputs[at] for at in group]) for fields, group in asked.items())
        )
        for (fields, group), answers in zip(asked.items(), groups, strict=True):
            for at, answer in zip(group, answers, strict=True):
                merged[at] = self._merged(merged[at], answer, fields, sure[at], last.predictor.name)
        return [merged[at] for at in range(len(inputs))]

    def _doubtful(self, sure: Mapping[str, float], one: Prediction, *, novel: bool) -> tuple[str, ...]:
        if novel or one.value is None or self.rule.threshold is None:
            return tuple(sure)
        return tuple(name for name, confidence in sure.items() if confidence < self.rule.threshold)

    def _own(self, one: Prediction, sure: Mapping[str, float]) -> Prediction:
        least = min(sure.values(), default=1.0)
        found = noted(replace(one, source=self.stages[0].predictor.name, confidence=least, parts=dict(sure)), self.rule)
        dollars = 0.0 if one.usage.dollars is None else one.usage.dollars
        return replace(found, usage=replace(one.usage, dollars=dollars))

    def _merged(
        self, own: Prediction, answer: Prediction, fields: tuple[str, ...], sure: Mapping[str, float], last: str
    ) -> Prediction:
        usage: Usage = own.usage + answer.usage
        if answer.value is None or not isinstance(answer.value, dict):
            return replace(own, value=None, usage=usage, source=last, error=answer.error)
        kept: dict[str, object] = dict(own.value) if isinstance(own.value, dict) else {}
        value = self._task.settle({**kept, **{name: answer.value.get(name) for name in fields}}, {}).value
        whole = len(fields) == len(self._task.answer_fields)
        source = last if whole else f"{own.source} + {last}"
        parts = {name: one for name, one in sure.items() if name not in fields}
        least = min(parts.values(), default=None)
        return replace(own, value=value, usage=usage, source=source, confidence=least, parts=parts, error=None)

    async def close(self) -> None:
        for stage in self.stages:
            await close(stage.predictor)


def field_cascade(name: str, stages: tuple[Stage, Stage], rule: Rule, project: Project) -> FieldCascade:
    """The cascade of a project. Raises UsageError where its task is none of records."""
    task, last = project.task, stages[1].predictor
    check_fields(project, name, [one.predictor.name for one in stages])
    assert isinstance(task, RecordTask)
    return FieldCascade(name, stages, rule, task, asker(project, candidate(project, last.name), last))


def field_confidence(task: Task, confidence: Confidence | None, one: Prediction) -> dict[str, float]:
    """The calibrated confidence of each field of the task; 0 where the student gives none."""
    found = {} if confidence is None else confidence.of_parts(one)
    return {field.name: found.get(field.name, 0.0) for field in getattr(task, "answer_fields", ())}


def asker(project: Project, last: Candidate, predictor: Predictor) -> Asker:
    """Asks `predictor` for some fields: a prompted model gets a question about these alone, others the whole one."""
    task = project.task
    if not isinstance(predictor, Prompted) or not isinstance(task, RecordTask):
        return lambda fields: predictor

    @cache
    def ask(fields: tuple[str, ...]) -> Predictor:
        if len(fields) == len(task.answer_fields):
            return predictor
        asked = only_fields(task, fields)
        return prompted_for(asked, last.name, last.settings, project, predictor.selector, predictor.model)

    return ask


def only_fields(task: RecordTask, fields: Sequence[str]) -> RecordTask:
    """The task of finding these fields alone."""
    schema = dict(task.answer_schema)
    schema["properties"] = {name: one for name, one in schema["properties"].items() if name in fields}
    if "required" in schema:
        schema["required"] = [name for name in schema["required"] if name in fields]
    normalisers = {name: one for name, one in task.normalisers.items() if name in fields}
    return replace(task, answer_schema=schema, normalisers=normalisers)


def right_fields(task: Task, gold: Sequence[Value], predictions: Sequence[Prediction]) -> NDArray[np.bool_]:
    """Whether each field is right, shape (n, fields); of a failed answer none is."""
    found = field_matches(task, gold, [one.value for one in predictions])
    answered = np.array([one.value is not None for one in predictions])
    right: NDArray[np.bool_] = np.stack([one.scores == 1.0 for one in found.values()], axis=1) & answered[:, None]
    return right


def sure_fields(task: Task, confidence: Confidence | None, predictions: Sequence[Prediction]) -> Floats:
    """The calibrated confidence of each field, shape (n, fields), -1 where the answer failed."""
    rows = [
        [-1.0] * len(getattr(task, "answer_fields", ()))
        if one.value is None
        else list(field_confidence(task, confidence, one).values())
        for one in predictions
    ]
    return np.array(rows, dtype=np.float64)


def wrong_merged(sure: Floats, student: NDArray[np.bool_], last: NDArray[np.bool_], threshold: float) -> Floats:
    """1 where some field of the merged record is wrong, shape (n,); the other arguments have shape (n, fields)."""
    right = np.where(sure >= threshold, student, last)
    return np.asarray(~right.all(axis=1), dtype=np.float64)


def check_fields(project: Project, name: str, stages: Sequence[str], *, abstain: bool = False) -> None:
    """Raises UsageError where escalation by field does not fit."""
    if abstain:
        raise UsageError(f'[candidates.{name}]: escalate = "fields" and abstain do not go together. Take one of them.')
    if project.task.output != "record":
        raise UsageError(
            f'[candidates.{name}]: escalate = "fields" is for records, this task\'s output is {project.task.output!r}. '
            "Remove it."
        )
    if len(stages) != 2:
        raise UsageError(f'[candidates.{name}]: escalate = "fields" takes two stages, found {len(stages)}. Name two.')
