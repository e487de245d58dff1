"""The prompt: what the task is, how to answer, and solved examples first, so that prompt caches meet the same prefix."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tutelage.models.chat import Message
from tutelage.tasks import Task
from tutelage.tasks.strings import StringsTask
from tutelage.types import Input, Labelled


@dataclass(frozen=True)
class Template:
    """`shots` are solved examples, shown in this order as earlier turns of the conversation."""

    task: Task
    shots: tuple[Labelled, ...] = ()

    @cached_property
    def prefix(self) -> tuple[Message, ...]:
        """The messages that every prompt starts with."""
        system = "\n\n".join(part for part in (self.task.instructions, answer_format(self.task)) if part)
        messages = [Message("system", system)]
        for shot in self.shots:
            messages.append(Message("user", self.task.input_text(shot.example.input)))
            messages.append(Message("assistant", self.task.render(shot.value)))
        return tuple(messages)

    def messages(self, input: Input) -> list[Message]:
        return [*self.prefix, Message("user", self.task.input_text(input))]

    def facts(self) -> dict[str, Any]:
        """All that decides the prompt, for versions and fingerprints."""
        return {"messages": [[message.role, message.content] for message in self.prefix], "schema": self.task.schema()}


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
