"""Entries in a SQLite file: they outlive the process, and workers of one machine share them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tutelage.gateway.cache.entry import Entry, pack, unpack
from tutelage.gateway.settings import Cache as CacheSettings
from tutelage.store.cache import CacheFile


class SqliteBackend:
    """The file is opened at first use, in the one thread that touches it, so that the event loop never waits for a disk."""

    def __init__(self, settings: CacheSettings, clock: Callable[[], float], where: Path) -> None:
        self._file = CacheFile(where, settings.size, settings.policy)
        self._ttl, self._clock = settings.ttl, clock
        self._thread = ThreadPoolExecutor(1, "cache")

    async def get(self, key: str) -> Entry | None:
        packed = await asyncio.get_running_loop().run_in_executor(self._thread, self._file.get, key, self._clock())
        return None if packed is None else unpack(packed)

    async def put(self, key: str, entry: Entry) -> None:
        now = self._clock()
        await asyncio.get_running_loop().run_in_executor(
            self._thread, self._file.put, key, pack(entry), now, now + self._ttl
        )

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)
