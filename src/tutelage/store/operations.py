"""How tasks are served, and the audits of their answers.

Of each task one JSON state, which all workers and replicas share; and of each audited answer a row by its trace's id, so
that no evidence is counted twice: a row only moves forward (asking, waiting, judged), and the state changes in the
transaction in which it does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from sqlalchemy import Connection, delete, select, update

from tutelage.store import schema
from tutelage.store.database import Database, now

OPERATING = 7405819
"""The lock under which a state changes."""
PAGE = 500

AuditStage: TypeAlias = Literal["asking", "waiting", "judged"]
STAGES: tuple[AuditStage, ...] = get_args(AuditStage)

State: TypeAlias = dict[str, Any]
"""What is known of a task's operation, as JSON; None where nothing is kept."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """An audited answer. The last stage is being asked about it, a person's word is waited for, or it is judged.

    `early`: an earlier stage than the last gave it. `agrees`: whether the last stage says the same; None: it was not asked.
    `losses` by their name, in [0, 1], once judged.
    """

    trace: str
    task: str
    certificate: str
    stage: AuditStage
    early: bool = True
    agrees: bool | None = None
    losses: Mapping[str, float] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""


Moved: TypeAlias = tuple[Audit, AuditStage | None]
"""An audit, and the stage in which it was before (None: it is new)."""


class OperationTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, task: str) -> State | None:
        with self._database.read() as connection:
            return _state(connection, task)

    def read(self) -> dict[str, State]:
        """All states, by task."""
        table = schema.operations
        with self._database.read() as connection:
            rows = connection.execute(select(table.c.task, table.c.state).order_by(table.c.task)).all()
        return {task: json.loads(state) for task, state in rows}

    def change(self, task: str, change: Callable[[State | None], State]) -> State:
        """Replace the state by what `change` makes of it; no other change of any worker falls between."""
        with self._database.alone(OPERATING) as connection:
            return self._put(connection, task, change(_state(connection, task)))

    def keep(
        self, task: str, audits: Sequence[Audit], change: Callable[[State | None, Sequence[Moved]], State]
    ) -> State | None:
        """Keep the audits and change the state by those that moved forward, all or none. What is kept already in the same
        stage or a later one is left alone. Returns the state."""
        with self._database.alone(OPERATING) as connection:
            before, moved = _stages(connection, [one.trace for one in audits]), list[Moved]()
            for one in audits:
                known = before.get(one.trace)
                if known is None or STAGES.index(known) < STAGES.index(one.stage):
                    moved.append((one, known))
                    before[one.trace] = one.stage
                    connection.execute(self._database.insert_or_replace(schema.audits), _row(one))
            state = _state(connection, task)
            return self._put(connection, task, change(state, moved)) if moved else state

    def audits(self, task: str, stage: AuditStage, limit: int = PAGE, before: str = "") -> list[Audit]:
        """At most `limit` of the task's audits in that stage, the newest first, those created before `before` where it is
        given."""
        table = schema.audits
        query = select(table).where(table.c.task == task, table.c.stage == stage)
        if before:
            query = query.where(table.c.created < before)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(table.c.trace.desc()).limit(limit)).mappings().all()
        return [_audit(dict(row)) for row in found]

    def spoken(self, task: str, limit: int = PAGE) -> list[Audit]:
        """The audits that wait for a person's word and of whose trace something has been said."""
        table, opinions = schema.audits, schema.feedback
        query = select(table).where(table.c.task == task, table.c.stage == "waiting")
        said = select(opinions.c.seq).where(opinions.c.trace == table.c.trace, opinions.c.verdict != "preferred")
        query = query.where(said.exists())
        with self._database.read() as connection:
            found = connection.execute(query.order_by(table.c.trace).limit(limit)).mappings().all()
        return [_audit(dict(row)) for row in found]

    def adopt(self, task: str, before: str, limit: int = 20) -> list[Audit]:
        """Audits whose asking began before that time (UTC, ISO 8601) and never came to an end: each is given to one caller,
        who is to ask again."""
        table = schema.audits
        query = select(table).where(table.c.task == task, table.c.stage == "asking", table.c.created < before)
        with self._database.alone(OPERATING) as connection:
            found = [_audit(dict(row)) for row in connection.execute(query.limit(limit)).mappings()]
            mine = table.c.trace.in_([one.trace for one in found])
            connection.execute(update(table).where(mine).values(created=now()))
        return found

    def forget(self, traces: Sequence[str]) -> None:
        """Delete these audits, as when their inputs are gone and nobody can be asked about them."""
        with self._database.write() as connection:
            connection.execute(delete(schema.audits).where(schema.audits.c.trace.in_(list(traces))))

    def forget_judged(self, before: str) -> None:
        """Delete what was judged and created before that time (UTC, ISO 8601): the state has it."""
        table = schema.audits
        with self._database.write() as connection:
            connection.execute(delete(table).where(table.c.stage == "judged", table.c.created < before))

    def _put(self, connection: Connection, task: str, state: State) -> State:
        row = {"task": task, "state": json.dumps(state, ensure_ascii=False), "changed": now()}
        connection.execute(self._database.insert_or_replace(schema.operations), row)
        return state


def _state(connection: Connection, task: str) -> State | None:
    table = schema.operations
    found = connection.scalar(select(table.c.state).where(table.c.task == task))
    return None if found is None else dict(json.loads(found))


def _stages(connection: Connection, traces: Sequence[str]) -> dict[str, AuditStage]:
    table, found = schema.audits, dict[str, AuditStage]()
    for start in range(0, len(traces), PAGE):
        query = select(table.c.trace, table.c.stage).where(table.c.trace.in_(traces[start : start + PAGE]))
        found |= {trace: stage for trace, stage in connection.execute(query)}
    return found


def _row(one: Audit) -> dict[str, Any]:
    return {
        "trace": one.trace,
        "task": one.task,
        "certificate": one.certificate,
        "stage": one.stage,
        "early": int(one.early),
        "agrees": None if one.agrees is None else int(one.agrees),
        "losses": None if one.losses is None else json.dumps(dict(one.losses)),
        "facts": json.dumps(dict(one.facts)),
        "created": one.created or now(),
    }


def _audit(row: dict[str, Any]) -> Audit:
    row["early"], row["agrees"] = bool(row["early"]), None if row["agrees"] is None else bool(row["agrees"])
    row["losses"] = None if row["losses"] is None else json.loads(row["losses"])
    return Audit(**(row | {"facts": json.loads(row["facts"])}))
