"""Instructions that a model writes: it is shown the task, solved examples of train and a piece of advice (as MIPRO's
proposer, Opsahl-Ong et al. 2024), each time another one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tutelage.models.chat import ChatModel
from tutelage.project import Project
from tutelage.prompting.form import Form
from tutelage.prompting.prompted import Prompted
from tutelage.prompting.settings import PromptedSettings
from tutelage.tasks.text import TextTask
from tutelage.types import Input, Labelled

ADVICE = (
    "Say for each kind of answer, in a few words, what belongs to it.",
    "Keep it to two short sentences.",
    "Say what is easily mistaken for something else, and how to decide then.",
    "Say step by step what to look at in the text before answering.",
    "Say first who writes such texts and what the answers are used for.",
    "Say the general rule first, then its exceptions.",
)
SHOWN = 8
"""Solved examples in one question."""

LONGEST_SHOWN = 600
"""Characters of an example that are shown."""

MAX_CHARACTERS, MAX_TOKENS = 1200, 600

TASK = TextTask(
    "instructions",
    ("instructions_now", "answer_format", "solved_examples", "advice"),
    "You write instructions for an assistant that does one narrow task over and over. You are shown the instructions it "
    "has now, the form of its answers, and solved examples. Write better instructions, from which the assistant gives the "
    "right answer to texts that it has not seen. They are about the task alone: do not repeat the form of the answer, do "
    "not quote the examples, do not solve them. Follow the advice.",
    "rougeL",
    max_characters=MAX_CHARACTERS,
)


def build_proposer(
    settings: PromptedSettings, project: Project, model: ChatModel, name: str, task: TextTask = TASK
) -> Prompted:
    """`model`, whose candidate has `settings`, as a writer of instructions as `task` says: one call a question, sampled."""
    bound = settings.structured if settings.structured in ("schema", "json", "tool", "none") else "schema"
    asking = replace(
        PromptedSettings(settings.model, settings.provider),
        structured=bound,
        dialect=settings.dialect,
        context=settings.context,
        concurrency=settings.concurrency,
        temperature=0.7,
        max_tokens=MAX_TOKENS,
        repairs=0,
        logprobs=False,
    )
    price = project.price(settings.provider, settings.base_url, settings.model)
    return Prompted(model, task, asking, name=name, price=price)


def questions(form: Form, train: Sequence[Labelled], count: int, seed: int) -> list[Input]:
    """What the proposer is asked: the advice in turn, other examples each time, drawn with `seed`."""
    found: list[Input] = []
    for number in range(count):
        drawn = random.Random(f"{seed}-{number}").sample(train, min(SHOWN, len(train)))
        found.append(
            {
                "instructions_now": form.task.instructions or "(none)",
                "answer_format": form.text,
                "solved_examples": "\n\n".join(_shown(form, one) for one in drawn) or "(none)",
                "advice": ADVICE[number % len(ADVICE)],
            }
        )
    return found


def _shown(form: Form, one: Labelled) -> str:
    text = form.task.input_text(one.example.input)
    cut = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + " ..."
    return f"Text: {cut}\nAnswer: {form.render(one.value)}"
