"""A model that is asked for a text hears of its limits, once more when it breaks them, and keeps its answer."""

from __future__ import annotations

import asyncio

from tutelage.models.scripted import ScriptedModel
from tutelage.prompting import Prompted, PromptedSettings
from tutelage.tasks.text import EMPTY, TextTask
from tutelage.types import Prediction

TASK = TextTask("title", ("text",), "Write the title.", max_characters=20, language="en", forbidden_openings=("Title",))
LONG = "The fox who wanted the grapes"


def answer(*answers: str, structured: str = "schema") -> tuple[Prediction, ScriptedModel]:
    model = ScriptedModel(list(answers))
    settings = PromptedSettings("scripted", structured=structured)  # type: ignore[arg-type]
    return asyncio.run(Prompted(model, TASK, settings).predict_one({"text": "A fable."})), model


def test_the_limits_stand_in_the_prompt() -> None:
    _, model = answer("The fox")
    assert "At most 20 characters. In English (en). Does not start with" in model.calls[0].messages[0].content


def test_an_answer_that_is_too_long_is_asked_for_again() -> None:
    found, model = answer(f'{{"title": "{LONG}"}}', '{"title": "The fox"}')
    assert (found.value, found.note, len(model.calls)) == ("The fox", "1 repair", 2)
    assert "The answer has 29 characters of at most 20." in model.calls[1].messages[-1].content


def test_an_answer_that_stays_too_long_is_kept_and_noted() -> None:
    found, _ = answer(LONG, LONG, structured="none")
    assert found.value == LONG and found.error is None
    assert found.note == "1 repair; has 29 characters of at most 20"


def test_empty_answers_fail() -> None:
    found, _ = answer(*['{"title": ""}'] * 5)
    assert (found.value, found.error) == (None, EMPTY)
