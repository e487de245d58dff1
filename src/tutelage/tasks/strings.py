"""Output kind `strings`: a list of strings, optionally grounded (each occurs in the text)."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import Any, ClassVar

from tutelage.errors import AnswerError
from tutelage.tasks.base import Settled, Task, read_json
from tutelage.tasks.matching import find, normal
from tutelage.types import Input, Value

MAX_STRINGS = 40
MAX_LENGTH = 80
"""Bounds in the schema: small models loop without them."""


@dataclass(frozen=True)
class StringsTask(Task):
    """A list of strings, order of first appearance, no two the same under strict matching; [] is an answer."""

    grounded: bool = False

    output: ClassVar[str] = "strings"

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("f1", "precision", "recall", "exact_match", "alias_f1", "alias_precision", "alias_recall")

    @property
    def key(self) -> str:
        """The property that holds the list in the model's answer: the task's name, which tells it what to list."""
        return self.name.replace("-", "_")

    def schema(self) -> dict[str, Any]:
        item = {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH}
        return {
            "type": "object",
            "properties": {self.key: {"type": "array", "items": item, "maxItems": MAX_STRINGS}},
            "required": [self.key],
            "additionalProperties": False,
        }

    def render(self, value: Value) -> str:
        return json.dumps({self.key: value}, ensure_ascii=False)

    def parse(self, text: str) -> Value:
        answer = read_json(text)
        if isinstance(answer, dict):
            lists = [part for part in answer.values() if isinstance(part, list)]
            answer = answer.get(self.key, lists[0] if len(lists) == 1 else answer)
        return self.canonical(text if answer is None else answer)

    def canonical(self, value: Any) -> Value:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            text = repr(value)
            shown = text if len(text) <= 80 else text[:77] + "..."
            raise AnswerError(f'{shown} is not a list of strings. Expected: {{"{self.key}": ["...", ...]}}')
        kept: dict[str, str] = {}
        for item in value:
            spelling = " ".join(unicodedata.normalize("NFC", item).split())
            if spelling:
                kept.setdefault(normal(spelling), spelling)
        return list(kept.values())

    def settle(self, value: Value, input: Input) -> Settled:
        """For a grounded task, the strings that are found in the text; else all of them."""
        text = "\n".join(input[field] for field in self.fields)
        missing = [item for item in value if find(text, item) is None] if self.grounded else []
        if not missing:
            return Settled(value)
        shown = json.dumps(missing, ensure_ascii=False)
        return Settled(
            [item for item in value if item not in missing],
            f"These are not in the text: {shown}. Leave out what is not there and copy the rest exactly as it is written.",
            f"dropped, not in the text: {shown}",
        )
