"""Output kind `label`: one of N."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from tutelage.errors import AnswerError, TaskFileError
from tutelage.tasks.base import Task, read_json
from tutelage.tasks.matching import normal
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
        if len(self.labels) < 2:
            raise TaskFileError(
                f"A label task needs at least two labels, found {list(self.labels)!r}. Set: labels = [...]"
            )
        for label in self.labels:
            if not label or label != label.strip():
                raise TaskFileError(f"{label!r} cannot be a label: it is empty or has spaces at an end.")
        if len(set(self.labels)) < len(self.labels):
            twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
            raise TaskFileError(f"Labels occur twice: {', '.join(twice)}. Remove the repetitions.")

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.labels)

    @cached_property
    def _forms(self) -> dict[str, str]:
        """Normal form -> label; forms that two labels share are left out, so that exact spelling decides there."""
        forms = [normal(label) for label in self.labels]
        return {form: label for form, label in zip(forms, self.labels, strict=True) if forms.count(form) == 1}

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
        answer = read_json(text) if text.strip() not in self._known else None
        if isinstance(answer, dict):
            answer = answer.get("label", answer)
        return self.canonical(answer if answer is not None and not isinstance(answer, (int, float)) else text.strip())

    def canonical(self, value: Any) -> Value:
        if isinstance(value, str):
            if value in self._known:
                return value
            if label := self._forms.get(normal(value)):
                return label
        shown = ", ".join(self.labels[:12]) + (f", ... ({len(self.labels)} in all)" if len(self.labels) > 12 else "")
        raise AnswerError(f"{_short(value)} is not a label of task {self.name!r}. Labels: {shown}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
