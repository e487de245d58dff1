"""Requests and tokens per minute, in memory and in Redis."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Mapping

import pytest

from tutelage.errors import UsageError
from tutelage.gateway.errors import WireError
from tutelage.gateway.keys.rates import Rates
from tutelage.store import Key, Limits

REDIS = os.environ.get("TUTELAGE_TEST_REDIS", "")


@pytest.fixture(
    params=["memory", pytest.param("redis", marks=pytest.mark.skipif(not REDIS, reason="no TUTELAGE_TEST_REDIS"))]
)
def redis(request: pytest.FixtureRequest) -> str | None:
    return REDIS if request.param == "redis" else None


def key(requests: int | None = None, tokens: int | None = None) -> Key:
    """One that nobody has used: Redis is shared by all tests."""
    limits = Limits(requests_per_minute=requests, tokens_per_minute=tokens)
    return Key(id=uuid.uuid4().hex[:16], name="ci", limits=limits)


async def admitted(rates: Rates, who: Key, tokens: int, many: int) -> list[Mapping[str, str]]:
    found = await asyncio.gather(*(rates.admit(who, tokens) for _ in range(many)), return_exceptions=True)
    for one in found:
        assert isinstance(one, dict) or (isinstance(one, WireError) and one.status == 429), one
    return [one for one in found if isinstance(one, dict)]


def early() -> None:
    """Wait where a window in memory is about to end: counts of the one before weigh less and less."""
    if time.time() % 60 > 55:
        time.sleep(60 - time.time() % 60)


def test_no_more_requests_than_a_minute_allows(redis: str | None) -> None:
    early()

    async def run() -> None:
        rates, who, other = Rates(redis), key(requests=20), key(requests=1)
        assert len(await admitted(rates, who, 5, 50)) == 20
        assert len(await admitted(rates, other, 5, 3)) == 1
        with pytest.raises(WireError) as raised:
            await rates.admit(who, 5)
        error = raised.value
        assert (error.kind, error.code) == ("requests", "rate_limit_exceeded")
        assert "20 requests a minute is reached" in str(error) and 1 <= int(error.headers["Retry-After"]) <= 60
        assert error.headers["x-ratelimit-remaining-requests"] == "0"
        await rates.close()

    asyncio.run(run())


def test_headers_say_what_is_left(redis: str | None) -> None:
    early()

    async def run() -> None:
        rates, who = Rates(redis), key(requests=10, tokens=1000)
        await rates.admit(who, 100)
        headers = await rates.admit(who, 150)
        reset = [headers.pop(name) for name in ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")]  # type: ignore[attr-defined]
        assert headers == {
            "x-ratelimit-limit-requests": "10",
            "x-ratelimit-remaining-requests": "8",
            "x-ratelimit-limit-tokens": "1000",
            "x-ratelimit-remaining-tokens": "750",
        }
        assert all(0 <= float(one.removesuffix("s")) <= 60 for one in reset)
        assert await rates.admit(key(), 10**9) == {}
        await rates.close()

    asyncio.run(run())


def test_tokens_are_corrected_afterwards(redis: str | None) -> None:
    early()

    async def run() -> None:
        rates, who = Rates(redis), key(tokens=1000)
        await rates.admit(who, 900)
        assert await admitted(rates, who, 200, 1) == []
        rates.settle(who, 900, 100, 0.0)
        await rates.close()
        assert len(await admitted(rates, who, 195, 9)) == 4
        rates.settle(who, 195, 5000, 0.0)  # more than is left
        await rates.close()
        assert await admitted(rates, who, 1, 1) == []

    asyncio.run(run())


def test_a_late_answer_gives_back_only_what_still_counts(redis: str | None) -> None:
    early()

    async def run() -> None:
        rates, who = Rates(redis), key(tokens=1000)
        await rates.admit(who, 1000)
        rates.settle(who, 1000, 0, 61.0)
        await rates.close()
        assert await admitted(rates, who, 1, 1) == []
        rates.settle(who, 1000, 0, 30.0)
        await rates.close()
        assert len(await admitted(rates, who, 98, 9)) == 5

    asyncio.run(run())


def test_a_request_that_is_refused_for_its_number_takes_no_tokens(redis: str | None) -> None:
    early()

    async def run() -> None:
        rates, who = Rates(redis), key(requests=2, tokens=1000)
        await admitted(rates, who, 1, 9)
        with pytest.raises(WireError) as raised:
            await rates.admit(who, 998)
        assert raised.value.kind == "requests"
        with pytest.raises(WireError, match="1,001 tokens are more than the key's 1,000 a minute") as raised:
            await Rates(redis).admit(key(tokens=1000), 1001)
        assert raised.value.headers["x-should-retry"] == "false"
        await rates.close()

    asyncio.run(run())


@pytest.mark.skipif(not REDIS, reason="no TUTELAGE_TEST_REDIS")
def test_workers_share_through_redis() -> None:
    async def run() -> None:
        workers, who = [Rates(REDIS) for _ in range(4)], key(requests=30, tokens=10_000)
        found = await asyncio.gather(*(admitted(worker, who, 10, 20) for worker in workers))
        assert sum(map(len, found)) == 30
        for worker in workers:
            await worker.close()

    asyncio.run(run())


def test_without_redis_each_counts_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    early()

    async def run() -> None:
        rates, who = Rates("redis://127.0.0.1:1/0"), key(requests=5, tokens=100)
        assert len([await rates.admit(who, 1) for _ in range(5)]) == 5
        with pytest.raises(WireError):
            await rates.admit(who, 1)
        rates.settle(who, 1, 2, 0.0)
        await rates.close()

    asyncio.run(run())
    assert [record.message.split(";")[0] for record in caplog.records] == ["Redis does not answer"]


def test_a_url_that_is_none_is_told() -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        Rates("http://user:secret@host/")
