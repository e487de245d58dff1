"""A verifier: a model that is shown the task, the input and an answer, and says whether the answer is right."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from tutelage.models.chat import ChatModel
from tutelage.project import Project
from tutelage.prompting.family import model_of
from tutelage.prompting.prompted import Prompted
from tutelage.prompting.settings import PromptedSettings
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.types import Input, Prediction, Usage, Value

YES, NO = "yes", "no"


class Verdict(NamedTuple):
    """`probability` that the answer is right, None where the verifier gave no verdict, and what asking took."""

    probability: float | None
    usage: Usage
    error: str | None = None


class Verifier:
    """Asks `asked`, a model that does a verification task (see `verification`), about answers to `task`."""

    def __init__(self, asked: Prompted, task: Task) -> None:
        self.asked, self.task = asked, task

    async def verify(self, input: Input, value: Value) -> Verdict:
        """The verdict on one answer. Raises ModelError when no call can succeed."""
        prediction = await self.asked.predict_one(self.question(input, value))
        return Verdict(probability_of_yes(prediction), prediction.usage, prediction.error)

    def question(self, input: Input, value: Value) -> Input:
        """The input of the verification task: the fields of the task's own, and the answer."""
        answer = value if isinstance(value, str) else self.task.render(value)
        return {**{field: input[field] for field in self.task.fields}, _answer_field(self.task): answer}


def build_verifier(name: str, settings: PromptedSettings, project: Project, model: ChatModel | None = None) -> Verifier:
    """The model of `settings` (`model`, where it is at hand) as a verifier.

    Of the candidate's prompt nothing is kept, since that asks another question. Raises as `prompting.family.model_of`.
    """
    own = PromptedSettings(settings.model)
    asking = replace(
        settings,
        system=None,
        user=None,
        shots=0,
        pattern=None,
        structured=own.structured if settings.structured == "regex" else settings.structured,
        temperature=0.0,
        tries=1,
        logprobs=True,
        verbalised=False,
        reasoning=False,
        confidence=own.confidence,
    )
    price = project.price(settings.provider, settings.base_url, settings.model)
    asked = Prompted(model or model_of(asking, project), verification(project.task), asking, name=name, price=price)
    return Verifier(asked, project.task)


def verification(task: Task) -> LabelTask:
    """The task of saying whether an answer to `task` is right."""
    answer = _answer_field(task)
    instructions = (
        f"Somebody was given this task:\n\n{task.instructions}\n\nYou are shown what the task is about, and under "
        f"{answer!r} what they answered. Is the answer right and complete? Say {YES!r} or {NO!r}."
    )
    return LabelTask(f"{task.name}-verified", (*task.fields, answer), instructions, "accuracy", labels=(YES, NO))


def probability_of_yes(prediction: Prediction) -> float | None:
    """What the verdict says of the answer: its own probability when it is yes, 1 minus that when it is no.

    The verdict is the likelier word of the two, so a probability below a half, where much of the model's goes to words
    that do not count ("Yes, it"), still stands for a half. A model that gives no probabilities is taken to be sure.
    None for a verdict that failed.
    """
    if prediction.value is None:
        return None
    sure = 1.0 if prediction.confidence is None else max(0.5, prediction.confidence)
    return sure if prediction.value == YES else 1.0 - sure


def _answer_field(task: Task) -> str:
    name = "answer"
    while name in task.fields:
        name = f"given_{name}"
    return name
