"""Traces in the store: added once each and charged in the same transaction, found newest first, forgotten in time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, or_, select
from sqlalchemy.exc import DataError, IntegrityError

from tutelage.errors import StoreError
from tutelage.store import schema
from tutelage.store.database import Database
from tutelage.store.ledger import charge
from tutelage.store.traces import Trace, TraceRow, decoded, encoded, row_of, trace_from_row

PAGE = 500
"""Traces read or deleted at a time."""

_NAMES = tuple(column.name for column in schema.traces.columns)


@dataclass(frozen=True, kw_only=True)
class TraceFilter:
    """Which traces; None leaves a fact open. `since` and `until` are UTC, ISO 8601: from the first, before the second.

    `errors`: statuses from 400 on, and 0. `feedback` is a verdict, or "any". `text` is in the input, the output, an answer of
    a step, the error or the note, in whatever case. `cache` is the name of the cache that answered, "" for none.
    """

    task: str | None = None
    model: str | None = None
    key: str | None = None
    source: str | None = None
    status: int | None = None
    since: str | None = None
    until: str | None = None
    cache: str | None = None
    escalated: bool | None = None
    errors: bool = False
    feedback: str | None = None
    text: str | None = None


EVERY = TraceFilter()


class TraceTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, traces: Sequence[Trace]) -> int:
        """Store those whose id is new and charge what they cost to their accounts, all or none. Returns how many were new.

        Raises StoreError where the database is not to be had, ValueError for a trace that no row can hold.
        """
        return self.add_rows([row_of(decoded(encoded(trace))) for trace in traces])

    def add_rows(self, rows: Sequence[TraceRow]) -> int:
        """As `add`, of rows as `store.traces.row_of` makes them."""
        if not rows:
            return 0
        once = {row.id: row for row in reversed(rows)}  # of equal ids the first
        ordered = list(reversed(once.values()))
        try:
            with self._database.write() as connection:
                if connection.dialect.name == "sqlite":
                    new = _insert_alone(connection, ordered)
                else:
                    new = self._insert(connection, ordered)
                _charge(connection, [row for row in ordered if row.id in new])
        except StoreError as error:
            if isinstance(error.__cause__, (DataError, IntegrityError)):
                raise ValueError(str(error)) from error
            raise
        return len(new)

    def _insert(self, connection: Connection, rows: Sequence[TraceRow]) -> set[str]:
        statement = self._database.insert_new(schema.traces).returning(schema.traces.c.id)
        values = [dict(zip(_NAMES, row.columns, strict=True)) for row in rows]
        return set(connection.execute(statement, values).scalars())

    def get(self, id: str) -> Trace | None:
        with self._database.read() as connection:
            row = connection.execute(select(schema.traces).where(schema.traces.c.id == id)).mappings().first()
        return trace_from_row(dict(row)) if row else None

    def starting(self, beginning: str) -> list[Trace]:
        """The first two traces whose ids begin so."""
        table = schema.traces
        query = select(table).where(table.c.id >= beginning, table.c.id < beginning + "g").order_by(table.c.id).limit(2)
        with self._database.read() as connection:
            found = [trace_from_row(dict(row)) for row in connection.execute(query).mappings()]
        return [trace for trace in found if trace.id.startswith(beginning)]

    def find(self, which: TraceFilter = EVERY, limit: int = 50, before: str | None = None) -> list[Trace]:
        """At most `limit` traces, newest first, those before the id `before` where one is given."""
        return list(islice(self.read(which, before), limit))

    def read(self, which: TraceFilter = EVERY, before: str | None = None) -> Iterator[Trace]:
        """All such traces, newest first, a page at a time: bounded memory."""
        return self._pages(which, before, newest_first=True)

    def read_after(self, after: str, which: TraceFilter = EVERY) -> Iterator[Trace]:
        """All whose ids come after `after`, oldest first, a page at a time."""
        return self._pages(which, after, newest_first=False)

    def _pages(self, which: TraceFilter, last: str | None, *, newest_first: bool) -> Iterator[Trace]:
        id, conditions = schema.traces.c.id, _conditions(which)
        while True:
            query = select(schema.traces).where(*conditions).order_by(id.desc() if newest_first else id).limit(PAGE)
            if last is not None:
                query = query.where(id < last if newest_first else id > last)
            with self._database.read() as connection:
                rows = connection.execute(query).mappings().all()
            for row in rows:
                trace = trace_from_row(dict(row))
                if not which.text or _holds(trace, which.text):
                    yield trace
            if len(rows) < PAGE:
                return
            last = rows[-1]["id"]

    def tail(self, after: str, which: TraceFilter = EVERY, limit: int = PAGE) -> list[Trace]:
        """At most `limit` traces whose ids come after `after`, oldest first. A trace comes in when its request has ended and its
        id is as old as the beginning: who follows looks again at the last seconds."""
        return list(islice(self.read_after(after, which), limit))

    def newest(self) -> str:
        """The highest id, "" where there is no trace."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(schema.traces.c.id))) or ""

    def count(self, which: TraceFilter = EVERY) -> int:
        if which.text:
            return sum(1 for _ in self.read(which))
        with self._database.read() as connection:
            query = select(func.count()).select_from(schema.traces).where(*_conditions(which))
            return connection.scalar(query) or 0

    def forget(self, before: str, limit: int = PAGE) -> int:
        """Delete at most `limit` traces created before that time (UTC, ISO 8601), and their feedback; what was spent stays.

        Returns how many; call it again until it returns 0. Small batches, so that nobody waits long.
        """
        table = schema.traces
        with self._database.write() as connection:
            old = select(table.c.id).where(table.c.created < before).order_by(table.c.created).limit(limit)
            ids = list(connection.execute(old).scalars())
            if ids:
                connection.execute(delete(schema.feedback).where(schema.feedback.c.trace.in_(ids)))
                connection.execute(delete(table).where(table.c.id.in_(ids)))
        return len(ids)


def _insert_alone(connection: Connection, rows: Sequence[TraceRow]) -> set[str]:
    """As `_insert` by the driver itself, which is three times as fast; its errors become SQLAlchemy's."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # so that nobody adds one of them between the look and the insert
    known: set[str] = set()
    for start in range(0, len(rows), PAGE):
        ids = [row.id for row in rows[start : start + PAGE]]
        known.update(connection.execute(select(schema.traces.c.id).where(schema.traces.c.id.in_(ids))).scalars())
    new = [row.columns for row in rows if row.id not in known]
    if new:
        names, marks = ", ".join(f'"{name}"' for name in _NAMES), ", ".join("?" * len(_NAMES))
        connection.exec_driver_sql(f"INSERT INTO traces ({names}) VALUES ({marks})", new)
    return {columns[0] for columns in new}


def _charge(connection: Connection, rows: Sequence[TraceRow]) -> None:
    """What they cost, summed by account and owner; in one order, so that two writers do not block each other."""
    sums: Counter[tuple[str, str]] = Counter()
    for row in rows:
        for account in row.accounts:
            sums[account, row.owner] += row.nanodollars
    for (account, owner), nanodollars in sorted(sums.items()):
        if nanodollars:
            charge(connection, account, owner, nanodollars)


def _conditions(which: TraceFilter) -> list[ColumnElement[bool]]:
    table, opinions = schema.traces.c, schema.feedback.c
    equal: dict[Any, object] = {
        table.task: which.task,
        table.model: which.model,
        table.key: which.key,
        table.source: which.source,
        table.status: which.status,
        table.cache: which.cache or None,
        table.escalated: None if which.escalated is None else int(which.escalated),
    }
    found: list[ColumnElement[bool]] = [column == value for column, value in equal.items() if value is not None]
    if which.since is not None:
        found.append(table.created >= which.since)
    if which.until is not None:
        found.append(table.created < which.until)
    if which.cache == "":
        found.append(table.cache.is_(None))
    if which.errors:
        found.append(or_(table.status >= 400, table.status == 0))
    if which.feedback is not None:
        said = exists().where(opinions.trace == table.id)
        found.append(said if which.feedback == "any" else said.where(opinions.verdict == which.feedback))
    if which.text:
        # As it stands in JSON; the names of JSON's keys are found too, so what is found is looked at once more.
        inside = json.dumps(which.text, ensure_ascii=False)[1:-1]
        plain = table.error.icontains(which.text, autoescape=True)
        found.append(or_(table.facts.icontains(inside, autoescape=True), plain))
    return found


def _holds(trace: Trace, text: str) -> bool:
    answers = [step.answer for step in trace.steps]
    return _within([trace.input, trace.output, trace.error, trace.note, *answers], text.casefold())


def _within(value: Any, text: str) -> bool:
    if isinstance(value, str):
        return text in value.casefold()
    if isinstance(value, dict):
        return any(_within(item, text) for item in value.values())
    return isinstance(value, list) and any(_within(item, text) for item in value)
