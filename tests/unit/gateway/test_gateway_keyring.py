"""Headers to keys: what each refusal says, how soon a change arrives, and what a flood of bad keys costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import event, text

from tutelage.gateway.errors import WireError
from tutelage.gateway.keys import keyring
from tutelage.gateway.keys.keyring import Keyring, allow
from tutelage.store import Key, Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "keys.db")
    yield store
    store.close()


@asynccontextmanager
async def opened(store: Store, access: Literal["open", "keys"] = "keys", ahead: float = 0.0) -> AsyncIterator[Keyring]:
    """A keyring whose clock runs `ahead` seconds before ours."""
    with ThreadPoolExecutor(1) as thread:
        ring = Keyring(store.keys, access, thread, lambda: time.time() + ahead)
        await ring.start()
        yield ring
        await ring.close()


def refusal(ring: Keyring, authorization: str | None) -> str:
    with pytest.raises(WireError) as raised:
        ring.key_of(authorization)
    error = raised.value
    assert (error.status, error.code, error.kind) == (401, "invalid_api_key", "invalid_request_error")
    assert error.headers["WWW-Authenticate"] == "Bearer" and "\n" not in str(error)
    return str(error)


def test_each_refusal_says_why(store: Store) -> None:
    good = store.keys.add(Key(id="", name="good"))
    gone = store.keys.add(Key(id="", name="gone"))
    store.keys.revoke("gone")
    old = store.keys.add(Key(id="", name="old", expires=(datetime.now(UTC) - timedelta(hours=1)).isoformat()))

    async def run() -> None:
        async with opened(store) as ring:
            key = ring.key_of(f"bearer  {good} ")
            assert key is not None and key.name == "good"
            for nothing in (None, "", "Bearer", "Bearer ", f"Basic {good}", good):
                assert "No API key was sent" in refusal(ring, nothing)
            unknown = refusal(ring, f"Bearer {good[:-1]}_")
            assert "is not known" in unknown and good[14:-4] not in unknown
            assert "'gone' was revoked" in refusal(ring, f"Bearer {gone}")
            assert "'old' expired" in refusal(ring, f"Bearer {old}")
            assert "is not known" in refusal(ring, "Bearer \udcff\x00" + "x" * 100_000)

    asyncio.run(run())


def test_open_access_takes_anybody_but_checks_keys_of_ours(store: Store) -> None:
    good = store.keys.add(Key(id="", name="good"))

    async def run() -> None:
        async with opened(store, "open") as ring:
            assert [ring.key_of(one) for one in (None, "Bearer none", "Bearer sk-proj-1")] == [None] * 3
            key = ring.key_of(f"Bearer {good}")
            assert key is not None and key.name == "good"
            assert "is not known" in refusal(ring, "Bearer sk-tutelage-unknown")

    asyncio.run(run())


def test_a_grace_ends_by_the_clock(store: Store) -> None:
    old = store.keys.add(Key(id="", name="ci"))
    new = store.keys.rotate("ci", timedelta(hours=1))

    async def run(ahead: float) -> tuple[bool, bool]:
        async with opened(store, ahead=ahead) as ring:
            works = []
            for secret in (old, new):
                try:
                    works.append(ring.key_of(f"Bearer {secret}") is not None)
                except WireError:
                    works.append(False)
            return works[0], works[1]

    assert asyncio.run(run(3500)) == (True, True)
    assert asyncio.run(run(3700)) == (False, True)


def test_changes_arrive_in_the_background(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "REFRESH", 0.02)
    secret = store.keys.add(Key(id="", name="ci", team="t"))

    async def until_refused(ring: Keyring) -> str:
        for _ in range(250):
            await asyncio.sleep(0.02)
            try:
                ring.key_of(f"Bearer {secret}")
            except WireError as error:
                return str(error)
        return ""

    async def run() -> None:
        async with opened(store) as ring:
            assert ring.key_of(f"Bearer {secret}") is not None
            store.keys.revoke("ci")
            assert "was revoked" in await until_refused(ring)

    asyncio.run(run())


def test_a_new_key_works_at_once_and_a_flood_of_bad_ones_asks_nothing(store: Store) -> None:
    queries = 0

    def count(*_arguments: object) -> None:
        nonlocal queries
        queries += 1

    async def run() -> None:
        async with opened(store) as ring:
            secret = store.keys.add(Key(id="", name="new"))
            found = await asyncio.gather(*(ring.find(f"Bearer {secret}") for _ in range(20)))
            assert {key.name for key in found if key} == {"new"} and len(found) == 20
            event.listen(store.database.engine, "before_cursor_execute", count)
            bad = [ring.find(f"Bearer sk-tutelage-{n}") for n in range(2000)]
            refused = await asyncio.gather(*bad, return_exceptions=True)
            assert all(isinstance(one, WireError) and one.status == 401 for one in refused)

    asyncio.run(run())
    assert queries <= 6


def test_known_keys_outlive_the_database(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "REFRESH", 0.02)
    secret = store.keys.add(Key(id="", name="ci"))

    async def run() -> None:
        async with opened(store) as ring:
            with store.database.write() as connection:
                connection.execute(text("DROP TABLE keys"))
            await asyncio.sleep(0.2)
            assert await ring.find(f"Bearer {secret}") is not None
            with pytest.raises(WireError, match="is not known"):
                await ring.find("Bearer sk-tutelage-other")

    asyncio.run(run())


def test_scopes_are_patterns() -> None:
    key = Key(id="1", name="ci", scopes=("characters/*", "gpt"))
    for model in ("characters/tagger", "gpt"):
        allow(key, model)
    allow(None, "anything")
    allow(Key(id="1", name="all"), "anything")
    for model in ("characters", "gpt-5", "GPT", "", "other/characters/x"):
        with pytest.raises(WireError, match="may not use the model") as raised:
            allow(key, model)
        assert (raised.value.status, raised.value.code) == (403, "model_not_found")
