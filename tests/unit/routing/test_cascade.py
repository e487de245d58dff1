"""A cascade answers by the first stage that is sure enough, and says who answered and what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from tests.cascades import prediction

from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.replay import Replay
from tutelage.labels.splitting import example_id
from tutelage.models.scripted import ScriptedModel
from tutelage.prompting.prompted import Prompted
from tutelage.routing.cascade import ASKED, Cascade, Rule, Stage
from tutelage.routing.certificate import UNPROVEN
from tutelage.routing.confidence import Confidence
from tutelage.routing.maps import Map
from tutelage.tasks.label import LabelTask
from tutelage.types import Input, Prediction, Predictor

TASK = LabelTask("kinds", ("text",), "", "accuracy", labels=("yes", "no", "maybe"))
TEXTS = ("easy", "fair", "hard", "failing")
HALVED = Map("isotonic", (0.0, 1.0, 0.0, 0.5))
"""A calibration that shows in an answer's confidence."""


def inputs(*texts: str) -> list[Input]:
    return [{"text": one} for one in texts]


def replay(name: str, **answers: Prediction) -> Replay:
    return Replay(name, {example_id({"text": text}): one for text, one in answers.items()})


def small() -> Replay:
    sure = {"easy": 0.9, "fair": 0.6, "hard": 0.2}
    found = {text: prediction("yes", c, dollars=1.0, seconds=0.25) for text, c in sure.items()}
    return replay("small", **found, failing=prediction(None, dollars=1.0, seconds=0.25))


def middle() -> Replay:
    sure = {"easy": 0.9, "fair": 0.8, "hard": 0.3, "failing": 0.7}
    return replay("middle", **{t: prediction("no", c, dollars=10.0, seconds=0.5) for t, c in sure.items()})


def large() -> Replay:
    return replay("large", **{t: prediction("maybe", 0.4, dollars=100.0, seconds=2.0) for t in TEXTS})


def cascade(*predictors: Predictor, rule: Rule, last: Confidence | None = None) -> Cascade:
    stages = [Stage(one, Confidence()) for one in predictors[:-1]]
    return Cascade("all", [*stages, Stage(predictors[-1], last)], rule, TASK.input_text)


def answered(system: Predictor, *texts: str) -> list[Prediction]:
    return asyncio.run(system.predict(inputs(*texts)))


def test_the_first_stage_that_is_sure_answers_and_all_who_were_asked_are_paid() -> None:
    found = answered(cascade(small(), middle(), large(), rule=Rule(0.5)), "hard", "easy", "failing", "fair")
    assert [(one.source, one.value) for one in found] == [
        ("large", "maybe"),
        ("small", "yes"),
        ("middle", "no"),
        ("small", "yes"),
    ]
    assert [one.usage.dollars for one in found] == [111.0, 1.0, 11.0, 1.0]
    assert [one.usage.seconds for one in found] == [2.75, 0.25, 0.75, 0.25]
    assert [one.confidence for one in found] == [0.4, 0.9, 0.7, 0.6]
    assert all(one.note is None and one.error is None for one in found)


@pytest.mark.parametrize(
    ("threshold", "by"),
    [
        (None, ["large", "large", "large", "large"]),
        (0.0, ["small", "small", "small", "middle"]),
        (0.6, ["small", "small", "large", "middle"]),
        (0.75, ["small", "middle", "large", "large"]),
        (1.0, ["large", "large", "large", "large"]),
    ],
)
def test_the_threshold_decides_and_a_failed_answer_is_always_passed_on(threshold: float | None, by: list[str]) -> None:
    found = answered(cascade(small(), middle(), large(), rule=Rule(threshold)), *TEXTS)
    assert [one.source for one in found] == by


def test_an_empty_batch_gives_nothing() -> None:
    assert answered(cascade(small(), large(), rule=Rule(0.5))) == []


def test_confidence_is_the_calibrated_one() -> None:
    system = Cascade("all", [Stage(small(), Confidence(map=HALVED)), Stage(large(), None)], Rule(0.4), TASK.input_text)
    easy, fair = answered(system, "easy", "fair")
    assert easy.source == "small"
    assert easy.confidence == pytest.approx(0.45, abs=1e-5)
    assert fair.source == "large"


def test_with_abstain_a_person_answers_what_the_last_stage_is_not_sure_of() -> None:
    rule = Rule(0.5, abstain=True)
    hard, failing, easy = answered(cascade(small(), middle(), rule=rule, last=Confidence()), "hard", "failing", "easy")
    assert (hard.value, hard.error, hard.source, hard.confidence) == (None, ASKED, "middle", 0.3)
    assert hard.usage.dollars == 11.0
    assert (failing.value, failing.source) == ("no", "middle")
    assert easy.source == "small"


class Unlike:
    """A gate that finds some texts novel."""

    def __init__(self, *novel: str) -> None:
        self.novel = novel

    def p_values(self, texts: Sequence[str]) -> Floats:
        return np.array([0.01 if text in self.novel else 0.5 for text in texts])


def test_what_the_gate_finds_novel_goes_to_the_last_stage_however_sure_the_others_are() -> None:
    rule = Rule(0.5, gate=Unlike("easy"), rate=0.05)
    assert [one.source for one in answered(cascade(small(), middle(), large(), rule=rule), "easy", "fair")] == [
        "large",
        "small",
    ]
    held = Rule(0.5, gate=Unlike("easy"), rate=0.05, abstain=True)
    [asked] = answered(cascade(small(), middle(), rule=held, last=Confidence()), "easy")
    assert asked.error == ASKED


def test_an_answer_under_an_unproven_threshold_says_so() -> None:
    rule = Rule(0.5, status=UNPROVEN)
    easy, hard = answered(cascade(small(), large(), rule=rule), "easy", "hard")
    assert easy.note == hard.note == "unproven"
    noted = replay("small", easy=Prediction("yes", 0.9, note="repaired"))
    [one] = answered(cascade(noted, large(), rule=rule), "easy")
    assert one.note == "repaired; unproven"


def test_a_price_that_is_not_known_makes_the_sum_unknown() -> None:
    unpriced = replay("small", hard=Prediction("yes", 0.1))
    [one] = answered(cascade(unpriced, large(), rule=Rule(0.5)), "hard")
    assert one.usage.dollars is None
    assert one.usage.seconds == 2.0


class Counting:
    """A part, wrapped: what it was asked is kept."""

    def __init__(self, name: str, inside: Predictor, asked: dict[str, int]) -> None:
        self.name, self._inside, self._asked = name, inside, asked

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        self._asked[self.name] = self._asked.get(self.name, 0) + len(inputs)
        return await self._inside.predict(inputs)


def test_through_wraps_each_part_and_only_what_is_left_is_passed_on() -> None:
    asked: dict[str, int] = {}
    plain = cascade(small(), middle(), large(), rule=Rule(0.5))
    wrapped = plain.through(lambda name, inside: Counting(name, inside, asked))
    assert answered(wrapped, *TEXTS) == answered(plain, *TEXTS)
    assert asked == {"small": 4, "middle": 2, "large": 1}
    assert wrapped.name == "all"


def test_a_prompted_teacher_is_asked_for_what_is_left_and_closed_at_the_end() -> None:
    model = ScriptedModel(lambda text: '{"label": "no"}')
    system = cascade(small(), Prompted(model, TASK, name="teacher"), rule=Rule(0.5))
    easy, hard = answered(system, "easy", "hard")
    assert (easy.source, hard.source) == ("small", "teacher")
    assert hard.value == "no"
    assert len(model.calls) == 1
    asyncio.run(system.close())
    assert model.closed
