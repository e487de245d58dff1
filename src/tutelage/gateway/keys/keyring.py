"""From an authorization header to a virtual key, in memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import datetime
from fnmatch import fnmatchcase
from math import inf
from typing import Literal

from tutelage.errors import StoreError
from tutelage.gateway.errors import WireError
from tutelage.store.keys import PREFIX, Key, KeyTable, hashed

REFRESH = 5.0
"""Seconds after which a change of a key reaches a worker at the latest."""
GAP = 1.0
"""Seconds between two looks into the database at least, however many unknown secrets come."""

log = logging.getLogger(__name__)


class Keyring:
    """All keys by the hash of their secret, looked up without the database; `thread` asks it in the background."""

    def __init__(
        self,
        table: KeyTable,
        access: Literal["open", "keys"],
        thread: Executor,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table, self._access, self._thread, self._clock = table, access, thread, clock
        self._keys: Mapping[str, tuple[Key, float]] = {}
        self._names: Mapping[str, str] = {}
        self._revision = -1
        self._looked = -inf
        self._looking: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the keys and keep them fresh. Raises StoreError."""
        await self._look()
        self._refreshing = asyncio.create_task(self._refresh())

    async def close(self) -> None:
        for task in (self._refreshing, self._looking):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, StoreError):
                    await task

    def key_of(self, authorization: str | None) -> Key | None:
        """The key that the header names; None where access is open and none of ours was sent. Raises WireError 401."""
        secret = _secret(authorization)
        # Clients of OpenAI must send something: where access is open, "none" or a key of another server is no key.
        if self._access == "open" and not secret.startswith(PREFIX):
            return None
        if not secret:
            raise _refused("No API key was sent. Send it as: Authorization: Bearer sk-tutelage-...")
        found = self._keys.get(hashed(secret))
        if found is None:
            raise _refused(f"The API key {_shown(secret)} is not known. Make one with: tutelage keys create NAME")
        key, expires = found
        if key.revoked is not None:
            raise _refused(f"The API key {key.name!r} was revoked at {key.revoked[:19]}Z. Ask for a new one.")
        if self._clock() >= expires:
            raise _refused(f"The API key {key.name!r} expired at {(key.expires or '')[:19]}Z. Ask for a new one.")
        return key

    def name_of(self, id: str) -> str | None:
        """The name of the key with that id, None where none is known."""
        return self._names.get(id)

    async def find(self, authorization: str | None) -> Key | None:
        """As `key_of`, but a secret that is not known is looked for in the database before it is refused. That is done at most
        once in GAP seconds: those who come in between wait together for the next time."""
        secret = _secret(authorization)
        if secret.startswith(PREFIX) and hashed(secret) not in self._keys:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look_when_due())
            with contextlib.suppress(StoreError, TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._looking), 2 * GAP)
        return self.key_of(authorization)

    async def _look_when_due(self) -> None:
        await asyncio.sleep(min(GAP, max(0.0, self._looked + GAP - self._clock())))
        await self._look()

    async def _look(self) -> None:
        self._looked = self._clock()
        loop = asyncio.get_running_loop()
        revision = await loop.run_in_executor(self._thread, self._table.revision)
        if revision != self._revision:
            keys = await loop.run_in_executor(self._thread, self._table.by_hash)
            self._keys = {hash: (key, _seconds(key.expires)) for hash, key in keys.items()}
            self._names = {key.id: key.name for key in keys.values()}
            self._revision = revision

    async def _refresh(self) -> None:
        reachable = True
        while True:
            await asyncio.sleep(REFRESH)
            try:
                await self._look()
            except StoreError as error:
                if reachable:
                    log.warning("Keys are not refreshed; those known go on working. %s", error)
                reachable = False
            else:
                reachable = True


def allow(key: Key | None, model: str) -> None:
    """Raises WireError 403 where the key's scopes do not hold the model."""
    if key is None or not key.scopes or any(fnmatchcase(model, scope) for scope in key.scopes):
        return
    scopes = ", ".join(key.scopes)
    raise WireError(
        403,
        f"The API key {key.name!r} may not use the model {model[:100]!r}. It may use: {scopes}.",
        code="model_not_found",
    )


def _secret(authorization: str | None) -> str:
    scheme, _, secret = (authorization or "").strip().partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _refused(message: str) -> WireError:
    return WireError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def _shown(secret: str) -> str:
    """What may be told of a secret: its begin and end, as OpenAI does."""
    return f"{secret[:14]!a}...{secret[-4:]!a}" if len(secret) > 30 else "sent"


def _seconds(moment: str | None) -> float:
    return inf if moment is None else datetime.fromisoformat(moment).timestamp()
