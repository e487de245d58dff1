"""A folder that `datasets.load_from_disk` opens: a DatasetDict with a dataset for each split, rows as in Parquet (extra `data`).

It holds everything; records and distributions are JSON. Examples come back split by split, not in the order they came.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow
import pyarrow.compute
from datasets import Dataset, DatasetDict
from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from tutelage.labels.formats import arrow, columns
from tutelage.labels.formats.base import Entry, Format
from tutelage.project import Project
from tutelage.types import SPLITS


def write(path: Path, entries: Iterator[Entry], project: Project) -> None:
    kind = arrow.schema(project.task)
    table = pyarrow.Table.from_batches(list(arrow.batches(project.task, entries)), schema=kind)
    split = columns.names(project.task)["split"]
    parts = {name: table.filter(pyarrow.compute.equal(table[split], name)) for name in SPLITS}
    found = {name: Dataset(part.combine_chunks()) for name, part in parts.items() if part.num_rows}
    with _quiet():
        DatasetDict(found).save_to_disk(str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bars."""
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


FORMAT = Format(write=write, folder=True)
