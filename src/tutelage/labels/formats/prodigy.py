"""Prodigy's JSON Lines: a line for each label that stands, with who gave it as `_annotator_id`, and one for an example without.

A label or labels are `options` and `accept`, strings that stand in the text `spans`, everything else is `user_input` (a record as
JSON). A rejected label has the answer `reject`. Of several input fields `text` holds all, as a model reads them. Sources, times,
notes and further labels are kept under a key of ours, which Prodigy passes on. Hashes are neither written nor read: Prodigy
makes them from the text.

Lines with the answer `ignore` are examples without a label. A line with a `label` and no options is a yes-or-no question:
accepted it is the label, rejected it is rejected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.labels.formats.base import KEY, Entry, Format, Found, Given, Unfit
from tutelage.labels.formats.files import opened, read_lines
from tutelage.labels.formats.kept import example_facts, keep, moment, name_of, restore, seconds, source_of, standing
from tutelage.labels.formats.questions import as_input, marked, of_one_type, piece
from tutelage.labels.readers import BadRow, Row, read_jsonl
from tutelage.project import Project
from tutelage.tasks import Task
from tutelage.types import Label, Standing

TYPE = "STRING"
_OWN = ("answer", "accept", "label", "options", "spans", "tokens", "user_input", "meta", "config", KEY)
"""Keys of a line that are no input."""


def write(path: Path, entries: Iterator[Entry], project: Project) -> None:
    with opened(path) as file:
        for entry in entries:
            for line in _lines(project.task, entry):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read(path: Path, project: Project, wanted: Sequence[str]) -> Iterator[Found | BadRow]:
    """Raises UsageError for spans of several types."""
    task = project.task
    types = set(wanted)
    if task.output == "strings":
        types = of_one_type(list(_types(path)), wanted)
    return read_lines(path, lambda row: _found(task, row, types))


def _lines(task: Task, entry: Entry) -> Iterator[dict[str, Any]]:
    """The example's lines. Labels that have none are kept in the line of the next that has one, or in the last."""
    text = {"text": task.input_text(entry.example.input)}
    several = len(task.fields) > 1 or task.fields != ("text",)
    shown = {at: said for at in standing(entry.labels) if (said := _said(task, entry, entry.labels[at])) is not None}
    kept = keep(entry, shown).get("labels", [])
    facts = example_facts(entry.example, input=several)
    ends = [*sorted(shown), len(kept)] if shown else [len(kept)]
    begin = 0
    for number, at in enumerate(sorted(shown) or [-1]):
        end = len(kept) if number == len(ends) - 2 or at < 0 else at + 1
        line = text | (shown[at] | _facts(entry.labels[at]) if at >= 0 else {})
        yield line | {KEY: facts | ({"labels": kept[begin:end]} if kept[begin:end] else {})}
        begin = end


def _facts(label: Label) -> dict[str, Any]:
    made = seconds(label)
    name = name_of(label.source)
    found = {"answer": "accept" if label.status == "given" else "reject", "_annotator_id": name, "_session_id": name}
    return found | ({"_timestamp": int(made)} if made is not None else {})


def _said(task: Task, entry: Entry, label: Label) -> dict[str, Any] | None:
    """What a line says that has this label; None where it cannot."""
    if task.output in ("label", "labels"):
        options = [{"id": name, "text": name} for name in getattr(task, "labels", ())]
        return {"options": options, "accept": label.value if isinstance(label.value, list) else [label.value]}
    if task.output == "strings":
        places = marked(task, entry.example.input, list(label.value))
        if places is None:
            return {"user_input": "\n".join(label.value)}
        return {"spans": [{"start": place.start, "end": place.end, "label": TYPE} for place in places]}
    return {"user_input": label.value if isinstance(label.value, str) else task.render(label.value)}


def _found(task: Task, row: Row, types: set[str]) -> Found:
    line = row.fields
    kept = line.get(KEY)
    kept = kept if isinstance(kept, dict) else {}
    given = kept.get("input")
    input = as_input(
        task, given if isinstance(given, dict) else {name: line[name] for name in line if name not in _OWN}
    )
    answer = line.get("answer", "accept" if {"accept", "spans", "label", "user_input"} & set(line) else "ignore")
    if answer not in ("accept", "reject", "ignore"):
        raise Unfit(f"the answer {answer!r} is not accept, reject or ignore")
    shown = []
    value = None if answer == "ignore" else _value(task, line, types)
    if value is not None:
        name = str(line.get("_annotator_id") or line.get("_session_id") or "")
        made = moment(line["_timestamp"]) if "_timestamp" in line else ""
        status: Standing = "given" if answer == "accept" else "rejected"
        shown.append(Given(value, source_of(name, "human"), status, made))
    labels = restore(task, shown, kept.get("labels"))
    return Found(row.line, line, input, labels, kept.get("split"), kept.get("group"), kept.get("synthetic"))


def _value(task: Task, line: Mapping[str, Any], types: set[str]) -> Any:
    """What the line answers; None where it answers nothing that is asked."""
    if task.output in ("label", "labels"):
        accepted = line.get("accept", [line["label"]] if isinstance(line.get("label"), str) else None)
        if not isinstance(accepted, list):
            return None
        names = {one.get("id"): one.get("text") for one in line.get("options") or () if isinstance(one, dict)}
        known = set(getattr(task, "labels", ()))
        # Options may be numbered, their names being what is shown.
        said = [str(one if one in known else names.get(one) or one) for one in accepted]
        if task.output == "labels":
            return said
        if len(said) > 1:
            raise Unfit(f"it accepts {len(said)} labels where the task has one")
        return said[0] if said else None
    if task.output == "strings" and isinstance(line.get("spans"), list):
        return _strings(line, types)
    given = line.get("user_input")
    if not isinstance(given, str):
        return None
    if task.output == "record":
        return _object(given)
    return given.split("\n") if task.output == "strings" else given


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unfit(f"the input {text[:60]!r} is not a JSON object") from None


def _strings(line: Mapping[str, Any], types: set[str]) -> list[str]:
    text = line.get("text")
    if not isinstance(text, str):
        raise Unfit("it has spans and no text")
    spans = [one for one in line["spans"] if isinstance(one, dict) and str(one.get("label")) in types]
    return [piece(text, one.get("start"), one.get("end"), one.get("text")) for one in spans]


def _types(path: Path) -> Iterator[str]:
    for row in read_jsonl(path):
        if isinstance(row, Row):
            for one in row.fields.get("spans") or ():
                if isinstance(one, dict):
                    yield str(one.get("label"))


FORMAT = Format(write=write, read=read, which="all")
