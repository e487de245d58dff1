"""Examples and labels out of the store into a file of any format."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tutelage.errors import DataError, StoreError, UsageError
from tutelage.labels.formats import FORMATS
from tutelage.labels.formats.base import ASPECTS, Aspect, Entry, Format, Which
from tutelage.project import Project
from tutelage.store.examples import PAGE
from tutelage.store.labels import Origin, in_force, origin
from tutelage.types import SPLITS, Example, Label, Split

_DATASET = ("dataset_dict.json", "dataset_info.json")


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """What is written: examples of `split` (None: all) with their labels of that origin and source.

    `which` labels: the one in force, or all, None being what the format's users expect; `unlabelled` examples are left out
    unless asked for.
    """

    split: Split | None = None
    whose: Origin = "any"
    source: str | None = None
    which: Which | None = None
    unlabelled: bool = False
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """What was written. `unlabelled` examples without a label are among the `examples`, `left_out` are not. `lost` names what
    of this project the format has no place for, `interface` is what the tool must be told before it shows the file."""

    path: str
    format: str
    examples: int
    labels: int
    by_split: dict[Split, int]
    unlabelled: int
    left_out: int
    lost: tuple[str, ...] = ()
    interface: str | None = None


@dataclass
class _Counts:
    examples: int = 0
    labels: int = 0
    unlabelled: int = 0
    left_out: int = 0
    by_split: dict[Split, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    seen: set[Aspect] = field(default_factory=set)


def write_dataset(project: Project, name: str, out: Path, options: DatasetOptions | None = None) -> DatasetReport:
    """Write the project's examples and labels to `out`, whole or not at all.

    Raises UnknownName for a format that does not exist, UsageError for one that cannot hold the task, DataError where
    something stands at `out` or where there is nothing to write.
    """
    options = options or DatasetOptions()
    format: Format = FORMATS.load(name)
    if format.outputs and project.task.output not in format.outputs:
        fits = ", ".join(one for one in FORMATS.rows() if one != name)
        raise UsageError(
            f"{name!r} has no place for answers of the output {project.task.output!r}. Choose another: {fits}."
        )
    _check_place(out, format, options.force)
    counts = _Counts()
    entries = _entries(project, format, options, counts)
    part = out.with_name(f".{uuid.uuid4().hex[:8]}-{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        format.write(part, entries, project)
        if not counts.examples:
            raise DataError(_nothing(options, counts))
        _replace(part, out)
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror or error}. Free or unlock its folder.") from None
    finally:
        _remove(part)
    return DatasetReport(
        path=str(out),
        format=name,
        examples=counts.examples,
        labels=counts.labels,
        by_split=counts.by_split,
        unlabelled=counts.unlabelled,
        left_out=counts.left_out,
        interface=format.interface(project.task) if format.interface else None,
        lost=tuple(one for one in ASPECTS if one in counts.seen & format.lacks),
    )


def _entries(project: Project, format: Format, options: DatasetOptions, counts: _Counts) -> Iterator[Entry]:
    which = options.which or format.which
    examples = project.store.examples.read(options.split)
    while page := list(islice(examples, PAGE)):
        labels = project.store.labels.of([one.id for one in page])
        for example in page:
            given = labels.get(example.id, [])
            force = in_force(given, options.whose, options.source)
            found = [one for one in given if _wanted(one, options)] if which == "all" else [force] if force else []
            if "statuses" in format.lacks and any(one.status != "given" for one in found):
                counts.seen.add("statuses")
                found = [one for one in found if one.status == "given"]
            if not found and not (options.unlabelled and format.unlabelled):
                counts.left_out += 1
                continue
            _count(counts, example, found)
            yield Entry(example, found, force)


def _wanted(label: Label, options: DatasetOptions) -> bool:
    return options.whose in ("any", origin(label.source)) and options.source in (None, label.source)


def _count(counts: _Counts, example: Example, labels: list[Label]) -> None:
    counts.examples += 1
    counts.by_split[example.split] += 1
    counts.labels += len(labels)
    counts.unlabelled += not labels
    seen: dict[Aspect, bool] = {
        "splits": sum(map(bool, counts.by_split.values())) > 1,
        "groups": example.group is not None,
        "who wrote inputs": example.synthetic is not None,
        "sources": any(one.source != "import" for one in labels),
        "statuses": any(one.status != "given" for one in labels),
        "times": bool(labels),
        "notes": any(one.note for one in labels),
        "soft labels": any(one.distribution for one in labels),
    }
    counts.seen |= {name for name, there in seen.items() if there}


def _nothing(options: DatasetOptions, counts: _Counts) -> str:
    if counts.left_out:
        return (
            f"None of {counts.left_out:,} examples has such a label. Label some, or write them too with: --unlabelled"
        )
    where = f"split {options.split!r}" if options.split else "project"
    return f"The {where} has no examples. Add some with: tutelage add FILE"


def _check_place(out: Path, format: Format, force: bool) -> None:
    if not out.exists():
        return
    if not force:
        raise DataError(f"{out} is there already. Choose another --out, or overwrite it with: --force")
    if out.is_dir() != format.folder or (out.is_dir() and not any((out / name).exists() for name in _DATASET)):
        kind = "folder of a dataset" if format.folder else "file"
        raise DataError(f"{out} is no {kind} and is not overwritten. Choose another --out.")


def _replace(part: Path, out: Path) -> None:
    if not out.is_dir():
        os.replace(part, out)
        return
    old = out.with_name(f".{uuid.uuid4().hex[:8]}-{out.name}")
    os.replace(out, old)  # a folder cannot be replaced in one step
    os.replace(part, out)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
