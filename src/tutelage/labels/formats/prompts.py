"""Examples as conversations: the prompt that the teacher sees, and inputs and answers found again in such conversations."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from tutelage.errors import AnswerError
from tutelage.labels.formats.base import Unfit
from tutelage.project import Project
from tutelage.prompting.family import with_templates
from tutelage.prompting.form import Form, form_of
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.prompting.settings import PromptedSettings
from tutelage.prompting.template import Template
from tutelage.tasks import Task
from tutelage.tasks.file import validated
from tutelage.types import Input, Value

_MARK = "\ue000{}\ue001"
"""Stands for a field where its place in a prompt is looked for."""


class Prompt:
    """The teacher's prompt without its solved examples, or the task's own where task.toml names no prompted teacher."""

    def __init__(self, project: Project) -> None:
        self.task: Task = project.task
        self.settings = _settings(project)
        self.form: Form = form_of(self.task, self.settings)
        self._template = Template(self.form, FixedShots(()), self.settings.system, self.settings.user)

    def messages(self, input: Input) -> list[dict[str, str]]:
        return [{"role": one.role, "content": one.content} for one in self._template.messages(input)]

    def answer(self, value: Value) -> str:
        return self.form.render(value)

    def input_of(self, text: str) -> Mapping[str, Any]:
        """The input in a user's message: as this prompt has it, a JSON object of the fields, or a single field's text.

        Raises Unfit where none of these is certain.
        """
        if self._pattern is not None and (found := self._matched(self._pattern, text)) is not None:
            return found
        if len(self.task.fields) == 1:
            return {self.task.fields[0]: text}
        if (found := self._matched(self._plain, text)) is not None:
            return found
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict) and set(self.task.fields) <= set(fields):
            return fields
        raise Unfit(f"the input's fields {', '.join(self.task.fields)} cannot be told apart in {text[:60]!r}")

    def value_of(self, text: str) -> Value:
        """The answer in an assistant's message. Raises Unfit."""
        try:
            return self.form.read(text).value
        except AnswerError as error:
            raise Unfit(f"the answer does not fit: {error}") from None

    def _matched(self, pattern: re.Pattern[str], text: str) -> dict[str, str] | None:
        """The fields; None where they do not stand in `text` so, or could stand in it in more than one way."""
        first = pattern.fullmatch(text)
        last = re.compile(pattern.pattern.replace("*?)", "*)"), re.DOTALL).fullmatch(text)
        if first is None or last is None or first.groupdict() != last.groupdict():
            return None
        return {name: first[f"f{at}"] for at, name in enumerate(self.task.fields)}

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """What a user's message of this prompt looks like; None where it does not have every field as it is."""
        return _pattern(self.messages(self._marks)[-1]["content"], len(self.task.fields))

    @cached_property
    def _plain(self) -> re.Pattern[str]:
        """What the input looks like as models read it without a template."""
        found = _pattern(self.task.input_text(self._marks), len(self.task.fields))
        assert found is not None
        return found

    @property
    def _marks(self) -> dict[str, str]:
        return {name: _MARK.format(at) for at, name in enumerate(self.task.fields)}


def said(message: Any) -> str:
    """The text of a message, of parts the texts. Raises Unfit where it has none."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = (
            "".join(part for part in parts if isinstance(part, str)) if all(isinstance(p, str) for p in parts) else None
        )
    if not isinstance(content, str):
        raise Unfit("a message has no text")
    return content


def last_asked(messages: Sequence[Any]) -> str:
    """The text of the last message of the user. Raises Unfit."""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return said(message)
    raise Unfit("it has no message of a user")


def _settings(project: Project) -> PromptedSettings:
    name = project.file.teacher
    given = dict(project.file.candidates.get(name or "", {}))
    if given.pop("family", None) != "prompted":
        return PromptedSettings("none")
    settings = validated(PromptedSettings, given, f"candidates.{name}")
    # Without solved examples, and without what is asked for beside the answer.
    settings = dataclasses.replace(settings, shots=0, verbalised=False, reasoning=False, confidence="mean_probability")
    return with_templates(settings, project)


def _pattern(text: str, fields: int) -> re.Pattern[str] | None:
    parts = re.split("\ue000(\\d+)\ue001", text)
    found, named = "", set()
    for at, part in enumerate(parts):
        if at % 2 == 0:
            found += re.escape(part)
        elif part in named:
            found += f"(?P=f{part})"
        else:
            named.add(part)
            found += f"(?P<f{part}>.*?)"
    return re.compile(found, re.DOTALL) if len(named) == fields else None
