"""Budgets: never exceeded by any number of requests at once, and counted to the nanodollar."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, text

from tutelage.gateway.errors import WireError
from tutelage.gateway.keys.budgets import NANO, dollars, resets
from tutelage.gateway.keys.purse import Purse, Reservation
from tutelage.store import Key, Limits, Store, open_store
from tutelage.store.ledger import charge

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
DAY, MONTH = "key:k1:2026-11-21", "key:k1:2026-11"


class Clock:
    """Seconds since 1970 UTC, moved by hand."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = open_store(database_url)
    yield store
    store.close()


@asynccontextmanager
async def purse(store: Store, owner: str = "one", clock: Callable[[], float] = time.time) -> AsyncIterator[Purse]:
    with ThreadPoolExecutor(1) as thread:
        opened = Purse(store.ledger, owner, thread, clock)
        yield opened
        await opened.close()


def key(day: int | None = NANO, month: int | None = None, id: str = "k1", **more: object) -> Key:
    return replace(Key(id=id, name="ci", limits=Limits(budget_day=day, budget_month=month)), **more)  # type: ignore[arg-type]


async def refused(reserving: Awaitable[Reservation], status: int = 429) -> WireError:
    with pytest.raises(WireError) as raised:
        await reserving
    assert raised.value.status == status
    return raised.value


async def attempts(purse: Purse, who: Key, nanodollars: int, many: int) -> list[Reservation]:
    """Those of so many reservations at once that are granted; the others must be refused for the budget's sake."""
    found = await asyncio.gather(*(purse.reserve(who, nanodollars) for _ in range(many)), return_exceptions=True)
    for one in found:
        assert isinstance(one, Reservation) or (isinstance(one, WireError) and one.code == "insufficient_quota"), one
    return [one for one in found if isinstance(one, Reservation)]


def write(store: Store, owner: str, costs: Mapping[Reservation, int]) -> None:
    """As the writer of traces does."""
    for reservation, cost in costs.items():
        with store.database.write() as connection:
            for account in sorted(reservation.accounts):
                charge(connection, account, owner, cost)


@pytest.mark.parametrize("settled", [True, False])
def test_a_thousand_at_once_never_exceed_a_dollar(store: Store, settled: bool) -> None:
    cost = 3_000_001

    async def one(purse: Purse) -> int:
        try:
            reservation = await purse.reserve(key(), cost)
        except WireError as error:
            assert error.code == "insufficient_quota"
            return 0
        if settled:
            await asyncio.sleep(0)
            purse.settle(reservation, cost)
        return cost

    async def run() -> int:
        async with purse(store, clock=Clock()) as mine:
            return sum(await asyncio.gather(*(one(mine) for _ in range(1000))))

    assert asyncio.run(run()) == NANO // cost * cost


def test_many_who_wait_share_one_question(store: Store) -> None:
    transactions = 0

    def count(*_arguments: object) -> None:
        nonlocal transactions
        transactions += 1

    async def run() -> None:
        async with purse(store) as mine:
            event.listen(store.database.engine, "begin", count)
            assert len(await attempts(mine, key(10**6 * NANO), NANO, 1000)) == 1000
            assert transactions <= 2
            assert len(await attempts(mine, key(10**6 * NANO), 1000, 1000)) == 1000
            assert transactions <= 2

    asyncio.run(run())


def test_a_flood_over_the_budget_asks_seldom(store: Store) -> None:
    transactions = 0

    def count(*_arguments: object) -> None:
        nonlocal transactions
        transactions += 1

    async def run() -> None:
        async with purse(store, clock=Clock()) as mine:
            event.listen(store.database.engine, "begin", count)
            for _ in range(300):
                await refused(mine.reserve(key(), 2 * NANO))

    asyncio.run(run())
    assert transactions <= 3


def test_a_key_without_a_budget_asks_nothing(store: Store) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("the database was asked")

    async def run() -> None:
        async with purse(store, clock=Clock()) as mine:
            event.listen(store.database.engine, "begin", refuse)
            reservation = await mine.reserve(key(day=None), 5 * NANO)
            assert reservation.accounts == ()
            mine.settle(reservation, 6 * NANO)
            teamed = await mine.reserve(key(day=None, team="t"), 5)
            assert teamed.accounts == ("team:t:2026-11-21", "team:t:2026-11")

    asyncio.run(run())


def test_what_a_refusal_says(store: Store) -> None:
    async def run() -> None:
        async with purse(store, clock=Clock()) as mine:
            reservation = await mine.reserve(key(), 900_000_000)
            error = await refused(mine.reserve(key(), 200_000_000))
            assert error.headers["Retry-After"] == "10"  # it is only set aside, and may come back
            mine.settle(reservation, 900_000_000)
            write(store, "one", {reservation: 900_000_000})
        async with purse(store, "two", clock=Clock()) as other:
            error = await refused(other.reserve(key(), 200_000_000))
        assert (error.status, error.kind, error.code) == (429, "insufficient_quota", "insufficient_quota")
        assert error.headers == {"Retry-After": str(12 * 3600), "x-should-retry": "false"}
        assert "budget of $1.0000 a day of the key 'ci'" in str(error) and "$0.9000 is spent" in str(error)
        assert "2026-11-22T00:00:00Z" in str(error)

    asyncio.run(run())


def test_a_new_day_and_a_new_month_begin_anew(store: Store) -> None:
    clock = Clock()

    async def run() -> None:
        async with purse(store, clock=clock) as mine:
            who = key(NANO, 2 * NANO)
            for day in (21, 22):
                clock.now = datetime(2026, 11, day, 23, 59, 59, tzinfo=UTC).timestamp()
                reservation = await mine.reserve(who, NANO)
                assert f"key:k1:2026-11-{day}" in reservation.accounts
                await refused(mine.reserve(who, 1))
                clock.now += 2
                mine.settle(reservation, NANO)  # counts where it was reserved
                write(store, "one", {reservation: NANO})
            assert "a month of the key" in str(await refused(mine.reserve(who, 1)))
            clock.now = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
            await mine.reserve(who, NANO)

    asyncio.run(run())
    spent = {account: spent for account, (spent, _) in store.ledger.usage([DAY, MONTH]).items()}
    assert spent == {DAY: NANO, MONTH: 2 * NANO}


def test_what_costs_more_than_was_set_aside_counts(store: Store) -> None:
    async def run() -> None:
        async with purse(store, clock=Clock()) as mine:
            reservation = await mine.reserve(key(), NANO // 2)
            mine.settle(reservation, NANO * 3 // 4)
            write(store, "one", {reservation: NANO * 3 // 4})
            await refused(mine.reserve(key(), NANO // 2))
            async with purse(store, "two", clock=Clock()) as other:
                await refused(other.reserve(key(), NANO // 2))
            small = await mine.reserve(key(), NANO // 4)
            mine.settle(small, 5 * NANO)
            write(store, "one", {small: 5 * NANO})
            await refused(mine.reserve(key(), 1))
            assert (await mine.reserve(key(), 0)).nanodollars == 0  # what costs nothing goes on

    asyncio.run(run())
    assert store.ledger.usage([DAY]) == {DAY: (NANO * 23 // 4, 0)}


def test_a_dear_request_does_not_eat_what_is_reserved_for_another(store: Store) -> None:
    async def run() -> None:
        async with purse(store, clock=Clock()) as mine, purse(store, "two", clock=Clock()) as other:
            dear, other_one = await mine.reserve(key(), NANO // 4), await mine.reserve(key(), NANO // 4)
            mine.settle(dear, NANO // 2)
            write(store, "one", {dear: NANO // 2})
            for _ in range(100):
                if store.ledger.usage([DAY]) == {DAY: (NANO // 2, NANO // 4)}:
                    break
                await asyncio.sleep(0.02)
            assert len(await attempts(other, key(), NANO // 4, 9)) == 1
            mine.settle(other_one, NANO // 4)
            write(store, "one", {other_one: NANO // 4})

    asyncio.run(run())
    assert store.ledger.usage([DAY]) == {DAY: (NANO * 3 // 4, NANO // 4)}


def test_what_was_not_spent_is_free_again(store: Store) -> None:
    async def run() -> None:
        async with purse(store, clock=Clock()) as mine:
            for _ in range(50):
                mine.settle(await mine.reserve(key(), NANO), None)
            reservation = await mine.reserve(key(), NANO)
            mine.settle(reservation, 1)
            write(store, "one", {reservation: 1})
            await mine.reserve(key(), NANO - 1)
            await refused(mine.reserve(key(), 1))

    asyncio.run(run())


def test_an_idle_lease_goes_to_who_needs_it(store: Store) -> None:
    clock = Clock()

    async def run() -> None:
        async with purse(store, clock=clock) as mine, purse(store, "two", clock) as other:
            reservation = await mine.reserve(key(), NANO * 3 // 4)
            mine.settle(reservation, NANO // 4)
            await refused(other.reserve(key(), NANO // 2))
            clock.now += 9
            await mine.tend()
            await refused(other.reserve(key(), NANO // 2))
            clock.now += 2
            await mine.tend()
            # A quarter is spent, but not yet written.
            await other.reserve(key(), NANO * 3 // 4)
            await refused(other.reserve(key(), 1))
            write(store, "one", {reservation: NANO // 4})

    asyncio.run(run())
    assert store.ledger.usage([DAY]) == {DAY: (NANO // 4, NANO * 3 // 4)}


def test_a_team_shares_its_budget_whenever_it_was_set(store: Store) -> None:
    async def run() -> None:
        async with purse(store, clock=Clock()) as mine:
            early = await mine.reserve(key(None, team="t"), NANO // 2)
            limits = Limits(budget_month=NANO)
            ann, bob = (key(None, team="t", id=id, team_limits=limits) for id in ("k1", "k2"))
            late = await mine.reserve(ann, NANO // 4)
            mine.settle(early, NANO // 2)
            mine.settle(late, NANO // 4)
            write(store, "one", {early: NANO // 2, late: NANO // 4})
            assert "of the team 't'" in str(await refused(mine.reserve(bob, NANO // 2)))
            await mine.reserve(bob, NANO // 4)

    asyncio.run(run())
    assert store.ledger.usage(["team:t:2026-11"]) == {"team:t:2026-11": (NANO * 3 // 4, NANO // 4)}


def test_within_the_lease_requests_go_on_without_the_database(store: Store) -> None:
    async def run() -> None:
        async with purse(store) as mine:
            who = key(100 * NANO)
            await mine.reserve(who, NANO)  # leases a tenth
            with store.database.write() as connection:
                connection.execute(text("ALTER TABLE leases RENAME TO gone"))
            for _ in range(9):
                await mine.reserve(who, NANO)
            for _ in range(3):
                error = await refused(mine.reserve(who, NANO), 503)
                assert "the database does not answer" in str(error) and error.headers["Retry-After"] == "1"
            with store.database.write() as connection:
                connection.execute(text("ALTER TABLE gone RENAME TO leases"))
            await asyncio.sleep(1.1)
            assert len(await attempts(mine, who, NANO, 200)) == 90

    asyncio.run(run())


def test_who_leaves_while_waiting_takes_nothing(store: Store) -> None:
    async def run() -> None:
        async with purse(store) as mine:
            waiting = [asyncio.create_task(mine.reserve(key(), NANO // 2)) for _ in range(5)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert len(await attempts(mine, key(), NANO // 2, 5)) == 2

    asyncio.run(run())


def test_periods_end_and_dollars_are_shown() -> None:
    assert f"{resets('team:a:b:2026-12'):%Y-%m-%d}" == "2027-01-01"
    assert f"{resets('key:x:2028-02-28'):%Y-%m-%d}" == "2028-02-29"
    assert [dollars(n) for n in (0, 1, NANO, 123_456_789_012)] == ["$0.0000", "$0.000000001", "$1.0000", "$123.4568"]
