"""The door as the application uses it: key, rates and budget of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tutelage.gateway.errors import WireError
from tutelage.gateway.keys import open_door
from tutelage.gateway.settings import GatewaySettings, Server
from tutelage.store import Key, Limits, Store, open_store

KEYS = GatewaySettings(server=Server(access="keys"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "keys.db")
    yield store
    store.close()


def test_a_request_from_the_header_to_its_cost(store: Store) -> None:
    limits = Limits(tokens_per_minute=1000, budget_day=1000, budget_month=1000)
    secret = store.keys.add(Key(id="", name="ci", scopes=("gpt",), limits=limits))

    async def run() -> None:
        door = open_door(store, KEYS, "one")
        await door.start()
        key = door.key_of(f"Bearer {secret}")
        assert key is not None
        door.allow(key, "gpt")
        admission = await door.admit(key, 300, 600)
        assert admission.nanodollars == 600 and len(admission.accounts) == 2
        assert admission.headers["x-ratelimit-remaining-tokens"] == "700"
        with pytest.raises(WireError) as raised:
            await door.admit(key, 700, 600)
        assert raised.value.code == "insufficient_quota"
        door.settle(admission, 100, 250)
        again = await door.admit(key, 700, 750)  # what the refused one and the first did not take is there again
        door.settle(again, 0, None)
        await door.close()

    asyncio.run(run())
    (account,) = {account for account in accounts(store) if len(account.rpartition(":")[2]) == 10}
    assert store.ledger.usage([account]) == {account: (0, 250)}  # waits for its trace


def accounts(store: Store) -> list[str]:
    with store.database.read() as connection:
        return [row.account for row in connection.exec_driver_sql("SELECT account FROM leases")]


def test_who_needs_no_key_is_not_limited(store: Store) -> None:
    async def run() -> None:
        door = open_door(store, GatewaySettings(), "one")
        await door.start()
        assert door.key_of(None) is None
        assert await door.find("Bearer none") is None
        door.allow(None, "anything")
        admission = await door.admit(None, 10**9, 10**18)
        assert admission.accounts == () and admission.headers == {} and admission.key is None
        door.settle(admission, 10**9, 10**18)
        await door.close()

    asyncio.run(run())
    assert accounts(store) == []


def test_many_workers_without_redis_are_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    open_door(store, GatewaySettings(server=Server(workers=4)), "one")
    assert "4 workers without redis" in caplog.text
