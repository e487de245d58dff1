"""What annotators decided about labels: appended, none overwritten, each once however often it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row, Select, or_, select

from tutelage.errors import StaleDecision
from tutelage.store import schema
from tutelage.store.database import Database, now
from tutelage.store.examples import PAGE
from tutelage.store.labels import LabelTable
from tutelage.types import Label, Value, canonical_json

Verdict: TypeAlias = Literal["accept", "edit", "reject", "skip", "undo"]
"""The suggestion is right; this is right; it is wrong and nothing is said that is right; say nothing; take a decision back."""

Purpose: TypeAlias = Literal["review", "double", "conflict"]
"""A review of a suggestion; one of two labels given blind; the end of a conflict between annotators."""

DECIDING = 7405820
"""The lock of those who decide."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """`id` is made by whoever sends it: sent again, it is the same decision. `queue` is the order in which the example came up.

    `value` is the right answer for accept and edit. `suggestion`, what `suggested_by` (a label's source) had answered with
    `confidence`, is None where nothing was suggested. `seconds` is how long it took, `undoes` the decision that is taken back.
    """

    id: str
    example_id: str
    annotator: str
    verdict: Verdict
    purpose: Purpose = "review"
    queue: str = ""
    value: Value | None = None
    suggestion: Value | None = None
    suggested_by: str | None = None
    confidence: float | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    seconds: float | None = None
    undoes: str | None = None
    created: str = ""


class DecisionTable:
    def __init__(self, database: Database, labels: LabelTable) -> None:
        self._database, self._labels = database, labels

    def add(
        self, decision: Decision, labels: Sequence[Label] = (), seen: str | None = None, check: bool = True
    ) -> bool:
        """Append a decision and the labels that follow from it, both or none. Returns False for one that is stored already.

        `seen` is the id of the newest decision on the example that its page knew of, None for none: of the annotator's own, or
        one that ended a conflict. Raises StaleDecision where a newer one was made, unless `check` is False.
        """
        table = schema.decisions
        with self._database.alone(DECIDING) as connection:
            if connection.scalar(select(table.c.seq).where(table.c.id == decision.id)) is not None:
                return False
            newest = self._newest(connection, decision.example_id, decision.annotator)
            if check and newest != seen:
                raise StaleDecision(
                    f"Example {decision.example_id} was decided elsewhere since this page was opened. Nothing was stored; load "
                    "the page again to see what was said."
                )
            connection.execute(table.insert().values(_row(decision)))
            self._labels.append(connection, labels)
        return True

    def newest(self, example_id: str, annotator: str) -> str | None:
        """What a page that shows this example to this annotator has `seen`."""
        with self._database.read() as connection:
            return self._newest(connection, example_id, annotator)

    def of(self, ids: Sequence[str]) -> dict[str, list[Decision]]:
        """All decisions about these examples, oldest first; examples without any are left out."""
        table, found = schema.decisions, dict[str, list[Decision]]()
        with self._database.read() as connection:
            for start in range(0, len(ids), PAGE):
                query = select(table).where(table.c.example_id.in_(ids[start : start + PAGE])).order_by(table.c.seq)
                for row in connection.execute(query):
                    found.setdefault(row.example_id, []).append(_decision(row))
        return found

    def read(self, annotator: str | None = None) -> Iterator[Decision]:
        """All decisions (of an annotator), oldest first, those that were taken back and what took them back too."""
        table = schema.decisions
        query = select(table)
        if annotator is not None:
            query = query.where(table.c.annotator == annotator)
        return map(_decision, self._database.pages(query, table.c.seq, PAGE))

    def after(self, seq: int) -> tuple[list[Decision], int]:
        """The decisions made after number `seq` (0: all), oldest first, and the number of the newest, to ask with next time.

        None is missed: they are numbered in the order in which they are stored, as one decides at a time.
        """
        table = schema.decisions
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(table.c.seq > seq).order_by(table.c.seq)).all()
        return [_decision(row) for row in rows], rows[-1].seq if rows else seq

    def stand(self, annotator: str | None = None) -> list[Decision]:
        """The decisions that stand, oldest first: of every annotator the newest on every example that was not taken back."""
        return standing(self.read(annotator))

    def last(self, annotator: str, count: int) -> list[Decision]:
        """The annotator's newest decisions, newest first."""
        table = schema.decisions
        query: Select[Any] = (
            select(table).where(table.c.annotator == annotator).order_by(table.c.seq.desc()).limit(count)
        )
        with self._database.read() as connection:
            return [_decision(row) for row in connection.execute(query)]

    @staticmethod
    def _newest(connection: Connection, example_id: str, annotator: str) -> str | None:
        table = schema.decisions
        mine = or_(table.c.annotator == annotator, table.c.purpose == "conflict")
        query = select(table.c.id).where(table.c.example_id == example_id, mine)
        return connection.scalar(query.order_by(table.c.seq.desc()).limit(1))


def standing(decisions: Iterator[Decision] | Sequence[Decision]) -> list[Decision]:
    """Of decisions, oldest first, those that stand: neither taken back nor followed by another of the same annotator on the
    same example for the same purpose."""
    found: dict[str, Decision] = {}
    latest: dict[tuple[str, str, str], list[str]] = {}
    for one in decisions:
        mine = latest.setdefault((one.example_id, one.annotator, one.purpose), [])
        if one.verdict == "undo":
            if one.undoes in mine:
                mine.remove(one.undoes)
        else:
            found[one.id] = one
            mine.append(one.id)
    kept = {mine[-1] for mine in latest.values() if mine}
    return [one for id, one in found.items() if id in kept]


def _row(decision: Decision) -> dict[str, Any]:
    def text(value: Value | None) -> str | None:
        return None if value is None else canonical_json(value)

    return {
        "id": decision.id,
        "example_id": decision.example_id,
        "annotator": decision.annotator,
        "verdict": decision.verdict,
        "purpose": decision.purpose,
        "queue": decision.queue,
        "value": text(decision.value),
        "suggestion": text(decision.suggestion),
        "suggested_by": decision.suggested_by,
        "confidence": decision.confidence,
        "tags": canonical_json(list(decision.tags)),
        "note": decision.note,
        "seconds": decision.seconds,
        "undoes": decision.undoes,
        "created": decision.created or now(),
    }


def _decision(row: Row[Any]) -> Decision:
    return Decision(
        id=row.id,
        example_id=row.example_id,
        annotator=row.annotator,
        verdict=row.verdict,
        purpose=row.purpose,
        queue=row.queue,
        value=None if row.value is None else json.loads(row.value),
        suggestion=None if row.suggestion is None else json.loads(row.suggestion),
        suggested_by=row.suggested_by,
        confidence=row.confidence,
        tags=tuple(json.loads(row.tags)),
        note=row.note,
        seconds=row.seconds,
        undoes=row.undoes,
        created=row.created,
    )
