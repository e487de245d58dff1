"""Label Studio's JSON: tasks with people's and imported labels as annotations, those of models as predictions.

Labels are choices, spans are labels with offsets as browsers count them, texts and a record's fields are text areas. Sources,
times, notes and what else it has no place for are kept in a task's `meta`, which Label Studio keeps and does not show. It gives
every annotation that is imported to whoever imports it; `meta` still knows who it was.

Read are exports as JSON, also those of versions before 1.0, whose annotations are called `completions`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tutelage.errors import DataError
from tutelage.labels.formats.base import KEY, Entry, Format, Found, Given, Unfit
from tutelage.labels.formats.files import read_list, write_list
from tutelage.labels.formats.kept import form, keep, moment, name_of, restore, source_of, standing, sureness
from tutelage.labels.formats.questions import (
    Question,
    answers,
    as_input,
    check_wanted,
    marked_by_field,
    named,
    of_one_type,
    piece,
    questions,
    units,
    value_of,
)
from tutelage.labels.readers import BadRow
from tutelage.project import Project
from tutelage.store.labels import origin
from tutelage.tasks import Task
from tutelage.types import Example, Label, digest

TYPE = "string"
"""The type of a string's span."""
_SPANS = ("labels", "hypertextlabels")


def interface(task: Task) -> str:
    """The labelling interface that shows the files written here, to be pasted into the project's settings."""
    objects = [_tag("Text", name=_object(task, name), value=f"${name}", end="/") for name in task.fields]
    controls = [control for one in questions(task) for control in _controls(task, one)]
    return "\n".join(["<View>", *(f"  {tag}" for tag in (*objects, *controls)), "</View>"])


def write(path: Path, entries: Iterator[Entry], project: Project) -> None:
    write_list(path, (_task(project.task, number, entry) for number, entry in enumerate(entries, 1)))


def read(path: Path, project: Project, wanted: Sequence[str]) -> Iterator[Found | BadRow]:
    """Raises DataError for a file that is another export, UsageError where it is not certain what the labels are."""
    tasks = read_list(path, "Label Studio")
    if tasks and all(isinstance(one, dict) and "data" not in one for one in tasks):
        least = isinstance(tasks[0], dict) and "annotation_id" in tasks[0]
        which = "is Label Studio's JSON-MIN" if least else "has no tasks of Label Studio (objects with 'data')"
        raise DataError(f"{path} {which}. Export the project as JSON.")
    seen = [name for one in tasks for name in _types(one)]
    check_wanted(wanted, (str(one.get("from_name")) for task in tasks for one in _regions(task)), seen)
    types = of_one_type(seen, wanted) if _has_spans(project.task) else set()
    for number, task in enumerate(tasks, 1):
        try:
            yield _found(project.task, number, task, wanted, types)
        except Unfit as error:
            yield BadRow(number, _text(task), str(error))


def _task(task: Task, number: int, entry: Entry) -> dict[str, Any]:
    example, shown = entry.example, set()
    annotations: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    for at in standing(entry.labels):
        label = entry.labels[at]
        result = _result(task, example, label)
        if result is None or label.status != "given":
            continue
        shown.add(at)
        facts: dict[str, Any] = {"created_at": label.created, "result": result}
        if origin(label.source) == "gold":
            facts |= {"id": number * 1000 + len(annotations), "created_username": name_of(label.source)}
            annotations.append(facts | {"was_cancelled": False, "ground_truth": False})
        else:
            sure = sureness(label)
            predictions.append(facts | {"model_version": label.source} | ({} if sure is None else {"score": sure}))
    kept = keep(entry, shown)
    data = {name: example.input[name] for name in task.fields}
    return {"id": number, "data": data, "annotations": annotations, "predictions": predictions, "meta": {KEY: kept}}


def _result(task: Task, example: Example, label: Label) -> list[dict[str, Any]] | None:
    """The regions that say what the label says, None where they cannot."""
    parts: list[tuple[str, str, str, dict[str, Any]]] = []
    given, first = answers(task, label.value), _object(task, task.fields[0])
    if form(task, value_of(task, given)) != form(task, label.value):
        return None
    for one in questions(task):
        texts = given.get(one.name, [])
        if one.kind == "spans":
            places = marked_by_field(task, example.input, texts)
            if places is None:
                return None
            for field, span in places:
                text = example.input[field]
                start, end = units(text, span)
                value = {"start": start, "end": end, "text": text[span.start : span.end], "labels": [TYPE]}
                parts.append((_span_control(task, one, field), _object(task, field), "labels", value))
        elif texts:
            kind, key = ("choices", "choices") if one.kind in ("choice", "choices") else ("textarea", "text")
            parts.append((one.name, first, kind, {key: texts}))
    return [
        {
            "id": digest([example.id, label.source, at])[:10],
            "from_name": name,
            "to_name": to,
            "type": kind,
            "value": value,
        }
        for at, (name, to, kind, value) in enumerate(parts)
    ]


def _found(task: Task, number: int, given: Any, wanted: Sequence[str], types: set[str]) -> Found:
    if not isinstance(given, dict) or not isinstance(given.get("data"), dict):
        raise Unfit("it has no 'data', which holds a task's input")
    data = as_input(task, given["data"])
    meta = given.get("meta")
    kept = meta.get(KEY) if isinstance(meta, dict) else None
    kept = kept if isinstance(kept, dict) else {}
    shown = []
    for one in _listed(given.get("annotations", given.get("completions"))):
        if not one.get("was_cancelled") and not one.get("skipped"):
            shown.append((_annotator(one), "human", one))
    shown = [
        (str(one.get("model_version") or "label-studio"), "teacher", one) for one in _listed(given.get("predictions"))
    ] + shown
    labels = []
    for name, role, one in shown:
        value = _value(task, data, _listed(one.get("result")), wanted, types)
        if value is not None:
            made = moment(one.get("created_at") or one.get("updated_at") or "")
            labels.append(Given(value, source_of(name, role), created=made))
    found = restore(task, labels, kept.get("labels"))
    return Found(number, given, data, found, kept.get("split"), kept.get("group"), kept.get("synthetic"))


def _value(task: Task, data: Mapping[str, Any], result: Sequence[Any], wanted: Sequence[str], types: set[str]) -> Any:
    """The answer that an annotation's regions make; None where it says nothing of what is asked."""
    texts: dict[str, list[str]] = {}
    spans: list[tuple[int, int, str]] = []
    for at, region in enumerate(result):
        value = region.get("value") if isinstance(region, dict) else None
        if not isinstance(value, dict):
            continue
        kind, name = str(region.get("type")), str(region.get("from_name"))
        if kind in _SPANS and _has_spans(task):
            if types & set(value.get(kind) or value.get("labels") or ()):
                spans.append((*_place(task, data, region, value, at),))
        elif kind in ("choices", "textarea", "number", "datetime"):
            key = {"textarea": "text"}.get(kind, kind)
            said = value.get(key)
            texts.setdefault(name, []).extend(map(_said, said if isinstance(said, list) else [said]))
    if _has_spans(task):
        strings = [text for *_, text in sorted(spans)]
        return strings if strings or not result or not texts else value_of(task, named(task, texts, wanted))
    if not texts and task.output in ("label", "text"):
        return None
    return value_of(task, named(task, texts, wanted) if texts else {})


def _place(
    task: Task, data: Mapping[str, Any], region: Mapping[str, Any], value: Mapping[str, Any], at: int
) -> tuple[int, int, str]:
    """Where a span stands, for the order, and its text."""
    offsets = value.get("globalOffsets") if isinstance(value.get("globalOffsets"), dict) else value
    names = {_object(task, name): name for name in task.fields}
    field = names.get(str(region.get("to_name")), task.fields[0])
    text = data.get(field)
    if not isinstance(text, str) or not isinstance(offsets, dict):
        raise Unfit(f"the span {at + 1} is in no text of the task")
    found = piece(text, offsets.get("start"), offsets.get("end"), value.get("text"))
    return task.fields.index(field), offsets["start"], found


def _annotator(one: Mapping[str, Any]) -> str:
    """Who made an annotation: the e-mail address, else the name, else the number."""
    by, named = one.get("completed_by"), str(one.get("created_username") or "").strip()
    if isinstance(by, dict):
        return str(by.get("email") or named or by.get("id") or "")
    if isinstance(by, int):
        return named.removesuffix(f", {by}") or f"user-{by}"  # Label Studio writes " ada@example.org, 7"
    return named


def _regions(task: Any) -> Iterator[dict[str, Any]]:
    """All that was marked or said in a task."""
    if isinstance(task, dict):
        for name in ("annotations", "completions", "predictions"):
            for one in _listed(task.get(name)):
                yield from _listed(one.get("result"))


def _types(task: Any) -> Iterator[str]:
    """The types of all spans of a task."""
    for region in _regions(task):
        value = region.get("value")
        if region.get("type") in _SPANS and isinstance(value, dict):
            yield from map(str, value.get(region["type"]) or value.get("labels") or ())


def _has_spans(task: Task) -> bool:
    return task.output == "strings"


def _listed(given: Any) -> list[dict[str, Any]]:
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _said(value: Any) -> str:
    return value if isinstance(value, str) else _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _object(task: Task, field: str) -> str:
    """The name of the tag that shows a field: the field's, unless a question has it."""
    return f"{field}_input" if field in [one.name for one in questions(task)] else field


def _span_control(task: Task, one: Question, field: str) -> str:
    """The tag that marks spans in a field: one for each, since a tag of labels belongs to one text."""
    return one.name if field == task.fields[0] else f"{one.name}_{field}"


def _controls(task: Task, one: Question) -> list[str]:
    to = _object(task, task.fields[0])
    if one.kind == "spans":
        homes = [(_span_control(task, one, field), _object(task, field)) for field in task.fields]
        inside = _tag("Label", value=TYPE, end="/")
        return [f"{_tag('Labels', name=name, toName=field)}{inside}</Labels>" for name, field in homes]
    if one.kind in ("choice", "choices"):
        head = _tag("Choices", name=one.name, toName=to, choice="multiple" if one.kind == "choices" else "single")
        return [head + "".join(_tag("Choice", value=option, end="/") for option in one.options) + "</Choices>"]
    most = {} if one.kind == "texts" else {"maxSubmissions": "1"}
    return [_tag("TextArea", end="/", name=one.name, toName=to, editable="true", **most)]


def _tag(kind: str, *, end: str = "", **attributes: str) -> str:
    told = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    return f"<{kind} {told}{end}>"


FORMAT = Format(write=write, read=read, which="all", interface=interface)
