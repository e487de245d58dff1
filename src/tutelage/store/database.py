"""Opening the database: SQLite in a file by default, PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, Row, Select, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from tutelage.errors import MissingPackage, StoreError
from tutelage.store.migrations import exclude, migrate


class Database:
    """An engine whose errors are one line, and the two statements that dialects spell differently."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.place = engine.url.render_as_string(hide_password=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction. Raises StoreError when the disk is full, the folder read-only, the server gone, ..."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._explained(error) from error

    read = write

    @contextmanager
    def alone(self, lock: int) -> Iterator[Connection]:
        """A write transaction that no other one with the same `lock` overlaps, in whatever process."""
        with self.write() as connection:
            exclude(connection, lock)
            yield connection

    def pages(self, query: Select[Any], seq: Column[int], size: int, last: int = 0) -> Iterator[Row[Any]]:
        """The rows of `query` whose number `seq`, one of its columns, is above `last`, by number, `size` at a time: bounded
        memory, and no transaction while the reader works."""
        while True:
            with self.read() as connection:
                rows = connection.execute(query.where(seq > last).order_by(seq).limit(size)).all()
            yield from rows
            if len(rows) < size:
                return
            last = rows[-1].seq

    def insert_new(self, table: Any) -> Any:
        """INSERT that leaves rows alone whose key is there already."""
        kind = postgresql if self.engine.dialect.name == "postgresql" else sqlite
        return kind.insert(table).on_conflict_do_nothing()

    def insert_or_replace(self, table: Any) -> Any:
        """INSERT that overwrites the rows with the same primary key."""
        kind = postgresql if self.engine.dialect.name == "postgresql" else sqlite
        statement = kind.insert(table)
        keys = [column.name for column in table.primary_key]
        changed = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)

    def _explained(self, error: SQLAlchemyError) -> StoreError:
        cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
        remedies = {
            "readonly": "Make the file and its folder writable.",
            "unable to open": "Check that the folder exists and is writable.",
            "disk I/O": "Check that there is disk space, and run the command again: finished work is kept.",
            "full": "Free some disk space and run the command again: finished work is kept.",
            "locked": "Another process holds the database; wait for it or stop it.",
            "not a database": "The file is damaged or not a tutelage database; restore it or choose another.",
            "malformed": "The file is damaged; restore it from a copy.",
            "refused": "Check that the server runs and that the URL is right.",
        }
        remedy = next((text for key, text in remedies.items() if key in cause), "Check the database.")
        return StoreError(f"The database {self.place} failed: {cause.rstrip('.')}. {remedy}")


def open_database(where: str | Path) -> Database:
    """The database at a URL or a file path, migrated. Raises StoreError in one line when it cannot be used."""
    url = where if isinstance(where, str) and "://" in where else f"sqlite:///{where}"
    url = url.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        kind = make_url(url).get_backend_name()
        if kind not in ("postgresql", "sqlite"):
            raise ArgumentError(f"there is no support for {kind}")
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError) as error:
        reason = str(error).partition(" from given URL")[0]
        raise StoreError(
            f"{str(where).split('@')[-1]!r} is not a database URL: {reason}. "
            "Write a file's path or postgresql://user@host/name."
        ) from None
    except ModuleNotFoundError as error:
        raise MissingPackage("postgresql", error.name or "psycopg", "postgresql") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _pragmas)
    database = Database(engine)
    try:
        migrate(engine)
    except SQLAlchemyError as error:
        raise database._explained(error) from error
    return database


def _pragmas(connection: Any, _record: Any) -> None:
    # WAL with synchronous=NORMAL survives kill -9 whole; only a power cut can lose the last commits.
    # 32 MiB of cache (2 by default): ids are hashes, so new rows land all over the indexes.
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=NORMAL", "cache_size=-32768"):
        connection.execute(f"PRAGMA {pragma}")


def now() -> str:
    """The present moment, UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat()
