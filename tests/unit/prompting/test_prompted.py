from __future__ import annotations

import asyncio
import math

import pytest

from tutelage.errors import ModelError
from tutelage.models.chat import Limits, Message, Reply, Token
from tutelage.models.scripted import Answer, Answers, ScriptedModel
from tutelage.prompting import Prompted, PromptedSettings
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.tasks import Task
from tutelage.tasks.file import Price
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Example, Labelled, OneByOne, Prediction, Usage

LABEL = LabelTask("tone", ("text",), "Is the text happy or sad?", "accuracy", labels=("happy", "sad"))
STRINGS = StringsTask("characters", ("text",), "List the characters.", "f1", grounded=True)
INPUT = {"text": "Oliver the Owl met Mrs. Finch."}


def answer(answers: Answers, task: Task = LABEL, **settings: int) -> tuple[Prediction, ScriptedModel]:
    model = ScriptedModel(answers, usage=Usage(10, 5, 0.25, 0.5))
    predictor = Prompted(model, task, PromptedSettings("scripted", **settings))  # type: ignore[arg-type]
    return asyncio.run(predictor.predict_one(INPUT)), model


def test_an_answer_with_its_confidence_usage_and_source() -> None:
    model = ScriptedModel(
        ['{"label": "Happy"}'], tokens=[Token("a", -0.2), Token("b", -0.4)], usage=Usage(10, 5, 0.25, 0.5)
    )
    predictor = Prompted(model, LABEL)
    prediction = asyncio.run(predictor.predict_one(INPUT))
    assert prediction.value == "happy" and prediction.error is None and prediction.note is None
    assert prediction.confidence == pytest.approx(math.exp(-0.3))
    assert prediction.usage == Usage(10, 5, 0.25, 0.5)
    assert prediction.source == predictor.source and predictor.source.startswith("teacher:scripted@")
    assert model.calls[0].params.schema == LABEL.schema()
    assert isinstance(predictor, OneByOne)


def test_without_logprobs_there_is_no_confidence() -> None:
    assert answer(["sad"])[0].confidence is None


def test_the_shared_prefix_comes_first() -> None:
    shot = Labelled(Example("1", {"text": "Hooray"}, "train"), "happy", "import")
    model = ScriptedModel(lambda _: "sad")
    asyncio.run(Prompted(model, LABEL, selector=FixedShots([shot])).predict([INPUT, {"text": "other"}]))
    first, second = (call.messages for call in model.calls)
    assert [message.role for message in first] == ["system", "user", "assistant", "user"]
    assert first[:-1] == second[:-1]
    assert first[1:3] == (Message("user", "Hooray"), Message("assistant", '{"label": "happy"}'))
    assert first[-1] == Message("user", INPUT["text"])


def test_an_answer_that_does_not_fit_is_asked_for_again_with_the_reason() -> None:
    prediction, model = answer(["angry", "sad"])
    assert (prediction.value, prediction.note, prediction.usage) == ("sad", "1 repair", Usage(20, 10, 0.5, 1.0))
    asked, problem = model.calls[1].messages[-2:]
    assert asked == Message("assistant", "angry")
    assert "'angry' is not a label" in problem.content


def test_repairs_are_bounded_and_paid_for() -> None:
    prediction, model = answer(["angry", "cross", "sad"], repairs=1)
    assert prediction.value is None and prediction.error and "'cross' is not a label" in prediction.error
    assert (prediction.usage.input_tokens, prediction.usage.dollars) == (20, 0.5)
    assert len(model.calls) == 2
    assert answer(["angry", "cross", "sad"], repairs=2)[0].value == "sad"
    assert answer(["angry", "sad"], repairs=0)[0].value is None


def test_a_cut_answer_is_called_so() -> None:
    prediction, _ = answer([Reply('{"label": "ha', Usage(1, 1), "m", "length")] * 2)
    assert prediction.error and "max_tokens = 512" in prediction.error


def test_a_failed_call_is_a_failed_prediction() -> None:
    prediction, _ = answer([ModelError("The endpoint limits the rate.", retryable=True)])
    assert (prediction.value, prediction.error) == (None, "The endpoint limits the rate.")


def test_a_fatal_error_is_raised() -> None:
    with pytest.raises(ModelError, match="bad key"):
        answer([ModelError("bad key", fatal=True)])


def test_a_fatal_error_in_a_repair_keeps_what_was_paid() -> None:
    prediction, _ = answer(["angry", ModelError("down", fatal=True)])
    assert (prediction.error, prediction.usage.dollars) == ("down", 0.25)


def test_ungrounded_strings_are_asked_about_once() -> None:
    prediction, model = answer(['["Oliver the Owl", "Bob"]', '["Oliver the Owl", "Mrs. Finch"]'], STRINGS)
    assert (prediction.value, prediction.note) == (["Oliver the Owl", "Mrs. Finch"], "1 repair")
    assert '["Bob"]' in model.calls[1].messages[-1].content


def test_strings_that_stay_ungrounded_are_dropped_and_said() -> None:
    prediction, model = answer(['["Oliver the Owl", "Bob"]'] * 5, STRINGS, repairs=4)
    assert prediction.value == ["Oliver the Owl"]
    assert prediction.note == '1 repair; dropped, not in the text: ["Bob"]'
    assert len(model.calls) == 2


@pytest.mark.parametrize("second", ["no json", ModelError("down")])
def test_a_usable_answer_survives_a_failed_repair(second: Answer) -> None:
    prediction, _ = answer(['["Mrs. Finch", "Bob"]', second], STRINGS)
    assert prediction.value == ["Mrs. Finch"] and prediction.note and "Bob" in prediction.note
    assert prediction.error is None


def test_predict_keeps_order_and_bounds_concurrency() -> None:
    running, most = 0, 0

    class Slow(ScriptedModel):
        async def complete(self, messages, params):  # type: ignore[no-untyped-def]
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001 * (5 - len(messages[-1].content)))
            running -= 1
            return await super().complete(messages, params)

    model = Slow(lambda text: "happy" if len(text) % 2 else "sad", limits=Limits(concurrency=3))
    predictor = Prompted(model, LABEL)
    inputs = [{"text": "x" * (number % 5)} for number in range(20)]
    for _ in range(2):  # a second event loop
        predictions = asyncio.run(predictor.predict(inputs))
    assert [p.value for p in predictions] == ["happy" if len(i["text"]) % 2 else "sad" for i in inputs]
    assert most == 3
    assert asyncio.run(predictor.predict([])) == []
    assert predictor.at_most(2).concurrency == 2 and predictor.at_most(2).source == predictor.source


def test_a_huge_input_is_one_failed_prediction_and_no_call() -> None:
    model = ScriptedModel(lambda _: "sad")
    predictor = Prompted(model, LABEL, price=Price(input=1, output=1))
    huge, small = asyncio.run(predictor.predict([{"text": "x" * 10_000_000}, INPUT]))
    assert huge.value is None and huge.error and "10,000,000 characters" in huge.error
    assert huge.usage.dollars == 0 and small.value == "sad" and len(model.calls) == 1
    assert predictor.estimate({"text": "x" * 10_000_000}) == (0, 0)
    assert predictor.dollars({"text": "x" * 10_000_000}) == 0


def test_estimates_grow_with_the_input_and_count_repairs() -> None:
    predictor = Prompted(ScriptedModel([]), LABEL, price=Price(input=3, output=6))
    short, long = predictor.estimate(INPUT), predictor.estimate({"text": INPUT["text"] + "x" * 300})
    assert long.input_tokens == short.input_tokens + 100 and short.output_tokens == 512
    once, most = predictor.dollars(INPUT, repairs=False), predictor.dollars(INPUT)
    assert once == pytest.approx((short.input_tokens * 3 + 512 * 6) / 1e6)
    assert most and once and most > 2 * once
    assert Prompted(ScriptedModel([]), LABEL).dollars(INPUT) is None


def test_the_version_follows_what_shapes_answers() -> None:
    def version(task: Task = LABEL, **settings: object) -> str:
        return Prompted(ScriptedModel([]), task, PromptedSettings("m", **settings)).source  # type: ignore[arg-type]

    assert version() == version(concurrency=3, timeout=5.0, max_retries=1)
    other = LabelTask("tone", ("text",), "Happy or sad?", "accuracy", labels=("happy", "sad"))
    changed = [version(temperature=0.5), version(structured="json"), version(max_tokens=9), version(other)]
    assert len({version(), *changed}) == 5


def test_close_closes_the_model() -> None:
    model = ScriptedModel([])
    predictor = Prompted(model, LABEL, name="teacher")
    asyncio.run(predictor.close())
    assert model.closed and predictor.name == "teacher"
