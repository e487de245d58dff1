"""Money: reserved before a call, settled after it.

A reservation that was never settled (the process was killed) keeps counting at its full amount: the call may have been
billed, so a budget is never exceeded, at the price of a little less being spent.
"""

from __future__ import annotations

from sqlalchemy import Connection, Select, func, select

from tutelage.errors import BudgetExceeded
from tutelage.store import schema
from tutelage.store.database import Database, now

SPENDING = 7405816
"""The lock under which money is set aside."""


class SpendTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def spent(self, account: str) -> float:
        """Dollars settled, and reserved where not settled, on `account`."""
        with self._database.read() as connection:
            return float(connection.scalar(_spent(account)) or 0.0)

    def reserve(self, account: str, dollars: float, budget: float | None) -> int:
        """Set `dollars` aside and return the reservation. Raises BudgetExceeded when the budget does not allow it."""
        # Alone: two processes that label at once must not both take the last of the budget.
        with self._database.alone(SPENDING) as connection:
            return reserve(connection, account, dollars, budget)

    def settle(self, reservation: int, dollars: float) -> None:
        """Replace the reserved amount by what the call really cost."""
        with self._database.write() as connection:
            settle(connection, reservation, dollars)


def reserve(connection: Connection, account: str, dollars: float, budget: float | None) -> int:
    """As `SpendTable.reserve`, in a transaction that holds SPENDING alone."""
    spent = float(connection.scalar(_spent(account)) or 0.0) if budget is not None else 0.0
    if budget is not None and spent + dollars > budget:
        raise BudgetExceeded(
            f"The budget of ${budget:.4f} is used up: ${spent:.4f} spent or reserved, the next call may cost "
            f"${dollars:.4f}. Raise it with --budget."
        )
    row = {"account": account, "reserved": dollars, "settled": None, "created": now()}
    key = connection.execute(schema.spend.insert().values(row)).inserted_primary_key
    return int(key[0]) if key else 0


def settle(connection: Connection, reservation: int, dollars: float) -> None:
    table = schema.spend
    connection.execute(table.update().where(table.c.id == reservation).values(settled=dollars))


def _spent(account: str) -> Select[tuple[float | None]]:
    table = schema.spend
    return select(func.sum(func.coalesce(table.c.settled, table.c.reserved))).where(table.c.account == account)
