"""Predictions, measurements and runs in the store: an answer is never paid for twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

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
            with self._database.write() as connection:
                connection.execute(self._database.insert_or_replace(schema.predictions), rows)

    def read(self, predictor: str, ids: Sequence[str]) -> dict[str, Prediction]:
        """The stored predictions of `predictor` for those of `ids` that it has answered."""
        table, found = schema.predictions, {}
        with self._database.read() as connection:
            for start in range(0, len(ids), PAGE):
                part = ids[start : start + PAGE]
                query = select(table).where(table.c.predictor == predictor, table.c.example_id.in_(part))
                for row in connection.execute(query):
                    usage = Usage(
                        row.input_tokens, row.output_tokens, row.dollars, row.seconds, row.cached_input_tokens
                    )
                    value = None if row.value is None else json.loads(row.value)
                    found[row.example_id] = Prediction(
                        value,
                        row.confidence,
                        usage,
                        row.source,
                        row.error,
                        row.note,
                        json.loads(row.signals or "{}"),
                        json.loads(row.parts or "{}"),
                    )
        return found


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
