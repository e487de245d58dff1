"""The prompt: what the task is, how to answer, and solved examples first, so that prompt caches meet the same prefix.

A template is Jinja, `{{ field }}`, or plain text with `{field}`. It may use the input's fields, `input` (all of them, by
name), `instructions`, `answer_format`, `labels`, `schema`, and `shots`, a list of solved examples, each with the input's
fields and `answer`. Templates run in Jinja's sandbox and are checked when they are read, on made-up input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import SandboxedEnvironment

from tutelage.errors import DataError, TaskFileError
from tutelage.models.chat import Message
from tutelage.prompting.form import Form
from tutelage.prompting.selectors import Selector
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.tasks import Task
from tutelage.types import Input, Labelled

_ENVIRONMENT = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
_JINJA = re.compile(r"\{\{|\{%|\{#")
_PLAIN = re.compile(r"\{([A-Za-z_]\w*)\}")
_GIVEN = ("input", "instructions", "answer_format", "labels", "schema", "shots")
_FAILURES = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Listing(tuple[str, ...]):
    """Texts that a template can go through, or write with commas between them."""

    def __str__(self) -> str:
        return ", ".join(self)


class Written:
    """One template, `name` being the key in task.toml. Raises TaskFileError for what it cannot use."""

    def __init__(self, name: str, text: str, task: Task) -> None:
        self.name = name
        known = list(dict.fromkeys((*task.fields, *_GIVEN)))
        source = text if _JINJA.search(text) else _PLAIN.sub(r"{{ \1 }}", text)
        try:
            self.uses = meta.find_undeclared_variables(_ENVIRONMENT.parse(source)) - set(_ENVIRONMENT.globals)
            self._template = _ENVIRONMENT.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise TaskFileError(f"The template {name!r}, line {error.lineno}: {error.message}. Mend it.") from None
        if unknown := sorted(self.uses - set(known)):
            raise TaskFileError(
                f"The template {name!r} uses {unknown[0]!r}, which does not exist. Known: {', '.join(known)}."
            )

    def render(self, variables: Mapping[str, Any]) -> str:
        """Raises DataError when the template cannot be rendered with these values."""
        try:
            return self._template.render(variables)
        except _FAILURES as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise DataError(f"The template {self.name!r} cannot be rendered: {reason}. Mend it.") from None


@dataclass(frozen=True)
class Template:
    """`selector` chooses solved examples: shown in its order as earlier turns of the conversation, unless a template says
    where they stand. Without `system` that message is the instructions and the form of the answer, without `user` the
    input.
    """

    form: Form
    selector: Selector
    system: str | None = None
    user: str | None = None

    def __post_init__(self) -> None:
        made_up = dict.fromkeys(self.form.task.fields, "x")
        try:
            for written in self._written:
                written.render(self._variables(made_up) | {"shots": [made_up | {"answer": "x"}]})
        except DataError as error:
            raise TaskFileError(str(error)) from None

    def messages(self, input: Input) -> list[Message]:
        """The prompt. Raises DataError when a template cannot be rendered with this input."""
        shots = self.selector.select(input)
        if not self._written:
            return [self._default, *self._turns(shots), Message("user", self.form.task.input_text(input))]
        variables = self._variables(input)
        if self._inline:
            variables["shots"] = [{**shot.example.input, "answer": self.form.render(shot.value)} for shot in shots]
        system = Message("system", self._system.render(variables)) if self._system else self._default
        turns = [] if self._inline else self._turns(shots)
        asking = Message("user", self._user.render(variables) if self._user else self.form.task.input_text(input))
        return [*([system] if system.content else []), *turns, asking]

    def facts(self) -> dict[str, Any]:
        """All that decides the prompt, for versions and fingerprints."""
        fixed = isinstance(self.selector, FixedShots)
        shown = [self._default]
        for shot in self.selector.shots if isinstance(self.selector, FixedShots) else ():
            shown += [Message("user", self.form.task.input_text(shot.example.input)), self._solved(shot)]
        facts = {"messages": [[message.role, message.content] for message in shown], "schema": self.form.schema}
        facts |= {name: text for name, text in (("system", self.system), ("user", self.user)) if text is not None}
        return facts if fixed else facts | {"shots": self.selector.facts()}

    @cached_property
    def instructed(self) -> bool:
        """Whether the prompt says the task's instructions."""
        return self._system is None or any("instructions" in written.uses for written in self._written)

    @cached_property
    def _system(self) -> Written | None:
        return None if self.system is None else Written("system", self.system, self.form.task)

    @cached_property
    def _user(self) -> Written | None:
        return None if self.user is None else Written("user", self.user, self.form.task)

    @cached_property
    def _written(self) -> tuple[Written, ...]:
        return tuple(written for written in (self._system, self._user) if written)

    @cached_property
    def _inline(self) -> bool:
        """Whether a template says itself where the shots stand."""
        return any("shots" in written.uses for written in self._written)

    @cached_property
    def _default(self) -> Message:
        return Message("system", "\n\n".join(part for part in (self.form.task.instructions, self.form.text) if part))

    @cached_property
    def _constants(self) -> dict[str, Any]:
        return {
            "instructions": self.form.task.instructions,
            "answer_format": self.form.text,
            "labels": Listing(self.form.choices),
            "schema": json.dumps(self.form.schema, ensure_ascii=False),
            "shots": [],
        }

    def _variables(self, input: Input) -> dict[str, Any]:
        return self._constants | {"input": input} | dict(input)

    def _turns(self, shots: Sequence[Labelled]) -> list[Message]:
        turns = []
        for shot in shots:
            given = shot.example.input
            asked = self._user.render(self._variables(given)) if self._user else self.form.task.input_text(given)
            turns += [Message("user", asked), self._solved(shot)]
        return turns

    def _solved(self, shot: Labelled) -> Message:
        return Message("assistant", self.form.render(shot.value))
