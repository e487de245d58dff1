"""Budgets held by many workers at once: each spends from leases that it takes from the ledger.

A reservation takes from the worker's lease, in memory. Only when the lease is too small is the ledger asked, in one thread
and for all who wait at once. At all times what is spent, reserved and leased is within the limit, in whatever process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TypeVar

from tutelage.errors import StoreError
from tutelage.gateway.errors import WireError
from tutelage.gateway.keys.budgets import Budget, budgets, used_up
from tutelage.store.keys import Key
from tutelage.store.ledger import LEASE_SECONDS, Grant, LedgerTable, Want

SHARE = 0.1
"""The part of what is left of a budget that a worker leases at a time."""
IDLE = 10.0
"""Seconds after which a lease that nobody used is given back."""
TEND = 5.0
"""Seconds between two looks after the leases."""
REMEMBERED = 1.0
"""Seconds for which the ledger's refusal, or its failure, is not asked for again."""
PATIENCE = 5.0
"""Seconds that a request waits for the ledger."""

RENEWAL = 60.0
"""Seconds between two renewals of a lease."""

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lease:
    """A worker's part of one account, in nanodollars. `free` is below 0 where a request cost more than was leased."""

    limit: int
    free: int = 0
    reserved: int = 0
    total: int = 0
    """What the ledger granted in all, as last heard; `unsure`: a question has had no answer since."""
    unsure: bool = False
    expires: float = 0.0
    used: float = 0.0
    refused: tuple[float, int, Grant] | None = None
    """Until when a need from which size on is refused, and how the account stood."""

    def covers(self, nanodollars: int, now: float) -> bool:
        """Whether so much is free. Of a lease that was not renewed in time others may have got it."""
        return nanodollars == 0 or (self.free >= nanodollars and now < self.expires)


@dataclass(frozen=True, slots=True)
class Reservation:
    """`nanodollars` set aside for one request of a key. `accounts` are all that it will be charged to, `leased` those of
    them with a limit."""

    key: str
    accounts: tuple[str, ...]
    nanodollars: int
    leased: tuple[str, ...] = ()


@dataclass(slots=True)
class _Turn:
    """The next question to the ledger: what is needed of which accounts, and who waits for the answer."""

    needs: dict[str, list[int]] = field(default_factory=dict)
    answer: asyncio.Future[None] | None = None


class Purse:
    """The leases of one worker, `owner`. One event loop; `clock` is seconds since 1970 UTC."""

    def __init__(
        self, ledger: LedgerTable, owner: str, thread: Executor, clock: Callable[[], float] = time.time
    ) -> None:
        self._ledger, self._owner, self._thread, self._clock = ledger, owner, thread, clock
        self._leases: dict[str, _Lease] = {}
        self._known: dict[str, tuple[Key, int, tuple[Budget, ...]]] = {}
        self._turn = _Turn()
        self._asking: asyncio.Task[None] | None = None
        self._tending: asyncio.Task[None] | None = None
        self._alone = asyncio.Lock()
        self._broken = 0.0

    async def start(self) -> None:
        self._tending = asyncio.create_task(self._tend_forever())

    async def close(self) -> None:
        """Give back what is not reserved."""
        if self._tending is not None:
            self._tending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tending
        if self._asking is not None:
            await self._asking
        with contextlib.suppress(StoreError):
            await self.tend(idle=0.0)

    async def reserve(self, key: Key, nanodollars: int) -> Reservation:
        """Set `nanodollars` aside in all budgets of the key and its team.

        Raises WireError 429 where one is used up, 503 where the ledger must be asked and does not answer.
        """
        due = self._budgets(key)
        if not due:
            return Reservation(key.id, (), nanodollars)
        leased = [(budget, self._lease_of(budget)) for budget in due if budget.limit is not None]
        now = self._clock()
        while short := [(budget, lease) for budget, lease in leased if not lease.covers(nanodollars, now)]:
            for budget, lease in short:
                self._check(budget, lease, nanodollars)
            await self._more({budget.account: nanodollars for budget, _ in short})
            leased, now = [(budget, self._lease_of(budget)) for budget, _ in leased], self._clock()
        for _, lease in leased:
            lease.free -= nanodollars
            lease.reserved += nanodollars
            lease.used = now
        names = tuple(budget.account for budget in due)
        return Reservation(key.id, names, nanodollars, tuple(budget.account for budget, _ in leased))

    def settle(self, reservation: Reservation, nanodollars: int | None) -> None:
        """What the request cost in the end, None for nothing: the rest is free again, and what is beyond is counted too.

        The ledger is charged when the request's trace is stored.
        """
        cost = nanodollars or 0
        for account in reservation.accounts:
            lease = self._leases.get(account)
            if lease is None:
                continue
            held = reservation.nanodollars if account in reservation.leased else 0
            lease.reserved -= held
            lease.free += held - cost
            if lease.free < 0:
                self._ask({account: None})

    def _budgets(self, key: Key) -> tuple[Budget, ...]:
        day = int(self._clock()) // 86400
        known = self._known.get(key.id)
        if known is None or known[0] is not key or known[1] != day:
            known = self._known[key.id] = (key, day, budgets(key, day))
        return known[2]

    def _lease_of(self, budget: Budget) -> _Lease:
        lease = self._leases.get(budget.account)
        if lease is None:
            lease = self._leases[budget.account] = _Lease(budget.limit or 0, used=self._clock())
        lease.limit = budget.limit or 0
        return lease

    def _check(self, budget: Budget, lease: _Lease, need: int) -> None:
        now = self._clock()
        if lease.refused is not None:
            until, least, grant = lease.refused
            if now < until and need - max(lease.free, 0) >= least:
                raise used_up(budget, need, grant.spent, grant.leased, now, IDLE)
        if now < self._broken:
            raise _unreachable()

    async def _more(self, needs: dict[str, int]) -> None:
        """Wait for one answer of the ledger. Raises WireError 503."""
        answer = self._ask({account: need for account, need in needs.items()})
        try:
            await asyncio.wait_for(asyncio.shield(answer), PATIENCE)
        except (StoreError, TimeoutError):
            raise _unreachable() from None

    def _ask(self, needs: dict[str, int | None]) -> asyncio.Future[None]:
        """Put the needs (None: a debt alone) into the next question; who asks while one is under way shares the next."""
        turn = self._turn
        for account, need in needs.items():
            turn.needs.setdefault(account, []).extend([] if need is None else [need])
        if turn.answer is None:
            turn.answer = asyncio.get_running_loop().create_future()
            turn.answer.add_done_callback(_seen)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_in_turns())
        return turn.answer

    async def _ask_in_turns(self) -> None:
        while self._turn.answer is not None:
            async with self._alone:
                turn, self._turn = self._turn, _Turn()
                await self._put(turn)

    async def _put(self, turn: _Turn) -> None:
        assert turn.answer is not None
        began = self._clock()
        wants = [want for account, needs in turn.needs.items() if (want := self._want(account, needs, began))]
        try:
            grants = await self._in_thread(lambda: self._ledger.lease(wants, self._owner, SHARE)) if wants else []
        except StoreError as error:
            if not self._broken:  # once until it answers again
                log.warning("The ledger does not answer; requests beyond the leases are refused. %s", error)
            self._broken = self._clock() + REMEMBERED
            for want in wants:
                self._leases[want.account].unsure = True
            turn.answer.set_exception(error)
            return
        self._broken = 0.0
        asked = {want.account: want for want in wants}
        for grant in grants:
            self._take(asked[grant.account], grant, began)
        turn.answer.set_result(None)

    def _want(self, account: str, needs: list[int], now: float) -> Want | None:
        lease = self._leases[account]
        least, need = (max(0, f(needs) - max(lease.free, 0)) if needs else 0 for f in (min, sum))
        debt, stale = max(0, -lease.free), lease.expires <= now
        if least or debt or stale:
            return Want(account=account, limit=lease.limit, need=need if least else 0, least=least, debt=debt)
        return None

    def _take(self, want: Want, grant: Grant, began: float) -> None:
        lease = self._leases[want.account]
        if want.least and grant.granted == want.debt:
            lease.refused = (self._clock() + REMEMBERED, want.least, grant)
        else:
            lease.refused = None
        if grant.fresh:
            _lapse(lease)
        self._hear(lease, grant.total, began)

    async def tend(self, idle: float = IDLE) -> None:
        """Renew the leases, and give back those not used for `idle` seconds. Raises StoreError."""
        async with self._alone:
            began = self._clock()
            due = [account for account, lease in self._leases.items() if _is_due(lease, began, idle)]
            if due:
                totals = await self._in_thread(lambda: self._ledger.renew(due, self._owner))
                for account in due:
                    if account in totals:
                        self._hear(self._leases[account], totals[account], began)
                    else:
                        _lapse(self._leases[account])
            back = {}
            for account, lease in self._leases.items():
                if lease.free > 0 and self._clock() - lease.used >= idle:
                    # Gone here before it is gone there; what was not taken there comes back with the next total.
                    back[account], lease.free, lease.total = lease.free, 0, lease.total - lease.free
                    lease.unsure = True
            if back:
                await self._in_thread(lambda: self._ledger.give_back(back, self._owner))
            for account in back:
                self._leases[account].unsure = False
            gone = [account for account, lease in self._leases.items() if _is_gone(lease, began)]
            for account in gone:
                if account not in self._turn.needs:
                    del self._leases[account]
        debts: dict[str, int | None] = {account: None for account, lease in self._leases.items() if lease.free < 0}
        if debts:
            self._ask(debts)

    def _hear(self, lease: _Lease, total: int, began: float) -> None:
        # A grant or a return whose answer was lost on the way is in the total.
        lease.free += total - lease.total
        lease.total, lease.expires, lease.unsure = total, began + LEASE_SECONDS, False

    async def _tend_forever(self) -> None:
        told = False
        while True:
            await asyncio.sleep(TEND)
            try:
                await self.tend()
                told = False
            except StoreError as error:
                if not told:
                    log.warning("Leases are not renewed; they hold for %d seconds. %s", LEASE_SECONDS, error)
                told = True

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _lapse(lease: _Lease) -> None:
    """The ledger has dropped the lease: what is reserved is a debt now, which is counted before anything else is leased."""
    if lease.total:
        lease.free, lease.total, lease.expires = min(lease.free, 0) - lease.reserved, 0, 0.0


def _is_due(lease: _Lease, now: float, idle: float) -> bool:
    """Whether the ledger should hear of the lease: a minute after it last did, and before a part is given back."""
    unused = now - lease.used
    if lease.unsure or (lease.free > 0 and unused >= idle):
        return True
    in_use = lease.free != 0 or lease.reserved != 0 or unused < LEASE_SECONDS / 2
    return in_use and lease.expires - now < LEASE_SECONDS - RENEWAL


def _is_gone(lease: _Lease, now: float) -> bool:
    """Whether the lease is empty for so long that the ledger has dropped it."""
    return lease.free == lease.reserved == 0 and now - lease.used > 2 * LEASE_SECONDS


def _unreachable() -> WireError:
    message = "The budget of this key cannot be checked: the database does not answer. Try again."
    return WireError(503, message, "api_error", "budget_unavailable", {"Retry-After": "1"})


def _seen(answer: asyncio.Future[None]) -> None:
    """An error that nobody waits for any more is told in the log only."""
    if not answer.cancelled():
        answer.exception()
