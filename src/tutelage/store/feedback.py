"""Feedback: what people and programs said about answers. Appended, never changed; forgotten with its trace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import func, select

from tutelage.store import schema
from tutelage.store.database import Database, now
from tutelage.types import canonical_json

Verdict: TypeAlias = Literal["right", "wrong", "corrected", "preferred"]
VERDICTS: tuple[Verdict, ...] = ("right", "wrong", "corrected", "preferred")
PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback:
    """`value` is the right answer where the verdict is `corrected`, the better one where it is `preferred`."""

    trace: str
    verdict: Verdict
    who: str
    value: Any = None
    note: str | None = None
    created: str = ""


class FeedbackTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, feedback: Feedback) -> bool:
        """Append it; what repeats the newest of the same person on the same trace is left out. Returns whether it was new."""
        table = schema.feedback
        value = None if feedback.value is None else canonical_json(feedback.value)
        row = {
            "trace": feedback.trace,
            "verdict": feedback.verdict,
            "value": value,
            "who": feedback.who,
            "note": feedback.note,
            "created": feedback.created or now(),
        }
        same = select(table).where(table.c.trace == feedback.trace, table.c.who == feedback.who)
        with self._database.write() as connection:
            last = connection.execute(same.order_by(table.c.seq.desc()).limit(1)).first()
            if last and (last.verdict, last.value, last.note) == (feedback.verdict, value, feedback.note):
                return False
            connection.execute(table.insert().values(row))
        return True

    def of(self, traces: Sequence[str]) -> dict[str, list[Feedback]]:
        """What was said about each of these traces, oldest first; nothing is said about those that are left out."""
        table, found = schema.feedback, dict[str, list[Feedback]]()
        with self._database.read() as connection:
            for start in range(0, len(traces), PAGE):
                query = select(table).where(table.c.trace.in_(traces[start : start + PAGE])).order_by(table.c.seq)
                for row in connection.execute(query):
                    found.setdefault(row.trace, []).append(_feedback(row))
        return found

    def read(self) -> Iterator[Feedback]:
        """All of it, oldest first."""
        table = schema.feedback
        return map(_feedback, self._database.pages(select(table), table.c.seq, PAGE))

    def counts(self) -> dict[str, int]:
        """How often each verdict was given; verdicts never given are left out."""
        query = select(schema.feedback.c.verdict, func.count()).group_by(schema.feedback.c.verdict)
        with self._database.read() as connection:
            return {verdict: count for verdict, count in connection.execute(query)}


def _feedback(row: Any) -> Feedback:
    value = None if row.value is None else json.loads(row.value)
    return Feedback(trace=row.trace, verdict=row.verdict, who=row.who, value=value, note=row.note, created=row.created)
