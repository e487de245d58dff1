"""Virtual keys and teams: who may ask the gateway for what, and how much. Secrets are kept as SHA-256 hashes only."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from tutelage.errors import UnknownName, UsageError
from tutelage.store import schema
from tutelage.store.database import Database, now

PREFIX = "sk-tutelage-"
"""What every secret of a virtual key begins with."""
CHANGING = 7405819
"""The lock under which keys and teams are changed."""
NAME_LENGTH = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Per minute, and nanodollars per UTC day and month; None: as much as is asked."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget_day: int | None = None
    budget_month: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A virtual key. `scopes` are patterns (fnmatch) of models, none: all; times are UTC, ISO 8601.

    `team_limits` are those of its team as they are now, which all of the team's keys share.
    """

    id: str
    name: str
    team: str | None = None
    scopes: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    team_limits: Limits = field(default_factory=Limits)
    created: str = ""
    expires: str | None = None
    revoked: str | None = None


def hashed(secret: str) -> str:
    """A secret has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class KeyTable:
    """Keys by id, name and hash of the secret; names are unique among the keys that are not revoked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: Key) -> str:
        """Keep `key` (its `id` and `created` are set here) and return its secret, which is kept nowhere.

        Raises UsageError when a key that is not revoked has the name.
        """
        _check_name(key.name)
        secret, table = _new_secret(), schema.keys
        with self._database.alone(CHANGING) as connection:
            taken = select(table.c.id).where(table.c.name == key.name, table.c.revoked.is_(None))
            if connection.scalar(taken):
                raise UsageError(f"There is a key {key.name!r} already. Revoke it, rotate it, or take another name.")
            if key.team is not None:
                _add_team(connection, self._database, key.team)
            row = {
                "id": secrets.token_hex(8),
                "name": key.name,
                "hash": hashed(secret),
                "team": key.team,
                "scopes": json.dumps(key.scopes),
                "limits": _as_json(key.limits),
                "created": now(),
                "expires": key.expires,
                "revision": _next_revision(connection),
            }
            connection.execute(table.insert().values(row))
        return secret

    def list(self) -> list[Key]:
        """All keys in the order of their making, revoked ones too."""
        with self._database.read() as connection:
            teams = _teams(connection)
            rows = connection.execute(schema.keys.select().order_by(schema.keys.c.created, schema.keys.c.id))
            return [_key(dict(row._mapping), teams) for row in rows]

    def find(self, name: str) -> Key:
        """The key with this name that is not revoked, else the key with this id. Raises UnknownName."""
        keys = self.list()
        for key in keys:
            if key.name == name and key.revoked is None:
                return key
        for key in keys:
            if key.id == name:
                return key
        raise UnknownName("key", name, [key.name for key in keys if key.revoked is None])

    def by_hash(self) -> dict[str, Key]:
        """Every key by the hash of its secret; of a rotated one also by the old, which expires when its grace ends."""
        found: dict[str, Key] = {}
        with self._database.read() as connection:
            teams = _teams(connection)
            for row in connection.execute(schema.keys.select()):
                key = _key(dict(row._mapping), teams)
                found[row.hash] = key
                if row.old_hash:
                    found[row.old_hash] = replace(key, expires=min(filter(None, (key.expires, row.old_until))))
        return found

    def revision(self) -> int:
        """A number that grows with every change of a key or team: what was read at the same one is still true."""
        with self._database.read() as connection:
            return _revision(connection)

    def revoke(self, name: str) -> Key:
        """Refuse the key from now on. Raises UnknownName."""
        key = self.find(name)
        if key.revoked is None:
            key = replace(key, revoked=now())
            self._change(key.id, {"revoked": key.revoked})
        return key

    def rotate(self, name: str, grace: timedelta = timedelta(0)) -> str:
        """A new secret for the same key; the old one works until `grace` is over. Raises UnknownName, UsageError."""
        key, secret = self.find(name), _new_secret()
        if key.revoked is not None:
            raise UsageError(f"The key {name!r} is revoked. Make a new one: tutelage keys create {key.name}")
        until = (datetime.fromisoformat(now()) + grace).isoformat()
        old = {"old_hash": schema.keys.c.hash, "old_until": until} if grace else {"old_hash": None, "old_until": None}
        self._change(key.id, {"hash": hashed(secret), **old})
        return secret

    def set_team(self, name: str, limits: Limits) -> None:
        """Give the team these limits in place of those it had."""
        _check_name(name)
        row = {"name": name, "limits": _as_json(limits)}
        with self._database.alone(CHANGING) as connection:
            row["revision"] = _next_revision(connection)  # type: ignore[assignment]
            connection.execute(self._database.insert_or_replace(schema.teams).values(row))

    def teams(self) -> dict[str, Limits]:
        """The teams by name."""
        with self._database.read() as connection:
            return _teams(connection)

    def _change(self, id: str, values: Mapping[str, Any]) -> None:
        with self._database.alone(CHANGING) as connection:
            values = {**values, "revision": _next_revision(connection)}
            connection.execute(schema.keys.update().where(schema.keys.c.id == id).values(values))


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > NAME_LENGTH:
        raise UsageError(f"{name[:90]!r} is no name: it must have 1 to {NAME_LENGTH} characters.")


def _add_team(connection: Connection, database: Database, name: str) -> None:
    _check_name(name)
    row = {"name": name, "limits": _as_json(Limits()), "revision": _next_revision(connection)}
    connection.execute(database.insert_new(schema.teams).values(row))


def _as_json(limits: Limits) -> str:
    return json.dumps({name: value for name, value in asdict(limits).items() if value is not None})


def _teams(connection: Connection) -> dict[str, Limits]:
    rows = connection.execute(schema.teams.select().order_by(schema.teams.c.name))
    return {row.name: Limits(**json.loads(row.limits)) for row in rows}


def _key(row: Mapping[str, Any], teams: Mapping[str, Limits]) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        team=row["team"],
        scopes=tuple(json.loads(row["scopes"])),
        limits=Limits(**json.loads(row["limits"])),
        team_limits=teams.get(row["team"], Limits()),
        created=row["created"],
        expires=row["expires"],
        revoked=row["revoked"],
    )


def _revision(connection: Connection) -> int:
    newest = [connection.scalar(select(func.max(table.c.revision))) or 0 for table in (schema.keys, schema.teams)]
    return max(newest)


def _next_revision(connection: Connection) -> int:
    return _revision(connection) + 1
