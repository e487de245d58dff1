"""The operation of all tasks that are served: what runs beside the requests."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import aiohttp

from tutelage.errors import TutelageError
from tutelage.gateway.operation.alarm import event, post
from tutelage.gateway.operation.operated import AT_ONCE, Desk, Operable, Operated, Recording
from tutelage.gateway.operation.state import Mode
from tutelage.gateway.operation.watch import Watch
from tutelage.gateway.routes import Served
from tutelage.gateway.settings import Operation
from tutelage.gateway.traces.redaction import BLANK
from tutelage.routing.certificate import Certificate
from tutelage.store import Store
from tutelage.store.traces import encoded

LOG = logging.getLogger("tutelage.gateway.operation")
LOOK_EVERY, ADOPT_EVERY, FORGET_EVERY = 2.0, 60.0, 3600.0
"""Seconds between two looks at what others changed, for audits that were broken off, and for old ones."""
ADOPT_AFTER, KEEP_JUDGED = timedelta(minutes=10), timedelta(days=7)
MOST_PENDING = 256
"""Audits and comparisons under way or waiting for their turn; beyond it answers that were drawn are left out."""


class Operations:
    """Made before the event loop runs; `operated` for each cascade, then `start`."""

    def __init__(
        self,
        store: Store,
        recorder: Recording,
        settings: Operation,
        session: Callable[[], aiohttp.ClientSession],
        owner: str,
    ) -> None:
        self._store, self._settings, self._session, self._owner = store, settings, session, owner
        self.watches: dict[str, Watch] = {}
        self._current: dict[str, Operated] = {}
        self._desk = Desk(recorder, owner, settings.audit, self._background, asyncio.Semaphore(AT_ONCE))
        self._pending: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []

    def operated(self, served: Served, cascade: Operable, certificate: Certificate) -> Operated:
        """The cascade as it is to be served for its task, which has one. It waits for the database: once the event loop runs
        call it in a thread. Raises StoreError."""
        task = served.task.name
        watch = self.watches.get(task)
        if watch is None:
            watch = Watch(self._store, served.project, certificate, self._settings.delta)
            self.watches[task] = watch
        watch.renew(certificate)
        found = Operated(watch, served, cascade, certificate, self._desk)
        self._current[task] = found
        return found

    async def start(self) -> None:
        for watch in self.watches.values():
            self._loops.append(asyncio.create_task(self._keeping(watch)))
            self._loops.append(asyncio.create_task(self._looking(watch)))

    async def close(self) -> None:
        """What is under way is finished and kept."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=30)
        for one in (*self._loops, *self._pending):
            one.cancel()
        await asyncio.gather(*self._loops, *self._pending, return_exceptions=True)
        for watch in self.watches.values():
            try:
                await watch.keep()
            except TutelageError as error:
                LOG.error("Evidence of %s is lost: %s", watch.task, error)

    def measures(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """As `Systems.measures`; evidence is the highest of the task's tests over what raises an alarm."""
        for task, watch in self.watches.items():
            labels = {"task": task}
            for what, count in asdict(watch.counts).items():
                yield f"operation_{what}_total", labels, count
            for mode in get_args(Mode):
                yield "operation_mode", {**labels, "mode": mode}, float(watch.mode == mode)
            tests = watch.state.tests.values()
            yield "operation_evidence", labels, max((one.peak * one.delta for one in tests), default=0.0)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._pending) >= MOST_PENDING:
            work.close()
            for watch in self.watches.values():
                watch.counts.dropped += 1
            return
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._pending.discard(task)
        if not task.cancelled() and (error := task.exception()):
            LOG.error("an audit failed", exc_info=error)

    async def _keeping(self, watch: Watch) -> None:
        pause = 0.5
        while True:
            await watch.some()
            try:
                await watch.keep()
                await self._tell(watch)
                pause = 0.5
            except TutelageError as error:
                LOG.warning("Evidence of %s waits: %s", watch.task, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 30.0)

    async def _looking(self, watch: Watch) -> None:
        due = {self._adopt: 0.0, self._forget: 0.0}
        every = {self._adopt: ADOPT_EVERY, self._forget: FORGET_EVERY}
        while True:
            try:
                await asyncio.to_thread(watch.look)
                await self._tell(watch)
                for work in due:
                    if time.monotonic() >= due[work]:
                        due[work] = time.monotonic() + every[work]
                        await work(watch)
            except TutelageError as error:
                LOG.warning(
                    "%s: the state of its operation is not to be had, the last one holds: %s", watch.task, error
                )
            await asyncio.sleep(LOOK_EVERY * random.uniform(0.8, 1.2))

    async def _tell(self, watch: Watch) -> None:
        state = await asyncio.to_thread(watch.claim, self._owner)
        if state is None or state.alarm is None:
            return
        watch.counts.alarms += 1
        alarm = state.alarm
        LOG.error(
            "%s: %d audited answers lose %.2f %% (%s; certified: at most %.2f %%). It is %s; label what "
            "`tutelage operation` names, train and calibrate, then: tutelage promote",
            watch.task,
            alarm.audited,
            100 * alarm.mean,
            alarm.loss,
            100 * alarm.limit,
            state.mode,
        )
        self._background(self._post(watch, event(watch.task, state)))

    async def _post(self, watch: Watch, body: dict[str, Any]) -> None:
        url = self._settings.webhook
        how = await post(self._session, url, body) if url else "it was logged; there is no webhook"
        await asyncio.to_thread(watch.told, how)

    async def _adopt(self, watch: Watch) -> None:
        """Ask again what a process that was killed did not end asking, where the trace still holds the question."""
        before = (datetime.now(UTC) - ADOPT_AFTER).isoformat()
        for audit in await asyncio.to_thread(self._store.operations.adopt, watch.task, before):
            trace = await asyncio.to_thread(self._store.traces.get, audit.trace)
            whole = trace is not None and isinstance(trace.input, dict) and trace.output is not None
            if trace is None or not whole or BLANK.encode() in encoded([trace.input, trace.output]):
                await asyncio.to_thread(self._store.operations.forget, [audit.trace])
            elif (current := self._current[watch.task]).digest == audit.certificate:
                self._background(current.again(trace.input, trace.output, audit.trace))

    async def _forget(self, watch: Watch) -> None:
        before = (datetime.now(UTC) - KEEP_JUDGED).isoformat()
        await asyncio.to_thread(self._store.operations.forget_judged, before)
