"""The semantic cache in a SQLite file of its own: kept questions with their vectors and answers, and what was observed.

Rows are only added and deleted, so that a process learns what others added by asking for higher ids.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tutelage.store.sqlite_cache import explained, opened

OBSERVATIONS = 50_000
"""Observations kept in the file, the newest."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS encoder (identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS questions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, scope TEXT NOT NULL, text TEXT NOT NULL,
    vector BLOB NOT NULL, packed BLOB NOT NULL, value TEXT NOT NULL, expires REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS observations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, question INTEGER NOT NULL, similarity REAL NOT NULL,
    is_right INTEGER NOT NULL, reasked INTEGER NOT NULL
);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionRow:
    """A question that was answered. `vector` is float32, `packed` the answer, `value` what answers are compared by."""

    id: int = 0
    model: str
    scope: str
    text: str
    vector: bytes
    packed: bytes
    value: str
    expires: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservationRow:
    """Whether the answer to `question` was right for another one; `reasked`: it would have been given."""

    id: int = 0
    model: str
    question: int
    similarity: float
    right: bool
    reasked: bool


class SemanticFile:
    """For one thread at a time. All methods raise StoreError."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity
        self._opened: sqlite3.Connection | None = None

    def add(self, question: QuestionRow) -> int:
        """Keep a question; returns its id."""
        whose = (question.model, question.scope, question.text)
        with self._connection() as connection:
            cursor = connection.execute(
                "INSERT INTO questions (model, scope, text, vector, packed, value, expires) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*whose, question.vector, question.packed, question.value, question.expires),
            )
            return int(cursor.lastrowid or 0)

    def observe(self, seen: ObservationRow) -> int:
        """Keep an observation; returns its id."""
        with self._connection() as connection:
            cursor = connection.execute(
                "INSERT INTO observations (model, question, similarity, is_right, reasked) VALUES (?, ?, ?, ?, ?)",
                (seen.model, seen.question, seen.similarity, seen.right, seen.reasked),
            )
            last = int(cursor.lastrowid or 0)
            if last % 1000 == 0:
                connection.execute("DELETE FROM observations WHERE id <= ?", (last - OBSERVATIONS,))
            return last

    def questions(self, after: int, now: float) -> list[QuestionRow]:
        """Those with an id above `after` that do not expire before `now`, in the order added."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT id, model, scope, text, vector, packed, value, expires FROM questions"
                " WHERE id > ? AND expires > ? ORDER BY id",
                (after, now),
            ).fetchall()
        names = ("id", "model", "scope", "text", "vector", "packed", "value", "expires")
        return [QuestionRow(**dict(zip(names, row, strict=True))) for row in rows]

    def observations(self, after: int) -> list[ObservationRow]:
        """Those with an id above `after`, in the order added."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT id, model, question, similarity, is_right, reasked FROM observations WHERE id > ? ORDER BY id",
                (after,),
            ).fetchall()
        return [
            ObservationRow(
                id=id, model=model, question=question, similarity=near, right=bool(right), reasked=bool(again)
            )
            for id, model, question, near, right, again in rows
        ]

    def forget(self, ids: Iterable[int]) -> None:
        """Delete questions; what was observed of them stays."""
        with self._connection() as connection:
            connection.executemany("DELETE FROM questions WHERE id = ?", [(id,) for id in ids])

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A transaction."""
        with explained(self._path):
            if self._opened is None:
                self._opened = self._open()
            with self._opened:
                yield self._opened

    def _open(self) -> sqlite3.Connection:
        connection = opened(self._path, _SCHEMA, "NORMAL")
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                row = connection.execute("SELECT identity FROM encoder").fetchone()
                if row is None or row[0] != self._identity:
                    # Vectors and similarities of another encoder mean nothing to this one.
                    for table in ("encoder", "questions", "observations"):
                        connection.execute(f"DELETE FROM {table}")
                    connection.execute("INSERT INTO encoder VALUES (?)", (self._identity,))
        except sqlite3.Error:
            connection.close()
            raise
        return connection
