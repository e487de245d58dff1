"""An alias: several targets that answer for one name, with retries, hedging and two deadlines."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from tutelage.gateway.settings import Upstream
from tutelage.gateway.upstreams.failures import AttemptFailed, pause_before
from tutelage.gateway.upstreams.target import Endpoint, Streamed, Whole
from tutelage.store.traces import Step
from tutelage.types import Usage

T = TypeVar("T")

REMEMBERED = 200
"""Latencies that the quantile for hedging is of."""
LEAST_REMEMBERED = 20
"""Before as many answers no request is hedged."""


class Alias:
    """What `[upstreams.NAME]` describes, at work."""

    def __init__(self, name: str, upstream: Upstream, endpoints: Sequence[Endpoint]) -> None:
        self.name, self.upstream, self.endpoints = name, upstream, tuple(endpoints)
        self._latencies: deque[float] = deque(maxlen=REMEMBERED)
        self.hedged = 0
        """How many second attempts were started beside a first."""

    async def ask(self, path: str, body: Mapping[str, Any], tokens: int, steps: list[Step]) -> Whole:
        """The whole answer; every attempt is added to `steps`. Raises AttemptFailed (the last one's)."""
        return await self._attempts(lambda one: one.ask(path, body), tokens, steps, _discard)

    async def stream(self, path: str, body: Mapping[str, Any], tokens: int, steps: list[Step]) -> Streamed:
        """The answer from its first event on: until then failed attempts are repeated as for `ask`. Raises AttemptFailed."""
        return await self._attempts(lambda one: one.stream(path, body), tokens, steps, Streamed.close)

    def fitting(self, tokens: int) -> list[Endpoint]:
        """The targets whose window holds a prompt of about `tokens`. Raises AttemptFailed 400 where none does."""
        fitting = [one for one in self.endpoints if one.target.context is None or tokens <= one.target.context]
        if not fitting:
            widest = max(one.target.context or 0 for one in self.endpoints)
            raise AttemptFailed(
                f"The prompt has about {tokens:,} tokens, {self.name!r} takes {widest:,}. Shorten it.",
                400,
                again=False,
                elsewhere=True,
                faulty=False,
            )
        return fitting

    async def _attempts(
        self,
        call: Callable[[Endpoint], Awaitable[T]],
        tokens: int,
        steps: list[Step],
        discard: Callable[[T], Awaitable[None]],
    ) -> T:
        fitting = self.fitting(tokens)
        deadline = time.monotonic() + self.upstream.total_timeout
        failed: set[Endpoint] = set()
        last: AttemptFailed | None = None
        for attempt in range(1, self.upstream.retries + 2):
            endpoint = self._chosen(fitting, failed)
            if endpoint is None:
                break
            try:
                async with asyncio.timeout_at(_loop_time(deadline)):
                    return await self._hedged(call, endpoint, fitting, steps, discard)
            except TimeoutError:
                took = self.upstream.total_timeout
                raise AttemptFailed(
                    f"{self.name!r} did not answer within {took:g} s in all.", 504, again=False
                ) from None
            except AttemptFailed as error:
                last = error
                if not error.again:
                    raise
                failed.add(endpoint)
                # Another target is asked at once: only where all have failed there is something to wait for.
                fresh = any(one.available for one in fitting if one not in failed)
                if not fresh and error.elsewhere:
                    break
                pause = 0.0 if fresh else pause_before(attempt, error.pause)
                if attempt > self.upstream.retries or time.monotonic() + pause >= deadline:
                    break
                if pause:
                    await asyncio.sleep(pause)
                    failed.clear()
        raise last or self._none_available(fitting)

    async def _hedged(
        self,
        call: Callable[[Endpoint], Awaitable[T]],
        endpoint: Endpoint,
        fitting: Sequence[Endpoint],
        steps: list[Step],
        discard: Callable[[T], Awaitable[None]],
    ) -> T:
        """One attempt, and beside it a second one at another target once it takes longer than most do."""
        after = self._hedge_after()
        if after is None:
            return await self._one(call, endpoint, steps)
        every = [asyncio.ensure_future(self._one(call, endpoint, steps))]
        won: asyncio.Future[T] | None = None
        try:
            done, pending = await asyncio.wait(every, timeout=after)
            other = None if done else self._chosen(fitting, {endpoint})
            if other is not None and other is not endpoint:
                self.hedged += 1
                every.append(asyncio.ensure_future(self._one(call, other, steps)))
                pending = set(every)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if won := next((one for one in done if one.exception() is None), None):
                    break
            won = won or every[0]
            return won.result()
        finally:
            for one in every:
                if one is not won:
                    one.cancel()
                    one.add_done_callback(_dropped(discard))

    async def _one(self, call: Callable[[Endpoint], Awaitable[T]], endpoint: Endpoint, steps: list[Step]) -> T:
        start = time.perf_counter()
        try:
            found = await call(endpoint)
        except AttemptFailed as error:
            steps.append(Step(name=endpoint.name, seconds=time.perf_counter() - start, error=str(error)))
            raise
        seconds = time.perf_counter() - start
        self._latencies.append(seconds)
        usage = found.usage if isinstance(found, Whole) else Usage()
        steps.append(Step(name=endpoint.name, seconds=seconds, usage=usage))
        return found

    def _hedge_after(self) -> float | None:
        quantile = self.upstream.hedge
        if quantile is None or len(self._latencies) < LEAST_REMEMBERED or len(self.endpoints) < 2:
            return None
        return sorted(self._latencies)[min(len(self._latencies) - 1, int(quantile * len(self._latencies)))]

    def _chosen(self, fitting: Sequence[Endpoint], failed: set[Endpoint]) -> Endpoint | None:
        """The target to ask: one that has not failed yet where there is one; None where every circuit is open."""
        able = [one for one in fitting if one.available]
        able = [one for one in able if one not in failed] or able
        if not able:
            return None
        if len(able) == 1:
            return able[0]
        if self.upstream.balance == "least-busy":
            return min(able, key=lambda one: (one.under_way + 1) / one.target.weight)
        if self.upstream.balance == "latency":  # those never asked first, then by the wait that is to be expected
            return min(able, key=lambda one: (one.latency or 0.0) * (one.under_way + 1) / one.target.weight)
        return random.choices(able, [one.target.weight for one in able])[0]

    def _none_available(self, fitting: Sequence[Endpoint]) -> AttemptFailed:
        opened = [one.circuit.opened for one in fitting if one.circuit.opened is not None]
        wait = max(1.0, min(opened) + self.upstream.open_seconds - time.monotonic()) if opened else 1.0
        states = ", ".join(f"{one.name} {one.circuit.state}" for one in fitting)
        return AttemptFailed(f"No target of {self.name!r} can be asked now ({states}).", 503, faulty=False, pause=wait)


def _loop_time(deadline: float) -> float:
    return asyncio.get_running_loop().time() + deadline - time.monotonic()


def _dropped(discard: Callable[[T], Awaitable[None]]) -> Callable[[asyncio.Future[T]], None]:
    """Lets go of an answer that came although nobody waits for it any more."""

    def drop(future: asyncio.Future[T]) -> None:
        if not future.cancelled() and future.exception() is None:
            _KEPT.add(task := asyncio.ensure_future(discard(future.result())))
            task.add_done_callback(_KEPT.discard)

    return drop


_KEPT: set[asyncio.Future[None]] = set()
"""Tasks that are waited for by nobody: the loop itself holds them weakly."""


async def _discard(_found: object) -> None:
    """A whole answer holds nothing."""
