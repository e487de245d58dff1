"""The tables."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

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
    Column("status", Text),
    Index("labels_example", "example_id", "source"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("example_id", String(32), nullable=False),
    Column("annotator", String(100), nullable=False),
    Column("verdict", String(10), nullable=False),
    Column("purpose", String(10), nullable=False),
    Column("queue", String(30), nullable=False),
    Column("value", Text),
    Column("suggestion", Text),
    Column("suggested_by", Text),
    Column("confidence", Float),
    Column("tags", Text, nullable=False),
    Column("note", Text),
    Column("seconds", Float),
    Column("undoes", String(64)),
    Column("created", String(32), nullable=False),
    Index("decisions_example", "example_id", "seq"),
    Index("decisions_annotator", "annotator", "seq"),
)

preferences = Table(
    "preferences",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("example_id", String(32), nullable=False),
    Column("annotator", String(100), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("answers", Text, nullable=False),
    Column("scores", Text, nullable=False),
    Column("note", Text),
    Column("seconds", Float),
    Column("undoes", String(64)),
    Column("created", String(32), nullable=False),
    Index("preferences_example", "example_id", "seq"),
)

queues = Table(
    "queues",
    metadata,
    Column("name", String(30), primary_key=True),
    Column("split", String(11), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("example_id", String(32), nullable=False),
    Column("score", Float),
    Column("reason", Text),
)

qualities = Table(
    "qualities",
    metadata,
    Column("label", String(32), primary_key=True),
    Column("score", Float, nullable=False),
    Column("method", Text, nullable=False),
    Column("created", String(32), nullable=False),
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

version = Table("schema_version", metadata, Column("version", Integer, nullable=False))
