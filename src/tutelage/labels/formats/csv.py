"""CSV: a line an example and label (see `columns`), lists and objects as JSON. It holds everything but that an empty note is
no note.

Cells are written as they are, so that nothing is lost: one that begins with = + - @ is a formula to a spreadsheet.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from tutelage.labels.formats import columns
from tutelage.labels.formats.base import Entry, Format
from tutelage.labels.formats.files import opened
from tutelage.project import Project


def write(path: Path, entries: Iterator[Entry], project: Project) -> None:
    task = project.task
    with opened(path, newline="") as file:
        # Quoted throughout: a lone carriage return, or an empty cell alone in its line, would else be read as a line's end.
        table = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        table.writerow([*task.fields, *columns.names(task).values()])
        for entry in entries:
            for row in columns.rows(task, entry):
                table.writerow([columns.written(cell) for cell in row.values()])


FORMAT = Format(write=write)
