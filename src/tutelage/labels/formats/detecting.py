"""Which format a file is in, where that is certain."""

from __future__ import annotations

import json
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Any

from tutelage.errors import DataError, UsageError
from tutelage.labels.formats import FORMATS
from tutelage.labels.formats.base import KEY
from tutelage.labels.readers import FORMATS as SUFFIXES
from tutelage.labels.readers import Row, read_jsonl

COLUMNS = ("csv", "jsonl", "parquet", "hf")
"""Formats that `labels.readers` reads."""
_HEAD = 2**16


def detect(path: Path, columns: Collection[str]) -> str:
    """The format of the file or folder at `path`. JSON Lines that have all of `columns` are taken as plain rows, unless they
    are certainly something else.

    Raises UsageError where it is not certain, naming what to say, DataError where there is no file.
    """
    if not path.exists():
        raise DataError(f"There is no file {path}.")
    if path.is_dir():
        return "argilla" if (path / "records.json").exists() or _is_argillas(path) else "hf"
    name = path.name.lower()
    if name.endswith(".spacy"):
        return "spacy"
    if name.endswith((".jsonl", ".jsonl.gz")):
        return _of_lines(path, columns)
    if name.endswith((".json", ".json.gz")):
        return _of_json(path)
    suffix = next((known for known in SUFFIXES if name.endswith(known)), None)
    if suffix is None:
        known = ", ".join([*SUFFIXES, ".json", ".spacy"])
        raise DataError(
            f"{path} is in no known format. Known: {known}, and a dataset's folder. With another name say which it is: "
            f"--format {'|'.join(FORMATS.rows())}"
        )
    return suffix.lstrip(".").partition(".")[0]


def _is_argillas(path: Path) -> bool:
    """Whether the datasets in the folder have columns as Argilla's `to_datasets` names them."""
    for file in (path / "dataset_info.json", *sorted(path.glob("*/dataset_info.json"))):
        try:
            columns = json.loads(file.read_text(encoding="utf-8")).get("features") or {}
        except (OSError, ValueError, AttributeError):
            continue
        if "_server_id" in columns and any(name.endswith((".suggestion", ".responses")) for name in columns):
            return True
    return False


def _of_lines(path: Path, columns: Collection[str]) -> str:
    rows = [row.fields for row in islice(read_jsonl(path), 20) if isinstance(row, Row)]
    found = [_of_line(row) for row in rows]
    plain = any(set(columns) <= set(row) for row in rows)
    if not rows or (plain and "prodigy" not in found):
        return "jsonl"
    if found[0] is not None and len(set(found)) == 1:
        return found[0]
    return "jsonl"


def _of_line(row: dict[str, Any]) -> str | None:
    """The format of which an object certainly is."""
    kept = isinstance(row.get(KEY), dict)
    if {"_input_hash", "_task_hash"} <= set(row) or (kept and "text" in row):
        return "prodigy"
    if "request" in row and "response" in row:
        return "requests"
    if "messages" in row and ("choices" in row or ("response" in row and {"startTime", "call_type"} & set(row))):
        return "requests"
    messages = row.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict) and "response" not in row:
        return "openai" if messages[-1].get("role") == "assistant" else None
    return None


def _of_json(path: Path) -> str:
    """By the keys of the list's first object, of which the beginning is read."""
    if path.suffix.lower() != ".gz":
        with path.open("rb") as file:
            head = file.read(_HEAD).decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
        first = _first(head)
        if "data" in first and {"annotations", "predictions", "completions", "drafts"} & first:
            return "label-studio"
        if "fields" in first and {"responses", "suggestions", "external_id"} & first:
            return "argilla"
        if {"prediction", "annotation"} <= first:
            return "argilla"
        if "annotation_id" in first and "annotator" in first:
            return "label-studio"
    raise UsageError(
        f"{path} does not tell which tool wrote it. Say so with: --format label-studio or --format argilla"
    )


def _first(head: str) -> set[str]:
    """The keys of the first object in `head`, which may be cut off."""
    text = head.removeprefix("[").lstrip()
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
        return set(found) if isinstance(found, dict) else set()
    except (ValueError, RecursionError):
        return {key for key in _KEYS if f'"{key}"' in text}


_KEYS = (
    "data",
    "annotations",
    "predictions",
    "completions",
    "fields",
    "responses",
    "suggestions",
)
