"""Tries, windows and bad answers: what comes of them is an answer or one counted line."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tutelage.errors import ModelError
from tutelage.labels.teach import label_of
from tutelage.models.chat import Limits, ModelSettings, NoAnswer, Reply, Token
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.models.openai import OpenAIChat
from tutelage.models.scripted import Answers, ScriptedModel
from tutelage.prompting import Asked, Prompted, PromptedSettings
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.tasks import Task
from tutelage.tasks.file import Price
from tutelage.tasks.label import LabelTask
from tutelage.tasks.reasoning import reasoning_in
from tutelage.tasks.record import RecordTask
from tutelage.tasks.text import TextTask
from tutelage.types import Example, Input, Labelled, Prediction, Usage

LABEL = LabelTask("tone", ("text",), "Is the text happy or sad?", "accuracy", labels=("happy", "sad"))
TEXT = TextTask("summary", ("text",), "Summarise.")
RECORD = RecordTask("bill", ("text",), "", answer_schema={"properties": {"total": {"type": "number"}}})
INPUT = {"text": "Oliver the Owl met Mrs. Finch."}
USAGE = Usage(10, 5, 0.25, 0.5)


def ask(
    answers: Answers, task: Task = LABEL, limits: Limits | None = None, **settings: Any
) -> tuple[Prediction, ScriptedModel]:
    model = ScriptedModel(answers, usage=USAGE, limits=limits)
    predictor = Prompted(model, task, PromptedSettings("scripted", **settings), price=Price(input=1, output=1))
    return asyncio.run(predictor.predict_one(INPUT)), model


def test_a_prompted_model_is_asked() -> None:
    assert isinstance(Prompted(ScriptedModel([]), LABEL), Asked)


def test_tries_begin_anew_with_the_next_seed_until_an_answer_fits() -> None:
    prediction, model = ask(["angry", "cross", "odd", "sad", "never"], tries=5, repairs=1, seed=40, temperature=0.8)
    assert (prediction.value, prediction.note) == ("sad", "2 tries; 1 repair")
    assert prediction.usage == Usage(40, 20, 1.0, 2.0)
    assert [call.params.seed for call in model.calls] == [40, 40, 41, 41]
    assert [len(call.messages) for call in model.calls] == [2, 4, 2, 4]


def test_tries_are_bounded_and_paid_for() -> None:
    prediction, model = ask(lambda _: "angry", tries=3, repairs=0)
    assert prediction.value is None and prediction.error and "'angry' is not a label" in prediction.error
    assert (len(model.calls), prediction.usage.dollars) == (3, 0.75)
    assert [call.params.seed for call in model.calls] == [None, 1, 2]


def test_the_most_an_answer_may_cost_counts_tries() -> None:
    def most(**settings: Any) -> float:
        predictor = Prompted(
            ScriptedModel([]),
            LABEL,
            PromptedSettings("m", **settings),
            price=Price(input=1, output=1),
        )
        return predictor.dollars(INPUT) or 0.0

    assert most(tries=3) == pytest.approx(3 * most())
    assert most(tries=3, repairs=0) == pytest.approx(3 * most(repairs=0))


def test_a_refusal_is_a_failed_prediction_that_is_paid_for_and_may_be_tried_again() -> None:
    refusal = NoAnswer("The model 'm' refused: no.", USAGE)
    prediction, _ = ask([refusal])
    assert (prediction.value, prediction.error) == (None, "The model 'm' refused: no.")
    assert (prediction.usage.dollars, prediction.usage.input_tokens) == (0.25, 10)
    prediction, _ = ask([refusal, "sad"], tries=2)
    assert (prediction.value, prediction.note, prediction.usage.dollars) == ("sad", "2 tries", 0.5)


def test_an_endpoint_that_fails_is_not_tried_again() -> None:
    prediction, model = ask([ModelError("limits the rate", retryable=True), "sad"], tries=4)
    assert (prediction.error, len(model.calls)) == ("limits the rate", 1)


def test_a_fatal_error_in_a_later_try_keeps_what_was_paid() -> None:
    prediction, _ = ask(["angry", ModelError("down", fatal=True)], tries=2, repairs=0)
    assert (prediction.error, prediction.usage.dollars) == ("down", 0.25)


@pytest.mark.parametrize(
    ("task", "answer", "value"),
    [
        (LABEL, '```json\n{"label": "sad"}\n```', "sad"),
        (LABEL, "```\nsad\n```", "sad"),
        (RECORD, '{"total": 12}', {"total": 12}),
        (RECORD, '{"total": NaN}', None),
        (RECORD, '{"total": 12', None),
        (RECORD, "<html><body>Bad gateway</body></html>", None),
        (LABEL, "I cannot help with that.", None),
        (LABEL, "", None),
    ],
)
def test_bad_answers_are_read_or_counted_and_kept(task: Task, answer: str, value: object) -> None:
    prediction, model = ask(lambda _: answer, task, repairs=1)
    assert prediction.value == value
    if value is None:
        assert prediction.error and "\n" not in prediction.error and len(model.calls) == 2
        assert prediction.usage.dollars == 0.5


def test_an_endpoint_that_sends_pages_is_a_failed_prediction() -> None:
    with FakeOpenAI(Script(faults=["html"] * 3)) as server:
        model = OpenAIChat(ModelSettings(model="m", base_url=server.base_url))
        predictor = Prompted(model, LABEL)
        prediction = asyncio.run(predictor.predict_one(INPUT))
    assert prediction.value is None and prediction.error and "no chat completion" in prediction.error


def test_a_bare_text_that_was_cut_off_is_asked_for_again_and_kept_with_a_note() -> None:
    cut = Reply("Oliver met", USAGE, "m", "length")
    assert ask([cut, "All met."], TEXT)[0].value == "All met."
    prediction, _ = ask([cut, cut], TEXT, structured="none")
    assert (prediction.value, prediction.note) == ("Oliver met", "1 repair; cut off at max_tokens")
    assert ask([replace(cut, text='{"summary": "All met."}')], TEXT)[0].note is None


def test_a_prompt_that_does_not_fit_the_window_is_counted_before_the_call() -> None:
    prediction, model = ask(["sad"], limits=Limits(context=128), max_tokens=100)
    assert model.calls == [] and prediction.usage.dollars == 0
    assert prediction.error == (
        "The prompt has 67 tokens and the answer may take 100; 'scripted' holds 128 together. "
        "Shorten the input, show fewer shots (shots, shot_tokens), lower max_tokens, or raise context."
    )
    assert ask(["sad"], limits=Limits(context=128), max_tokens=50)[0].value == "sad"
    assert ask(["sad"], limits=Limits(context=4096), context=128, max_tokens=100)[0].value is None


def test_a_repair_that_does_not_fit_the_window_keeps_the_first_problem() -> None:
    prediction, model = ask(["angry" * 100, "sad"], limits=Limits(context=128), max_tokens=50, repairs=1)
    assert len(model.calls) == 1 and prediction.error and "128 together" in prediction.error
    assert prediction.usage.dollars == 0.25


def test_ten_thousand_shots_are_one_line_and_no_call() -> None:
    shots = [Labelled(Example(str(n), {"text": f"text {n}"}, "train"), "sad", "import") for n in range(10_000)]
    model = ScriptedModel([], limits=Limits(context=4096, max_characters=65_536))
    predictor = Prompted(model, LABEL, PromptedSettings("m", shots=10_000), selector=FixedShots(shots))
    prediction = asyncio.run(predictor.predict_one(INPUT))
    assert prediction.error and "characters; 'scripted' is sent at most 65,536. Shorten" in prediction.error
    assert "fewer shots" in prediction.error and model.calls == []


def test_the_chosen_signal_is_the_confidence_and_all_are_kept() -> None:
    answer = '{"label": "sad", "confidence": 80}'
    tokens = [Token('{"label": "', -9.0), Token("sad", -0.5), Token('", "confidence": 80}', -9.0)]
    seen = {}
    for chosen in ("mean_probability", "min_probability", "verbalised"):
        settings = PromptedSettings("m", verbalised=True, confidence=chosen)
        predictor = Prompted(ScriptedModel([answer], tokens=tokens), LABEL, settings)
        prediction = asyncio.run(predictor.predict_one(INPUT))
        seen[chosen] = prediction.confidence
        assert (prediction.value, prediction.signals["verbalised"]) == ("sad", 0.8)
        assert dict(prediction.signals) == pytest.approx(
            {"mean_probability": 0.60653, "min_probability": 0.60653, "verbalised": 0.8}, abs=1e-5
        )
    assert seen["verbalised"] == 0.8 and seen["mean_probability"] == pytest.approx(0.60653, abs=1e-5)


def test_a_signal_that_is_missing_is_no_failure() -> None:
    prediction, _ = ask(["sad"], verbalised=True, confidence="verbalised")
    assert (prediction.value, prediction.confidence, dict(prediction.signals)) == ("sad", None, {})


def test_an_input_that_a_template_cannot_take_is_a_failed_prediction_and_no_call() -> None:
    model = ScriptedModel(lambda _: "sad")
    settings = PromptedSettings("m", user="{{ 10 // (text | length) }}")
    predictor = Prompted(model, LABEL, settings, price=Price(input=1, output=1))
    bad, good = asyncio.run(predictor.predict([{"text": ""}, INPUT]))
    assert bad.value is None and bad.error and "The template 'user' cannot be rendered" in bad.error
    assert predictor.estimate({"text": ""}) == (0, 0) and good.value == "sad" and len(model.calls) == 1


class Searching:
    """A selector that notes in which threads it works."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def select(self, input: Input) -> Sequence[Labelled]:
        self.threads.append(threading.current_thread())
        return [Labelled(Example("1", {"text": f"like {input['text']}"}, "train"), "sad", "import")]

    def facts(self) -> object:
        return ["searching"]


def test_shots_are_searched_once_an_input_and_not_on_the_event_loop() -> None:
    searching, model = Searching(), ScriptedModel(lambda _: "sad")
    predictor = Prompted(model, LABEL, PromptedSettings("m", shots=1), selector=searching)
    for seed in (1, 2):
        asyncio.run(predictor.draw(INPUT, seed))
    assert len(searching.threads) == 1 and searching.threads[0] is not threading.main_thread()
    assert model.calls[1].messages[1].content == f"like {INPUT['text']}"
    assert predictor.source != Prompted(model, LABEL, PromptedSettings("m", shots=1)).source


def test_sampling_settings_and_templates_change_the_version_and_pace_does_not() -> None:
    def version(**settings: Any) -> str:
        return Prompted(ScriptedModel([]), LABEL, PromptedSettings("m", **settings)).source

    changed: list[dict[str, Any]] = [
        *({"top_p": 0.5}, {"top_k": 3}, {"min_p": 0.1}, {"stop": ("x",)}, {"seed": 1}, {"tries": 2}),
        *({"verbalised": True}, {"structured": "choice"}, {"structured": "tool"}, {"user": "{text}!"}, {"system": ""}),
    ]
    assert len({version(), *(version(**one) for one in changed)}) == len(changed) + 1
    assert version() == version(context=2048, threads=2, confidence="min_probability", logprobs=False)


def test_the_reasoning_before_an_answer_is_noted_and_no_part_of_its_confidence() -> None:
    said = '{"reasoning": "An owl met a finch.", "label": "happy"}'
    prediction, model = ask(["cross", said], reasoning=True)
    assert (prediction.value, prediction.note) == ("happy", "1 repair; reasoning: An owl met a finch.")
    assert model.calls[0].params.schema is not None
    assert list(model.calls[0].params.schema["properties"]) == ["reasoning", "label"]
    label = label_of("1", prediction, "teacher:scripted@1")
    assert label is not None and reasoning_in(label.note) == "An owl met a finch."
