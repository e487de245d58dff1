"""An example and a label as one row of columns: what CSV, JSON Lines, Parquet and datasets have in common.

The input's fields have their own names; the other columns are those of `OWN`, with `_` behind a name that an input field has
taken. A row holds one label; where all labels are written, an example has a row for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.labels.formats.base import Entry, Found, Given, Unfit, standing_of
from tutelage.labels.readers import Row
from tutelage.tasks import Task
from tutelage.types import Label, canonical_json

OWN = (
    "id",
    "split",
    "group",
    "synthetic",
    "label",
    "label_source",
    "label_status",
    "label_created",
    "label_note",
    "label_distribution",
)
_CERTAIN = ("id", "label", "label_source", "label_created")


def names(task: Task) -> dict[str, str]:
    """The column of each of `OWN`."""
    found = {}
    for name in OWN:
        column = name
        while column in task.fields:
            column += "_"
        found[name] = column
    return found


def ours(task: Task, columns: Mapping[str, Any]) -> bool:
    """Whether a file with these columns was written by `rows`."""
    return {names(task)[name] for name in _CERTAIN} | set(task.fields) <= set(columns)


def rows(task: Task, entry: Entry) -> Iterator[dict[str, Any]]:
    """The rows of an example: one for each of its labels, or one without a label. Absent values are None."""
    column, example = names(task), entry.example
    facts = {"id": example.id, "split": example.split, "group": example.group, "synthetic": example.synthetic}
    for label in entry.labels or (None,):
        found = dict.fromkeys(OWN) | facts | (_label(label) if label else {})
        yield {name: example.input[name] for name in task.fields} | {column[name]: found[name] for name in OWN}


def found(task: Task, row: Row) -> Found:
    """The example and the label in a row of such a file. Raises Unfit for a distribution that is none."""
    column = names(task)
    own = {name: _present(row.fields.get(column[name])) for name in OWN}
    input = {name: row.fields.get(name) for name in task.fields}
    labels = []
    if own["label"] is not None:
        soft = _distribution(own["label_distribution"])
        status = standing_of(own["label_status"] or "given")
        given = Given(
            own["label"], own["label_source"] or "", status, own["label_created"] or "", own["label_note"], soft
        )
        labels.append(given)
    return Found(row.line, row.fields, input, labels, own["split"], own["group"], own["synthetic"])


def _label(label: Label) -> dict[str, Any]:
    return {
        "label": label.value,
        "label_source": label.source,
        "label_status": label.status,
        "label_created": label.created,
        "label_note": label.note,
        "label_distribution": dict(label.distribution) or None,
    }


def written(value: Any) -> str | None:
    """`value` as the text of a cell: text as it is, else JSON."""
    return value if value is None or isinstance(value, str) else canonical_json(value)


def _present(value: Any) -> Any:
    return None if value == "" else value


def _distribution(given: Any) -> dict[str, float]:
    if given is None:
        return {}
    try:
        found = json.loads(given) if isinstance(given, str) else given
        return {str(name): float(share) for name, share in found.items() if share is not None}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Unfit(f"the distribution {str(given)[:60]!r} is no JSON object of probabilities") from None
