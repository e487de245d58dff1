"""The only room that speaks SQL. It returns the dataclasses of `tutelage.types`, never rows."""

from __future__ import annotations

from pathlib import Path

from tutelage.store.batches import BatchTable, Submitted
from tutelage.store.curves import CurveTable, Point
from tutelage.store.database import Database, now, open_database
from tutelage.store.decisions import Decision, DecisionTable, Purpose, Verdict
from tutelage.store.examples import ExampleTable
from tutelage.store.feedback import Feedback, FeedbackTable
from tutelage.store.keys import Key, KeyTable, Limits
from tutelage.store.labels import LabelTable, Origin, by_person, in_force, origin
from tutelage.store.ledger import LedgerTable
from tutelage.store.operations import Audit, OperationTable
from tutelage.store.predictions import MeasurementTable, PredictionTable, Run, RunTable
from tutelage.store.preferences import Answer, Preference, PreferenceTable
from tutelage.store.prompts import Prompt, PromptTable
from tutelage.store.qualities import QualityTable
from tutelage.store.queues import Queued, QueueTable
from tutelage.store.spend import SpendTable
from tutelage.store.trace_table import TraceFilter, TraceTable
from tutelage.store.traces import Step, Trace
from tutelage.store.usage import UsageTable


class Store:
    """One database, a table a noun."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.examples = ExampleTable(database)
        self.labels = LabelTable(database)
        self.predictions = PredictionTable(database)
        self.measurements = MeasurementTable(database)
        self.runs = RunTable(database)
        self.curves = CurveTable(database)
        self.prompts = PromptTable(database)
        self.spend = SpendTable(database)
        self.traces = TraceTable(database)
        self.feedback = FeedbackTable(database)
        self.batches = BatchTable(database, self.predictions, self.labels)
        self.keys = KeyTable(database)
        self.ledger = LedgerTable(database)
        self.operations = OperationTable(database)
        self.usage = UsageTable(database)
        self.decisions = DecisionTable(database, self.labels)
        self.preferences = PreferenceTable(database)
        self.queues = QueueTable(database)
        self.qualities = QualityTable(database)

    def close(self) -> None:
        self.database.engine.dispose()


def open_store(where: str | Path) -> Store:
    """The store at a database URL or file path; made and migrated as needed. Raises StoreError."""
    return Store(open_database(where))


__all__ = [
    "Answer",
    "Audit",
    "Decision",
    "Feedback",
    "Key",
    "Limits",
    "Origin",
    "Point",
    "Preference",
    "Prompt",
    "Purpose",
    "Queued",
    "Run",
    "Step",
    "Store",
    "Submitted",
    "Trace",
    "TraceFilter",
    "Verdict",
    "by_person",
    "in_force",
    "now",
    "open_store",
    "origin",
]
