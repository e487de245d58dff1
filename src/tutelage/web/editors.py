"""Forms for answers: what a page needs to draw one for the task's kind of output, and the answer in what it sends."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from starlette.datastructures import FormData

from tutelage.tasks import Task
from tutelage.tasks.field import Field
from tutelage.tasks.label import LabelTask
from tutelage.tasks.labels import LabelsTask
from tutelage.tasks.matching import find_all
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.tasks.text import TextTask
from tutelage.types import Input, Value

LONG = 80
"""Characters from which on a text is edited in a box of several lines."""


class Entry(NamedTuple):
    """A field of a record in the form. `kind` is `line`, `box` (several lines), `list` (a line an item) or `choice`."""

    name: str
    kind: str
    text: str
    hint: str
    required: bool
    choices: Sequence[str] = ()


class Segment(NamedTuple):
    """A piece of a text, and which string is found there."""

    text: str
    found: str | None = None


def filled(task: Task, value: Value | None) -> list[tuple[str, str]]:
    """The fields of the form that holds `value`, as a browser sends them; of no value those of an empty form."""
    if isinstance(task, RecordTask):
        known = value if isinstance(value, Mapping) else {}
        return [(f"value.{one.name}", _lines(known.get(one.name))) for one in task.answer_fields]
    if isinstance(task, LabelsTask):
        return [("value", one) for one in value or [] if one in task.labels]
    return [("value", _lines(value))]


def changed(task: Task, value: Value | None, form: FormData) -> bool:
    """Whether the form holds anything else than it was drawn with."""
    sent = [(name, str(text)) for name, text in form.multi_items() if name.partition(".")[0] == "value"]
    return Counter(_trimmed(sent)) != Counter(_trimmed(filled(task, value)))


def answered(task: Task, form: FormData) -> Any:
    """The answer in the form, as `Task.canonical` takes it."""
    if isinstance(task, RecordTask):
        return {one.name: _field(one, str(form.get(f"value.{one.name}", ""))) for one in task.answer_fields}
    if isinstance(task, LabelsTask):
        return [str(one) for one in form.getlist("value")]
    text = str(form.get("value", ""))
    if isinstance(task, StringsTask):
        return [line.strip() for line in text.split("\n") if line.strip()]
    return text.strip() if isinstance(task, LabelTask) else text


def editor(task: Task, form: FormData) -> dict[str, Any]:
    """What the template editor.html draws: the form for the task's answers, filled with `form`."""
    text = str(form.get("value", ""))
    drawn: dict[str, Any] = {"kind": task.output, "text": text, "rows": min(12, max(3, text.count("\n") + 2))}
    if isinstance(task, LabelTask | LabelsTask):
        drawn |= {"labels": list(task.labels), "chosen": {str(one) for one in form.getlist("value")}}
    elif isinstance(task, StringsTask):
        drawn["grounded"] = task.grounded
    elif isinstance(task, TextTask):
        drawn |= {"limit": task.max_characters, "count": len(text), "rows": min(20, max(4, len(text) // 60 + 2))}
    elif isinstance(task, RecordTask):
        fields = [_entry(one, str(form.get(f"value.{one.name}", ""))) for one in task.answer_fields]
        drawn["fields"] = [entry._asdict() for entry in fields]
    return drawn


def shown(task: Task, value: Value | None) -> list[tuple[str, Sequence[str]]]:
    """An answer to be read: (field, its values), the field "" for kinds of output that have none."""
    if value is None:
        return []
    if isinstance(task, RecordTask) and isinstance(value, Mapping):
        names = [one.name for one in task.answer_fields]
        return [(name, [_plain(one) for one in _listed(value.get(name))]) for name in names]
    return [("", [_plain(one) for one in _listed(value)])]


def segments(task: Task, input: Input, value: Value | None) -> dict[str, list[Segment]]:
    """The input's fields cut where the strings of a grounded answer are found; else each in one piece."""
    grounded = isinstance(task, StringsTask) and task.grounded and isinstance(value, list)
    strings = cast("list[str]", value) if grounded else []
    return {name: _cut(input.get(name, ""), strings) for name in task.fields}


def absent(task: Task, input: Input, value: Value) -> list[str]:
    """The strings of a grounded answer that are not in the text."""
    if not (isinstance(task, StringsTask) and task.grounded and isinstance(value, list)):
        return []
    kept = task.settle(value, input).value
    return [one for one in value if one not in kept]


def _cut(text: str, strings: Sequence[str]) -> list[Segment]:
    """`text` in pieces; where strings overlap, the longer one is shown."""
    spans = [(end - start, start, end, one) for one in strings for start, end in find_all(text, one)]
    kept: list[tuple[int, int, str]] = []
    for _, start, end, one in sorted(spans, key=lambda span: (-span[0], span[1])):
        if all(end <= left or start >= right for left, right, _ in kept):
            kept.append((start, end, one))
    pieces, at = list[Segment](), 0
    for start, end, one in sorted(kept):
        pieces += [Segment(text[at:start]), Segment(text[start:end], one)]
        at = end
    return [piece for piece in [*pieces, Segment(text[at:])] if piece.text]


def _entry(one: Field, text: str) -> Entry:
    schema = one.described.one
    kind = str(schema["type"])
    choices = ["true", "false"] if kind == "boolean" else [_plain(value) for value in schema.get("enum", [])]
    if one.listed:
        drawn, choices = "list", []
    elif choices:
        drawn = "choice"
        choices = choices if not text or text in choices else [text, *choices]  # what does not fit is still shown
    else:
        drawn = "box" if "\n" in text or len(text) > LONG else "line"
    hint = str(one.described.schema.get("description") or schema.get("description") or "")
    return Entry(
        one.name,
        drawn,
        text,
        " · ".join(part for part in (_kind(schema, one.listed), hint) if part),
        one.required,
        choices,
    )


def _kind(schema: Mapping[str, Any], listed: bool) -> str:
    """What may stand there, for people."""
    kind = {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(schema["type"], schema["type"])
    if schema.get("format") == "date":
        kind = "date, YYYY-MM-DD"
    if listed:
        among = f", of: {', '.join(_plain(one) for one in schema['enum'])}" if "enum" in schema else ""
        return f"a list, one {kind} a line{among}"
    return "" if "enum" in schema else kind


def _field(one: Field, text: str) -> Any:
    if one.listed:
        return [line.strip() for line in text.split("\n") if line.strip()]
    return text if text.strip() else None


def _lines(value: Any) -> str:
    return "\n".join(_plain(one) for one in _listed(value))


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _trimmed(fields: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without what browsers may change in texts: line ends, and white space at both ends."""
    return [(name, "\n".join(line.rstrip() for line in text.strip().splitlines())) for name, text in fields]
