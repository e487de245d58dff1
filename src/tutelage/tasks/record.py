"""Output kind `record`: a flat JSON object whose fields a JSON Schema describes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from tutelage.errors import AnswerError
from tutelage.tasks.base import Settled, Task, read_json
from tutelage.tasks.field import Field
from tutelage.tasks.labelset import short
from tutelage.tasks.matching import normal
from tutelage.tasks.schema import read_schema
from tutelage.types import Input, Value


@dataclass(frozen=True)
class RecordTask(Task):
    """A record has all fields in the schema's order; an absent one is None. Partial answers count.

    A value that does not fit its field stays as it was written until `settle` makes it None and says so.
    """

    answer_schema: Mapping[str, Any] = field(default_factory=dict, hash=False)
    normalisers: Mapping[str, str] = field(default_factory=dict, hash=False)

    output: ClassVar[str] = "record"

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("field_f1", "field_precision", "field_recall", "micro_field_f1", "exact_match", "token_f1")

    def __post_init__(self) -> None:
        _ = self.answer_fields  # a schema that contradicts itself is said at once

    @cached_property
    def answer_fields(self) -> tuple[Field, ...]:
        """The record's fields (`fields` are the input's)."""
        return tuple(Field(described) for described in read_schema(self.answer_schema, self.normalisers))

    def schema(self) -> dict[str, Any]:
        """Every field required, nullable ones with null among their types, nothing else: as strict modes want it."""
        return {
            "type": "object",
            "properties": {field.name: field.asked() for field in self.answer_fields},
            "required": [field.name for field in self.answer_fields],
            "additionalProperties": False,
        }

    def reading(self) -> list[str]:
        """The fields whose normaliser reads dates in an order of its own."""
        return [f"{name}: {one}" for name, one in sorted(self.normalisers.items()) if one.startswith("date-")]

    def render(self, value: Value) -> str:
        """The object in the schema's order, which a record from the store does not have."""
        found = self._known(value)
        return json.dumps({field.name: found.get(field.name) for field in self.answer_fields}, ensure_ascii=False)

    def parse(self, text: str) -> Value:
        answer = read_json(text)
        if isinstance(answer, list) and len(answer) == 1:
            answer = answer[0]
        return self.canonical(text if answer is None else answer)

    def canonical(self, value: Any) -> Value:
        """`value` with every field that can be read in its canonical form, the others as they are; other keys dropped.

        Raises AnswerError for what is no object and for an object that has not one of the fields.
        """
        found = self._known(value)
        read = {field.name: field.read(found.get(field.name)) for field in self.answer_fields}
        return {name: found[name] if one.problems and name in found else one.value for name, one in read.items()}

    def settle(self, value: Value, input: Input) -> Settled:
        """`value` with None for what does not fit its field; `problem` names those fields and the missing ones."""
        found = self._known(value)
        read = {field.name: field.read(found.get(field.name)) for field in self.answer_fields}
        problems = "; ".join(problem for one in read.values() for problem in one.problems)
        kept = {name: one.value for name, one in read.items()}
        if not problems:
            return Settled(kept)
        told = f"These fields do not fit: {problems}. Correct them and keep the others as they are."
        return Settled(kept, told, f"dropped, {problems}")

    def _known(self, value: Any) -> dict[str, Any]:
        """The fields of `value` by their names in the schema. Raises AnswerError as `canonical`."""
        if not isinstance(value, Mapping):
            raise AnswerError(f"{short(value)} is not a JSON object. Expected: {self._expected}")
        found = {name: value[name] for name in self._names.values() if name in value}
        for key, one in value.items():
            if name := self._names.get(_form(key)):
                found.setdefault(name, one)
        if value and not found:
            inner = [one for one in value.values() if isinstance(one, Mapping)]
            if len(inner) == len(value) == 1:
                return self._known(inner[0])
            raise AnswerError(f"{short(dict(value))} has none of the fields. Expected: {self._expected}")
        return found

    @cached_property
    def _names(self) -> dict[str, str]:
        """The form of a key -> the field it means: "Invoice Number" is `invoice_number`."""
        forms = [_form(field.name) for field in self.answer_fields]
        alike = {form for form in forms if forms.count(form) > 1}
        return {
            field.name if form in alike else form: field.name
            for form, field in zip(forms, self.answer_fields, strict=True)
        }

    @property
    def _expected(self) -> str:
        names = [field.name for field in self.answer_fields]
        return "{" + ", ".join(f'"{name}": ...' for name in names[:12]) + (", ..." if len(names) > 12 else "") + "}"


def _form(key: Any) -> str:
    return re.sub(r"[\W_]+", "_", normal(str(key)))
