"""Requests and tokens per minute of a key, by the library `limits`: a sliding window, in memory or in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from limits import RateLimitItem, RateLimitItemPerMinute, WindowStats
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter as SharedLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from tutelage.errors import UsageError
from tutelage.gateway.errors import WireError
from tutelage.registry import load
from tutelage.store.keys import Key

WINDOW = 60.0
"""Seconds."""
AGAIN = 5.0
"""Seconds after which Redis is tried again when it has failed; until then each worker counts for itself."""
SEEN = 1.0
"""Seconds for which what Redis said is left is counted on here, for the headers alone."""
LATER = 0.5
"""Seconds in which corrections for Redis are gathered."""
TIMEOUT = 2.0
"""Seconds that Redis may take to answer."""
CONNECTIONS = 8
"""Connections of one worker to Redis."""
NO_HEADERS: Mapping[str, str] = {}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Limit:
    """So many of `kind` a minute, counted under `name`."""

    kind: Literal["requests", "tokens"]
    item: RateLimitItem
    name: str


class Rates:
    """Counters of one worker, or of all that share the Redis at `redis`.

    The counter is a sliding one (the minute before weighs by the part of it that is within the last 60 seconds), so twice
    the limit never passes around a minute's end. Raises UsageError and MissingPackage where the URL cannot be used.
    """

    def __init__(self, redis: str | None = None) -> None:
        # The library's synchronous counters: its asynchronous ones go through all keys at every request.
        self._here = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = SharedLimiter(_redis(redis)) if redis else None
        self._failed = -math.inf
        self._known: dict[str, tuple[Key, tuple[_Limit, ...]]] = {}
        self._seen: dict[str, tuple[float, WindowStats]] = {}
        self._owed: dict[_Limit, int] = {}
        self._settling: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._settling
        if self._shared is not None:
            await self._settle_shared(self._shared)

    async def admit(self, key: Key, tokens: int) -> Mapping[str, str]:
        """Count one request of so many tokens (an estimate); returns OpenAI's x-ratelimit headers. Raises WireError 429."""
        limits = self._limits(key)
        if not limits:
            return NO_HEADERS
        if self._shared is not None and time.monotonic() - self._failed >= AGAIN:
            try:
                return await self._admit_shared(self._shared, limits, tokens)
            except StorageError as error:
                self._fail(error)
        return self._admit_here(limits, tokens)

    def settle(self, key: Key, estimated: int, real: int, age: float) -> None:
        """Correct the tokens of a request that was admitted `age` seconds ago.

        What it did not need is given back by the part that certainly still counts: windows move on, and what was counted in
        one must not be taken from the next.
        """
        limit = next((one for one in self._limits(key) if one.kind == "tokens"), None)
        change = real - estimated
        if change < 0:
            late = 0.0 if self._shared is None else LATER
            change = -int(-change * max(0.0, 1 - (age + late) / WINDOW))
        if limit is None or change == 0:
            return
        if self._shared is None or time.monotonic() - self._failed < AGAIN:
            if not self._here.hit(limit.item, limit.name, cost=change):  # more than is left: nothing is
                self._here.hit(
                    limit.item, limit.name, cost=self._here.get_window_stats(limit.item, limit.name).remaining
                )
            return
        self._owed[limit] = self._owed.get(limit, 0) + change
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle_later(self._shared))

    def _limits(self, key: Key) -> tuple[_Limit, ...]:
        known = self._known.get(key.id)
        if known is None or known[0] is not key:
            amounts = (("requests", key.limits.requests_per_minute), ("tokens", key.limits.tokens_per_minute))
            limits = tuple(
                _Limit(kind, RateLimitItemPerMinute(amount, namespace="TUTELAGE"), f"{kind}/{key.id}")  # type: ignore[arg-type]
                for kind, amount in amounts
                if amount is not None
            )
            known = self._known[key.id] = (key, limits)
        return known[1]

    def _admit_here(self, limits: Sequence[_Limit], tokens: int) -> Mapping[str, str]:
        for n, limit in enumerate(limits):
            if not self._here.hit(limit.item, limit.name, cost=_cost(limit, tokens)):
                for before in limits[:n]:
                    self._here.hit(before.item, before.name, cost=-_cost(before, tokens))
                raise _exceeded(limit, tokens, self._here.get_window_stats(limit.item, limit.name))
        return _headers([(one, self._here.get_window_stats(one.item, one.name)) for one in limits])

    async def _admit_shared(self, shared: SharedLimiter, limits: Sequence[_Limit], tokens: int) -> Mapping[str, str]:
        for n, limit in enumerate(limits):  # one after the other: tasks would cost more than they save
            if not await shared.hit(limit.item, limit.name, cost=_cost(limit, tokens)):
                for before in limits[:n]:
                    await shared.hit(before.item, before.name, cost=-_cost(before, tokens))
                raise _exceeded(limit, tokens, await shared.get_window_stats(limit.item, limit.name))
        return _headers([(limit, await self._left(shared, limit, tokens)) for limit in limits])

    async def _left(self, shared: SharedLimiter, limit: _Limit, tokens: int) -> WindowStats:
        """What Redis said at most SEEN seconds ago, less what was asked here since: a second question costs as much as a hit."""
        now = time.monotonic()
        when, stats = self._seen.get(limit.name, (-math.inf, None))
        if stats is None or now - when >= SEEN:
            when, stats = now, await shared.get_window_stats(limit.item, limit.name)
        else:
            stats = WindowStats(stats.reset_time, max(0, stats.remaining - _cost(limit, tokens)))
        self._seen[limit.name] = (when, stats)
        return stats

    async def _settle_later(self, shared: SharedLimiter) -> None:
        """The corrections of LATER seconds at once: one each would cost as much again as the requests themselves."""
        while self._owed:
            await asyncio.sleep(LATER)
            await self._settle_shared(shared)

    async def _settle_shared(self, shared: SharedLimiter) -> None:
        owed, self._owed = self._owed, {}
        try:
            for limit, change in owed.items():
                if not await shared.hit(limit.item, limit.name, cost=change):  # more than is left: nothing is
                    left = (await shared.get_window_stats(limit.item, limit.name)).remaining
                    await shared.hit(limit.item, limit.name, cost=left)
        except StorageError as error:
            self._fail(error)

    def _fail(self, error: StorageError) -> None:
        if time.monotonic() - self._failed < AGAIN:
            return  # one of many that waited
        self._failed = time.monotonic()
        log.warning("Redis does not answer; each worker counts requests for itself. %s", error)


def _redis(url: str) -> RedisStorage:
    pools: Any = load("redis.asyncio:BlockingConnectionPool", "redis")
    times = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "timeout": TIMEOUT}
    try:
        # The library's own pool opens a connection for every request that waits.
        pool = pools.from_url(url, max_connections=CONNECTIONS, **times)
        return RedisStorage(f"async+{url}", wrap_exceptions=True, implementation="redispy", connection_pool=pool)
    except (ConfigurationError, ValueError) as error:
        place = url.rpartition("@")[2]
        raise UsageError(f"redis = {place!r} cannot be used: {error}. Write redis://HOST:PORT/0.") from None


def _cost(limit: _Limit, tokens: int) -> int:
    return 1 if limit.kind == "requests" else tokens


def _headers(left: Sequence[tuple[_Limit, WindowStats]]) -> dict[str, str]:
    now, headers = time.time(), {}
    for limit, stats in left:
        headers[f"x-ratelimit-limit-{limit.kind}"] = str(limit.item.amount)
        headers[f"x-ratelimit-remaining-{limit.kind}"] = str(stats.remaining)
        headers[f"x-ratelimit-reset-{limit.kind}"] = f"{max(0.0, stats.reset_time - now):.3f}s"
    return headers


def _exceeded(limit: _Limit, tokens: int, stats: WindowStats) -> WireError:
    amount, cost = limit.item.amount, _cost(limit, tokens)
    wait = max(1, math.ceil(stats.reset_time - time.time()))
    headers = _headers([(limit, stats)]) | {"Retry-After": str(wait)}
    if cost > amount:
        message = f"The request's {cost:,} tokens are more than the key's {amount:,} a minute. Send a shorter one."
        headers["x-should-retry"] = "false"
    else:
        message = (
            f"The key's limit of {amount:,} {limit.kind} a minute is reached: {stats.remaining:,} are left, this request "
            f"needs {cost:,}. Try again in {wait} seconds."
        )
    return WireError(429, message, limit.kind, "rate_limit_exceeded", headers)
