"""Whatever workers do, in whatever order, and however they are killed: a budget is not exceeded and nothing is lost.

A model of the truth (what was reserved, settled, written) runs beside three purses on one database whose answers get lost
now and then, after the transaction was committed or before it began.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tutelage.errors import StoreError
from tutelage.gateway.errors import WireError
from tutelage.gateway.keys.purse import Purse, Reservation
from tutelage.store import Key, Limits, open_store
from tutelage.store.ledger import Grant, LedgerTable, Want, charge

LIMIT = 1000
KEY = Key(id="k", name="k", limits=Limits(budget_day=LIMIT, budget_month=LIMIT))

Trouble = Literal["none", "lost question", "lost answer"]


class Unsteady(LedgerTable):
    """The ledger over a connection that breaks: `trouble` says when, for the next transaction."""

    trouble: Trouble = "none"

    def _before(self) -> bool:
        """Whether the answer will be lost. Raises StoreError where the question is."""
        trouble, self.trouble = self.trouble, "none"
        if trouble == "lost question":
            raise StoreError("the connection broke")
        return trouble == "lost answer"

    def lease(self, wants: Iterable[Want], owner: str, share: float = 0.1) -> list[Grant]:
        lost, found = self._before(), super().lease(wants, owner, share)
        if lost:
            raise StoreError("the connection broke")
        return found

    def give_back(self, amounts: Mapping[str, int], owner: str) -> None:
        lost = self._before()
        super().give_back(amounts, owner)
        if lost:
            raise StoreError("the connection broke")


@dataclass
class Worker:
    """A purse, and what its spool holds: reservations that have begun, and costs that are not in the database yet."""

    owner: str
    purse: Purse
    begun: list[Reservation] = field(default_factory=list)
    ended: list[tuple[Reservation, int]] = field(default_factory=list)


class Workers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(Path(self.folder.name) / "ledger.db")
        self.ledger = Unsteady(self.store.database)
        self.thread, self.runner = ThreadPoolExecutor(1), asyncio.Runner()
        self.names, self.ahead = itertools.count(), 0.0
        self.workers = [self.made() for _ in range(3)]
        self.spent = self.over = 0

    def made(self) -> Worker:
        owner = f"owner {next(self.names)}"
        return Worker(owner, Purse(self.ledger, owner, self.thread, lambda: time.time() + self.ahead))

    def teardown(self) -> None:
        self.ledger.trouble = "none"
        for worker in self.workers:
            for reservation in worker.begun[:]:
                self.end(worker, reservation, reservation.nanodollars)
            self.runner.run(worker.purse.close())
            self.write(worker)
            self.runner.run(worker.purse.tend(idle=0.0))
        for spent, leased in self.store.ledger.usage(self.accounts()).values():
            assert (spent, leased) == (self.spent, 0)
        self.runner.close()
        self.thread.shutdown()
        self.store.close()
        self.folder.cleanup()

    def accounts(self) -> list[str]:
        found = {
            a for worker in self.workers for one in (*worker.begun, *(r for r, _ in worker.ended)) for a in one.accounts
        }
        return sorted(found | self.seen)

    seen: frozenset[str] = frozenset()

    def end(self, worker: Worker, reservation: Reservation, cost: int | None) -> None:
        async def settle() -> None:
            worker.purse.settle(reservation, cost)

        worker.begun.remove(reservation)
        self.runner.run(settle())
        worker.ended.append((reservation, cost or 0))
        self.over += max(0, (cost or 0) - reservation.nanodollars)

    def write(self, worker: Worker) -> None:
        for reservation, cost in worker.ended:
            with self.store.database.write() as connection:
                for account in sorted(reservation.accounts):
                    charge(connection, account, worker.owner, cost)
            self.spent += cost
        worker.ended.clear()

    @rule(at=st.integers(0, 2), amounts=st.lists(st.integers(0, 400), min_size=1, max_size=4))
    def reserve_at_once(self, at: int, amounts: list[int]) -> None:
        async def attempts() -> list[Reservation | BaseException]:
            reserving = (self.workers[at].purse.reserve(KEY, amount) for amount in amounts)
            return await asyncio.gather(*reserving, return_exceptions=True)

        for one in self.runner.run(attempts()):
            if isinstance(one, Reservation):
                self.workers[at].begun.append(one)
                self.seen |= set(one.accounts)
            else:
                assert isinstance(one, WireError) and one.status in (429, 503), one

    @rule(at=st.integers(0, 2), which=st.integers(0, 9), part=st.sampled_from([None, 0, 0.5, 1, 1, 1.5]))
    def settle(self, at: int, which: int, part: float | None) -> None:
        worker = self.workers[at]
        if worker.begun:
            reservation = worker.begun[which % len(worker.begun)]
            self.end(worker, reservation, None if part is None else int(reservation.nanodollars * part))

    @rule(at=st.integers(0, 2))
    def write_traces(self, at: int) -> None:
        self.write(self.workers[at])

    @rule(at=st.integers(0, 2), idle=st.sampled_from([0.0, 10.0]))
    def tend(self, at: int, idle: float) -> None:
        with suppress(StoreError):
            self.runner.run(self.workers[at].purse.tend(idle))

    @rule(at=st.integers(0, 2))
    def kill(self, at: int) -> None:
        """Its spool is replayed by another process: what had begun counts in full, then its leases are dropped."""
        dead = self.workers[at]
        dead.ended += [(one, one.nanodollars) for one in dead.begun]
        dead.begun.clear()
        self.write(dead)
        self.store.ledger.release(dead.owner)
        self.workers[at] = self.made()

    @rule(trouble=st.sampled_from(["lost question", "lost answer"]))
    def break_connection(self, trouble: Trouble) -> None:
        self.ledger.trouble = trouble

    @rule(seconds=st.sampled_from([2.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.ahead += seconds

    @invariant()
    def within_the_budget(self) -> None:
        under_way = sum(one.nanodollars for worker in self.workers for one in worker.begun)
        ended = sum(cost for worker in self.workers for _, cost in worker.ended)
        assert self.spent + ended + under_way <= LIMIT + self.over
        for spent, leased in self.store.ledger.usage(self.accounts()).values():
            assert spent == self.spent
            assert spent + leased <= LIMIT + self.over
            assert self.over or spent + leased >= self.spent + ended + under_way


Workers.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_workers = Workers.TestCase
