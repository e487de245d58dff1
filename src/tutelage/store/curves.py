"""What runs told on the way: one value of one metric at one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select

from tutelage.store import schema
from tutelage.store.database import Database


class Point(NamedTuple):
    """`step` counts from 1 in the run."""

    step: int
    name: str
    value: float


class CurveTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run: str, points: Sequence[Point]) -> None:
        """Store points of a run; one at the same step under the same name is replaced."""
        rows = [{"run": run, **point._asdict()} for point in points]
        if rows:
            with self._database.write() as connection:
                connection.execute(self._database.insert_or_replace(schema.curves), rows)

    def read(self, run: str) -> dict[str, list[tuple[int, float]]]:
        """The (step, value) pairs of each metric of a run, in order of steps; {} for a run that told nothing."""
        table = schema.curves
        query = select(table).where(table.c.run == run).order_by(table.c.name, table.c.step)
        found: dict[str, list[tuple[int, float]]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                found.setdefault(row.name, []).append((row.step, row.value))
        return found
