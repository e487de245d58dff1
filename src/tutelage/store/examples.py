"""Examples in the store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, func, select

from tutelage.errors import StoreError
from tutelage.store import schema
from tutelage.store.database import Database
from tutelage.types import SPLITS, Example, Split, canonical_json

PAGE = 1000


def example_of(row: Row[Any]) -> Example:
    """The example in a row that has the columns of `examples`."""
    return Example(row.id, json.loads(row.input), row.split, row.group_name, row.synthetic)


class ExampleTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, examples: Sequence[Example]) -> int:
        """Store those that are new, all or none. Returns how many were new; an example already there keeps its split.

        Raises StoreError for a synthetic example outside train.
        """
        if not examples:
            return 0
        rows = [
            {
                "id": e.id,
                "input": canonical_json(e.input),
                "split": e.split,
                "group_name": e.group,
                "synthetic": e.synthetic,
            }
            for e in examples
        ]
        if strayed := next((e for e in examples if e.synthetic and e.split != "train"), None):
            raise StoreError(
                f"Example {strayed.id} was written by {strayed.synthetic} and cannot be in {strayed.split!r}: "
                "synthetic examples are only ever in train."
            )
        with self._database.write() as connection:
            known: set[str] = set()
            for start in range(0, len(rows), PAGE):
                ids = [row["id"] for row in rows[start : start + PAGE]]
                found = connection.execute(select(schema.examples.c.id).where(schema.examples.c.id.in_(ids)))
                known.update(found.scalars())
            new = {row["id"]: row for row in reversed(rows) if row["id"] not in known}  # of equal ones the first
            if new:
                connection.execute(self._database.insert_new(schema.examples), list(reversed(new.values())))
        return len(new)

    def splits(self, ids: Sequence[str]) -> dict[str, Split]:
        """The split of each of `ids` that is stored."""
        found: dict[str, Split] = {}
        with self._database.read() as connection:
            for start in range(0, len(ids), PAGE):
                query = select(schema.examples.c.id, schema.examples.c.split)
                rows = connection.execute(query.where(schema.examples.c.id.in_(ids[start : start + PAGE])))
                found.update({row.id: row.split for row in rows})
        return found

    def pick(self, ids: Sequence[str]) -> dict[str, Example]:
        """Those of `ids` that are stored."""
        table, found = schema.examples, {}
        with self._database.read() as connection:
            for start in range(0, len(ids), PAGE):
                for row in connection.execute(select(table).where(table.c.id.in_(ids[start : start + PAGE]))):
                    found[row.id] = example_of(row)
        return found

    def read(self, split: Split | None = None) -> Iterator[Example]:
        """All examples of a split (or all) in the order they came, a page at a time: bounded memory."""
        table = schema.examples
        query = select(table)
        if split:
            query = query.where(table.c.split == split)
        return map(example_of, self._database.pages(query, table.c.seq, PAGE))

    def ids(self, split: Split) -> list[str]:
        """The ids of the examples of a split in the order they came."""
        query = select(schema.examples.c.id).where(schema.examples.c.split == split).order_by(schema.examples.c.seq)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def counts(self) -> dict[Split, int]:
        """Number of examples by split; splits without any are 0."""
        query = select(schema.examples.c.split, func.count()).group_by(schema.examples.c.split)
        with self._database.read() as connection:
            found: dict[str, int] = dict(connection.execute(query).all())
        return {split: found.get(split, 0) for split in SPLITS}

    def written(self) -> dict[str, int]:
        """Number of examples that a model wrote, by who wrote them."""
        table = schema.examples
        query = (
            select(table.c.synthetic, func.count()).where(table.c.synthetic.is_not(None)).group_by(table.c.synthetic)
        )
        with self._database.read() as connection:
            return dict(sorted(tuple(row) for row in connection.execute(query)))
