"""Output kind `labels`: any number of N, none included."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from tutelage.errors import AnswerError
from tutelage.tasks.base import Settled, Task, read_json
from tutelage.tasks.labelset import LabelSet, check_labels, short
from tutelage.types import Input, Value


@dataclass(frozen=True)
class LabelsTask(Task):
    """Several of `labels`, in the task's order, each once; [] is an answer.

    Strings that are no label stay at the end of the value until `settle` drops them.
    """

    labels: tuple[str, ...] = ()

    output: ClassVar[str] = "labels"

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("f1", "micro_f1", "macro_f1", "exact_match", "precision", "recall")

    def __post_init__(self) -> None:
        check_labels(self.labels, "labels", 1)

    @cached_property
    def _known(self) -> LabelSet:
        return LabelSet(self.labels)

    def schema(self) -> dict[str, Any]:
        one = {"type": "string", "enum": list(self.labels)}
        return {
            "type": "object",
            "properties": {"labels": {"type": "array", "items": one, "maxItems": len(self.labels)}},
            "required": ["labels"],
            "additionalProperties": False,
        }

    def render(self, value: Value) -> str:
        return json.dumps({"labels": value}, ensure_ascii=False)

    def parse(self, text: str) -> Value:
        answer = read_json(text)
        if isinstance(answer, dict):
            lists = [part for part in answer.values() if isinstance(part, list)]
            answer = answer.get("labels", lists[0] if len(lists) == 1 else answer)
        if isinstance(answer, str) or answer is None:
            named = self._known.find(answer or text.strip())
            answer = text if named is None else [named]
        return self.canonical(answer)

    def canonical(self, value: Any) -> Value:
        """The known labels in the task's order, then the strings that are none, once each.

        Raises AnswerError for what is no list of strings, and where not one of the strings is a label.
        """
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise AnswerError(
                f'{short(value)} is not a list of labels. Expected: {{"labels": ["...", ...]}} with any of: {self._known}.'
            )
        texts = [text for one in value if (text := one.strip())]
        found = {label for text in texts if (label := self._known.find(text)) is not None}
        unknown = dict.fromkeys(text for text in texts if self._known.find(text) is None)
        if unknown and not found:
            none = short(next(iter(unknown)))
            raise AnswerError(f"{none} is not a label of task {self.name!r}. Labels: {self._known}.")
        return [*sorted(found, key=self._known.place.__getitem__), *unknown]

    def settle(self, value: Value, input: Input) -> Settled:
        unknown = [one for one in value if one not in self._known.place]
        if not unknown:
            return Settled(value)
        shown = json.dumps(unknown, ensure_ascii=False)
        return Settled(
            [one for one in value if one in self._known.place],
            f"These are no labels: {shown}. Use only: {self._known}.",
            f"dropped, no label: {shown}",
        )
