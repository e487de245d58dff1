"""Limits of an endpoint (requests and tokens a minute, calls at a time), shared by all models that use it.

`Pace` is the allowance, one per `[limits."..."]` table and process; `Paced` is a ChatModel that waits for it before each
call. The tokens of a call are reserved by estimate (prompt + max_tokens, as providers count them) and corrected by its usage.
A moving window, not a leaky bucket: no minute, wherever it starts, holds more than the limit, where a bucket that may be
emptied at once lets twice as much through.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from tutelage.models.chat import ChatModel, Limits, Message, Params, PerLoop, Reply
from tutelage.tasks.file import EndpointLimit


@dataclass
class Reservation:
    """What one call takes of the allowance from `time` on; `tokens` are corrected when they are known."""

    time: float
    tokens: int


@dataclass
class Window:
    """The calls of the last `minute` seconds, by a clock that the caller reads."""

    limit: EndpointLimit
    minute: float = 60.0
    taken: deque[Reservation] = field(default_factory=deque)

    def wait(self, now: float, tokens: int) -> float:
        """Seconds until a call of `tokens` may have room; 0 when it has. One larger than the limit needs an empty window."""
        while self.taken and now - self.taken[0].time >= self.minute:
            self.taken.popleft()
        requests, most = self.limit.requests_per_minute, self.limit.tokens_per_minute
        full = requests is not None and len(self.taken) >= requests
        if most is not None and self.taken:
            full = full or sum(reservation.tokens for reservation in self.taken) + tokens > most
        return self.taken[0].time + self.minute - now if full else 0.0

    def take(self, now: float, tokens: int) -> Reservation:
        self.taken.append(Reservation(now, tokens))
        return self.taken[-1]


class Pace:
    """The allowance of one endpoint; calls are let through in the order in which they come.

    Event loops may follow one another over the same window, not run side by side in threads.
    """

    def __init__(self, limit: EndpointLimit, *, minute: float = 60.0) -> None:
        self.limit = limit
        self._window = Window(limit, minute)
        self._order = PerLoop(asyncio.Lock)
        self._corrected = PerLoop(asyncio.Event)
        self._slots = PerLoop(lambda: asyncio.Semaphore(limit.concurrency or 1))

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncIterator[Reservation]:
        """Waits until a call of about `tokens` may be made; `correct` the reservation when its usage is known."""
        if self.limit.concurrency is None:
            yield await self._reserve(tokens)
            return
        async with self._slots.get():
            yield await self._reserve(tokens)

    def correct(self, reservation: Reservation, tokens: int) -> None:
        """Say what a call really took, so that what it did not take is free at once."""
        reservation.tokens = tokens
        self._corrected.get().set()

    async def _reserve(self, tokens: int) -> Reservation:
        async with self._order.get():
            corrected = self._corrected.get()
            while (seconds := self._window.wait(time.monotonic(), tokens)) > 0:
                corrected.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(corrected.wait(), seconds)
            return self._window.take(time.monotonic(), tokens)


class Paced:
    """`model`, asked no faster than `pace` allows. The time spent waiting is not in the reply's seconds."""

    def __init__(self, model: ChatModel, pace: Pace) -> None:
        self.model, self.pace = model, pace

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def limits(self) -> Limits:
        found, most = self.model.limits, self.pace.limit.concurrency
        return found if most is None else replace(found, concurrency=min(found.concurrency, most))

    async def complete(self, messages: Sequence[Message], params: Params) -> Reply:
        """The reply, when its turn has come. Raises ModelError; a failed call keeps what was reserved for it."""
        counted = self.pace.limit.tokens_per_minute is not None
        tokens = await self.model.count_tokens(messages) + params.max_tokens if counted else 0
        async with self.pace.turn(tokens) as reservation:
            reply = await self.model.complete(messages, params)
        if counted:
            self.pace.correct(reservation, reply.usage.input_tokens + reply.usage.output_tokens)
        return reply

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return await self.model.count_tokens(messages)

    async def close(self) -> None:
        await self.model.close()
