"""Predictions, measurements and runs in the store: an answer is never paid for twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, select

from tutelage.store import schema
from tutelage.store.database import Database, now
from tutelage.store.examples import PAGE
from tutelage.types import Prediction, Split, Usage, canonical_json


class PredictionTable:
    """Keyed by the predictor's fingerprint (see `evaluation.candidates`) and the example's id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, predictor: str, predictions: Sequence[tuple[str, Prediction]]) -> None:
        """Store (example id, prediction) pairs, all or none; a newer prediction of the same predictor replaces."""
        if predictions:
            with self._database.write() as connection:
                self.put(connection, predictor, predictions)

    def put(self, connection: Connection, predictor: str, predictions: Sequence[tuple[str, Prediction]]) -> None:
        """As `add`, in a transaction that is open already."""
        time = now()
        rows = [
            {
                "predictor": predictor,
                "example_id": example_id,
                "value": None if p.value is None else canonical_json(p.value),
                "confidence": p.confidence,
                "input_tokens": p.usage.input_tokens,
                "output_tokens": p.usage.output_tokens,
                "cached_input_tokens": p.usage.cached_input_tokens,
                "dollars": p.usage.dollars,
                "seconds": p.usage.seconds,
                "source": p.source,
                "error": p.error,
                "note": p.note,
                "created": time,
                "signals": canonical_json(p.signals) if p.signals else None,
                "parts": canonical_json(p.parts) if p.parts else None,
            }
            for example_id, p in predictions
        ]
        if rows:
            connection.execute(self._database.insert_or_replace(schema.predictions), rows)

    def read(self, predictor: str, ids: Sequence[str]) -> dict[str, Prediction]:
        """The stored predictions of `predictor` for those of `ids` that it has answered."""
        table, found = schema.predictions, dict[str, Prediction]()
        with self._database.read() as connection:
            for start in range(0, len(ids), PAGE):
                part = ids[start : start + PAGE]
                query = select(table).where(table.c.predictor == predictor, table.c.example_id.in_(part))
                found.update({row.example_id: _prediction(row) for row in connection.execute(query)})
        return found

    def predictors(self) -> list[str]:
        """The fingerprints of all who have a prediction."""
        with self._database.read() as connection:
            return list(connection.scalars(select(schema.predictions.c.predictor).distinct()))

    def about(self, ids: Sequence[str], predictors: Sequence[str]) -> dict[str, list[Prediction]]:
        """The stored predictions of these predictors for these examples, the oldest first."""
        table, found = schema.predictions, dict[str, list[Prediction]]()
        with self._database.read() as connection:
            for start in range(0, len(ids), PAGE):
                those = table.c.predictor.in_(predictors), table.c.example_id.in_(ids[start : start + PAGE])
                for row in connection.execute(select(table).where(*those).order_by(table.c.created)):
                    found.setdefault(row.example_id, []).append(_prediction(row))
        return found

    def usages(self, predictor: str) -> list[Usage]:
        """What each stored prediction of `predictor` cost."""
        table = schema.predictions
        columns = (table.c.input_tokens, table.c.output_tokens, table.c.dollars, table.c.seconds)
        query = select(*columns, table.c.cached_input_tokens).where(table.c.predictor == predictor)
        with self._database.read() as connection:
            return [Usage(*row) for row in connection.execute(query)]

    def by_source(self, source: str, split: Split) -> dict[str, Prediction]:
        """The newest prediction that bears `source` of each example of `split` that has one, whichever predictor made it."""
        table, examples = schema.predictions, schema.examples
        query = select(table).join(examples, examples.c.id == table.c.example_id)
        query = query.where(table.c.source == source, examples.c.split == split)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(examples.c.seq, table.c.created)).all()
        return {row.example_id: _prediction(row) for row in rows}

    def sources(self) -> dict[str, Answering]:
        """What is known of each source that predictions of examples bear (a judge's are of questions)."""
        table, examples = schema.predictions, schema.examples
        count, first = func.count(table.c.example_id.distinct()), func.min(table.c.created)
        query = select(table.c.source, count, first).join(examples, examples.c.id == table.c.example_id)
        query = query.group_by(table.c.source)
        with self._database.read() as connection:
            return {source: Answering(n, created) for source, n, created in connection.execute(query)}


class Answering(NamedTuple):
    """How many examples a source has answered, and when it began."""

    examples: int
    first: str


def _prediction(row: Row[Any]) -> Prediction:
    return Prediction(
        None if row.value is None else json.loads(row.value),
        row.confidence,
        Usage(row.input_tokens, row.output_tokens, row.dollars, row.seconds, row.cached_input_tokens),
        row.source,
        row.error,
        row.note,
        json.loads(row.signals or "{}"),
        json.loads(row.parts or "{}"),
    )


class MeasurementTable:
    """What was measured of a predictor on a split besides its answers (latency, throughput), as a mapping."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, predictor: str, split: Split, facts: Mapping[str, Any]) -> None:
        row = {"predictor": predictor, "split": split, "facts": canonical_json(facts)}
        with self._database.write() as connection:
            connection.execute(self._database.insert_or_replace(schema.measurements), [row])

    def get(self, predictor: str, split: Split) -> dict[str, Any] | None:
        table = schema.measurements
        query = select(table.c.facts).where(table.c.predictor == predictor, table.c.split == split)
        with self._database.read() as connection:
            facts = connection.scalar(query)
        return None if facts is None else dict(json.loads(facts))


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a verb for a candidate; `status` is running, done or failed; `facts` is what it wrote down."""

    id: str
    verb: str
    candidate: str
    status: str
    started: str
    seconds: float | None
    facts: Mapping[str, Any]


class RunTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, run: Run) -> None:
        """Store a run, or overwrite the one with its id."""
        row = {
            "id": run.id,
            "verb": run.verb,
            "candidate": run.candidate,
            "status": run.status,
            "started": run.started,
            "seconds": run.seconds,
            "facts": canonical_json(run.facts),
        }
        with self._database.write() as connection:
            connection.execute(self._database.insert_or_replace(schema.runs), [row])

    def read(self, candidate: str | None = None) -> list[Run]:
        """All runs (of a candidate), the oldest first."""
        query = select(schema.runs).order_by(schema.runs.c.started, schema.runs.c.id)
        if candidate is not None:
            query = query.where(schema.runs.c.candidate == candidate)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [Run(r.id, r.verb, r.candidate, r.status, r.started, r.seconds, json.loads(r.facts)) for r in rows]
