"""What an answer is bound to, what the prompt says of it, and how it is read."""

from __future__ import annotations

from typing import Any

import pytest

from tutelage.errors import AnswerError, UsageError
from tutelage.prompting.form import Form, answer_format, form_of
from tutelage.prompting.settings import PromptedSettings
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.labels import LabelsTask
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.tasks.text import TextTask

LABEL = LabelTask("tone", ("text",), "", labels=("happy", "very sad"))
LABELS = LabelsTask("topics", ("text",), "", labels=("sport", "art"))
TEXT = TextTask("title", ("text",), "", max_characters=60)
RECORD = RecordTask(
    "invoice",
    ("text",),
    "",
    answer_schema={
        "required": ["total"],
        "properties": {
            "total": {"type": "number"},
            "day": {"type": "string", "format": "date", "description": "of the invoice"},
            "currency": {"enum": ["EUR", "USD"]},
        },
    },
)


def test_the_format_of_labels_names_them() -> None:
    text = answer_format(LABEL)
    assert '{"label": "..."}' in text and '["happy", "very sad"]' in text
    assert 'labels holds none but these: ["sport", "art"]' in answer_format(LABELS)


def test_the_format_of_strings_asks_for_copies_only_where_they_are_grounded() -> None:
    free = answer_format(StringsTask("characters", ("text",), ""))
    grounded = answer_format(StringsTask("characters", ("text",), "", grounded=True))
    assert '{"characters": ["..."]}' in free and "Copy every string" not in free
    assert grounded.startswith(free) and "Copy every string" in grounded


def test_the_format_of_a_record_shows_its_fields() -> None:
    assert answer_format(RECORD).splitlines() == [
        'Answer only with JSON of this form: {"total": 0.0, "day": "YYYY-MM-DD", "currency": "..."}',
        "day: of the invoice",
        'currency is exactly one of: ["EUR", "USD", null]',
        "day, currency: null where the text does not say it.",
    ]


def test_the_format_of_a_text_tells_its_limits() -> None:
    assert answer_format(TEXT).splitlines()[1:] == ["title: At most 60 characters."]


def test_a_choice_is_asked_for_shown_and_read_as_bare_text() -> None:
    form = Form(LABEL, "choice")
    params = form.params(PromptedSettings("m", structured="choice"))
    assert (params.structured, params.choices) == ("choice", ("happy", "very sad"))
    assert form.text == 'Answer only with one of these, without quotes: ["happy", "very sad"]'
    assert form.render("very sad") == "very sad" and form.read("very sad").value == "very sad"
    assert form.repair("No.") == "No. Answer again, only with one of the texts."


def test_a_pattern_binds_a_bare_text() -> None:
    form = Form(TEXT, "regex", "[A-Z][a-z ]+")
    assert form.params(PromptedSettings("m", pattern="[A-Z][a-z ]+")).pattern == "[A-Z][a-z ]+"
    assert form.render("A title") == "A title" and form.read("A title").value == "A title"
    with pytest.raises(AnswerError, match=r"'a title' does not match '\[A-Z\]"):  # an endpoint may not have bound it
        form.read("a title")


def test_sampling_settings_reach_the_model() -> None:
    settings = PromptedSettings(
        "m", temperature=0.7, top_p=0.9, top_k=40, min_p=0.1, stop=("\n",), seed=7, max_tokens=9
    )
    params = Form(LABEL).params(settings)
    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0.7, 0.9, 40, 0.1)
    assert (params.stop, params.seed, params.max_tokens, params.logprobs) == (("\n",), 7, 9, True)


@pytest.mark.parametrize(
    ("task", "settings", "problem"),
    [
        (TEXT, {"structured": "choice"}, 'structured = "choice" goes with output = "label", not \'text\''),
        (LABEL, {"structured": "regex", "pattern": "a"}, 'structured = "regex" goes with output = "text"'),
        (TEXT, {"structured": "regex"}, "go together"),
        (TEXT, {"pattern": "a"}, "go together"),
        (TEXT, {"structured": "regex", "pattern": "("}, "is not a regular expression: missing )"),
        (LABEL, {"structured": "choice", "verbalised": True}, "verbalised = true needs an answer in JSON"),
        (LABEL, {"structured": "none", "verbalised": True}, "verbalised = true needs an answer in JSON"),
        (LABEL, {"structured": "choice", "reasoning": True}, "reasoning = true needs an answer in JSON"),
        (StringsTask("reasoning", ("text",), ""), {"reasoning": True}, "which the answer has already"),
        (StringsTask("confidence", ("text",), ""), {"verbalised": True}, "which the answer has already"),
        (LABEL, {"confidence": "verbalised"}, "needs verbalised = true"),
    ],
)
def test_what_does_not_go_together_is_one_line(task: Task, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        form_of(task, PromptedSettings("m", **settings))
    assert problem in str(raised.value) and "\n" not in str(raised.value)


def test_a_model_is_asked_how_sure_it_is_after_the_answer() -> None:
    form = Form(LABEL, verbalised=True)
    assert list(form.schema["properties"]) == ["label", "confidence"] == form.schema["required"]
    assert "confidence: how sure you are" in form.text and '{"label": "...", "confidence": 0}' in form.text
    assert "confidence" not in Form(LABEL).schema["properties"]


@pytest.mark.parametrize(
    ("said", "share"),
    [("90", 0.9), ("0", 0), ("100", 1), ('"87 %"', 0.87), ("0.4", 0.4), ("1", 0.01), ("150", None), ('"sure"', None)]
    + [(word, None) for word in ("null", "true", "-1", "[]")],
)
def test_how_sure_a_model_says_it_is_is_read_in_the_forms_that_models_write(said: str, share: float | None) -> None:
    assert Form(LABEL, verbalised=True).read(f'{{"label": "happy", "confidence": {said}}}')[:2] == ("happy", share)


def test_an_answer_without_a_confidence_is_still_an_answer() -> None:
    form = Form(LABEL, verbalised=True)
    assert form.read("happy")[:2] == ("happy", None) == form.read('{"label": "happy"}')[:2]
    with pytest.raises(AnswerError):
        form.read('{"label": "angry", "confidence": 3}')


def test_reasoning_comes_before_the_answer_and_is_read_apart_from_it() -> None:
    form = Form(LABEL, verbalised=True, reasoning=True)
    assert list(form.schema["properties"]) == form.schema["required"] == ["reasoning", "label", "confidence"]
    assert "reasoning: what in the text leads to the answer" in form.text
    read = form.read('{"reasoning": "It rains.", "label": "very sad", "confidence": 90}')
    assert (read.value, read.verbalised, read.reasoning) == ("very sad", 0.9, "It rains.")
    assert form.read('{"label": "happy", "confidence": 5}').reasoning is None
    assert form.read("happy").value == "happy"
