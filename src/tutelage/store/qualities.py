"""How probably labels are right, as learnt from those that people reviewed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from tutelage.store import schema
from tutelage.store.database import Database, now
from tutelage.store.examples import PAGE
from tutelage.types import Value, digest


def label_key(example_id: str, source: str, value: Value) -> str:
    """What a label's quality is kept under: another answer of the same source has another quality."""
    return digest([example_id, source, value])


class QualityTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, scores: Mapping[str, float], method: str) -> None:
        """Store the probability, in [0, 1], that each label (by `label_key`) is right, in place of earlier ones."""
        time = now()
        rows = [{"label": key, "score": score, "method": method, "created": time} for key, score in scores.items()]
        with self._database.write() as connection:
            for start in range(0, len(rows), PAGE):
                connection.execute(self._database.insert_or_replace(schema.qualities), rows[start : start + PAGE])

    def of(self, keys: Sequence[str]) -> dict[str, float]:
        """The probability of each label that has one."""
        table, found = schema.qualities, dict[str, float]()
        with self._database.read() as connection:
            for start in range(0, len(keys), PAGE):
                query = select(table.c.label, table.c.score).where(table.c.label.in_(keys[start : start + PAGE]))
                found.update({row.label: row.score for row in connection.execute(query)})
        return found
