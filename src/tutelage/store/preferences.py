"""What annotators preferred: several answers to one input with a score each. Appended, never changed, each stored once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import select

from tutelage.store import schema
from tutelage.store.database import Database, now
from tutelage.store.examples import PAGE
from tutelage.types import Value, canonical_json


@dataclass(frozen=True, slots=True)
class Answer:
    """What a candidate answered; `fingerprint` says which version of it."""

    candidate: str
    value: Value
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """`answers` in the order in which they were shown, and the `scores` they got: of a `pair` 1 and 0, or 0.5 both for a tie; of
    a `ranking` 1 (worst) to 7 each. `id` is made by whoever sends it; `undoes` names the one that is taken back, which leaves
    `answers` empty."""

    id: str
    example_id: str
    annotator: str
    kind: Literal["pair", "ranking", "undo"]
    answers: tuple[Answer, ...] = ()
    scores: tuple[float, ...] = ()
    note: str | None = None
    seconds: float | None = None
    undoes: str | None = None
    created: str = ""


class PreferenceTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, preference: Preference) -> bool:
        """Append it. Returns False for one that is stored already."""
        table = schema.preferences
        row = {
            "id": preference.id,
            "example_id": preference.example_id,
            "annotator": preference.annotator,
            "kind": preference.kind,
            "answers": canonical_json([asdict(one) for one in preference.answers]),
            "scores": canonical_json(list(preference.scores)),
            "note": preference.note,
            "seconds": preference.seconds,
            "undoes": preference.undoes,
            "created": preference.created or now(),
        }
        statement = self._database.insert_new(table).values(row).returning(table.c.seq)
        with self._database.write() as connection:
            return connection.execute(statement).first() is not None

    def read(self) -> Iterator[Preference]:
        """All of them, oldest first, those that were taken back and what took them back too."""
        for _, one in self.after(0):
            yield one

    def after(self, last: int) -> Iterator[tuple[int, Preference]]:
        """Those with a number above `last`, oldest first, each with its number: what came since one was read."""
        table = schema.preferences
        for row in self._database.pages(select(table), table.c.seq, PAGE, last):
            yield row.seq, _preference(row)

    def stand(self) -> list[Preference]:
        """Those that were not taken back, oldest first."""
        found = list(self.read())
        undone = {one.undoes for one in found}
        return [one for one in found if one.kind != "undo" and one.id not in undone]


def _preference(row: Any) -> Preference:
    return Preference(
        id=row.id,
        example_id=row.example_id,
        annotator=row.annotator,
        kind=row.kind,
        answers=tuple(Answer(**one) for one in json.loads(row.answers)),
        scores=tuple(json.loads(row.scores)),
        note=row.note,
        seconds=row.seconds,
        undoes=row.undoes,
        created=row.created,
    )
