"""What a row's cells hold: texts, splits and labels, checked."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from tutelage.labels.formats.base import Unfit
from tutelage.tasks import Task
from tutelage.types import Input, Split, Value

_SPLITS: dict[str, Split] = {
    "train": "train",
    "dev": "dev",
    "valid": "dev",
    "val": "dev",
    "validation": "dev",
    "calibration": "calibration",
    "test": "test",
}


def label_value(task: Task, value: Any, input: Input) -> Value | None:
    """The canonical label that a column's value stands for, None where there is none."""
    canonical = _canonical(task, value)
    if canonical is None:
        return None
    label, problem, misfit = task.settle(canonical, input)
    # A record without a required field is no gold either, though nothing of it changes.
    if label != canonical or (problem and isinstance(label, dict)):
        raise Unfit(f"the label does not fit: {(misfit or problem or '').removeprefix('dropped, ')}")
    if not _is_unicode(json.dumps(label, ensure_ascii=False)):
        raise Unfit("the label has half of a surrogate pair, which is no character")
    return label


def rejected_value(task: Task, value: Any) -> Value | None:
    """As `label_value`, of an answer that was rejected or withdrawn and need not fit the input."""
    return _canonical(task, value)


def _canonical(task: Task, value: Any) -> Value | None:
    if absent(value):
        return None
    if isinstance(value, (bool, int, float)):
        value = json.dumps(value)
    if isinstance(value, str) and task.output in ("strings", "labels"):
        value = listed(value)
    elif isinstance(value, str) and task.output == "record":
        value = _json(value, "object")
    return task.canonical(value)


def listed(text: str) -> Any:
    """A list written as text: JSON, or its strings with `;` between them."""
    return _json(text, "list") if text.lstrip().startswith("[") else text.split(";")


def _json(text: str, kind: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unfit(f"the label {text[:60]!r} is not a JSON {kind}") from None


def group_name(value: Any) -> str | None:
    """A group's name as a file has it."""
    return None if absent(value) else text({"group": value}, "group")


def text(row: Mapping[str, Any], column: str) -> str:
    """A column that must hold text: it in form NFC, or a number as text."""
    value = row.get(column)
    if absent(value):
        raise Unfit(f"column {column!r} is empty" if column in row else f"there is no column {column!r}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return json.dumps(value)
    return unicodedata.normalize("NFC", stored_text(value, column))


def stored_text(value: Any, column: str) -> str:
    """Text that every database takes."""
    if not isinstance(value, str):
        raise Unfit(f"column {column!r} is not text: {json.dumps(value, default=str)[:60]}")
    if not _is_unicode(value):
        raise Unfit(f"column {column!r} has half of a surrogate pair, which is no character")
    if "\0" in value:
        raise Unfit(f"column {column!r} has a NUL character")
    return value


def named_split(row: Mapping[str, Any]) -> Split | None:
    value = row.get("split")
    if absent(value):
        return None
    split = _SPLITS.get(value.strip().casefold()) if isinstance(value, str) else None
    if split is None:
        raise Unfit(f"the split {value!r} is not one of {', '.join(_SPLITS)}")
    return split


def absent(value: Any) -> bool:
    """Null, blank text, or not a number (how tables spell null)."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
