"""Examples as Arrow tables, for Parquet files and datasets (extra `data`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pyarrow

from tutelage.labels.formats import columns
from tutelage.labels.formats.base import Entry
from tutelage.tasks import Task

BATCH = 5000


def schema(task: Task) -> pyarrow.Schema:
    """All columns are text but a label of several strings, which is a list; a record, like a distribution, is JSON."""
    lists = task.output in ("strings", "labels")
    kinds = dict.fromkeys([*task.fields, *columns.names(task).values()], pyarrow.string())
    if lists:
        kinds[columns.names(task)["label"]] = pyarrow.list_(pyarrow.string())
    return pyarrow.schema(list(kinds.items()))


def batches(task: Task, entries: Iterator[Entry]) -> Iterator[pyarrow.RecordBatch]:
    kind = schema(task)
    rows = (row for entry in entries for row in columns.rows(task, entry))
    while some := list(islice(rows, BATCH)):
        yield pyarrow.RecordBatch.from_pylist([_cells(row) for row in some], schema=kind)


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    return {name: cell if isinstance(cell, list) else columns.written(cell) for name, cell in row.items()}
