"""Batches that an endpoint is answering: which examples they hold, so that none is ever asked about in two of them.

A batch is `uploading` until its file is there, `creating` until the endpoint has named it, `created` until its answers are in
the store, then `ended`. The row comes before the upload: a process that is killed leaves the key by which to find its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from sqlalchemy import Connection, func, select

from tutelage.errors import StoreError
from tutelage.store import schema
from tutelage.store.database import Database, now
from tutelage.store.labels import LabelTable
from tutelage.store.predictions import PredictionTable
from tutelage.store.spend import SPENDING, reserve, settle
from tutelage.types import Label, Prediction

Stage: TypeAlias = Literal["uploading", "creating", "created", "ended"]


@dataclass(frozen=True)
class Submitted:
    """A batch of `examples` examples. `key` is ours, `remote` the endpoint's name for it; `owner` is the process that sends it.

    `source` is what the labels will bear, `predictor` the fingerprint under which predictions are stored; `age` and `idle` are
    the seconds since it was begun and since its last stage.
    """

    key: str
    endpoint: str
    source: str
    predictor: str | None
    owner: str
    stage: Stage
    remote: str | None
    examples: int
    age: float
    idle: float


class BatchTable:
    def __init__(self, database: Database, predictions: PredictionTable, labels: LabelTable) -> None:
        self._database, self._predictions, self._labels = database, predictions, labels

    def begin(self, batch: Submitted, ids: Sequence[str], dollars: float | None, budget: float | None) -> None:
        """Remember that `ids` are about to be sent, and set `dollars` aside (None: the price is not known).

        Raises BudgetExceeded, and StoreError when another process has sent one of them meanwhile.
        """
        time = now()
        with self._database.alone(SPENDING) as connection:
            if taken := len(self._pending(connection, batch.source).intersection(ids)):
                raise StoreError(
                    f"Another process is sending {taken} of these {len(ids)} examples. Let it finish, then run the command again."
                )
            reservation = None if dollars is None else reserve(connection, batch.source, dollars, budget)
            row = {
                "key": batch.key,
                "endpoint": batch.endpoint,
                "source": batch.source,
                "predictor": batch.predictor,
                "owner": batch.owner,
                "stage": "uploading",
                "reservation": reservation,
                "created": time,
                "changed": time,
            }
            connection.execute(schema.batches.insert().values(row))
            rows = [{"batch": batch.key, "example_id": id} for id in ids]
            connection.execute(schema.batch_examples.insert(), rows)

    def creating(self, key: str) -> bool:
        """Say that the endpoint is now asked for the batch; False when the batch was dropped meanwhile."""
        with self._database.write() as connection:
            return _move(connection, key, ("uploading",), "creating")

    def created(self, key: str, remote: str) -> bool:
        """Keep the endpoint's name for the batch; False when the batch was dropped meanwhile."""
        with self._database.write() as connection:
            return _move(connection, key, ("creating", "created"), "created", remote)

    def drop(self, key: str, stage: Stage) -> bool:
        """Forget a batch that is still at `stage` and that the endpoint never had: its money and its examples are free."""
        with self._database.alone(SPENDING) as connection:
            if not _move(connection, key, (stage,), "ended"):
                return False
            _settle(connection, key, 0.0)
            return True

    def finish(
        self, batch: Submitted, came: Sequence[tuple[str, Prediction]], labels: Sequence[Label], dollars: float | None
    ) -> bool:
        """Keep all that came of a batch, in one transaction: killed before its end, nothing happened, and it is done again.

        `dollars` is what it cost; None leaves what was set aside as spent. False when another process was first.
        """
        with self._database.alone(SPENDING) as connection:
            if not _move(connection, batch.key, ("created",), "ended"):
                return False
            if batch.predictor:
                self._predictions.put(connection, batch.predictor, came)
            self._labels.append(connection, labels)
            if dollars is not None:
                _settle(connection, batch.key, dollars)
            return True

    def open(self) -> list[Submitted]:
        """The batches that have not ended, in the order in which they were begun."""
        table, held = schema.batches, schema.batch_examples
        query = select(table, func.count(held.c.example_id).label("examples")).join(held, held.c.batch == table.c.key)
        query = query.where(table.c.stage != "ended").group_by(table.c.key).order_by(table.c.created, table.c.key)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            Submitted(
                row.key,
                row.endpoint,
                row.source,
                row.predictor,
                row.owner,
                row.stage,
                row.remote,
                row.examples,
                _since(row.created),
                _since(row.changed),
            )
            for row in rows
        ]

    def ids(self, key: str) -> list[str]:
        """The examples of a batch."""
        held = schema.batch_examples
        with self._database.read() as connection:
            return list(connection.execute(select(held.c.example_id).where(held.c.batch == key)).scalars())

    def pending(self, source: str) -> set[str]:
        """Ids of the examples that are in a batch of `source` which has not ended."""
        with self._database.read() as connection:
            return self._pending(connection, source)

    def _pending(self, connection: Connection, source: str) -> set[str]:
        table, held = schema.batches, schema.batch_examples
        query = select(held.c.example_id).join(table, held.c.batch == table.c.key)
        return set(connection.execute(query.where(table.c.source == source, table.c.stage != "ended")).scalars())


def _move(connection: Connection, key: str, at: Sequence[Stage], to: Stage, remote: str | None = None) -> bool:
    """Take a batch that is at one of the stages `at` to `to`; False when it is at none of them."""
    table = schema.batches
    values = {"stage": to, "changed": now(), **({"remote": remote} if remote else {})}
    return bool(
        connection.execute(table.update().where(table.c.key == key, table.c.stage.in_(at)).values(values)).rowcount
    )


def _settle(connection: Connection, key: str, dollars: float) -> None:
    table = schema.batches
    reservation = connection.scalar(select(table.c.reservation).where(table.c.key == key))
    if reservation is not None:
        settle(connection, reservation, dollars)


def _since(time: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
