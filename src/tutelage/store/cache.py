"""The gateway's cache in a SQLite file of its own, so that forgetting answers never waits for what must be kept.

Losing it costs nothing but asking again: it is not migrated, and written without waiting for the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tutelage.store.sqlite_cache import explained, opened

TOUCHES = 64
"""Reads remembered before they are written down in one transaction: a read must not cost a write."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, packed BLOB NOT NULL, expires REAL NOT NULL, used REAL NOT NULL, hits INTEGER NOT NULL,
    created REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_expires ON answers (expires);
"""

_ORDERS = {"lru": "used", "lfu": "hits, used", "fifo": "created"}
"""What goes first, by policy."""


class CacheFile:
    """Bytes by key, at most about `size` of them (1 % more where it is 100 or more). For one thread at a time."""

    def __init__(self, path: Path, size: int, policy: str) -> None:
        self._path, self._size, self._order = path, size, _ORDERS[policy]
        self._every = max(1, size // 100)
        self._puts = self._reads = 0
        self._touched: dict[str, tuple[int, float]] = {}
        self._opened: sqlite3.Connection | None = None

    def get(self, key: str, now: float) -> bytes | None:
        """The bytes at `key` that do not expire before `now`. Raises StoreError."""
        with self._connection() as connection:
            row = connection.execute("SELECT packed, expires FROM answers WHERE key = ?", (key,)).fetchone()
            if row is None or now >= row[1]:
                return None
            if self._order != "created":
                self._touched[key] = (self._touched.get(key, (0, 0.0))[0] + 1, now)
                self._reads += 1
                if self._reads % TOUCHES == 0:
                    self._try_to_write_touched(connection)
            return bytes(row[0])

    def put(self, key: str, packed: bytes, now: float, expires: float) -> None:
        """Keep `packed`. Raises StoreError."""
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            self._write_touched(connection)
            connection.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT (key) DO UPDATE SET packed = excluded.packed,"
                " expires = excluded.expires, used = excluded.used, hits = hits + 1, created = excluded.created",
                (key, packed, expires, now, now),
            )
            self._puts += 1
            if self._puts % self._every == 0:
                connection.execute("DELETE FROM answers WHERE expires <= ?", (now,))
                connection.execute(
                    "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE key != ?"
                    f" ORDER BY {self._order} LIMIT max(0, (SELECT count(*) FROM answers) - ?))",
                    (key, self._size),
                )

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _try_to_write_touched(self, connection: sqlite3.Connection) -> None:
        """Where another process writes just now, the reads are forgotten: they only order what goes first."""
        with suppress(sqlite3.OperationalError), connection:
            connection.execute("BEGIN IMMEDIATE")
            self._write_touched(connection)
        self._touched.clear()

    def _write_touched(self, connection: sqlite3.Connection) -> None:
        touched, self._touched = self._touched, {}
        connection.executemany(
            "UPDATE answers SET hits = hits + ?, used = max(used, ?) WHERE key = ?",
            [(count, used, key) for key, (count, used) in touched.items()],
        )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with explained(self._path):
            if self._opened is None:
                self._opened = opened(self._path, _SCHEMA, "OFF")
                self._opened.isolation_level = None
            yield self._opened
