"""What every output kind can do."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic_core import from_json

from tutelage.errors import AnswerError
from tutelage.types import Input, Value

_FENCE = re.compile(r"^```[\w-]*\s*\n(.*?)\n?```$", re.DOTALL)
_BLOCK = re.compile(r"^```[\w-]*[^\S\n]*\n(.*?)(?:^```|\Z)", re.DOTALL | re.MULTILINE)
"""A code block anywhere, also one that was never closed."""


class Settled(NamedTuple):
    """An answer that can be used. `problem` tells the model what does not fit and how to mend it, `note` the reader."""

    value: Value
    problem: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Task(ABC):
    """A narrow text task. Property of every kind: `parse(render(value)) == value` for canonical values.

    `fields` are the input's field names, `metric` the name of the metric that candidates are ranked by.
    """

    name: str
    fields: tuple[str, ...]
    instructions: str
    metric: str = ""

    output: ClassVar[str]

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that apply, the default first."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the answer as asked of a language model (an object)."""

    @abstractmethod
    def render(self, value: Value) -> str:
        """The answer as text that fits `schema`."""

    @abstractmethod
    def parse(self, text: str) -> Value:
        """The value in a model's answer. Raises AnswerError that says what does not fit."""

    @abstractmethod
    def canonical(self, value: Any) -> Value:
        """The one form of equal values. Raises AnswerError when `value` is not an answer of this task."""

    def settle(self, value: Value, input: Input) -> Settled:
        """`value` as far as it fits this very input, and what does not fit (nothing for most kinds)."""
        return Settled(value)

    def reading(self) -> list[str]:
        """What, besides the schema, decides how an answer is read; part of a candidate's fingerprint."""
        return []

    def at(self, folder: Path) -> Task:
        """The task of the project in `folder`: relative paths among its settings are taken from there."""
        return self

    def input_text(self, input: Input) -> str:
        """The input as one text for models that read plain text: the only field, or `field: text` paragraphs."""
        if len(self.fields) == 1:
            return input[self.fields[0]]
        return "\n\n".join(f"{field}: {input[field]}" for field in self.fields)


def unfenced(text: str) -> str:
    """`text` without white space at the ends, and without a code fence around the whole."""
    text = text.strip()
    fence = _FENCE.match(text)
    return fence.group(1).strip() if fence else text


def read_json(text: str) -> Any:
    """The JSON in a model's answer, also in a code fence, or an object with words around it; None when there is none.

    Raises AnswerError for JSON that is cut off, nested too deeply, or has numbers that JSON has not.
    """
    text = unfenced(text)
    if not text.startswith(("{", "[")) and (block := _BLOCK.search(text)):
        text = block.group(1).strip()
    brace = 0 if text.startswith("[") else text.find("{")
    try:
        found = _decoded(text[max(brace, 0) :])
    except RecursionError:
        raise AnswerError("The answer is nested too deeply.") from None
    if brace > 0:  # words before an object; a text may also hold a brace by chance
        return found if isinstance(found, dict) else _decoded(text)
    if found is None and brace == 0 and _is_prefix(text):
        raise AnswerError(f"The answer is cut off: it ends with {text[-30:]!r}. Allow more output tokens.")
    return found


def _decoded(text: str) -> Any:
    """The JSON that `text` starts with; words may follow an object or a list."""
    try:
        found, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError:
        return None
    return found if not text[end:].strip() or isinstance(found, (dict, list)) else None


def _is_prefix(text: str) -> bool:
    """Whether `text`, which is no JSON, is the beginning of some."""
    try:
        from_json(text, allow_partial="trailing-strings", allow_inf_nan=False)
        json.loads(text)
    except json.JSONDecodeError as error:
        return text[error.pos : error.pos + 1] not in ("}", "]")  # a bracket that closes nothing is no lack of text
    except ValueError:
        return False
    return True


def _refused(constant: str) -> None:
    raise AnswerError(f"{constant} is not JSON. Write a number, or null where there is none.")


_DECODER = json.JSONDecoder(parse_constant=_refused)
