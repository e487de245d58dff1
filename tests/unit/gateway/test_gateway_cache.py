"""The exact cache in memory, SQLite and Redis: what is kept comes back, goes when it should, and failure is a miss."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sqlite3
import tomllib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from redis.asyncio import Redis

from tutelage.errors import StoreError, UsageError
from tutelage.gateway.cache import Asked, Cache, Entry, open_cache
from tutelage.gateway.cache.entry import pack, unpack
from tutelage.gateway.settings import Cache as CacheSettings
from tutelage.gateway.settings import GatewaySettings
from tutelage.gateway.settings import SemanticCache as SemanticSettings
from tutelage.types import Usage

REDIS = os.environ.get("TUTELAGE_TEST_REDIS", "")
DEAD = "redis://127.0.0.1:1/0"
Kind = Literal["memory", "sqlite", "redis"]
LOCAL: list[Kind] = ["memory", "sqlite"]
KINDS = [*LOCAL, pytest.param("redis", marks=pytest.mark.skipif(not REDIS, reason="TUTELAGE_TEST_REDIS is not set"))]
POLICIES: list[Literal["lru", "lfu", "fifo"]] = ["lru", "lfu", "fifo"]


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def entry(text: str, created: float = 1000.0) -> Entry:
    return Entry(text.encode(), "gpt", created, Usage(10, 2, 0.5, 1.5, 3))


@asynccontextmanager
async def opened(kind: Kind, folder: Path, clock: Clock | None = None, **settings: Any) -> AsyncIterator[Cache]:
    cache = open_cache(CacheSettings(kind=kind, **settings), REDIS, folder, clock or Clock())
    assert cache is not None
    try:
        yield cache
    finally:
        await cache.close()


def key() -> str:
    """A key that no other test has: Redis is shared."""
    return uuid.uuid4().hex


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_comes_back_as_it_was(kind: Kind, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(kind, tmp_path) as cache:
            one, kept = key(), entry('{"a": "ü\\n"}\n\n\x00 rest')
            assert await cache.get(one) is None
            await cache.put(one, kept)
            assert await cache.get(one) == kept
            await cache.put(one, entry("newer"))
            assert await cache.get(one) == entry("newer")
            assert await cache.get(key()) is None
            assert (cache.stats.hits, cache.stats.misses, cache.stats.kept, cache.stats.errors) == (2, 2, 2, 0)

    asyncio.run(run())


@pytest.mark.parametrize("kind", LOCAL)
def test_what_is_expired_is_gone(kind: Kind, tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        async with opened(kind, tmp_path, clock, ttl=10) as cache:
            await cache.put("a", entry("a"))
            clock.now += 9.9
            assert await cache.get("a") == entry("a")
            clock.now += 0.1
            assert await cache.get("a") is None

    asyncio.run(run())


@pytest.mark.skipif(not REDIS, reason="TUTELAGE_TEST_REDIS is not set")
def test_redis_forgets_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        one = key()
        async with opened("redis", tmp_path, ttl=0.05) as cache:
            await cache.put(one, entry("a"))
            assert await cache.get(one) == entry("a")
            await asyncio.sleep(0.1)
            assert await cache.get(one) is None
            assert cache.stats.errors == 0

    asyncio.run(run())


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_policy_says_what_goes(kind: Kind, policy: Literal["lru", "lfu", "fifo"], tmp_path: Path) -> None:
    async def run() -> set[str]:
        clock = Clock()
        async with opened(kind, tmp_path, clock, policy=policy, size=3) as cache:

            async def step(name: str, *, put: bool = False) -> None:
                clock.now += 1
                await (cache.put(name, entry(name)) if put else cache.get(name))

            for name in ("first", "second", "third"):
                await step(name, put=True)
            for name in ("first", "second", "second", "third", "third", "first"):  # first: used last; second: not
                await step(name)
            await step("third")
            await step("first")
            await step("fourth", put=True)
            return {name for name in ("first", "second", "third", "fourth") if await cache.get(name)}

    gone = {"lru": "second", "lfu": "second", "fifo": "first"}[policy]
    assert asyncio.run(run()) == {"first", "second", "third", "fourth"} - {gone}


@pytest.mark.parametrize("kind", LOCAL)
def test_the_policies_differ(kind: Kind, tmp_path: Path) -> None:
    """Often used long ago, or seldom used just now: only LRU forgets the first, only LFU the second."""

    async def run(policy: str) -> str:
        clock = Clock()
        folder = tmp_path / policy
        folder.mkdir()
        async with opened(kind, folder, clock, policy=policy, size=2) as cache:
            await cache.put("often", entry("often"))
            for _ in range(5):
                clock.now += 1
                await cache.get("often")
            clock.now += 1
            await cache.put("new", entry("new"))
            clock.now += 1
            await cache.put("newest", entry("newest"))
            return "often" if await cache.get("often") is None else "new"

    assert [asyncio.run(run(policy)) for policy in POLICIES] == ["often", "new", "often"]


def test_what_is_expired_goes_before_what_the_policy_says(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        async with opened("memory", tmp_path, clock, policy="lfu", size=2, ttl=100) as cache:
            await cache.put("old", entry("old"))
            for _ in range(9):
                await cache.get("old")
            clock.now += 50
            await cache.put("young", entry("young"))
            clock.now += 60
            await cache.put("new", entry("new"))
            assert await cache.get("young") is not None

    asyncio.run(run())


@pytest.mark.parametrize("kind", LOCAL)
def test_size_is_kept_to(kind: Kind, tmp_path: Path) -> None:
    async def run() -> int:
        async with opened(kind, tmp_path, size=300) as cache:
            for number in range(1000):
                await cache.put(str(number), entry("x"))
            return sum([await cache.get(str(number)) is not None for number in range(1000)])

    assert 295 <= asyncio.run(run()) <= 303


def test_sqlite_outlives_the_process(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened("sqlite", tmp_path) as cache:
            await cache.put("a", entry("a"))
        async with opened("sqlite", tmp_path) as first, opened("sqlite", tmp_path) as second:
            assert await first.get("a") == entry("a")
            await second.put("b", entry("b"))
            assert await first.get("b") == entry("b")

    asyncio.run(run())


def test_reads_are_written_down_in_bundles(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened("sqlite", tmp_path, policy="lfu") as cache:
            await cache.put("a", entry("a"))
            for _ in range(200):
                assert await cache.get("a")

    asyncio.run(run())
    with sqlite3.connect(tmp_path / "cache.db") as connection:
        (hits,) = connection.execute("SELECT hits FROM answers").fetchone()
    assert 128 <= hits <= 201


def test_a_locked_file_is_a_miss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        clock = Clock()
        async with opened("sqlite", tmp_path, clock) as cache:
            await cache.put("a", entry("a"))
            other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            await cache.put("b", entry("b"))
            assert cache.stats.errors == 1
            other.execute("ROLLBACK")
            other.close()
            assert await cache.get("a") is None, "left alone for a second"
            clock.now += 2
            assert await cache.get("a") == entry("a")
            assert await cache.get("b") is None

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert [record.getMessage() for record in caplog.records if "locked" in record.getMessage()] != []


@pytest.mark.parametrize("damage", ["no database", "no folder"])
def test_a_file_that_cannot_be_used_is_a_miss(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "absent" if damage == "no folder" else tmp_path
    if damage == "no database":
        (tmp_path / "cache.db").write_bytes(b"something else" * 100)

    async def run() -> None:
        clock = Clock()
        async with opened("sqlite", folder, clock) as cache:
            found = await cache.once("a", lambda: made("a"))
            assert (found.how, found.entry) == ("made", entry("a"))
            assert cache.stats.errors == 1

    asyncio.run(run())


def test_a_dead_redis_is_a_miss_and_told_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        clock = Clock()
        cache = open_cache(CacheSettings(kind="redis"), DEAD, tmp_path, clock)
        assert cache is not None
        for _ in range(61):
            assert (await cache.once("a", lambda: made("a"))).how == "made"
            clock.now += 1.0
        assert cache.stats.errors > 30
        await cache.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert len(caplog.records) == 2
    assert "Redis at 127.0.0.1 fails" in caplog.records[0].getMessage()


@pytest.mark.skipif(not REDIS, reason="TUTELAGE_TEST_REDIS is not set")
def test_a_foreign_value_in_redis_is_a_miss(tmp_path: Path) -> None:
    async def run() -> None:
        one, redis = key(), Redis.from_url(REDIS)
        await redis.set(f"tutelage:cache:{one}", b"\x80\x04something else", px=5000)
        await redis.aclose()
        async with opened("redis", tmp_path) as cache:
            assert await cache.get(one) is None
            assert cache.stats.errors == 1

    asyncio.run(run())


def test_settings_that_mean_no_cache(tmp_path: Path) -> None:
    assert open_cache(CacheSettings(), None, tmp_path) is None
    with pytest.raises(UsageError, match="not a Redis URL"):
        open_cache(CacheSettings(kind="redis"), "http://127.0.0.1", tmp_path)


def test_patterns_that_are_none_are_told() -> None:
    with pytest.raises(ValueError, match="is not a regular expression"):
        CacheSettings(never=["fine", "(open"])


def test_every_setting_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "caching.md").read_text(encoding="utf-8")
    names = [*CacheSettings.model_fields, *SemanticSettings.model_fields]
    assert [name for name in names if f"`{name}`" not in page and f"[cache.{name}]" not in page] == []


def test_what_the_page_says_to_write_can_be_written() -> None:
    page = (Path(__file__).parents[3] / "docs" / "caching.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    settings = GatewaySettings.model_validate(tomllib.loads(block))
    assert settings.cache.semantic is not None
    defaults = CacheSettings(semantic=settings.cache.semantic, kind="sqlite", never=settings.cache.never)
    assert settings.cache == defaults, "the page shows the defaults"


def test_packed_entries_are_no_pickles() -> None:
    assert unpack(pack(entry("a\nb"))) == entry("a\nb")
    for broken in (b"", b"[]", b'{"source": 1}\n', b"\x80\x04K\x01."):
        with pytest.raises(StoreError):
            unpack(broken)


async def made(text: str) -> Entry:
    return entry(text)


def test_equal_requests_are_made_once(tmp_path: Path) -> None:
    async def run() -> None:
        calls, gate = 0, asyncio.Event()

        async def make() -> Entry:
            nonlocal calls
            calls += 1
            await gate.wait()
            return entry("a")

        async with opened("memory", tmp_path) as cache:
            tasks = [asyncio.create_task(cache.once("a", make)) for _ in range(50)]
            other = asyncio.create_task(cache.once("b", lambda: made("b")))
            assert (await other).how == "made", "another request does not wait"
            gate.set()
            found = await asyncio.gather(*tasks)
            assert calls == 1
            assert sorted(one.how for one in found) == ["made"] + ["shared"] * 49
            assert {one.entry for one in found} == {entry("a")}
            assert (await cache.once("a", make)).how == "hit"
            assert (cache.stats.shared, cache.stats.misses, cache.stats.hits) == (49, 2, 1)

    asyncio.run(run())


def attempts(outcomes: list[str], gates: list[asyncio.Event]) -> tuple[list[int], Callable[[], Awaitable[Entry]]]:
    """A maker whose n-th call waits for gate n and ends as outcome n says; and the list of calls so far."""
    calls: list[int] = []

    async def make() -> Entry:
        number = len(calls)
        calls.append(number)
        await gates[number].wait()
        if outcomes[number] == "fails":
            raise RuntimeError(f"attempt {number}")
        return entry(str(number))

    return calls, make


def test_where_the_maker_fails_the_next_makes_it(tmp_path: Path) -> None:
    async def run() -> None:
        calls, make = attempts(["fails", "fails", "answers"], [asyncio.Event() for _ in range(3)])
        gates = [asyncio.Event() for _ in range(3)]
        calls, make = attempts(["fails", "fails", "answers"], gates)
        async with opened("memory", tmp_path) as cache:
            tasks = [asyncio.create_task(cache.once("a", make)) for _ in range(5)]
            for gate in gates:
                gate.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [str(one) for one in results if isinstance(one, BaseException)] == ["attempt 0", "attempt 1"]
            assert len(calls) == 3
            assert [one.entry for one in results if not isinstance(one, BaseException)] == [entry("2")] * 3

    asyncio.run(run())


def test_where_the_makers_client_goes_the_next_makes_it(tmp_path: Path) -> None:
    async def run() -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        calls, make = attempts(["answers", "answers"], gates)
        async with opened("memory", tmp_path) as cache:
            tasks = [asyncio.create_task(cache.once("a", make)) for _ in range(4)]
            await asyncio.sleep(0.01)
            assert calls == [0]
            tasks[0].cancel()
            await asyncio.sleep(0.01)
            assert calls == [0, 1]
            gates[1].set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError)
            assert [one.entry for one in results[1:] if not isinstance(one, BaseException)] == [entry("1")] * 3

    asyncio.run(run())


def test_a_waiter_that_goes_takes_nobody_along(tmp_path: Path) -> None:
    async def run() -> None:
        gates = [asyncio.Event()]
        calls, make = attempts(["answers"], gates)
        async with opened("memory", tmp_path) as cache:
            tasks = [asyncio.create_task(cache.once("a", make)) for _ in range(5)]
            await asyncio.sleep(0.01)
            for gone in (tasks[1], tasks[3]):
                gone.cancel()
            await asyncio.sleep(0.01)
            gates[0].set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(one, asyncio.CancelledError) for one in results] == [False, True, False, True, False]
            assert calls == [0]

    asyncio.run(run())


def test_a_client_may_ask_for_a_new_answer(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        async with opened("memory", tmp_path, clock) as cache:
            await cache.put("a", entry("kept"))
            found = await cache.once("a", lambda: made("unseen"), Asked(read=False, write=False))
            assert (found.how, found.entry) == ("made", entry("unseen"))
            assert await cache.get("a") == entry("kept")
            await cache.once("a", lambda: made("newer"), Asked(read=False))
            assert await cache.get("a") == entry("newer")
            clock.now += 30
            assert (await cache.once("a", lambda: made("x"), Asked(max_age=30))).how == "hit"
            assert (await cache.once("a", lambda: made("x"), Asked(max_age=29))).how == "made"

    asyncio.run(run())


def test_keys_follow_the_rule(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened("memory", tmp_path, never=["falcon"]) as cache:
            ask: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "where is my order?"}]}
            for _ in range(2):
                assert cache.key(ask, "chat") is None
                assert cache.key(ask, "chat", pure=True) is not None
            assert cache.key(ask | {"temperature": 1}, "chat", pure=True) is None
            assert cache.stats.refused == 3

    asyncio.run(run())
