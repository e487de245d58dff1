"""Students answer in batches: inputs that arrive while a student answers are answered together in its next batch.

A student has one thread, so that the event loop never waits for it. How large a batch may be and whether it is worth
waiting for company is measured (`gateway.warming`), never guessed. A queue has a bound: beyond it a request is refused
with 503 and a time after which to come back, since one that waits longer than its client does is work for nobody.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tutelage.errors import TutelageError
from tutelage.gateway.upstreams.failures import AttemptFailed
from tutelage.students.base import Trained
from tutelage.types import Input, Prediction, Usage

LOG = logging.getLogger("tutelage.gateway.batching")
LONGEST_WAIT = 10.0
"""Seconds of work that may wait for a student."""
LEAST_BOUND = 1_000
"""Inputs that may wait in any case: as many as one request may hold."""


@dataclass(frozen=True)
class Plan:
    """How a student is asked: `size` inputs at a time at most, after `wait` seconds for company. `rate` is inputs a second in
    batches of that size, `single` the seconds of one alone, `rates` the rates by size: all measured, 0 where not yet."""

    size: int = 1
    wait: float = 0.0
    rate: float = 0.0
    single: float = 0.0
    rates: dict[int, float] = field(default_factory=dict)

    @property
    def bound(self) -> int:
        """Inputs that may wait."""
        return max(LEAST_BOUND, round(self.rate * LONGEST_WAIT))


@dataclass
class Counts:
    """What a queue has done. `alone`: inputs answered one by one because their batch raised; `failed`: of these those that
    failed; `left`: those whose client went away before their turn."""

    answered: int = 0
    batches: int = 0
    alone: int = 0
    failed: int = 0
    refused: int = 0
    left: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class _Waiting:
    input: Input
    future: asyncio.Future[Prediction]
    loop: asyncio.AbstractEventLoop


_Answered: TypeAlias = list[tuple[_Waiting, Prediction]]


class Batched:
    """A student as a Predictor. Those who share it each `close` it; the last one ends its thread."""

    def __init__(self, trained: Trained, plan: Plan | None = None) -> None:
        self._name, self.student = trained.name, trained.student
        self.plan = plan or Plan()
        self.counts = Counts()
        self.users = 1
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()
        self._ready = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def waiting(self) -> int:
        """Inputs that wait."""
        return len(self._waiting)

    def share(self) -> bool:
        """Whether there is one user more now; not where the last one has closed it."""
        with self._ready:
            self.users += not self._closed
            return not self._closed

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, in order; one that cannot be given says why. `usage.seconds` is the batch's wall time divided by its size.

        Raises AttemptFailed 503 where too much waits.
        """
        if not inputs:
            return []
        loop = asyncio.get_running_loop()
        mine = [_Waiting(one, loop.create_future(), loop) for one in inputs]
        self._put(mine)
        try:
            return [await one.future for one in mine]
        except asyncio.CancelledError:
            self._leave(mine)
            raise

    async def close(self) -> None:
        """What waits is still answered, in its thread."""
        with self._ready:
            self.users -= 1
            self._closed = self.users <= 0
            self._ready.notify()

    def _put(self, mine: Sequence[_Waiting]) -> None:
        with self._ready:
            waiting = len(self._waiting)
            if self._closed:
                raise AttemptFailed(f"{self._name!r} is served no more.", 503, faulty=False)
            if waiting and waiting + len(mine) > self.plan.bound:
                self.counts.refused += len(mine)
                seconds = waiting / self.plan.rate if self.plan.rate else LONGEST_WAIT
                raise AttemptFailed(
                    f"{waiting:,} inputs wait for {self._name!r}, about {seconds:.0f} s of work. Ask again later.",
                    503,
                    faulty=False,
                    pause=seconds,
                )
            self._waiting.update((id(one), one) for one in mine)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"student {self._name}", daemon=True)
                self._thread.start()
            self._ready.notify()

    def _leave(self, mine: Sequence[_Waiting]) -> None:
        with self._ready:
            for one in mine:
                self.counts.left += self._waiting.pop(id(one), None) is not None

    def _work(self) -> None:
        while batch := self._next():
            done = self._answers(batch)
            by_loop: dict[asyncio.AbstractEventLoop, _Answered] = {}
            for one, answer in done:
                by_loop.setdefault(one.loop, []).append((one, answer))
            for loop, answered in by_loop.items():
                try:
                    loop.call_soon_threadsafe(_deliver, answered)
                except RuntimeError:  # the loop is closed: nobody waits any more
                    self.counts.left += len(answered)

    def _next(self) -> list[_Waiting]:
        """The next batch; [] when the queue is closed and empty."""
        with self._ready:
            self._ready.wait_for(lambda: self._waiting or self._closed)
            size = self.plan.size
            if self.plan.wait and len(self._waiting) < size and not self._closed:
                self._ready.wait_for(lambda: len(self._waiting) >= size or self._closed, self.plan.wait)
            count = min(size, len(self._waiting))
            return [self._waiting.popitem(last=False)[1] for _ in range(count)]

    def _answers(self, batch: list[_Waiting]) -> _Answered:
        try:
            answers = self._together([one.input for one in batch])
        except Exception as error:  # whatever an input has caused, the others of its batch are answered
            if len(batch) > 1:
                self.counts.alone += len(batch)
                return [pair for one in batch for pair in self._answers([one])]
            self.counts.failed += 1
            if not isinstance(error, TutelageError):
                LOG.error("%s failed on an input", self._name, exc_info=error)
            answers = [Prediction(None, source=self._name, error=str(error) or type(error).__name__)]
        self.counts.answered += len(batch)
        return list(zip(batch, answers, strict=True))

    def _together(self, inputs: list[Input]) -> list[Prediction]:
        start = time.perf_counter()
        found = self.student.predict_batch(inputs)
        usage = Usage(seconds=(time.perf_counter() - start) / len(inputs))
        if len(found) != len(inputs):
            raise ValueError(f"{len(inputs)} inputs were given {len(found)} answers")
        self.counts.batches += 1
        return [replace(one, usage=usage, source=self._name) for one in found]


def _deliver(answered: _Answered) -> None:
    for one, answer in answered:
        if not one.future.done():
            one.future.set_result(answer)
