"""JSON Lines: an object an example and label (see `columns`). It holds everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tutelage.labels.formats import columns
from tutelage.labels.formats.base import Entry, Format
from tutelage.labels.formats.files import opened
from tutelage.project import Project


def write(path: Path, entries: Iterator[Entry], project: Project) -> None:
    with opened(path) as file:
        for entry in entries:
            for row in columns.rows(project.task, entry):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


FORMAT = Format(write=write)
