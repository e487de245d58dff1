"""The ledger: what accounts have spent, and the leases out of which the gateway's workers spend.

An account is a budget's period, as `key:ID:2026-11-21` or `team:NAME:2026-11`. A worker (an owner) leases a part of what is
left and spends it without asking again. What it spent comes with its traces: `charge` moves it from the lease to spent in the
transaction that keeps the trace, so it is counted once however often the writer is killed. At all times

    spent + leases <= limit

unless a request has cost more than was set aside for it, which is counted all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tutelage.store import schema
from tutelage.store.database import Database, now

LEASING = 7405818
"""The lock under which leases are taken."""
LEASE_SECONDS = 900
"""How long a lease counts after its owner was last heard of. A killed worker that never comes back binds its lease so long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Want:
    """What an owner asks of an account with this `limit`: `need` more, at least `least` of it, and `debt` in any case, which
    is spent already. All in nanodollars."""

    account: str
    limit: int
    need: int
    least: int
    debt: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What was given, debt included, and how the account stands now: `leased` to all owners. All in nanodollars.

    `total` is what the owner was given in all, less what it gave back. An owner that never heard the answer to a question
    finds by it what it has. `fresh`: the owner had no lease before, or one that had expired.
    """

    account: str
    granted: int
    total: int
    fresh: bool
    spent: int
    leased: int


class LedgerTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def lease(self, wants: Iterable[Want], owner: str, share: float = 0.1) -> list[Grant]:
        """Of each account the larger of the need and `share` of what is left, or the rest; nothing where not even the least
        is left. Alone: the leases of two owners never overlap."""
        with self._database.alone(LEASING) as connection:
            # In one order everywhere, so that two transactions never wait for each other.
            ordered = sorted(wants, key=lambda want: want.account)
            return [_lease(connection, want, owner, share) for want in ordered]

    def give_back(self, amounts: Mapping[str, int], owner: str) -> None:
        """Take unspent nanodollars out of the owner's leases."""
        table = schema.leases
        with self._database.write() as connection:
            for account, amount in sorted(amounts.items()):
                mine = (table.c.account == account, table.c.owner == owner)
                less = {"granted": table.c.granted - amount, "nanodollars": table.c.nanodollars - amount}
                connection.execute(update(table).where(*mine).values(less))

    def renew(self, accounts: Iterable[str], owner: str) -> dict[str, int]:
        """Tell that the owner lives. Returns what it was given in all of the accounts of which it still has a lease, and
        drops what expired long ago."""
        table, kept = schema.leases, {}
        with self._database.write() as connection:
            for account in sorted(accounts):
                mine = (table.c.account == account, table.c.owner == owner, table.c.expires >= now())
                if connection.execute(update(table).where(*mine).values(expires=_later(LEASE_SECONDS))).rowcount:
                    kept[account] = int(connection.scalar(select(table.c.granted).where(*mine)) or 0)
            connection.execute(delete(table).where(table.c.expires < _later(-LEASE_SECONDS)))
        return kept

    def release(self, owner: str) -> None:
        """Drop the leases of an owner that lives no more. Its traces must have been charged before."""
        with self._database.alone(LEASING) as connection:
            connection.execute(delete(schema.leases).where(schema.leases.c.owner == owner))

    def usage(self, accounts: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Spent and leased nanodollars of each account."""
        with self._database.read() as connection:
            return {account: _standing(connection, account) for account in accounts}


def _lease(connection: Connection, want: Want, owner: str, share: float) -> Grant:
    table = schema.leases
    mine = (table.c.account == want.account, table.c.owner == owner)
    connection.execute(delete(table).where(table.c.account == want.account, table.c.expires < now()))
    spent, leased = _standing(connection, want.account)
    left = want.limit - spent - leased - want.debt
    granted = want.debt
    if left >= want.least > 0:
        granted += min(left, max(want.need, int(left * share)))
    before = connection.scalar(select(table.c.granted).where(*mine))
    if before is None and granted:
        row = {"account": want.account, "owner": owner, "granted": granted, "nanodollars": granted}
        connection.execute(table.insert().values(row | {"expires": _later(LEASE_SECONDS)}))
    elif before is not None:
        more = {"granted": table.c.granted + granted, "nanodollars": table.c.nanodollars + granted}
        connection.execute(update(table).where(*mine).values(more | {"expires": _later(LEASE_SECONDS)}))
    return Grant(
        account=want.account,
        granted=granted,
        total=int(before or 0) + granted,
        fresh=before is None,
        spent=spent,
        leased=leased + granted,
    )


def charge(connection: Connection, account: str, owner: str, nanodollars: int) -> None:
    """Add to what the account has spent and take it from the owner's lease, in the caller's transaction.

    Who charges several accounts in one transaction does so in the order of (account, owner), so that two never wait for
    each other.
    """
    accounts, leases = schema.accounts, schema.leases
    kind = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = kind.insert(accounts).values({"account": account, "spent": nanodollars})
    added = {"spent": accounts.c.spent + nanodollars}
    connection.execute(row.on_conflict_do_update(index_elements=["account"], set_=added))
    lease = (leases.c.account == account, leases.c.owner == owner)
    connection.execute(update(leases).where(*lease).values(nanodollars=leases.c.nanodollars - nanodollars))


def _standing(connection: Connection, account: str) -> tuple[int, int]:
    """Spent and leased, in one statement: a charge between two would be in neither."""
    accounts, leases = schema.accounts, schema.leases
    spent = select(accounts.c.spent).where(accounts.c.account == account).scalar_subquery()
    # A lease is below nothing while its owner has not yet told of what cost more than was set aside.
    held = case((leases.c.nanodollars > 0, leases.c.nanodollars), else_=0)
    leased = select(func.sum(held)).where(leases.c.account == account).scalar_subquery()
    row = connection.execute(select(func.coalesce(spent, 0), func.coalesce(leased, 0))).one()
    return int(row[0]), int(row[1])


def _later(seconds: float) -> str:
    return (datetime.fromisoformat(now()) + timedelta(seconds=seconds)).isoformat()
