"""Versions of prompts in the store: what each source of labels and answers was asked with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from tutelage.store import schema
from tutelage.store.database import Database, now
from tutelage.types import canonical_json


@dataclass(frozen=True, slots=True)
class Prompt:
    """A version: the `source` that its labels and answers bear, the candidate that it was first built for, what it says."""

    source: str
    candidate: str
    content: Mapping[str, Any]
    created: str


class PromptTable:
    """Keyed by source. A source names its content's hash, so what is there never changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, source: str, candidate: str, content: Mapping[str, Any]) -> bool:
        """Keep a version. Returns whether it was new; one that is there stays, and then nothing is written."""
        table = schema.prompts
        with self._database.read() as connection:
            if connection.scalar(select(table.c.source).where(table.c.source == source)) is not None:
                return False
        row = {"source": source, "candidate": candidate, "content": canonical_json(content), "created": now()}
        with self._database.write() as connection:
            connection.execute(self._database.insert_new(table), [row])
        return True

    def read(self) -> list[Prompt]:
        """All versions, the oldest first."""
        table = schema.prompts
        with self._database.read() as connection:
            rows = connection.execute(select(table).order_by(table.c.created, table.c.source)).all()
        return [Prompt(row.source, row.candidate, json.loads(row.content), row.created) for row in rows]
