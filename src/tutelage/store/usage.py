"""What was asked and spent, added up from the traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import case, func, select

from tutelage.store import schema
from tutelage.store.database import Database

Group = Literal["key", "model", "task"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """The requests of one group; `name` None: those without a key or task. `failed`: status 400 and above, and 0.

    `unpriced` are those that were answered at a price nobody knows; they are not in `nanodollars`.
    """

    name: str | None
    requests: int
    failed: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    nanodollars: int


class UsageTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, by: Group, since: str | None = None, keys: Sequence[str] | None = None) -> list[Spent]:
        """One row a group, the dearest first; of traces since a time (UTC, ISO 8601) and of these keys' ids only."""
        table = schema.traces.c
        group = {"key": table.key, "model": table.model, "task": table.task}[by]
        failed = case(((table.status >= 400) | (table.status == 0), 1), else_=0)
        unpriced = case((table.nanodollars.is_(None) & (table.status == 200), 1), else_=0)
        sums = [func.sum(one) for one in (failed, unpriced, table.input_tokens, table.output_tokens)]
        spent = func.coalesce(func.sum(table.nanodollars), 0)
        query = select(group, func.count(), *sums, spent).group_by(group)
        if since is not None:
            query = query.where(table.created >= since)
        if keys is not None:
            query = query.where(table.key.in_(keys))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        found = [
            Spent(
                name=name,
                requests=int(requests),
                failed=int(failed),
                unpriced=int(unpriced),
                input_tokens=int(read),
                output_tokens=int(written),
                nanodollars=int(money),
            )
            for name, requests, failed, unpriced, read, written, money in rows
        ]
        return sorted(found, key=lambda one: (-one.nanodollars, -one.requests, one.name or ""))
