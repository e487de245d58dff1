"""Calls that cost money: so many at a time, and none that could exceed the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tutelage.errors import BudgetExceeded, ModelError
from tutelage.prompting.prompted import Asked
from tutelage.store import Store
from tutelage.types import Input, Prediction


class Purse:
    """Used in one event loop; `spent` is what it has paid. What was reserved and never settled, because the process was
    killed, stays spent on the account."""

    def __init__(self, store: Store, account: str, budget: float | None) -> None:
        self._spend, self._account, self._budget = store.spend, account, budget
        self.spent = 0.0
        self._running = 0
        self._settled = asyncio.Event()

    async def pay(self, most: float | None, call: Callable[[], Awaitable[Prediction]]) -> Prediction:
        """What `call` gives, which may cost `most` dollars (None: not known, nothing is reserved).

        Waits for money that running calls may give back. Raises BudgetExceeded when none of them is left, and what
        `call` raises.
        """
        if most is None:
            return await call()
        reservation = await self._reserve(most)
        self._running += 1
        try:
            prediction = await call()
        except ModelError:  # no answer, no bill; a call that is broken off may be billed
            self._spend.settle(reservation, 0.0)
            raise
        finally:
            self._running -= 1
            self._settled.set()
        self._spend.settle(reservation, dollars := prediction.usage.dollars or 0.0)
        self.spent += dollars
        return prediction

    async def _reserve(self, most: float) -> int:
        while True:
            try:
                return self._spend.reserve(self._account, most, self._budget)
            except BudgetExceeded:
                if not self._running:
                    raise
            self._settled.clear()
            await self._settled.wait()


class Paying:
    """`asked`, paid from `purse`; `slots` is shared by all who ask the same model."""

    def __init__(self, asked: Asked, purse: Purse, slots: asyncio.Semaphore) -> None:
        self.asked, self._purse, self._slots = asked, purse, slots

    @property
    def name(self) -> str:
        return self.asked.name

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [await self.predict_one(input) for input in inputs]

    async def predict_one(self, input: Input) -> Prediction:
        """One answer. Raises as `Purse.pay`."""
        async with self._slots:
            return await self._purse.pay(self.asked.dollars(input), lambda: self.asked.predict_one(input))
