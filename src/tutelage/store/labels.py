"""Labels in the store: appended, never changed. A person's label wins, then an import's, then the newest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from sqlalchemy import Connection, func, select

from tutelage.store import schema
from tutelage.store.database import Database, now
from tutelage.store.examples import PAGE, example_of
from tutelage.types import Label, Labelled, Split, canonical_json

Origin: TypeAlias = Literal["gold", "teacher", "any"]
"""Whose labels: `gold` (a person's or imported ones), `teacher` (a model's), or `any` (gold first)."""


def origin(source: str) -> Literal["gold", "teacher"]:
    return "teacher" if source.startswith("teacher:") else "gold"


def _rank(source: str) -> int:
    return 2 if source.startswith("human:") else 1 if source == "import" else 0


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
        newest: dict[tuple[str, str], tuple[str, str | None]] = {}
        new = []
        for start in range(0, len(labels), PAGE):
            ids = [label.example_id for label in labels[start : start + PAGE]]
            columns = (table.c.example_id, table.c.source, table.c.value, table.c.distribution)
            for row in connection.execute(select(*columns).where(table.c.example_id.in_(ids)).order_by(table.c.seq)):
                newest[row.example_id, row.source] = row.value, row.distribution
        for label in labels:
            value = canonical_json(label.value)
            distribution = canonical_json(label.distribution) if label.distribution else None
            if newest.get((label.example_id, label.source)) == (value, distribution):
                continue
            newest[label.example_id, label.source] = value, distribution
            created = label.created or time
            new.append(
                {
                    "example_id": label.example_id,
                    "value": value,
                    "source": label.source,
                    "created": created,
                    "note": label.note,
                    "distribution": distribution,
                }
            )
        if new:
            connection.execute(table.insert(), new)
        return len(new)

    def read(self, split: Split, whose: Origin = "any", source: str | None = None) -> Iterator[Labelled]:
        """The examples of `split` that have a label of that origin (and source), each with the label in force."""
        e, l = schema.examples, schema.labels
        query = (
            select(e, l.c.value, l.c.source, l.c.distribution, l.c.note)
            .join(l, l.c.example_id == e.c.id)
            .where(e.c.split == split)
        )
        query = query.order_by(e.c.seq, l.c.seq)
        if source:
            query = query.where(l.c.source == source)
        current: Labelled | None = None
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=PAGE).execute(query):
                if whose != "any" and origin(row.source) != whose:
                    continue
                same = current is not None and current.example.id == row.id
                if current and not same:
                    yield current
                if not same or current is None or _rank(row.source) >= _rank(current.source):
                    soft = json.loads(row.distribution) if row.distribution else {}
                    current = Labelled(example_of(row), json.loads(row.value), row.source, soft, row.note)
        if current:
            yield current

    def labelled_by(self, source: str) -> set[str]:
        """Ids of the examples that have a label of exactly this source."""
        query = select(schema.labels.c.example_id).where(schema.labels.c.source == source).distinct()
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def counts(self) -> list[tuple[str, Split, int]]:
        """(source, split, number of examples labelled), sorted."""
        e, l = schema.examples, schema.labels
        query = select(l.c.source, e.c.split, func.count(l.c.example_id.distinct())).join(e, l.c.example_id == e.c.id)
        with self._database.read() as connection:
            rows = connection.execute(query.group_by(l.c.source, e.c.split)).all()
        return sorted((source, split, count) for source, split, count in rows)
