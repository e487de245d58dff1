"""The prompt: what the task is, how to answer, and solved examples first, so that prompt caches meet the same prefix."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tutelage.models.chat import Message
from tutelage.prompting.selectors import Selector
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.tasks import Task
from tutelage.tasks.strings import StringsTask
from tutelage.types import Input, Labelled


@dataclass(frozen=True)
class Template:
    """`selector` chooses solved examples, shown in its order as earlier turns of the conversation."""

    task: Task
    selector: Selector

    @cached_property
    def system(self) -> Message:
        return Message(
            "system", "\n\n".join(part for part in (self.task.instructions, answer_format(self.task)) if part)
        )

    def messages(self, input: Input) -> list[Message]:
        turns = self._turns(self.selector.select(input))
        return [self.system, *turns, Message("user", self.task.input_text(input))]

    def facts(self) -> dict[str, Any]:
        """All that decides the prompt, for versions and fingerprints."""
        fixed = isinstance(self.selector, FixedShots)
        shown = [self.system, *(self._turns(self.selector.shots) if isinstance(self.selector, FixedShots) else ())]
        facts = {"messages": [[message.role, message.content] for message in shown], "schema": self.task.schema()}
        return facts if fixed else facts | {"selector": self.selector.facts()}

    def _turns(self, shots: Sequence[Labelled]) -> list[Message]:
        messages = []
        for shot in shots:
            messages.append(Message("user", self.task.input_text(shot.example.input)))
            messages.append(Message("assistant", self.task.render(shot.value)))
        return messages


def answer_format(task: Task) -> str:
    """One paragraph that says which JSON to answer with; needed even where a schema binds the answer."""
    properties: Mapping[str, Any] = task.schema()["properties"]
    shape = {name: ["..."] if part.get("type") == "array" else "..." for name, part in properties.items()}
    lines = [f"Answer only with JSON of this form: {json.dumps(shape, ensure_ascii=False)}"]
    for name, part in properties.items():
        if "enum" in part:
            lines.append(f"{name} is exactly one of: {json.dumps(part['enum'], ensure_ascii=False)}")
        if part.get("type") == "array":
            lines.append(f"{name} is [] when there are none; nothing occurs twice.")
    if isinstance(task, StringsTask) and task.grounded:
        lines.append("Copy every string exactly as it is written in the text.")
    return "\n".join(lines)


def repair(problem: str) -> Message:
    """Asks again after an answer that does not fit."""
    return Message("user", f"{problem} Answer again, only with the JSON.")
