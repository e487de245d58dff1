"""Files of examples into the store: columns mapped, splits given, duplicates met, bad rows kept aside."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any

from tutelage.errors import AnswerError, DataError, StoreError, UsageError
from tutelage.labels.readers import FORMATS, BadRow, Row, read_rows
from tutelage.labels.splitting import canonical_input, split_of
from tutelage.project import Project
from tutelage.tasks import Task
from tutelage.types import SPLITS, Example, Input, Label, Split, Value, digest

BATCH = 2000
"""Rows a transaction."""
_BATCH_CHARACTERS = 2**24
"""A batch of long texts is stored earlier, so that memory stays bounded."""
_SPLITS: dict[str, Split] = {
    "train": "train",
    "dev": "dev",
    "valid": "dev",
    "val": "dev",
    "validation": "dev",
    "calibration": "calibration",
    "test": "test",
}
_SHOWN = 20
_SOURCE = re.compile(r"import|(human|teacher):\S.*")


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """How a file is read. `fields` maps an input field to the column it is in; by default they have the same name.

    Without `split` the file's own column `split` decides, else the hash of the input, or of the column `group`. `label`
    is the column of the label, or a record's fields by name with the column of each.
    """

    split: Split | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    label: str | Mapping[str, str] | None = None
    group: str | None = None
    source: str = "import"


@dataclass(frozen=True, kw_only=True)
class AddReport:
    """What became of the rows: `read` = `added` + `duplicates` + `rejected`.

    `labelled` counts the labels that are new, `by_split` the examples added, `moved` the duplicates that the file wants
    in another split than they are in: they stay where they are.
    """

    file: str
    read: int
    added: int
    duplicates: int
    labelled: int
    rejected: int
    rejects_file: str | None
    by_split: dict[Split, int]
    moved: int


def add_file(
    project: Project, path: Path, options: AddOptions | None = None, progress: Callable[[int], object] | None = None
) -> AddReport:
    """Add the examples (and labels) of a file to the project's store; `progress` is called with numbers of rows done.

    Raises UsageError for an option that does not fit the task or the file, DataError for a file that cannot be used at
    all, StoreError. Rows that cannot be used are written to `rejects/` in the project's folder. A run that was broken
    off is repeated: what it stored is met again as duplicates.
    """
    plan = _plan(project.task, options or AddOptions())
    counts = _Counts()
    with _Rejects(project.folder / "rejects" / f"{_stem(path)}.rejects.jsonl", path) as rejects:
        batches = _batches(read_rows(path))
        first = next(batches, None)
        if first is None:
            raise DataError(f"{path} has no rows.")
        _check_columns(path, plan, first)
        for batch in chain([first], batches):
            _add_batch(project, plan, batch, rejects, counts)
            if progress:
                progress(len(batch))
    if rejects.count == counts.read:
        raise DataError(f"No row of {path} can be used. {rejects.first} All {counts.read:,} are in {rejects.path}.")
    return AddReport(
        file=str(path),
        read=counts.read,
        added=counts.added,
        duplicates=counts.read - counts.added - rejects.count,
        labelled=counts.labelled,
        rejected=rejects.count,
        rejects_file=str(rejects.path) if rejects.count else None,
        by_split=counts.by_split,
        moved=counts.moved,
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """The options, checked against the task. `columns` holds (field, column) pairs."""

    task: Task
    columns: tuple[tuple[str, str], ...]
    split: Split | None
    own_split: bool
    label: str | Mapping[str, str] | None
    group: str | None
    source: str


@dataclass(frozen=True, slots=True)
class _New:
    """An example as the file has it; `wanted` says that the file or the caller names its split."""

    example: Example
    label: Label | None
    wanted: bool


@dataclass
class _Counts:
    read: int = 0
    added: int = 0
    labelled: int = 0
    moved: int = 0
    by_split: dict[Split, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))


class _BadValue(Exception):
    """Why a row cannot be an example; never leaves this module."""


def _plan(task: Task, options: AddOptions) -> _Plan:
    for name in options.fields:
        if name not in task.fields:
            raise UsageError(f"{name!r} is not a field of task {task.name!r}. Fields: {', '.join(task.fields)}.")
    if isinstance(options.label, Mapping):
        known = [one.name for one in getattr(task, "answer_fields", ())]
        if unknown := [name for name in options.label if name not in known]:
            shown = f"Its fields: {', '.join(known)}." if known else f"Its output is {task.output!r}: name one column."
            raise UsageError(f"{unknown[0]!r} is not a field of the answers of task {task.name!r}. {shown}")
    if not _SOURCE.fullmatch(options.source):
        raise UsageError(f"{options.source!r} is not a source. Known: import, human:NAME, teacher:NAME.")
    columns = tuple((name, options.fields.get(name, name)) for name in task.fields)
    # A column named `split` that is already an input, the label or the group does not name the split.
    own_split = "split" not in {*_label_columns(options.label), options.group, *(column for _, column in columns)}
    return _Plan(
        task, columns, options.split, own_split and not options.split, options.label, options.group, options.source
    )


def _check_columns(path: Path, plan: _Plan, rows: Sequence[Row | BadRow]) -> None:
    """Raises UsageError when a column that is asked for is in none of the first rows."""
    found = dict.fromkeys(name for row in rows if isinstance(row, Row) for name in row.fields)
    if not found:
        return
    wanted = [(column, f"--field {name}=COLUMN") for name, column in plan.columns]
    wanted += [(column, "--label COLUMN") for column in _label_columns(plan.label)]
    wanted += [(plan.group, "--group COLUMN")] if plan.group is not None else []
    for column, option in wanted:
        if column not in found:
            shown = ", ".join(list(found)[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
            raise UsageError(f"{path} has no column {column!r}. Columns: {shown}. Name the right one with: {option}")


def _batches(rows: Iterator[Row | BadRow]) -> Iterator[list[Row | BadRow]]:
    batch: list[Row | BadRow] = []
    size = 0
    for row in rows:
        batch.append(row)
        if isinstance(row, Row):
            size += sum(len(value) for value in row.fields.values() if isinstance(value, str))
        if len(batch) == BATCH or size > _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _add_batch(
    project: Project, plan: _Plan, batch: Sequence[Row | BadRow], rejects: _Rejects, counts: _Counts
) -> None:
    new: list[_New] = []
    for row in batch:
        if isinstance(row, BadRow):
            rejects.add(row.line, row.reason, row.text)
            continue
        try:
            new.append(_new(plan, row.fields))
        except (_BadValue, AnswerError) as error:
            rejects.add(row.line, str(error), row.fields)
    stored = project.store.examples.splits([one.example.id for one in new])
    fresh: list[Example] = []
    for one in new:
        split = stored.get(one.example.id)
        if split is None:
            stored[one.example.id] = one.example.split
            counts.by_split[one.example.split] += 1
            fresh.append(one.example)
        elif split != one.example.split and one.wanted:
            counts.moved += 1
    project.store.examples.add(fresh)
    counts.read += len(batch)
    counts.added += len(fresh)
    counts.labelled += project.store.labels.add([one.label for one in new if one.label])


def _new(plan: _Plan, row: Mapping[str, Any]) -> _New:
    input = canonical_input({name: _text(row, column) for name, column in plan.columns})
    id = digest(input)
    group = None if plan.group is None or _absent(row.get(plan.group)) else _text(row, plan.group)
    named = plan.split or (_named_split(row) if plan.own_split else None)
    value = None if plan.label is None else _label(plan.task, _given(plan.task, plan.label, row), input)
    label = None if value is None else Label(id, value, plan.source)
    return _New(Example(id, input, named or split_of(group or id), group), label, named is not None)


def _label_columns(label: str | Mapping[str, str] | None) -> list[str]:
    return [] if label is None else [label] if isinstance(label, str) else list(label.values())


def _given(task: Task, label: str | Mapping[str, str], row: Mapping[str, Any]) -> Any:
    """What the label's column holds, or the object that several columns make; None where all of them are empty."""
    if isinstance(label, str):
        return row.get(label)
    cells = {name: row.get(column) for name, column in label.items()}
    lists = {one.name for one in getattr(task, "answer_fields", ()) if one.listed}
    read = {name: _listed(cell) if name in lists and isinstance(cell, str) else cell for name, cell in cells.items()}
    return None if all(_absent(cell) for cell in cells.values()) else read


def _label(task: Task, value: Any, input: Input) -> Value | None:
    """The canonical label that a column's value stands for, None where there is none."""
    if _absent(value):
        return None
    if isinstance(value, (bool, int, float)):
        value = json.dumps(value)
    if isinstance(value, str) and task.output in ("strings", "labels"):
        value = _listed(value)
    elif isinstance(value, str) and task.output == "record":
        value = _json(value, "object")
    label, problem, misfit = task.settle(canonical := task.canonical(value), input)
    # A record without a required field is no gold either, though nothing of it changes.
    if label != canonical or (problem and isinstance(label, dict)):
        raise _BadValue(f"the label does not fit: {(misfit or problem or '').removeprefix('dropped, ')}")
    if not _is_unicode(json.dumps(label, ensure_ascii=False)):
        raise _BadValue("the label has half of a surrogate pair, which is no character")
    return label


def _listed(text: str) -> Any:
    """A list written as text: JSON, or its strings with `;` between them."""
    return _json(text, "list") if text.lstrip().startswith("[") else text.split(";")


def _json(text: str, kind: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _BadValue(f"the label {text[:60]!r} is not a JSON {kind}") from None


def _text(row: Mapping[str, Any], column: str) -> str:
    """A column that must hold text: it in form NFC, or a number as text."""
    value = row.get(column)
    if _absent(value):
        raise _BadValue(f"column {column!r} is empty" if column in row else f"there is no column {column!r}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return json.dumps(value)
    if not isinstance(value, str):
        raise _BadValue(f"column {column!r} is not text: {json.dumps(value, default=str)[:60]}")
    if not _is_unicode(value):
        raise _BadValue(f"column {column!r} has half of a surrogate pair, which is no character")
    if "\0" in value:
        raise _BadValue(f"column {column!r} has a NUL character")
    return unicodedata.normalize("NFC", value)


def _named_split(row: Mapping[str, Any]) -> Split | None:
    value = row.get("split")
    if _absent(value):
        return None
    split = _SPLITS.get(value.strip().casefold()) if isinstance(value, str) else None
    if split is None:
        raise _BadValue(f"the split {value!r} is not one of {', '.join(_SPLITS)}")
    return split


def _absent(value: Any) -> bool:
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


def _stem(path: Path) -> str:
    """The file's name without the suffix of its format."""
    name = path.resolve().name
    suffix = next((known for known in FORMATS if name.lower().endswith(known)), "")
    return name[: len(name) - len(suffix)]


class _Rejects:
    """The file of rows that were not taken, made with the first of them; an earlier run's is replaced or removed."""

    def __init__(self, path: Path, source: Path) -> None:
        self.path, self._source = path, source
        self.count = 0
        self.first = ""
        self._file: IO[str] | None = None

    def __enter__(self) -> _Rejects:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with _writing(self.path):
            if self._file:
                self._file.close()
            elif kind is None:
                self.path.unlink(missing_ok=True)

    def add(self, line: int, reason: str, row: str | Mapping[str, Any]) -> None:
        reason = reason.rstrip(".")
        self.first = self.first or f"Line {line}: {reason}."
        self.count += 1
        fact = {"file": str(self._source), "line": line, "reason": reason, "row": row}
        with _writing(self.path):
            if not self._file:
                self.path.parent.mkdir(exist_ok=True)
                # Half of a surrogate pair, which JSON text can hold and UTF-8 cannot, is written as its escape.
                self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace")
            self._file.write(json.dumps(fact, ensure_ascii=False, default=str) + "\n")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}. Free or unlock its folder.") from None
