"""Parquet: a row an example and label (see `columns`; extra `data`). It holds everything; records and distributions are JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet

from tutelage.labels.formats import arrow
from tutelage.labels.formats.base import Entry, Format
from tutelage.project import Project


def write(path: Path, entries: Iterator[Entry], project: Project) -> None:
    with pyarrow.parquet.ParquetWriter(path, arrow.schema(project.task), compression="zstd") as file:
        for batch in arrow.batches(project.task, entries):
            file.write_batch(batch)


FORMAT = Format(write=write)
