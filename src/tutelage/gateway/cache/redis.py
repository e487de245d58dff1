"""Entries in Redis: replicas on several machines share them.

Redis itself forgets: each entry after `ttl`, and others when its memory is full, as its own `maxmemory-policy` says
(allkeys-lru, allkeys-lfu, ...); `policy` and `size` of the settings have no effect here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tutelage.errors import StoreError, UsageError
from tutelage.gateway.cache.entry import Entry, pack, unpack
from tutelage.gateway.settings import Cache as CacheSettings

TIMEOUT = 0.25
"""Seconds: a cache slower than this is none."""

PREFIX = "tutelage:cache:"


class RedisBackend:
    """Raises UsageError for a URL that is none."""

    def __init__(self, settings: CacheSettings, _clock: Callable[[], float], where: str) -> None:
        try:
            self._redis = Redis.from_url(where, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        except ValueError as error:
            raise UsageError(f"The value of redis is not a Redis URL: {error}. Write redis://HOST:PORT/0.") from None
        self._place = urlsplit(where).hostname or where
        self._milliseconds = max(1, math.ceil(settings.ttl * 1000))

    async def get(self, key: str) -> Entry | None:
        try:
            packed: bytes | None = await self._redis.get(PREFIX + key)  # type: ignore[assignment]  # bytes: no decoding
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        return None if packed is None else unpack(packed)

    async def put(self, key: str, entry: Entry) -> None:
        try:
            await self._redis.set(PREFIX + key, pack(entry), px=self._milliseconds)
        except (RedisError, OSError) as error:
            raise self._failed(error) from error

    async def close(self) -> None:
        await self._redis.aclose()

    def _failed(self, error: Exception) -> StoreError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return StoreError(f"Redis at {self._place} fails: {reason.rstrip('.')}. Check that it runs and has memory.")
