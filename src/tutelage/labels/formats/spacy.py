"""spaCy's DocBin (.spacy; extra `ner`): a Doc an example, strings as entities of type STRING, label and labels as `cats`.

A Doc has one label, the one in force; that and everything else (the input's fields, all labels with their sources, times and
notes) is kept in `user_data`, which is stored. Entities cannot overlap: of two the longer one is marked, and all are marked as
the group of spans `strings`. Texts and records have no place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc, DocBin
from spacy.util import filter_spans
from srsly.msgpack.exceptions import UnpackException

from tutelage.answering.spacy import STRING, clean
from tutelage.errors import DataError
from tutelage.labels.formats.base import KEY, Entry, Format, Found, Given, Unfit
from tutelage.labels.formats.kept import keep, restore
from tutelage.labels.formats.questions import as_input, marked, of_one_type
from tutelage.labels.readers import BadRow
from tutelage.project import Project
from tutelage.tasks import Task

GROUP = "strings"
LANGUAGE = "xx"
"""spaCy's pipeline for any language: it splits words and knows nothing else."""


def write(path: Path, entries: Iterator[Entry], project: Project) -> None:
    tokenizer = spacy.blank(LANGUAGE).tokenizer
    store = DocBin(store_user_data=True)
    for entry in entries:
        store.add(_doc(tokenizer, project.task, entry))
    store.to_disk(path)


def read(path: Path, project: Project, wanted: Sequence[str]) -> Iterator[Found | BadRow]:
    """Raises DataError for a file that is no DocBin, UsageError for entities of several types."""
    vocabulary = spacy.blank(LANGUAGE).vocab
    try:
        store = DocBin().from_disk(path)
        seen = {one.label_ for doc in store.get_docs(vocabulary) for one in _spans(doc)}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (UnpackException, ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(
            f"{path} is no file of spaCy's DocBin, or of another version: {reason}. Write it again."
        ) from None
    types = of_one_type(seen, wanted) if project.task.output == "strings" else set()
    for number, doc in enumerate(store.get_docs(vocabulary), 1):  # again, so that they are in memory one at a time
        try:
            yield _found(project.task, number, doc, types)
        except Unfit as error:
            yield BadRow(number, doc.text, str(error))


def _doc(tokenizer: Any, task: Task, entry: Entry) -> Doc:
    text = clean(task.input_text(entry.example.input))
    doc: Doc = tokenizer(text)
    label, shown = entry.force, set()
    if label is not None:
        at = next(at for at, one in enumerate(entry.labels) if one is label)
        if task.output == "strings":
            places = marked(task, entry.example.input, list(label.value))
            if places is not None:
                spans = [doc.char_span(*place, label=STRING, alignment_mode="expand") for place in places]
                found = [one for one in spans if one is not None]
                doc.set_ents(filter_spans(found), default="outside")
                doc.spans[GROUP] = found
                # What does not end where a word does would come back longer.
                if {(one.start_char, one.end_char) for one in found} == set(places):
                    shown.add(at)
        else:
            chosen = label.value if isinstance(label.value, list) else [label.value]
            doc.cats = {name: float(name in chosen) for name in getattr(task, "labels", ())}
            shown.add(at)
    doc.user_data[KEY] = json.dumps(keep(entry, shown, input=True), ensure_ascii=False)
    return doc


def _found(task: Task, number: int, doc: Doc, types: set[str]) -> Found:
    kept = _kept(doc)
    given = kept.get("input")
    input = as_input(task, given if isinstance(given, dict) else {"text": doc.text})
    value = _value(task, doc, types)
    shown = [] if value is None else [Given(value)]
    labels = restore(task, shown, kept.get("labels"))
    raw = {
        "text": doc.text,
        "cats": doc.cats,
        "spans": [[one.start_char, one.end_char, one.label_] for one in _spans(doc)],
    }
    return Found(number, raw, input, labels, kept.get("split"), kept.get("group"), kept.get("synthetic"))


def _value(task: Task, doc: Doc, types: set[str]) -> Any:
    """What the Doc's annotation says; None where it says nothing of what is asked."""
    if task.output == "strings":
        return [one.text for one in _spans(doc) if one.label_ in types] if doc.has_annotation("ENT_IOB") else None
    cats: Mapping[str, float] = doc.cats
    if not cats:
        return None
    if task.output == "labels":
        return [name for name, share in cats.items() if share >= 0.5]
    best = max(cats, key=lambda name: cats[name])
    if sum(share == cats[best] for share in cats.values()) > 1:
        raise Unfit(f"its categories do not say which label it has: {dict(list(cats.items())[:5])}")
    return best


def _spans(doc: Doc) -> list[Any]:
    """The spans of our own group, else the entities."""
    return list(doc.spans[GROUP]) if GROUP in doc.spans else list(doc.ents)


def _kept(doc: Doc) -> dict[str, Any]:
    text = doc.user_data.get(KEY)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unfit(f"its user_data {KEY!r} was changed and cannot be read")
    return found


FORMAT = Format(write=write, read=read, outputs=("label", "labels", "strings"))
