"""What every output kind can do."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from tutelage.errors import AnswerError
from tutelage.types import Input, Value

_FENCE = re.compile(r"^```[\w-]*\s*\n(.*?)\n?```$", re.DOTALL)


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

    def input_text(self, input: Input) -> str:
        """The input as one text for models that read plain text: the only field, or `field: text` paragraphs."""
        if len(self.fields) == 1:
            return input[self.fields[0]]
        return "\n\n".join(f"{field}: {input[field]}" for field in self.fields)


def read_json(text: str) -> Any:
    """The JSON in a model's answer (also inside a code fence), or None when the text is not JSON."""
    text = text.strip()
    if fence := _FENCE.match(text):
        text = fence.group(1)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        if text.startswith(("{", "[")) and not text.endswith(("}", "]")):
            raise AnswerError(
                f"The answer is cut off: it ends with {text[-30:]!r}. Allow more output tokens."
            ) from None
        return None
    except RecursionError:
        raise AnswerError("The answer is nested too deeply.") from None
