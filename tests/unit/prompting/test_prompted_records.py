"""Records and sets of labels asked of a model: what fits is kept, what does not is asked about once, and cut off is said."""

from __future__ import annotations

import asyncio

import pytest

from tutelage.models.scripted import Answers, ScriptedModel
from tutelage.prompting import Prompted, PromptedSettings
from tutelage.tasks import Task
from tutelage.tasks.labels import LabelsTask
from tutelage.tasks.record import RecordTask
from tutelage.types import Prediction

FIELDS = {"vendor": {"type": "string"}, "total": {"type": "number"}, "day": {"type": "string", "format": "date"}}
RECORD = RecordTask("invoice", ("text",), "", answer_schema={"properties": FIELDS, "required": ["vendor"]})
LABELS = LabelsTask("topics", ("text",), "", labels=("billing", "delivery"))


def answer(task: Task, answers: Answers, repairs: int = 1) -> tuple[Prediction, ScriptedModel]:
    model = ScriptedModel(answers)
    settings = PromptedSettings("scripted", repairs=repairs)
    return asyncio.run(Prompted(model, task, settings).predict_one({"text": "An invoice."})), model


def test_an_answer_that_fits_in_part_counts_in_part() -> None:
    prediction, model = answer(RECORD, ['{"vendor": "Acme", "total": "a lot"}'] * 2)
    assert prediction.value == {"vendor": "Acme", "total": None, "day": None} and prediction.error is None
    assert prediction.note == "1 repair; dropped, total: 'a lot' is not a number"
    assert "total: 'a lot' is not a number" in model.calls[1].messages[-1].content


def test_a_field_is_mended_when_asked_again() -> None:
    second = '{"vendor": "Acme", "total": "12,50 EUR", "day": "17 May 2026"}'
    prediction, _ = answer(RECORD, ['```json\n{"total": 1}\n```', second])
    assert prediction.value == {"vendor": "Acme", "total": 12.5, "day": "2026-05-17"}
    assert prediction.note == "1 repair"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"vendor": "Acme", "total": NaN}', "NaN is not JSON"),
        ('{"vendor": {"name": "Acme"}', "cut off"),
        ("I cannot read this.", "is not a JSON object. Expected: "),
    ],
)
def test_an_answer_that_is_no_record_fails_and_says_why(text: str, error: str) -> None:
    prediction, _ = answer(RECORD, [text], repairs=0)
    assert prediction.value is None and error in (prediction.error or "")


def test_unknown_labels_are_asked_about_once_and_dropped() -> None:
    prediction, model = answer(LABELS, ['{"labels": ["delivery", "weather"]}'] * 2)
    assert prediction.value == ["delivery"] and prediction.note == '1 repair; dropped, no label: ["weather"]'
    assert "Use only: billing, delivery." in model.calls[1].messages[-1].content
