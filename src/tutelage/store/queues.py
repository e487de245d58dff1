"""Queues: examples in the order in which people are to look at them, kept so that the order outlives the page's server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from tutelage.store import schema
from tutelage.store.database import Database
from tutelage.types import Split

QUEUEING = 7405821
"""The lock of those who store a queue."""


@dataclass(frozen=True, slots=True)
class Queued:
    """An example in a queue: `score` is what it is ordered by, `reason` says why it stands where it stands, for people."""

    example_id: str
    score: float | None = None
    reason: str | None = None


class QueueTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, name: str, split: Split, queue: Sequence[Queued]) -> None:
        """Store the queue of this name, first example first, in place of an earlier one."""
        table = schema.queues
        rows = [
            {
                "name": name,
                "split": split,
                "position": position,
                "example_id": one.example_id,
                "score": one.score,
                "reason": one.reason,
            }
            for position, one in enumerate(queue)
        ]
        with self._database.alone(QUEUEING) as connection:
            connection.execute(table.delete().where(table.c.name == name, table.c.split == split))
            if rows:
                connection.execute(table.insert(), rows)

    def read(self, name: str, split: Split) -> list[Queued]:
        """The queue of this name, first example first; [] where there is none."""
        table = schema.queues
        query = select(table).where(table.c.name == name, table.c.split == split).order_by(table.c.position)
        with self._database.read() as connection:
            return [Queued(row.example_id, row.score, row.reason) for row in connection.execute(query)]

    def counts(self) -> dict[tuple[str, str], int]:
        """Number of examples by (name, split)."""
        table = schema.queues
        query = select(table.c.name, table.c.split, func.count()).group_by(table.c.name, table.c.split)
        with self._database.read() as connection:
            return {(name, split): count for name, split, count in connection.execute(query)}
