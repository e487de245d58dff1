"""The migrations that bring an older database to the tables of `schema`."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, inspect, select, text

from tutelage.errors import StoreError
from tutelage.store.schema import metadata, version

_LOCK = 7405815


def _first(connection: Connection) -> None:
    metadata.create_all(connection)


def _second(connection: Connection) -> None:
    """Predictions remember all their confidences; prompts are kept by version."""
    metadata.create_all(connection)  # what is missing
    _add_texts(connection, "predictions", "signals", "parts")


def _third(connection: Connection) -> None:
    """Batches that endpoints are answering are remembered with their examples."""
    metadata.create_all(connection)


def _fourth(connection: Connection) -> None:
    """Examples say whether a model wrote them; labels keep the distribution they came from."""
    metadata.create_all(connection)
    _add_texts(connection, "examples", "synthetic")
    _add_texts(connection, "labels", "distribution")


def _fifth(connection: Connection) -> None:
    """Runs keep what they told on the way: loss, dev score, speed."""
    metadata.create_all(connection)


def _sixth(connection: Connection) -> None:
    """A fourth split has a longer name; SQLite does not bound the length."""
    metadata.create_all(connection)
    if connection.dialect.name == "postgresql":
        for table in ("examples", "measurements"):
            connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN split TYPE VARCHAR(11)"))


def _seventh(connection: Connection) -> None:
    """The gateway: traces, feedback, keys, what they spent, and how tasks are served."""
    metadata.create_all(connection)


def _eighth(connection: Connection) -> None:
    """Review: decisions, preferences, queues, how probably labels are right; labels can be rejected and withdrawn."""
    metadata.create_all(connection)
    _add_texts(connection, "labels", "status")


def _add_texts(connection: Connection, table: str, *names: str) -> None:
    present = {column["name"] for column in inspect(connection).get_columns(table)}
    for name in names:
        if name not in present:
            connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {name} TEXT"))


MIGRATIONS: list[Callable[[Connection], None]] = [_first, _second, _third, _fourth, _fifth, _sixth, _seventh, _eighth]
"""In order; a database at version n has had the first n. Never change one that was released: append."""


def migrate(engine: Engine) -> None:
    """Run what is missing, in one transaction. Raises StoreError for a database of a newer tutelage."""
    with engine.connect() as connection:
        if _version_of(connection) == len(MIGRATIONS):
            return
    with engine.begin() as connection:
        exclude(connection, _LOCK)  # several processes may open a new database at once
        found = _version_of(connection)
        if found > len(MIGRATIONS):
            raise StoreError(
                f"The database has schema {found}, this tutelage knows {len(MIGRATIONS)}. "
                "Upgrade: pip install -U tutelage"
            )
        if found == len(MIGRATIONS):
            return
        for migration in MIGRATIONS[found:]:
            migration(connection)
        connection.execute(version.delete())
        connection.execute(version.insert().values(version=len(MIGRATIONS)))


def exclude(connection: Connection, lock: int) -> None:
    """Begin a transaction alone: in SQLite as the only writer, in PostgreSQL as the only holder of `lock`."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _version_of(connection: Connection) -> int:
    if not inspect(connection).has_table(version.name):
        return 0
    return connection.scalar(select(version.c.version)) or 0
