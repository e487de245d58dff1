"""Entries in this process's memory."""

from __future__ import annotations

from collections.abc import Callable

import cachetools

from tutelage.gateway.cache.entry import Entry
from tutelage.gateway.settings import Cache as CacheSettings

POLICIES: dict[str, type[cachetools.Cache[str, tuple[float, Entry]]]] = {
    "lru": cachetools.LRUCache,
    "lfu": cachetools.LFUCache,
    "fifo": cachetools.FIFOCache,
}


class MemoryBackend:
    """At most `size` entries; what is expired goes first, then what the policy says. Lost when the process ends."""

    def __init__(self, settings: CacheSettings, clock: Callable[[], float]) -> None:
        self._entries = POLICIES[settings.policy](settings.size)
        self._ttl, self._clock, self._next_sweep = settings.ttl, clock, 0.0

    async def get(self, key: str) -> Entry | None:
        found = self._entries.get(key)
        if found is None:
            return None
        expires, entry = found
        if self._clock() >= expires:
            del self._entries[key]
            return None
        return entry

    async def put(self, key: str, entry: Entry) -> None:
        now = self._clock()
        if len(self._entries) >= self._entries.maxsize and now >= self._next_sweep:
            self._sweep(now)
        self._entries[key] = (now + self._ttl, entry)

    async def close(self) -> None:
        self._entries.clear()

    def _sweep(self, now: float) -> None:
        """Drop what is expired; seldom, because it looks at every entry."""
        self._next_sweep = now + max(1.0, self._ttl / 10)
        look = cachetools.Cache.__getitem__  # the base class's: looking here is no use of the entry
        for key in [key for key in self._entries if now >= look(self._entries, key)[0]]:
            del self._entries[key]
