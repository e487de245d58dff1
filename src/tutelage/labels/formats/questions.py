"""An answer as answers to questions, which is how annotation tools have it: one question, or one for each field of a record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tutelage.answering.spans import Span, field_spans
from tutelage.errors import UsageError
from tutelage.labels.formats.base import Unfit
from tutelage.tasks import Task
from tutelage.tasks.field import Field
from tutelage.tasks.matching import find_all
from tutelage.types import Input, Value

Kind: TypeAlias = Literal["choice", "choices", "spans", "text", "texts"]
ANSWER = {"label": "label", "labels": "labels", "strings": "strings", "text": "answer"}
"""The name of the only question, by output kind."""
UTF16 = "utf-16-le"


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    kind: Kind
    options: tuple[str, ...] = ()


def questions(task: Task) -> list[Question]:
    """The questions that an answer to the task answers."""
    labels = tuple(getattr(task, "labels", ()))
    if task.output == "record":
        return [_question(one) for one in getattr(task, "answer_fields", ())]
    kinds: dict[str, Kind] = {"label": "choice", "labels": "choices", "strings": "texts", "text": "text"}
    kind: Kind = "spans" if getattr(task, "grounded", False) else kinds[task.output]
    return [Question(ANSWER[task.output], kind, labels)]


def answers(task: Task, value: Value) -> dict[str, list[str]]:
    """The texts that answer each question; those of a record's absent fields are left out."""
    if not isinstance(value, dict):
        return {ANSWER[task.output]: [value] if isinstance(value, str) else list(value)}
    lists = {name: one if isinstance(one, list) else [one] for name, one in value.items() if one is not None}
    return {name: [_text(one) for one in some] for name, some in lists.items()}


def value_of(task: Task, given: Mapping[str, Sequence[str]]) -> Any:
    """The answer that the texts make, None where a single answer has none. Raises Unfit for several where one is asked for."""
    if task.output == "record":
        fields = getattr(task, "answer_fields", ())
        return {one.name: _field(one, given[one.name]) for one in fields if given.get(one.name)}
    texts = list(given.get(ANSWER[task.output], ()))
    if task.output in ("labels", "strings"):
        return texts
    if len(texts) > 1:
        raise Unfit(f"it has {len(texts)} answers where the task has one: {json.dumps(texts[:5], ensure_ascii=False)}")
    return texts[0] if texts else None


def named(task: Task, found: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """What a tool has by its questions' names, by ours; without `wanted`, if any, nothing. Raises UsageError where it is not
    certain which is meant."""
    known = [one.name for one in questions(task)]
    if task.output == "record":
        return {name: found[name] for name in known if name in found}
    for name in (*wanted, *known, task.name, task.output):
        if name in found:
            return {known[0]: found[name]}
    if wanted and task.output != "strings":  # where it may name a type of spans
        return {}
    if len(found) > 1:
        shown = ", ".join(sorted(found))
        raise UsageError(f"There are answers to the questions {shown}. Say which is the label with: --label NAME")
    return dict(zip(known, found.values(), strict=False))


def check_wanted(wanted: Sequence[str], questions: Iterable[str], types: Iterable[str]) -> None:
    """Raises UsageError where what `wanted` names is nowhere in the file."""
    known = {*questions, *types}
    if missing := [name for name in wanted if name not in known]:
        shown = ", ".join(sorted(known)) or "(none)"
        raise UsageError(f"{missing[0]!r} is no question and no type of spans in this file. There are: {shown}.")


def marked(task: Task, input: Input, strings: Sequence[str]) -> list[Span] | None:
    """Where the strings stand in `task.input_text(input)`, in order, every occurrence; None where one stands nowhere."""
    text, places = task.input_text(input), set()
    for string in strings:
        found = [
            Span(field.start + start, field.start + end)
            for field in field_spans(task, input)
            for start, end in find_all(text[field.start : field.end], string)
        ]
        if not found:
            return None
        places.update(found)
    return sorted(places)


def marked_by_field(task: Task, input: Input, strings: Sequence[str]) -> list[tuple[str, Span]] | None:
    """As `marked`, each with its field and its place in that field's own text."""
    spans = marked(task, input, strings)
    if spans is None:
        return None
    homes = list(zip(task.fields, field_spans(task, input), strict=True))
    return [
        (name, Span(span.start - home.start, span.end - home.start))
        for span in spans
        for name, home in homes
        if home.start <= span.start and span.end <= home.end
    ]


def piece(text: str, start: Any, end: Any, said: Any = None) -> str:
    """What stands in `text` from `start` to `end`, counted in characters or, where that gives what the tool `said` stands there,
    in the units of UTF-16, as browsers count. Raises Unfit where it is something else."""
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end):
        raise Unfit(f"the span from {start!r} to {end!r} is none")
    found = text[start:end]
    units = text.encode(UTF16, "surrogatepass")[2 * start : 2 * end].decode(UTF16, "replace")
    for one in (found, units):
        if isinstance(said, str) and one and " ".join(one.split()) == " ".join(said.split()):
            return one
    if isinstance(said, str):
        raise Unfit(f"the span from {start} to {end} is {found[:40]!r} in the text, not {said[:40]!r}")
    if end > len(text):
        raise Unfit(f"the span from {start} to {end} ends behind the text, which has {len(text)} characters")
    return found


def units(text: str, span: Span) -> Span:
    """The span counted in the units of UTF-16."""
    before, inside = (
        len(part.encode(UTF16, "surrogatepass")) // 2 for part in (text[: span.start], text[span.start : span.end])
    )
    return Span(before, before + inside)


def of_one_type(types: Iterable[str], wanted: Sequence[str]) -> set[str]:
    """The types of spans that are meant: those `wanted`, else the only one. Raises UsageError where there are several."""
    known = set(types)
    if chosen := known & set(wanted):
        return chosen
    if len(known) > 1:
        shown = ", ".join(sorted(known))
        raise UsageError(f"There are spans of several types: {shown}. Say which are meant with: --label TYPE")
    return known


def as_input(task: Task, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a tool has of the input, the text of a single field under that field's name."""
    if len(task.fields) > 1 or task.fields[0] in given:
        return given
    texts = [name for name, one in given.items() if isinstance(one, str)]
    name = "text" if "text" in given else texts[0] if len(texts) == 1 else None
    return given if name is None else {**given, task.fields[0]: given[name]}


def _question(field: Field) -> Question:
    options = field.described.one.get("enum")
    if options:
        return Question(
            field.name, "choices" if field.listed else "choice", tuple(_text(one) for one in options if one is not None)
        )
    return Question(field.name, "texts" if field.listed else "text")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _field(field: Field, texts: Sequence[str]) -> Any:
    read = [_value(field, text) for text in texts]
    if not field.listed and len(read) > 1:
        raise Unfit(f"the field {field.name!r} has {len(read)} answers where it has one")
    return read if field.listed else read[0]


def _value(field: Field, text: str) -> Any:
    """A number or truth value as JSON has it; what is none is left for the task to read."""
    if field.described.one["type"] == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
