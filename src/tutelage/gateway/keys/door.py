"""The door of the gateway: which key, what it may use, and whether its limits and budgets allow one more request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tutelage.gateway.keys.keyring import Keyring, allow
from tutelage.gateway.keys.purse import Purse, Reservation
from tutelage.gateway.keys.rates import NO_HEADERS, Rates
from tutelage.gateway.settings import GatewaySettings
from tutelage.store import Store
from tutelage.store.keys import Key

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """What was set aside for one request. `headers` go with the answer; `accounts` and what it cost go with its trace."""

    key: Key | None = None
    tokens: int = 0
    nanodollars: int = 0
    accounts: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    reservation: Reservation | None = None
    admitted: float = 0.0


OPEN = Admission(headers=NO_HEADERS)


class Door:
    """Keys, rates and budgets of one worker. A request is admitted once and settled once."""

    def __init__(self, keyring: Keyring, rates: Rates, purse: Purse, thread: ThreadPoolExecutor) -> None:
        self._keyring, self._rates, self._purse, self._thread = keyring, rates, purse, thread

    async def start(self) -> None:
        """Load the keys. Raises StoreError."""
        await self._keyring.start()
        await self._purse.start()

    async def close(self) -> None:
        """Give back what is leased and not reserved."""
        await self._keyring.close()
        await self._rates.close()
        await self._purse.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def key_of(self, authorization: str | None) -> Key | None:
        """The key that the header names, None where access is open and no key of tutelage was sent. Raises WireError 401."""
        return self._keyring.key_of(authorization)

    def name_of(self, id: str) -> str | None:
        """The name of the key with that id, None where none is known."""
        return self._keyring.name_of(id)

    async def find(self, authorization: str | None) -> Key | None:
        """As `key_of`, but a secret made a moment ago is looked for in the database before it is refused."""
        return await self._keyring.find(authorization)

    def allow(self, key: Key | None, model: str) -> None:
        """Raises WireError 403 where the key may not use the model."""
        allow(key, model)

    async def admit(self, key: Key | None, tokens: int, nanodollars: int) -> Admission:
        """Count the request and set aside what it may cost. Raises WireError 429, 503."""
        if key is None:
            return OPEN
        headers = await self._rates.admit(key, tokens)
        admitted = time.monotonic()
        try:
            reservation = await self._purse.reserve(key, nanodollars)
        except BaseException:  # refused, or the client has gone
            self._rates.settle(key, tokens, 0, 0.0)
            raise
        return Admission(key, tokens, nanodollars, reservation.accounts, headers, reservation, admitted)

    def settle(self, admission: Admission, tokens: int, nanodollars: int | None) -> None:
        """What the request really took; None: nothing was spent. What exceeds the estimates is counted too."""
        if admission.key is None or admission.reservation is None:
            return
        self._rates.settle(admission.key, admission.tokens, tokens, time.monotonic() - admission.admitted)
        self._purse.settle(admission.reservation, nanodollars)


def open_door(store: Store, settings: GatewaySettings, owner: str, clock: Callable[[], float] = time.time) -> Door:
    """The door of the worker `owner` (at most 100 characters, of no other that lives or has lived), to be started.

    Traces of this worker must bear the same owner. When a worker starts in the place of a dead one, the dead one's traces
    are stored first and then `store.ledger.release(dead)` frees what it had leased.
    """
    if settings.server.workers > 1 and settings.redis is None:
        log.warning(
            "%d workers without redis: each allows a key's requests and tokens per minute. Budgets are shared in any case.",
            settings.server.workers,
        )
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keys")
    keyring = Keyring(store.keys, settings.server.access, thread, clock)
    return Door(keyring, Rates(settings.redis), Purse(store.ledger, owner, thread, clock), thread)
