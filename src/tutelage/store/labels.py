"""Labels in the store: appended, never changed. A person's label wins, then an import's, a teacher's, a pseudo-label; of
equals the newest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select

from tutelage.store import schema
from tutelage.store.database import Database, now
from tutelage.store.examples import PAGE, example_of
from tutelage.types import Example, Label, Labelled, Split, canonical_json

Origin: TypeAlias = Literal["gold", "teacher", "weak", "any"]
"""Whose labels: `gold` (a person's or imported ones), `teacher` (a model's), `weak` (pseudo-labels), or `any` (gold first)."""


def origin(source: str) -> Literal["gold", "teacher", "weak"]:
    return "teacher" if source.startswith("teacher:") else "weak" if source.startswith("weak:") else "gold"


def by_person(source: str) -> bool:
    return source.startswith("human:")


def _rank(source: str) -> int:
    return 3 if by_person(source) else {"gold": 2, "teacher": 1, "weak": 0}[origin(source)]


def in_force(labels: Iterable[Label], whose: Origin = "any", source: str | None = None) -> Label | None:
    """The label that holds of all that were given for one example, oldest first; None where there is none of that origin (and
    source), or where the newest word of a person is that what was answered is no answer."""
    newest: dict[str, Label] = {}
    for label in labels:
        newest.pop(label.source, None)  # so that the order is that of the newest
        if label.status != "withdrawn":
            newest[label.source] = label
    people = [label for source, label in newest.items() if by_person(source)]
    if people and people[-1].status == "rejected":
        return None
    best: Label | None = None
    for label in newest.values():
        fits = label.status == "given" and whose in ("any", origin(label.source)) and source in (None, label.source)
        if fits and (best is None or _rank(label.source) >= _rank(best.source)):
            best = label
    return best


class LabelTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, labels: Sequence[Label]) -> int:
        """Append those that say something new: equal to the newest label of the same source, a label is left out.

        All or none are stored. Returns how many were appended.
        """
        if not labels:
            return 0
        with self._database.write() as connection:
            return self.append(connection, labels)

    def append(self, connection: Connection, labels: Sequence[Label]) -> int:
        """As `add`, in a transaction that is open already."""
        table, time = schema.labels, now()
        newest: dict[tuple[str, str], tuple[str, str | None, str | None]] = {}
        new = []
        for start in range(0, len(labels), PAGE):
            ids = [label.example_id for label in labels[start : start + PAGE]]
            columns = (table.c.example_id, table.c.source, table.c.value, table.c.distribution, table.c.status)
            for row in connection.execute(select(*columns).where(table.c.example_id.in_(ids)).order_by(table.c.seq)):
                newest[row.example_id, row.source] = row.value, row.distribution, row.status
        for label in labels:
            value = canonical_json(label.value)
            distribution = canonical_json(label.distribution) if label.distribution else None
            status = None if label.status == "given" else label.status
            if newest.get((label.example_id, label.source)) == (value, distribution, status):
                continue
            newest[label.example_id, label.source] = value, distribution, status
            created = label.created or time
            new.append(
                {
                    "example_id": label.example_id,
                    "value": value,
                    "source": label.source,
                    "created": created,
                    "note": label.note,
                    "distribution": distribution,
                    "status": status,
                }
            )
        if new:
            connection.execute(table.insert(), new)
        return len(new)

    def read(self, split: Split, whose: Origin = "any", source: str | None = None) -> Iterator[Labelled]:
        """The examples of `split` that have a label of that origin (and source), each with the label in force."""
        e = schema.examples
        for example, labels in self._given(e.c.split == split):
            found = in_force(labels, whose, source)
            if found is not None:
                yield Labelled(example, found.value, found.source, found.distribution, found.note)

    def of(self, ids: Sequence[str]) -> dict[str, list[Label]]:
        """All labels of these examples, oldest first; examples without any are left out."""
        found: dict[str, list[Label]] = {}
        for start in range(0, len(ids), PAGE):
            for example, labels in self._given(schema.examples.c.id.in_(ids[start : start + PAGE])):
                found[example.id] = labels
        return found

    def _given(self, where: ColumnElement[bool]) -> Iterator[tuple[Example, list[Label]]]:
        """The labelled examples with all their labels, oldest first."""
        e, l = schema.examples, schema.labels
        columns = (l.c.value, l.c.source, l.c.created, l.c.note, l.c.distribution, l.c.status)
        query = select(e, *columns).join(l, l.c.example_id == e.c.id).where(where).order_by(e.c.seq, l.c.seq)
        with self._database.read() as connection:
            rows = connection.execution_options(yield_per=PAGE).execute(query)
            for _, group in groupby(rows, key=lambda row: row.id):
                some = list(group)
                yield example_of(some[0]), [_label(row) for row in some]

    def labelled_by(self, source: str) -> set[str]:
        """Ids of the examples that have a label of exactly this source."""
        table = schema.labels
        query = select(table.c.example_id, table.c.status).where(table.c.source == source).order_by(table.c.seq)
        with self._database.read() as connection:
            newest = {row.example_id: row.status for row in connection.execute(query)}
        return {id for id, status in newest.items() if status != "withdrawn"}

    def counts(self) -> list[tuple[str, Split, int]]:
        """(source, split, number of examples labelled), sorted."""
        e, l = schema.examples, schema.labels
        newest = select(func.max(l.c.seq)).group_by(l.c.example_id, l.c.source)
        stands = or_(l.c.status.is_(None), l.c.status == "rejected")
        query = select(l.c.source, e.c.split, func.count()).join(e, l.c.example_id == e.c.id)
        query = query.where(l.c.seq.in_(newest), stands).group_by(l.c.source, e.c.split)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return sorted((source, split, count) for source, split, count in rows)


def _label(row: Row[Any]) -> Label:
    soft = json.loads(row.distribution) if row.distribution else {}
    return Label(row.id, json.loads(row.value), row.source, row.created, row.note, soft, row.status or "given")
