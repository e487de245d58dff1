"""The tables, and the migrations that bring an older database to them."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    select,
    text,
)

from tutelage.errors import StoreError

metadata = MetaData()

examples = Table(
    "examples",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("input", Text, nullable=False),
    Column("split", String(11), nullable=False),
    Column("group_name", Text),
    Column("synthetic", Text),
    Index("examples_split", "split", "seq"),
)

labels = Table(
    "labels",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("example_id", String(32), nullable=False),
    Column("value", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("created", String(32), nullable=False),
    Column("note", Text),
    Column("distribution", Text),
    Index("labels_example", "example_id", "source"),
)

predictions = Table(
    "predictions",
    metadata,
    Column("predictor", String(32), primary_key=True),
    Column("example_id", String(32), primary_key=True),
    Column("value", Text),
    Column("confidence", Float),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("cached_input_tokens", Integer, nullable=False),
    Column("dollars", Float),
    Column("seconds", Float, nullable=False),
    Column("source", Text, nullable=False),
    Column("error", Text),
    Column("note", Text),
    Column("created", String(32), nullable=False),
    Column("signals", Text),
    Column("parts", Text),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("verb", String(20), nullable=False),
    Column("candidate", Text, nullable=False),
    Column("status", String(10), nullable=False),
    Column("started", String(32), nullable=False),
    Column("seconds", Float),
    Column("facts", Text, nullable=False),
)

measurements = Table(
    "measurements",
    metadata,
    Column("predictor", String(32), primary_key=True),
    Column("split", String(11), primary_key=True),
    Column("facts", Text, nullable=False),
)

spend = Table(
    "spend",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("account", Text, nullable=False),
    Column("reserved", Float, nullable=False),
    Column("settled", Float),
    Column("created", String(32), nullable=False),
    Index("spend_account", "account"),
)

prompts = Table(
    "prompts",
    metadata,
    Column("source", String(300), primary_key=True),
    Column("candidate", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("created", String(32), nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("predictor", String(32)),
    Column("owner", Text, nullable=False),
    Column("stage", String(10), nullable=False),
    Column("remote", Text),
    Column("reservation", Integer),
    Column("created", String(32), nullable=False),
    Column("changed", String(32), nullable=False),
    Index("batches_stage", "stage"),
)

curves = Table(
    "curves",
    metadata,
    Column("run", String(40), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("value", Float, nullable=False),
)

batch_examples = Table(
    "batch_examples",
    metadata,
    Column("batch", String(32), primary_key=True),
    Column("example_id", String(32), primary_key=True),
)

traces = Table(
    "traces",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created", String(32), nullable=False),
    Column("model", Text, nullable=False),
    Column("task", String(100)),
    Column("key", String(16)),
    Column("source", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("cache", String(10)),
    Column("confidence", Float),
    Column("escalated", Integer),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("nanodollars", BigInteger),
    Column("seconds", Float, nullable=False),
    Column("error", Text),
    Column("facts", Text, nullable=False),
    Index("traces_created", "created"),
    Index("traces_task", "task", "id"),
    Index("traces_key", "key", "id"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("trace", String(32), nullable=False),
    Column("verdict", String(10), nullable=False),
    Column("value", Text),
    Column("who", Text, nullable=False),
    Column("note", Text),
    Column("created", String(32), nullable=False),
    Index("feedback_trace", "trace"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("old_hash", String(64)),
    Column("old_until", String(32)),
    Column("team", Text),
    Column("scopes", Text, nullable=False),
    Column("limits", Text, nullable=False),
    Column("created", String(32), nullable=False),
    Column("expires", String(32)),
    Column("revoked", String(32)),
    Column("revision", Integer, nullable=False),
)

teams = Table(
    "teams",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("limits", Text, nullable=False),
    Column("revision", Integer, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("account", String(150), primary_key=True),
    Column("spent", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("account", String(150), primary_key=True),
    Column("owner", String(100), primary_key=True),
    Column("granted", BigInteger, nullable=False),
    Column("nanodollars", BigInteger, nullable=False),
    Column("expires", String(32), nullable=False),
)

operations = Table(
    "operations",
    metadata,
    Column("task", String(100), primary_key=True),
    Column("state", Text, nullable=False),
    Column("changed", String(32), nullable=False),
)

audits = Table(
    "audits",
    metadata,
    Column("trace", String(32), primary_key=True),
    Column("task", String(100), nullable=False),
    Column("certificate", String(32), nullable=False),
    Column("stage", String(10), nullable=False),
    Column("early", Integer, nullable=False),
    Column("agrees", Integer),
    Column("losses", Text),
    Column("facts", Text, nullable=False),
    Column("created", String(32), nullable=False),
    Index("audits_task", "task", "stage", "trace"),
)

_LOCK = 7405815

_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))


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


def _add_texts(connection: Connection, table: str, *names: str) -> None:
    present = {column["name"] for column in inspect(connection).get_columns(table)}
    for name in names:
        if name not in present:
            connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {name} TEXT"))


MIGRATIONS: list[Callable[[Connection], None]] = [_first, _second, _third, _fourth, _fifth, _sixth, _seventh]
"""In order; a database at version n has had the first n. Never change one that was released: append."""


def migrate(engine: Engine) -> None:
    """Run what is missing, in one transaction. Raises StoreError for a database of a newer tutelage."""
    with engine.connect() as connection:
        if _version_of(connection) == len(MIGRATIONS):
            return
    with engine.begin() as connection:
        exclude(connection, _LOCK)  # several processes may open a new database at once
        version = _version_of(connection)
        if version > len(MIGRATIONS):
            raise StoreError(
                f"The database has schema {version}, this tutelage knows {len(MIGRATIONS)}. "
                "Upgrade: pip install -U tutelage"
            )
        if version == len(MIGRATIONS):
            return
        for migration in MIGRATIONS[version:]:
            migration(connection)
        connection.execute(_version.delete())
        connection.execute(_version.insert().values(version=len(MIGRATIONS)))


def exclude(connection: Connection, lock: int) -> None:
    """Begin a transaction alone: in SQLite as the only writer, in PostgreSQL as the only holder of `lock`."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _version_of(connection: Connection) -> int:
    if not inspect(connection).has_table(_version.name):
        return 0
    return connection.scalar(select(_version.c.version)) or 0
