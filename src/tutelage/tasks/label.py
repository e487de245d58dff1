"""Output kind `label`: one of N."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from tutelage.errors import AnswerError
from tutelage.tasks.base import Task, read_json, unfenced
from tutelage.tasks.labelset import LabelSet, check_labels, short
from tutelage.types import Value


@dataclass(frozen=True)
class LabelTask(Task):
    """One of `labels`. An answer in other case or spacing is taken as the label it equals after normalisation."""

    labels: tuple[str, ...] = ()

    output: ClassVar[str] = "label"

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("accuracy", "macro_f1")

    def __post_init__(self) -> None:
        check_labels(self.labels, "label", 2)

    @cached_property
    def _known(self) -> LabelSet:
        return LabelSet(self.labels)

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": list(self.labels)}},
            "required": ["label"],
            "additionalProperties": False,
        }

    def render(self, value: Value) -> str:
        return json.dumps({"label": value}, ensure_ascii=False)

    def parse(self, text: str) -> Value:
        answer = read_json(text) if text.strip() not in self._known.place else None
        if isinstance(answer, dict):
            answer = answer.get("label", answer)
        return self.canonical(answer if answer is not None and not isinstance(answer, (int, float)) else unfenced(text))

    def canonical(self, value: Any) -> Value:
        label = self._known.find(value) if isinstance(value, str) else None
        if label is None:
            raise AnswerError(f"{short(value)} is not a label of task {self.name!r}. Labels: {self._known}.")
        return label
