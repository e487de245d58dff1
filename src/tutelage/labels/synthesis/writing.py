"""The writer: a prompted candidate's model, asked for new inputs as a JSON list of objects with the task's fields."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from pydantic_core import from_json

from tutelage.errors import AnswerError
from tutelage.labels.synthesis.strategies import Request, Seed
from tutelage.models.prices import BYTES_PER_TOKEN
from tutelage.project import Project
from tutelage.prompting.family import model_of
from tutelage.prompting.prompted import Prompted
from tutelage.prompting.settings import PromptedSettings
from tutelage.tasks import Task
from tutelage.tasks.base import read_json, unfenced
from tutelage.types import Example, Input, Labelled, Prediction, Value, digest

KEY = "examples"

MOST_PER_CALL = 5
CHARACTERS_PER_CALL = 4000
"""What one call writes at most, unless told otherwise: about so many characters, and so many inputs."""

MOST_TOKENS = 4096
BOUNDED = 1024
"""A longer bound of a text's length is left out of the schema: grammars of small runtimes cannot count so far."""

_RULES = (
    "You write new inputs for a text task, so that a small model has more examples to learn from. What you write is an "
    "input as the people who use the system write it, never the answer to one. Write in the language of the inputs before, "
    "as varied in wording as real ones. Repeat none of those before and do not number what you write."
)


@dataclass(frozen=True)
class NewInputs(Task):
    """A call of the writer as a task: a `Request` in, `count` inputs of the real task's `input_fields` out.

    `longest` is the greatest length in characters by field. Inputs that lack a field are left for the filters to count.
    """

    input_fields: tuple[str, ...] = ()
    count: int = MOST_PER_CALL
    longest: Mapping[str, int] = field(default_factory=dict, hash=False)

    output: ClassVar[str] = "inputs"

    @property
    def metrics(self) -> tuple[str, ...]:
        return ()

    def schema(self) -> dict[str, Any]:
        properties = {name: self._text(name) for name in self.input_fields}
        one = {
            "type": "object",
            "properties": properties,
            "required": list(self.input_fields),
            "additionalProperties": False,
        }
        return {
            "type": "object",
            "properties": {KEY: {"type": "array", "items": one, "minItems": self.count, "maxItems": self.count}},
            "required": [KEY],
            "additionalProperties": False,
        }

    def _text(self, name: str) -> dict[str, Any]:
        bounded = {"maxLength": self.longest[name]} if self.longest.get(name, BOUNDED + 1) <= BOUNDED else {}
        return {"type": "string", "minLength": 1, **bounded}

    def render(self, value: Value) -> str:
        return json.dumps(value, ensure_ascii=False)

    def parse(self, text: str) -> Value:
        """The inputs; of an answer that is cut off those that are whole."""
        try:
            answer = read_json(text)
        except AnswerError:
            answer = _whole(text)
        return self.canonical(answer)

    def canonical(self, value: Any) -> Value:
        """{"examples": [...]}, each an object of the texts by field. Raises AnswerError where there is no list."""
        if isinstance(value, Mapping):
            lists = [part for part in value.values() if isinstance(part, list)]
            alone = [value] if set(self.input_fields) <= value.keys() else None
            value = value.get(KEY, lists[0] if len(lists) == 1 else alone)
        if not isinstance(value, list):
            raise AnswerError(f'There is no list of inputs in the answer. Expected: {{"{KEY}": [...]}}')
        return {KEY: [self._input(one) for one in value[: self.count]]}

    def _input(self, one: Any) -> dict[str, str]:
        if isinstance(one, str) and len(self.input_fields) == 1:
            one = {self.input_fields[0]: one}
        texts = one if isinstance(one, Mapping) else {}
        return {name: texts[name] for name in self.input_fields if isinstance(texts.get(name), str)}


class Before:
    """The selector of a writer: what came before in the conversation, as the one solved example."""

    def select(self, input: Input) -> list[Labelled]:
        earlier = {"before": "", "shown": "", "request": input["before"]}
        given: Value = {KEY: json.loads(input["shown"])}
        return [Labelled(Example("", earlier, "train"), given, "")]

    def facts(self) -> Any:
        return "before"


@dataclass(frozen=True, kw_only=True)
class WriterOptions:
    """`per_call`: inputs that one call asks for (None: by their length); `seed`: of sampling; `instruction`: what else the
    writer is told."""

    per_call: int | None = None
    temperature: float = 0.9
    seed: int = 0
    instruction: str | None = None


@dataclass(frozen=True)
class Writer:
    """`asked` writes. `key` is what its answers are stored under, `account` what they are paid from: neither changes with
    the prompt's version, which is in `mark`, the writer's name on what it wrote."""

    asked: Prompted
    name: str
    key: str
    seed: int

    @property
    def model(self) -> str:
        return self.asked.model.name

    @property
    def count(self) -> int:
        """Inputs that a call asks for."""
        return self.asked.task.count if isinstance(self.asked.task, NewInputs) else 1

    @property
    def mark(self) -> str:
        return self.asked.source.removeprefix("teacher:")

    @property
    def account(self) -> str:
        return f"synthesis:{self.model}"

    def id(self, request: Request) -> str:
        """What the answer to a request is stored by."""
        settings = self.asked.settings
        told = [
            self.asked.task.instructions,
            request.before,
            request.shown,
            request.text,
            settings.temperature,
            settings.max_tokens,
        ]
        return digest([*told, self.asked.form.schema, self._draw(request)])

    async def write(self, request: Request) -> Prediction:
        """The answer. Raises ModelError when no call can succeed."""
        return await self.asked.draw(self.question(request), self._draw(request))

    def question(self, request: Request) -> Input:
        return {"before": request.before, "shown": request.shown, "request": request.text}

    def _draw(self, request: Request) -> int:
        """The seed of sampling: another one for each call."""
        return self.seed * 100_003 + request.number


def build_writer(
    name: str,
    settings: PromptedSettings,
    project: Project,
    seeds: Sequence[Seed],
    options: WriterOptions | None = None,
) -> Writer:
    """The model of candidate `name` as a writer. Raises as `build_prompted`."""
    options = options or WriterOptions()
    task, longest = project.task, longest_texts(project.task, seeds)
    count = options.per_call or inputs_per_call(task, seeds)
    form = json.dumps({KEY: [dict.fromkeys(task.fields, "...")] * min(count, 2)}, ensure_ascii=False)
    parts = [
        _RULES,
        f"The task: {task.instructions}" if task.instructions else "",
        options.instruction or "",
        f"Answer only with JSON of this form, with as many objects as are asked for: {form}",
    ]
    writing = NewInputs(
        "synthesis", ("before", "shown", "request"), "\n\n".join(filter(None, parts)), "", task.fields, count, longest
    )
    bound = settings.structured if settings.structured in ("schema", "json", "tool", "none") else "schema"
    text = sum(min(one, CHARACTERS_PER_CALL) for one in longest.values())
    asking = replace(
        settings,
        structured=bound,
        pattern=None,
        system="{{ instructions }}",
        user="{{ request }}",
        shots=0,
        temperature=options.temperature,
        max_tokens=min(MOST_TOKENS, 64 + count * (text // BYTES_PER_TOKEN + 8 + 8 * len(task.fields))),
        stop=(),
        tries=1,
        repairs=0,
        logprobs=False,
        verbalised=False,
        reasoning=False,
        confidence="mean_probability",
    )
    price = project.price(settings.provider, settings.base_url, settings.model)
    asked = Prompted(model_of(settings, project), writing, asking, name=name, selector=Before(), price=price)
    return Writer(
        asked, name, digest(["synthesis", settings.provider, settings.base_url, settings.model]), options.seed
    )


def inputs_per_call(task: Task, seeds: Sequence[Seed]) -> int:
    """How many inputs one call asks for: fewer where they are long."""
    middle = statistics.median(len(task.input_text(one.example.input)) for one in seeds)
    return int(max(1, min(MOST_PER_CALL, CHARACTERS_PER_CALL // max(middle, 1))))


def longest_texts(task: Task, seeds: Sequence[Seed]) -> dict[str, int]:
    """The greatest length by field, rounded up to a power of two so that it seldom changes with train."""
    return {name: 1 << (max(len(one.example.input[name]) for one in seeds) - 1).bit_length() for name in task.fields}


def _whole(text: str) -> Any:
    """The JSON in a text that is cut off, without the object that the cut goes through."""
    bare = unfenced(text)
    try:
        answer = from_json(bare[max(bare.find("{"), 0) :], allow_partial=True)
    except ValueError:
        return None
    found = answer.get(KEY) if isinstance(answer, dict) else answer
    return {KEY: found[:-1]} if isinstance(found, list) and len(found) > 1 else None
