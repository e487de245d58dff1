"""Argilla's records, as its 2.x writes and reads them with `dataset.records.to_json` and `from_json`.

People's labels are responses (`submitted`, a rejected one `discarded`), the best label of nobody is the suggestion, of which
Argilla has one a question. Label and labels are label questions, grounded strings of a single field a span question, all else
are text questions, a record's one a field. Sources, times, notes and further labels are kept in a record's `metadata`, where
Argilla shows them as a text; annotators have there the names for which Argilla has numbers.

Read are such files, folders by `dataset.to_disk`, datasets by `dataset.records.to_datasets`, and the FeedbackDataset records of
1.x, whose responses are a list. Older records (text and token classification of 1.x) are refused. `to_json` leaves out whether
a response was discarded, which `to_datasets` has; of our own labels it is known.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.errors import DataError
from tutelage.labels.formats.base import KEY, Entry, Format, Found, Given, Unfit
from tutelage.labels.formats.files import read_list, write_list
from tutelage.labels.formats.kept import as_kept, form, keep, name_of, restore, source_of, standing, sureness
from tutelage.labels.formats.questions import (
    ANSWER,
    Question,
    answers,
    as_input,
    check_wanted,
    marked,
    named,
    of_one_type,
    piece,
    questions,
    value_of,
)
from tutelage.labels.readers import BadRow, Row, read_rows
from tutelage.project import Project
from tutelage.store.labels import by_person, in_force
from tutelage.tasks import Task
from tutelage.types import Label, Standing

TYPE = "string"
_PEOPLE = uuid.UUID("0b6f5b8e-6d0c-5f0e-9a0e-7a1d9f1f6c11")
"""The name space in which annotators' names have their numbers."""
_OLD = {"prediction", "annotation", "prediction_agent", "annotation_agent", "inputs"}


def interface(task: Task) -> str:
    """The settings of a dataset that takes the records written here, as Python."""
    fields = [f"rg.TextField(name={name!r})" for name in task.fields]
    needed = [one.name for one in getattr(task, "answer_fields", ()) if one.required] or [questions(task)[0].name]
    asked = [_settings(task, one, one.name in needed) for one in questions(task)]  # Argilla wants one to be required
    metadata = "rg.TermsMetadataProperty(name='split')"
    return f"rg.Settings(fields=[{', '.join(fields)}], questions=[{', '.join(asked)}], metadata=[{metadata}])"


def write(path: Path, entries: Iterator[Entry], project: Project) -> None:
    write_list(path, (_record(project.task, entry) for entry in entries))


def read(path: Path, project: Project, wanted: Sequence[str]) -> Iterator[Found | BadRow]:
    """Raises DataError for records of a version that is too old, UsageError where it is not certain what the labels are."""
    if path.is_dir() and not (path / "records.json").exists():
        records = [_nested(row) if isinstance(row, Row) else row for row in read_rows(path)]
    else:
        records = read_list(path / "records.json" if path.is_dir() else path, "Argilla")
    if any(isinstance(one, dict) and "fields" not in one and _OLD & set(one) for one in records):
        raise DataError(
            f"{path} has records of Argilla 1.x's text or token classification. Load them with Argilla 2 as its migration guide "
            "says and export them with dataset.records.to_json."
        )
    seen = list(_types(records))
    check_wanted(wanted, (name for one in records for name in _asked(one)), seen)
    types = of_one_type(seen, wanted) if project.task.output == "strings" else set()
    for number, record in enumerate(records, 1):
        if isinstance(record, BadRow):
            yield record
            continue
        try:
            yield _found(project.task, number, record, wanted, types)
        except Unfit as error:
            yield BadRow(number, json.dumps(record, ensure_ascii=False, default=str), str(error))


def _record(task: Task, entry: Entry) -> dict[str, Any]:
    example, shown = entry.example, set()
    responses: dict[str, list[dict[str, Any]]] = {}
    people: dict[str, str] = {}
    standing_ = [at for at in standing(entry.labels) if _answers(task, entry, entry.labels[at]) is not None]
    for at in standing_:
        label = entry.labels[at]
        if by_person(label.source):
            shown.add(at)
            user = _user(name_of(label.source))
            people[user] = name_of(label.source)
            status = "submitted" if label.status == "given" else "discarded"
            for name, value in (_answers(task, entry, label) or {}).items():
                responses.setdefault(name, []).append({"value": value, "user_id": user, "status": status})
    best = in_force(entry.labels[at] for at in standing_ if not by_person(entry.labels[at].source))
    suggestions = {}
    if best is not None:
        shown.add(next(at for at in standing_ if entry.labels[at] is best))
        for name, value in (_answers(task, entry, best) or {}).items():
            suggestions[name] = {"value": value, "score": sureness(best), "agent": best.source}
    kept = json.dumps(keep(entry, shown) | ({"people": people} if people else {}), ensure_ascii=False)
    return {
        "id": example.id,
        "fields": {name: example.input[name] for name in task.fields},
        "metadata": {"split": example.split, KEY: kept},
        "suggestions": suggestions,
        "responses": responses,
        "vectors": {},
        "status": "completed" if responses else "pending",
        "_server_id": None,
    }


def _answers(task: Task, entry: Entry, label: Label) -> dict[str, Any] | None:
    """The label as the values of Argilla's questions; None where they cannot hold it."""
    given = answers(task, label.value)
    found: dict[str, Any] = {}
    for one in questions(task):
        texts = given.get(one.name, [])
        if _is_span(task, one):
            places = marked(task, entry.example.input, texts)
            if places is None:
                return None
            found[one.name] = [{"start": place.start, "end": place.end, "label": TYPE} for place in places]
        elif one.kind in ("choices",):
            found[one.name] = texts
        elif texts:
            found[one.name] = texts[0] if one.kind in ("choice", "text") else "\n".join(texts)
        elif one.kind in ("spans", "texts") and task.output != "record":
            return None  # a text question cannot say that there are none
    # An item with a line end in it, for instance, would come back as two.
    again = value_of(
        task, {name: _texts(task, name, value, entry.example.input, {TYPE}) for name, value in found.items()}
    )
    return found if found and form(task, again) == form(task, label.value) else None


def _found(task: Task, number: int, record: Any, wanted: Sequence[str], types: set[str]) -> Found:
    if not isinstance(record, dict) or not isinstance(record.get("fields"), dict):
        raise Unfit("it has no 'fields', which hold a record's input")
    input = as_input(task, record["fields"])
    metadata = record.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    kept = _kept(metadata)
    shown: list[Given] = []
    for agent, value in _suggested(task, record, wanted):
        shown.append(Given(_value(task, input, value, types), source_of(agent, "teacher")))
    people = kept.get("people")
    for user, status, value in _responded(task, record, wanted):
        if status == "draft" or not value:
            continue
        name = people.get(user, user) if isinstance(people, dict) else user
        stands: Standing = "rejected" if status == "discarded" else "given"
        one = Given(_value(task, input, value, types), source_of(str(name), "human"), stands)
        shown.append(one if status else as_kept(task, one, kept.get("labels")))
    labels = restore(task, [one for one in shown if one.value is not None], kept.get("labels"))
    split = kept.get("split") or metadata.get("split")
    return Found(number, record, input, labels, split, kept.get("group"), kept.get("synthetic"))


def _suggested(task: Task, record: Mapping[str, Any], wanted: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Who suggested, and the values by question."""
    given = record.get("suggestions") or {}
    if isinstance(given, list):  # 1.x
        given = {one["question_name"]: one for one in given if isinstance(one, dict) and one.get("question_name")}
    if not isinstance(given, dict):
        raise Unfit("its suggestions are no object of questions")
    given = {name: one for name, one in given.items() if isinstance(one, dict) and one.get("value") is not None}
    found = named(task, given, wanted)
    if found:
        agents = [str(one.get("agent") or "argilla") for one in found.values()]
        yield agents[0], {name: one["value"] for name, one in found.items()}


def _responded(
    task: Task, record: Mapping[str, Any], wanted: Sequence[str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each user with the status of the response and its values by question."""
    given = record.get("responses") or {}
    by_user: dict[tuple[str, str], dict[str, Any]] = {}
    if isinstance(given, list):  # 1.x: one object a user
        for one in given:
            values = one.get("values") or {} if isinstance(one, dict) else {}
            told = {name: part.get("value") for name, part in values.items() if isinstance(part, dict)}
            if isinstance(one, dict):
                by_user[str(one.get("user_id") or ""), str(one.get("status") or "")] = told
    elif isinstance(given, dict):
        for name, some in given.items():
            for one in some or ():
                if isinstance(one, dict) and one.get("value") is not None:
                    key = str(one.get("user_id") or ""), str(one.get("status") or "")
                    by_user.setdefault(key, {})[name] = one["value"]
    for (user, status), values in by_user.items():
        yield user, status, named(task, values, wanted)


def _value(task: Task, input: Mapping[str, Any], given: Mapping[str, Any], types: set[str]) -> Any:
    if not given:
        return None
    return value_of(task, {name: _texts(task, name, value, input, types) for name, value in given.items()})


def _texts(task: Task, name: str, value: Any, input: Mapping[str, Any], types: set[str]) -> list[str]:
    """The texts that a question's value is."""
    if _spans(value):
        text = str(input.get(task.fields[0]))
        return [piece(text, one["start"], one.get("end")) for one in value if str(one.get("label")) in types]
    if isinstance(value, list):
        return [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in value]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    one = next((one for one in questions(task) if one.name == name), None)
    return text.split("\n") if one is not None and one.kind in ("spans", "texts") else [text]


def _spans(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "start" in one for one in value)


def _asked(record: Any) -> Iterator[str]:
    """The questions that a record has answers to."""
    for told in (record.get("responses"), record.get("suggestions")) if isinstance(record, dict) else ():
        for one in told if isinstance(told, list) else [told]:
            if isinstance(one, dict):
                values = one.get("values", one)
                name = one.get("question_name")
                yield from [str(name)] if name else values or ()


def _types(records: Sequence[Any]) -> Iterator[str]:
    """The types of all spans."""
    for record in records:
        for told in (record.get("responses"), record.get("suggestions")) if isinstance(record, dict) else ():
            for value in _deep(told):
                if _spans(value):
                    yield from (str(one.get("label")) for one in value)


def _deep(told: Any) -> Iterator[Any]:
    """Everything that stands under the key `value`, wherever."""
    for one in told if isinstance(told, list) else told.values() if isinstance(told, dict) else ():
        yield from _deep(one)
    if isinstance(told, dict) and "value" in told:
        yield told["value"]


def _nested(row: Row) -> dict[str, Any]:
    """A flat row of `to_datasets` as `to_json` has it. Questions are told from fields by what stands behind their names."""
    found: dict[str, Any] = {
        "id": row.fields.get("id"),
        "fields": {},
        "metadata": {},
        "suggestions": {},
        "responses": {},
    }
    for name, value in row.fields.items():
        base, dot, part = name.partition(".")
        if part == "suggestion" and value is not None:
            agent = row.fields.get(f"{base}.suggestion.agent")
            found["suggestions"][base] = {"value": value, "agent": agent}
        elif part == "responses":
            users = row.fields.get(f"{base}.responses.users") or []
            status = row.fields.get(f"{base}.responses.status") or []
            told = zip(value or [], users, status, strict=False)
            found["responses"][base] = [{"value": one, "user_id": user, "status": state} for one, user, state in told]
        elif not dot and name in (KEY, "split"):
            found["metadata"][name] = value
        elif not dot and name not in ("id", "status", "_server_id"):
            found["fields"][name] = value
    return found


def _kept(metadata: Mapping[str, Any]) -> dict[str, Any]:
    text = metadata.get(KEY)
    if text is None:
        return {}
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unfit(f"its metadata {KEY!r} was changed and cannot be read")
    return found


def _settings(task: Task, one: Question, required: bool) -> str:
    if one.kind in ("choice", "choices"):
        kind = "LabelQuestion" if one.kind == "choice" else "MultiLabelQuestion"
        return f"rg.{kind}(name={one.name!r}, labels={list(one.options)!r}, required={required})"
    if _is_span(task, one):
        of = f"field={task.fields[0]!r}, labels=[{TYPE!r}], allow_overlapping=True"
        return f"rg.SpanQuestion(name={one.name!r}, {of}, required={required})"
    return f"rg.TextQuestion(name={one.name!r}, required={required})"


def _is_span(task: Task, one: Question) -> bool:
    return one.name == ANSWER.get(task.output) and one.kind == "spans" and len(task.fields) == 1


def _user(name: str) -> str:
    """Argilla's number of an annotator: the name where it is one, else one made of it."""
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return str(uuid.uuid5(_PEOPLE, name))


FORMAT = Format(write=write, read=read, which="all", interface=interface)
