"""Files of examples into the store: columns mapped, splits given, duplicates met, bad rows kept aside."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from tutelage.errors import AnswerError, DataError, UsageError
from tutelage.labels.cells import (
    absent,
    group_name,
    label_value,
    listed,
    named_split,
    rejected_value,
    stored_text,
    text,
)
from tutelage.labels.formats import FORMATS, columns
from tutelage.labels.formats.base import Format, Found, Given, Unfit
from tutelage.labels.formats.detecting import COLUMNS, detect
from tutelage.labels.formats.kept import moment
from tutelage.labels.readers import FORMATS as SUFFIXES
from tutelage.labels.readers import BadRow, Row, read_rows
from tutelage.labels.rejects import Rejects
from tutelage.labels.splitting import canonical_input, split_of
from tutelage.project import Project
from tutelage.tasks import Task
from tutelage.types import SPLITS, Example, Label, Split, canonical_json, digest

BATCH = 2000
"""Rows a transaction."""
_BATCH_CHARACTERS = 2**24
"""A batch of long texts is stored earlier, so that memory stays bounded."""
_SHOWN = 20
_SOURCE = re.compile(r"import|(human|teacher):\S.*")
_GIVEN_SOURCE = re.compile(r"import|(human|teacher|weak):\S.*")

AnyRow: TypeAlias = Row | Found | BadRow


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """How a file is read. `fields` maps an input field to the column it is in; by default they have the same name.

    Without `split` the file's own column `split` decides, else the hash of the input, or of the column `group`. `label`
    is the column of the label, or a record's fields by name with the column of each. Without `format` the file tells what it
    is; where a format has labels of its own, `label` names the question, or the type of spans, that is meant, and `source` is
    that of labels which do not say whose they are.
    """

    split: Split | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    label: str | Mapping[str, str] | None = None
    group: str | None = None
    source: str = "import"
    format: str | None = None


@dataclass(frozen=True, kw_only=True)
class AddReport:
    """What became of the rows: `read` = `added` + `duplicates` + `rejected`.

    `labelled` counts the labels that are new, `by_split` the examples added, `moved` the duplicates that the file wants
    in another split than they are in: they stay where they are.
    """

    file: str
    format: str
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
    options = options or AddOptions()
    plan = _plan(project.task, options)
    format = options.format or detect(path, [column for _, column in plan.columns])
    counts = _Counts()
    with Rejects(project.folder / "rejects" / f"{_stem(path)}.rejects.jsonl", path) as rejects:
        batches = _batches(_rows(project, path, format, options))
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
        format=format,
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
    labels: Sequence[Label]
    wanted: bool


@dataclass
class _Counts:
    read: int = 0
    added: int = 0
    labelled: int = 0
    moved: int = 0
    by_split: dict[Split, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))


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


def _check_columns(path: Path, plan: _Plan, rows: Sequence[AnyRow]) -> None:
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


def _batches(rows: Iterator[AnyRow]) -> Iterator[list[AnyRow]]:
    batch: list[AnyRow] = []
    size = 0
    for row in rows:
        batch.append(row)
        if not isinstance(row, BadRow):
            fields = row.fields if isinstance(row, Row) else row.input
            size += sum(len(value) for value in fields.values() if isinstance(value, str))
        if len(batch) == BATCH or size > _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _add_batch(project: Project, plan: _Plan, batch: Sequence[AnyRow], rejects: Rejects, counts: _Counts) -> None:
    new: list[_New] = []
    for row in batch:
        if isinstance(row, BadRow):
            rejects.add(row.line, row.reason, row.text)
            continue
        try:
            new.append(_new(plan, row.fields) if isinstance(row, Row) else _met(plan, row))
        except (Unfit, AnswerError) as error:
            rejects.add(row.line, str(error), row.fields if isinstance(row, Row) else row.raw)
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
    counts.labelled += project.store.labels.add(_unknown(project, [label for one in new for label in one.labels]))


def _unknown(project: Project, labels: Sequence[Label]) -> list[Label]:
    """Those that are not stored with the very time at which they were given: a history that is added again adds nothing."""
    stored = project.store.labels.of(list({label.example_id for label in labels if label.created}))
    known = {_identity(label) for some in stored.values() for label in some}
    return [label for label in labels if not label.created or _identity(label) not in known]


def _identity(label: Label) -> tuple[str, ...]:
    return label.example_id, label.source, canonical_json(label.value), label.status, label.created


def _rows(project: Project, path: Path, format: str, options: AddOptions) -> Iterator[AnyRow]:
    """The rows of the file. Raises UsageError for a file of our own whose labels cannot be meant."""
    found: Format = FORMATS.load(format)
    named = [] if options.label is None else list(_label_columns(options.label))
    if found.read is not None:
        yield from found.read(path, project, named)
        return
    ours: bool | None = None
    for row in read_rows(path, format if options.format in COLUMNS[:3] else None):
        if ours is None and isinstance(row, Row):
            ours = options.label is None and not options.fields and columns.ours(project.task, row.fields)
        if not ours or isinstance(row, BadRow):
            yield row
            continue
        try:
            yield columns.found(project.task, row)
        except Unfit as error:
            yield BadRow(row.line, canonical_json(row.fields), str(error))


def _new(plan: _Plan, row: Mapping[str, Any]) -> _New:
    input = canonical_input({name: text(row, column) for name, column in plan.columns})
    id = digest(input)
    group = None if plan.group is None else group_name(row.get(plan.group))
    named = plan.split or (named_split(row) if plan.own_split else None)
    value = None if plan.label is None else label_value(plan.task, _given(plan.task, plan.label, row), input)
    labels = [] if value is None else [Label(id, value, plan.source)]
    return _New(Example(id, input, named or split_of(group or id), group), labels, named is not None)


def _met(plan: _Plan, found: Found) -> _New:
    """An example of a format that has labels of its own."""
    input = canonical_input({name: text(found.input, column) for name, column in plan.columns})
    id = digest(input)
    group = found.group if plan.group is None else group_name(found.input.get(plan.group))
    named = plan.split or named_split({"split": found.split})
    group = group_name(group)
    written = None if found.synthetic is None else stored_text(found.synthetic, "synthetic")
    example = Example(id, input, named or split_of(group or id), group, written)
    if example.synthetic and example.split != "train":
        raise Unfit(f"its input was written by {example.synthetic} and can only be in train, not in {example.split}")
    return _New(example, [_as_label(plan, example, given) for given in found.labels], named is not None)


def _as_label(plan: _Plan, example: Example, given: Given) -> Label:
    source = given.source or plan.source
    if not _GIVEN_SOURCE.fullmatch(source):
        raise Unfit(f"{source!r} is no source of labels: import, human:NAME, teacher:NAME or weak:NAME")
    fits = given.status == "given"  # what was rejected need not
    value = label_value(plan.task, given.value, example.input) if fits else rejected_value(plan.task, given.value)
    if value is None:
        raise Unfit("a label is empty")
    if bad := [name for name, share in given.distribution.items() if not 0 <= share <= 1]:
        raise Unfit(f"the probability of {bad[0]!r} is {given.distribution[bad[0]]}, not between 0 and 1")
    if given.created and not moment(given.created):
        raise Unfit(f"the time {given.created!r} is not ISO 8601, such as 2026-05-01T10:00:00+00:00")
    note = None if given.note is None else stored_text(given.note, "note")
    stored_text(source + canonical_json(dict(given.distribution)), "label")
    return Label(example.id, value, source, given.created, note, given.distribution, given.status)


def _label_columns(label: str | Mapping[str, str] | None) -> list[str]:
    return [] if label is None else [label] if isinstance(label, str) else list(label.values())


def _given(task: Task, label: str | Mapping[str, str], row: Mapping[str, Any]) -> Any:
    """What the label's column holds, or the object that several columns make; None where all of them are empty."""
    if isinstance(label, str):
        return row.get(label)
    cells = {name: row.get(column) for name, column in label.items()}
    lists = {one.name for one in getattr(task, "answer_fields", ()) if one.listed}
    read = {name: listed(cell) if name in lists and isinstance(cell, str) else cell for name, cell in cells.items()}
    return None if all(absent(cell) for cell in cells.values()) else read


def _stem(path: Path) -> str:
    """The file's name without the suffix of its format."""
    name = path.resolve().name
    suffix = next((known for known in SUFFIXES if name.lower().endswith(known)), "")
    return name[: len(name) - len(suffix)]
