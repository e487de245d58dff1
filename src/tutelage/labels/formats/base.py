"""What a format of files is, and an example with its labels as a file has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tutelage.labels.readers import BadRow
from tutelage.project import Project
from tutelage.tasks import Task
from tutelage.types import Example, Label, Standing

KEY = "tutelage"
"""Where a file of another tool keeps what the tool has no place for."""

Aspect: TypeAlias = Literal[
    "splits", "groups", "who wrote inputs", "sources", "statuses", "times", "notes", "soft labels"
]
"""What there may be of an example or a label beside input and value."""
ASPECTS: tuple[Aspect, ...] = (
    "splits",
    "groups",
    "who wrote inputs",
    "sources",
    "statuses",
    "times",
    "notes",
    "soft labels",
)

Which: TypeAlias = Literal["one", "all"]
"""The label in force, or every label that was given, oldest first."""


@dataclass(frozen=True, slots=True)
class Given:
    """A label as a file has it; whether `value` fits the task is seen when it is added. Without a source it is that of the
    whole file."""

    value: Any
    source: str = ""
    status: Standing = "given"
    created: str = ""
    note: str | None = None
    distribution: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """An example as a file has it. `line` is as in `readers.Row`, `raw` the row as it stands, for the file of rejects."""

    line: int
    raw: Any
    input: Mapping[str, Any]
    labels: Sequence[Given] = ()
    split: str | None = None
    group: str | None = None
    synthetic: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An example and those of its labels that are written, oldest first. `force` is the one in force, None where there is none
    among them."""

    example: Example
    labels: Sequence[Label] = ()
    force: Label | None = None


Read: TypeAlias = Callable[[Path, Project, Sequence[str]], Iterator[Found | BadRow]]
"""The examples in a file. The names say which of several questions, or types of spans, the labels are; none: there is one."""

Write: TypeAlias = Callable[[Path, Iterator[Entry], Project], None]


@dataclass(frozen=True, kw_only=True)
class Format:
    """How examples and labels are written and read. `read` is None for files of columns, which `labels.readers` reads.

    `which` are the labels that are written unless the caller says; `lacks` is what it has no place for, not even under a key
    of ours; `outputs` are the output kinds it can hold (empty: all); without `unlabelled` it has none for an example without
    an answer; a `folder` is written in place of a file.
    """

    write: Write
    read: Read | None = None
    which: Which = "one"
    lacks: frozenset[Aspect] = frozenset()
    outputs: tuple[str, ...] = ()
    unlabelled: bool = True
    folder: bool = False
    interface: Callable[[Task], str] | None = None
    """What the tool must be told before it shows such a file."""


STANDINGS: tuple[Standing, ...] = ("given", "rejected", "withdrawn")


def standing_of(status: Any) -> Standing:
    """How a file says that a label stands. Raises Unfit."""
    found = next((one for one in STANDINGS if one == status), None)
    if found is None:
        raise Unfit(f"the status {status!r} is not one of {', '.join(STANDINGS)}")
    return found


class Unfit(Exception):
    """Why a row cannot be an example; becomes a BadRow."""
