"""Opening SQLite files that are only caches: of their own, so that forgetting never waits for what must be kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tutelage.errors import StoreError

WAIT = 0.2
"""Seconds to wait for another process's write."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of the file at `path` become a StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"The cache {path} fails: {error}. Make its folder writable, or delete the file: it is only a cache."
        ) from error


def opened(path: Path, schema: str, synchronous: Literal["OFF", "NORMAL"]) -> sqlite3.Connection:
    """The file at `path` with the tables of `schema`; one thread at a time may use it. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, timeout=WAIT, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.executescript(schema)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
