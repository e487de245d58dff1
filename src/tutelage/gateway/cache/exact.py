"""The exact cache: equal requests are answered once.

cache = open_cache(settings.cache, settings.redis, folder)
key = cache.key(body, scope="chat|team-a|titles@3f2a")
found = await cache.once(key, ask)          # found.entry.body; found.how: "hit", "shared" or "made"

A cache is a convenience: where its place is dead, slow or locked, every request is a miss, told once a minute.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cachetools

from tutelage.errors import StoreError
from tutelage.gateway.cache.canonical import request_key
from tutelage.gateway.cache.entry import Backend, Entry
from tutelage.gateway.cache.rule import ANYTHING, Asked, Rule
from tutelage.gateway.settings import Cache as CacheSettings
from tutelage.registry import Table

BACKENDS = Table(
    "caches",
    "cache",
    {
        "memory": "tutelage.gateway.cache.memory:MemoryBackend",
        "sqlite": "tutelage.gateway.cache.sqlite:SqliteBackend",
        "redis": "tutelage.gateway.cache.redis:RedisBackend",
    },
)
"""Places of entries: `Backend(settings, clock)`; those besides memory take `where` too."""

PAUSE = 1.0
"""Seconds that a place is left alone after it failed, so that a dead one does not delay every request."""

LOG_EVERY = 60.0
VERDICTS = 4096
"""Requests whose verdict of the rule is remembered: it takes longer than the rest of the key."""

_log = logging.getLogger(__name__)


class Found(NamedTuple):
    """An answer and whence: kept before ("hit"), of an equal request under way ("shared"), or of the caller's own ("made")."""

    entry: Entry
    how: Literal["hit", "shared", "made"]


@dataclass(slots=True)
class Stats:
    """Counts since the start. `shared` are answered by an equal request under way, `refused` may not be kept, `errors` are
    failures of the place."""

    hits: int = 0
    misses: int = 0
    shared: int = 0
    kept: int = 0
    refused: int = 0
    errors: int = 0


def open_cache(
    settings: CacheSettings, redis_url: str | None, folder: Path, clock: Callable[[], float] = time.time
) -> Cache | None:
    """The cache of `settings`, or None for kind "none". SQLite's file is `folder`/cache.db.

    Raises MissingPackage where redis is not installed, UsageError for a URL that is none.
    """
    if settings.kind == "none":
        return None
    make = BACKENDS.load(settings.kind)
    if settings.kind == "sqlite":
        backend = make(settings, clock, folder / "cache.db")
    elif settings.kind == "redis":
        backend = make(settings, clock, redis_url)
    else:
        backend = make(settings, clock)
    return Cache(backend, Rule(settings.never, sampled=settings.sampled), clock)


class Cache:
    """Looks up, keeps, and lets equal requests of this process wait for one another. For one event loop."""

    def __init__(self, backend: Backend, rule: Rule, clock: Callable[[], float] = time.time) -> None:
        self.stats = Stats()
        self._backend, self._rule, self._clock = backend, rule, clock
        self._flights: dict[str, asyncio.Future[Entry | None]] = {}
        self._verdicts: cachetools.LRUCache[tuple[str, bool], bool] = cachetools.LRUCache(VERDICTS)
        self._resume = self._quiet_until = float("-inf")

    def key(self, body: Mapping[str, Any], scope: str, *, pure: bool = False) -> str | None:
        """The key of a request, or None where its answer may not be kept (`rule`).

        `scope` is all that must not be shared and is not in the body: the endpoint, the version of what answers (else a
        student trained anew is answered for by its predecessor), and the team. `pure`: what answers sees nothing but the
        text (a student, embeddings), so that words of time and person do not bind its answer; personal data still do.
        """
        key = request_key(body, scope)
        if key is not None:
            known = self._verdicts.get((key, pure))
            if known is None:
                known = self._verdicts[key, pure] = self._rule.refuses(body, pure=pure) is None
            if known:
                return key
        self.stats.refused += 1
        return None

    async def get(self, key: str, max_age: float | None = None) -> Entry | None:
        """The entry at `key`, at most `max_age` seconds old; None where there is none or the place fails."""
        entry = await self._read(key)
        if entry is not None and self._fresh(entry, max_age):
            self.stats.hits += 1
            return entry
        self.stats.misses += 1
        return None

    async def put(self, key: str, entry: Entry) -> None:
        """Keep `entry`; where the place fails it is not kept."""
        if self._clock() < self._resume:
            return
        try:
            await self._backend.put(key, entry)
            self.stats.kept += 1
        except StoreError as error:
            self._trouble(error)

    async def once(self, key: str, make: Callable[[], Awaitable[Entry]], allowed: Asked = ANYTHING) -> Found:
        """The entry at `key`, else `make`'s, which is kept. Of equal requests at once one calls `make`, the others wait.

        Where that one fails, or its client goes away, it alone ends so, and the next of those waiting calls `make`. A
        waiter that is cancelled cancels nobody else. Requests that may not read (`allowed`) do not wait for others.
        """
        if not allowed.read:
            entry = await make()
            if allowed.write:
                await self.put(key, entry)
            return Found(entry, "made")
        while (flight := self._flights.get(key)) is not None:
            # Shielded: cancelling who waits on a future would cancel the future.
            landed = await asyncio.shield(flight)
            if landed is not None and self._fresh(landed, allowed.max_age):
                self.stats.shared += 1
                return Found(landed, "shared")
        return await self._lead(key, make, allowed)

    async def _lead(self, key: str, make: Callable[[], Awaitable[Entry]], allowed: Asked) -> Found:
        flight: asyncio.Future[Entry | None] = asyncio.get_running_loop().create_future()
        self._flights[key] = flight
        entry: Entry | None = None
        try:
            entry = await self.get(key, allowed.max_age)
            if entry is not None:
                return Found(entry, "hit")
            entry = await make()
        finally:
            del self._flights[key]
            flight.set_result(entry)
        if allowed.write:
            await self.put(key, entry)
        return Found(entry, "made")

    async def close(self) -> None:
        await self._backend.close()

    def _fresh(self, entry: Entry, max_age: float | None) -> bool:
        return max_age is None or self._clock() - entry.created <= max_age

    async def _read(self, key: str) -> Entry | None:
        if self._clock() < self._resume:
            return None
        try:
            return await self._backend.get(key)
        except StoreError as error:
            self._trouble(error)
            return None

    def _trouble(self, error: StoreError) -> None:
        now = self._clock()
        self.stats.errors += 1
        self._resume = now + PAUSE
        if now >= self._quiet_until:
            self._quiet_until = now + LOG_EVERY
            _log.warning("The cache does not answer; requests go on without it. %s", error)
