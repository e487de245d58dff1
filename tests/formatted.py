"""Projects of every output kind, and what their stores hold, for tests of formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tutelage.labels.formats.writing import DatasetOptions, write_dataset
from tutelage.project import Project, open_project

RECORD = """
[schema]
type = "object"
required = ["who"]
[schema.properties.who]
type = "string"
[schema.properties.amount]
type = "number"
[schema.properties.kind]
type = "string"
enum = ["a b", "c"]
[schema.properties.paid]
type = "boolean"
[schema.properties.days]
type = "array"
items = { type = "integer" }
[schema.properties.items]
type = "array"
items = { type = "string" }
"""
TASKS = {
    "label": 'output = "label"\nlabels = ["yes", "no", "may be; {x}"]\n',
    "labels": 'output = "labels"\nlabels = ["red", "green", "=blue"]\n',
    "strings": 'output = "strings"\ngrounded = true\n',
    "free": 'output = "strings"\n',
    "text": 'output = "text"\n',
    "record": 'output = "record"\n' + RECORD,
}
SUFFIX = {
    "hf": "",
    "label-studio": ".json",
    "argilla": ".json",
    "spacy": ".spacy",
    "csv": ".csv",
    "parquet": ".parquet",
}


def project(folder: Path, kind: str, fields: tuple[str, ...] = ("text",), more: str = "") -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    head, _, schema = TASKS[kind].partition("\n[schema]")
    table = f"\n[schema]{schema}" if schema else ""
    facts = f'name = "names"\nfields = {json.dumps(list(fields))}\n{more}{head}\n{table}'
    (folder / "task.toml").write_text(facts, encoding="utf-8")
    return open_project(folder)


def kept(one: Project) -> dict[str, Any]:
    """Everything that the store has of examples and labels."""
    found = list(one.store.examples.read())
    labels = one.store.labels.of([example.id for example in found])
    return {example.id: (example, labels.get(example.id, [])) for example in found}


def written(one: Project, name: str, folder: Path, **options: Any) -> Path:
    out = folder / f"out{SUFFIX.get(name, '.jsonl')}"
    write_dataset(one, name, out, DatasetOptions(**options))
    return out
