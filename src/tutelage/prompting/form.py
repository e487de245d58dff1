"""The form of an answer: what it is bound to, what the prompt says of it, and how it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from tutelage.errors import AnswerError, UsageError
from tutelage.models.chat import Params, Structured
from tutelage.prompting.settings import PromptedSettings
from tutelage.tasks import Task
from tutelage.tasks.base import read_json, unfenced
from tutelage.tasks.labelset import short
from tutelage.tasks.strings import StringsTask
from tutelage.types import Value

CONFIDENCE = "confidence"
"""The property in which a model is asked to say how sure it is."""

REASONING = "reasoning"
"""The property in which a model is asked to think, before it answers."""

_THOUGHT = {
    "type": "string",
    "maxLength": 800,
    "description": "what in the text leads to the answer, in one to three sentences",
}

_PERCENT = {
    "type": "integer",
    "minimum": 0,
    "maximum": 100,
    "description": "how sure you are that the answer is right, from 0 (a guess) to 100 (certain)",
}


class Read(NamedTuple):
    """An answer and how sure the model said it is, in [0, 1]."""

    value: Value
    verbalised: float | None = None
    reasoning: str | None = None


@dataclass(frozen=True)
class Form:
    """How `task` is to be answered. Raises UsageError for settings that do not go with one another or with the task."""

    task: Task
    structured: Structured = "schema"
    pattern: str | None = None
    verbalised: bool = False
    reasoning: bool = False

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise UsageError(problem)

    @property
    def bare(self) -> bool:
        """Whether the answer is plain text; else it is JSON."""
        return self.structured in ("choice", "regex")

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the answer; a model that is to reason does so before it, and says how sure it is after it."""
        schema = self.task.schema()
        if not self.asked:
            return schema
        first, last = {REASONING: _THOUGHT} if self.reasoning else {}, {CONFIDENCE: _PERCENT} if self.verbalised else {}
        asked = {"properties": first | schema["properties"] | last}
        return schema | asked | {"required": [*first, *schema.get("required", schema["properties"]), *last]}

    @property
    def asked(self) -> tuple[str, ...]:
        """The properties that a model is asked for beside the answer."""
        return (*((REASONING,) if self.reasoning else ()), *((CONFIDENCE,) if self.verbalised else ()))

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """The labels of a task that has them."""
        return tuple(getattr(self.task, "labels", ()))

    @cached_property
    def text(self) -> str:
        """What the prompt says of the form; needed even where a schema binds the answer."""
        if self.structured == "choice":
            shown = json.dumps(self.choices, ensure_ascii=False)
            return f"Answer only with one of these, without quotes: {shown}"
        if self.structured == "regex":
            return f"Answer only with text that matches this regular expression: {self.pattern}"
        return answer_format(self.task, self.schema)

    def render(self, value: Value) -> str:
        """A right answer as the model should write it (without a confidence, so that it has none to copy)."""
        return str(value) if self.bare else self.task.render(value)

    def read(self, text: str) -> Read:
        """The value in an answer. Raises AnswerError that says what does not fit."""
        if not self.asked:
            value = self.task.parse(text)
            if self.pattern is not None and not re.fullmatch(self.pattern, str(value)):
                raise AnswerError(f"{short(value)} does not match {self.pattern!r}.")
            return Read(value)
        answer = read_json(text)
        if not isinstance(answer, dict) or not set(self.asked) & set(answer):
            return Read(self.task.parse(text))
        sure = _share(answer.pop(CONFIDENCE, None)) if self.verbalised else None
        thought = answer.pop(REASONING, None) if self.reasoning else None
        value = self.task.parse(json.dumps(answer, ensure_ascii=False))
        return Read(value, sure, thought if isinstance(thought, str) else None)

    def repair(self, problem: str) -> str:
        """Asks again after an answer that does not fit."""
        wanted = {"choice": "one of the texts", "regex": "the text"}.get(self.structured, "the JSON")
        return f"{problem} Answer again, only with {wanted}."

    def open_ended(self, text: str) -> bool:
        """Whether an answer that can be read may still go on: a free text that is not closed by quotes in JSON."""
        return self.task.output == "text" and not unfenced(text).startswith("{")

    def params(self, settings: PromptedSettings) -> Params:
        return Params(
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            min_p=settings.min_p,
            stop=settings.stop,
            seed=settings.seed,
            structured=self.structured,
            schema=self.schema,
            choices=self.choices if self.structured == "choice" else (),
            pattern=self.pattern,
            logprobs=settings.logprobs,
            top_logprobs=settings.top_logprobs if settings.logprobs else 0,
        )

    def _problem(self) -> str | None:
        output, structured = self.task.output, self.structured
        if structured == "choice" and output != "label":
            return f'structured = "choice" goes with output = "label", not {output!r}. Use "schema".'
        if structured == "regex" and output != "text":
            return f'structured = "regex" goes with output = "text", not {output!r}. Use "schema".'
        if (structured == "regex") != (self.pattern is not None):
            return 'structured = "regex" and pattern = "..." go together. Set both or neither.'
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                return f"pattern = {self.pattern!r} is not a regular expression: {error}. Mend it."
        for setting, name in (("verbalised", CONFIDENCE), ("reasoning", REASONING)):
            if name not in self.asked:
                continue
            if structured in ("choice", "regex", "none"):
                return (
                    f'{setting} = true needs an answer in JSON, which structured = {structured!r} is not. Use "schema".'
                )
            if name in self.task.schema()["properties"]:
                return f"{setting} = true needs the name {name!r}, which the answer has already. Rename that field."
        return None


def form_of(task: Task, settings: PromptedSettings) -> Form:
    """The form that a candidate's settings ask for. Raises UsageError as `Form`."""
    if settings.confidence == "verbalised" and not settings.verbalised:
        raise UsageError('confidence = "verbalised" needs verbalised = true. Set it, or choose "mean_probability".')
    return Form(task, settings.structured, settings.pattern, settings.verbalised, settings.reasoning)


def answer_format(task: Task, schema: Mapping[str, Any] | None = None) -> str:
    """A few lines that say which JSON to answer with: `schema`, the task's own unless given."""
    properties: Mapping[str, Any] = (schema or task.schema())["properties"]
    shape = {name: _shape(part) for name, part in properties.items()}
    lines = [f"Answer only with JSON of this form: {json.dumps(shape, ensure_ascii=False)}"]
    for name, part in properties.items():
        lines += _said(name, part, once=task.output != "record")
    if absent := [name for name, part in properties.items() if "null" in _types(part)]:
        which = "A field is null where" if len(absent) == len(properties) else f"{', '.join(absent)}: null where"
        lines.append(f"{which} the text does not say it.")
    if isinstance(task, StringsTask) and task.grounded:
        lines.append("Copy every string exactly as it is written in the text.")
    return "\n".join(lines)


def _said(name: str, part: Mapping[str, Any], *, once: bool) -> list[str]:
    """What is to be said of one property."""
    lines = [f"{name}: {part['description']}"] if part.get("description") else []
    if "enum" in part:
        lines.append(f"{name} is exactly one of: {json.dumps(part['enum'], ensure_ascii=False)}")
    if "array" in _types(part):
        if "enum" in part["items"]:
            lines.append(f"{name} holds none but these: {json.dumps(part['items']['enum'], ensure_ascii=False)}")
        if "null" not in _types(part):
            lines.append(f"{name} is [] when there are none{'; nothing occurs twice' if once else ''}.")
    return lines


def _types(part: Mapping[str, Any]) -> list[str]:
    found = part.get("type", "string")
    return found if isinstance(found, list) else [found]


_SHAPES = {"integer": 0, "number": 0.0, "boolean": False}


def _shape(part: Mapping[str, Any]) -> Any:
    """How a value looks, in a few characters."""
    kind = _types(part)[0]
    if kind == "array":
        return [_shape(part["items"])]
    if part.get("format") == "date":
        return "YYYY-MM-DD"
    return _SHAPES.get(kind, "...") if "enum" not in part else "..."


def _share(said: Any) -> float | None:
    """A confidence as a model writes it (87, "87", "87 %", 0.87) in [0, 1]; None when it is none."""
    if isinstance(said, str):
        try:
            said = float(said.strip().rstrip("%"))
        except ValueError:
            return None
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    share = said if isinstance(said, float) and 0 < said < 1 else said / 100
    return share if 0 <= share <= 1 else None
