"""A cascade of records that asks for the doubtful fields alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from tutelage.errors import UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.gateway.batching import Batched
from tutelage.gateway.watching import STEPS, watched
from tutelage.models.scripted import ScriptedModel
from tutelage.project import Project, open_project
from tutelage.prompting.prompted import Asked, Prompted
from tutelage.routing.cascade import Rule, Stage
from tutelage.routing.confidence import Confidence
from tutelage.routing.fields import FieldCascade, asker, check_fields, only_fields, wrong_merged
from tutelage.store.traces import Step
from tutelage.students.base import Trained
from tutelage.tasks.record import RecordTask
from tutelage.types import Input, Prediction

HEAD = """name = "orders"
output = "record"
instructions = "Read the order."
[schema]
type = "object"
[schema.properties]
item = { type = "string" }
amount = { type = "integer" }
day = { type = ["string", "null"] }
[candidates.student]
family = "linear"
[candidates.teacher]
family = "prompted"
model = "scripted"
"""
GIVEN = {"text": "two chairs on Monday"}
SURE = {"item": 0.99, "amount": 0.4, "day": 0.97}


class Student:
    """Says what it was told, as sure as it was told."""

    name = "student"

    def __init__(self, value: dict[str, object] | None, parts: dict[str, float]) -> None:
        self.value, self.parts = value, parts

    async def predict(self, inputs: list[Input]) -> list[Prediction]:
        error = None if self.value is not None else "no answer"
        return [Prediction(self.value, 0.4, parts=self.parts, error=error) for _ in inputs]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text(HEAD, encoding="utf-8")
    return open_project(tmp_path)


def cascade(project: Project, student: Student, model: ScriptedModel, threshold: float | None = 0.9) -> FieldCascade:
    assert isinstance(project.task, RecordTask)
    last = Prompted(model, project.task, name="teacher")
    stages = (Stage(student, Confidence()), Stage(last, None))  # type: ignore[arg-type]
    return FieldCascade(
        "both", stages, Rule(threshold), project.task, asker(project, candidate(project, "teacher"), last)
    )


def test_only_the_doubtful_field_is_asked_and_merged(project: Project) -> None:
    model = ScriptedModel([json.dumps({"amount": 2})])
    student = Student({"item": "chair", "amount": 3, "day": "Monday"}, SURE)
    [found] = asyncio.run(cascade(project, student, model).predict([GIVEN]))
    assert found.value == {"item": "chair", "amount": 2, "day": "Monday"}
    assert found.source == "student + teacher"
    assert dict(found.parts) == {"item": 0.99, "day": 0.97}
    [asked] = model.calls
    assert asked.params.schema is not None
    assert list(asked.params.schema["properties"]) == ["amount"]


def test_watched_it_still_asks_for_the_doubtful_fields_alone(project: Project) -> None:
    model = ScriptedModel([json.dumps({"amount": 2}), json.dumps({"amount": 2})])
    student = Student({"item": "chair", "amount": 3, "day": "Monday"}, SURE)
    steps: list[Step] = []
    parts: list[Asked] = []
    STEPS.set(steps)
    found = watched("both", cascade(project, student, model), parts, no_queue)
    answers = [asyncio.run(found.predict([GIVEN]))[0] for _ in range(2)]
    assert [one.value for one in answers] == [{"item": "chair", "amount": 2, "day": "Monday"}] * 2
    assert [list((one.params.schema or {})["properties"]) for one in model.calls] == [["amount"]] * 2
    assert [(step.name, step.answer) for step in steps[:2]] == [("student", student.value), ("teacher", {"amount": 2})]
    assert [part.name for part in parts] == ["teacher"]  # counted once, however often it is asked


def no_queue(name: str, student: Trained) -> Batched:
    raise AssertionError(f"{name} is no trained student")


@pytest.mark.parametrize(("threshold", "value"), [(None, {"item": "chair"}), (0.9, None)])
def test_without_a_threshold_or_an_answer_everything_is_asked(
    project: Project, threshold: float | None, value: dict[str, object] | None
) -> None:
    whole = {"item": "stool", "amount": 2, "day": None}
    model = ScriptedModel([json.dumps(whole)])
    [found] = asyncio.run(cascade(project, Student(value, SURE), model, threshold).predict([GIVEN]))
    assert (found.value, found.source, found.error) == (whole, "teacher", None)


def test_a_sure_student_asks_nobody_and_an_empty_batch_is_empty(project: Project) -> None:
    model = ScriptedModel([])
    student = Student({"item": "chair", "amount": 2, "day": None}, dict.fromkeys(SURE, 0.95))
    [found] = asyncio.run(cascade(project, student, model).predict([GIVEN]))
    assert (found.source, found.confidence) == ("student", 0.95)
    assert asyncio.run(cascade(project, student, model).predict([])) == []


def test_the_task_of_some_fields_and_the_loss_of_what_is_merged(project: Project) -> None:
    assert isinstance(project.task, RecordTask)
    assert [field.name for field in only_fields(project.task, ["day", "item"]).answer_fields] == ["item", "day"]
    sure = np.array([[0.9, 0.2], [0.9, 0.9]])
    student, last = np.array([[True, False], [True, False]]), np.array([[False, True], [True, True]])
    assert wrong_merged(sure, student, last, 0.5).tolist() == [0.0, 1.0]


def test_what_does_not_fit_is_said_in_one_line(project: Project) -> None:
    with pytest.raises(UsageError, match="takes two stages, found 3"):
        check_fields(project, "both", ["a", "b", "c"])
    with pytest.raises(UsageError, match="abstain do not go together"):
        check_fields(project, "both", ["a", "b"], abstain=True)
