"""What the gateway tells of itself: counts for Prometheus, spans for OpenTelemetry, lines for the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST

from tutelage.gateway.settings import GatewaySettings
from tutelage.gateway.telemetry.arriving import INCOMING, Arrivals, Incoming
from tutelage.gateway.telemetry.counting import Counting
from tutelage.gateway.telemetry.logs import Log
from tutelage.gateway.telemetry.metrics import Totals, page
from tutelage.gateway.telemetry.readings import Measure, Reading, read_all, read_process
from tutelage.gateway.telemetry.sharing import ALONE, EVERY, Worker, keep, left_by, of_others
from tutelage.gateway.traces.redaction import make_blank, redacted
from tutelage.registry import load
from tutelage.store.traces import Trace

LOG = logging.getLogger("tutelage.gateway.telemetry")
DEFAULTS = GatewaySettings()
TICK = 0.25
"""Seconds between two looks at how late the event loop is."""


class Exporting(Protocol):
    """Passes traces on to elsewhere, in its own thread. `dropped` counts those that it could not."""

    dropped: int

    def finished(self, trace: Trace, incoming: Incoming) -> None: ...

    def start(self) -> None: ...

    def close(self) -> None:
        """Waits some seconds for what is not exported yet."""


class Telemetry:
    """Told of every request when it is over. For one event loop."""

    def __init__(
        self,
        settings: GatewaySettings = DEFAULTS,
        models: Collection[str] = (),
        key_name: Callable[[str], str | None] = str,
        worker: Worker = ALONE,
    ) -> None:
        """`models` are the names that are served; `key_name` gives a key's name by its id. Raises MissingPackage."""
        self.worker = worker
        self._every, self._content = settings.telemetry.log == "requests", settings.telemetry.content
        self._blank = make_blank(settings.traces.redact)
        self.log: Log | None = None
        self._own = left_by(worker)
        self.arrivals = Arrivals(self._own)
        self._counting = Counting(self._own, models, key_name)
        self._readings: list[Reading] = [read_process]
        self.exporting: Exporting | None = None
        self._closing = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.connections: Callable[[], int] | None = None
        """How many connections are open; who runs the server says so."""
        if settings.telemetry.otlp:
            make = load("tutelage.gateway.telemetry.otel:Exporter", "[telemetry] otlp")
            self.exporting = make(settings, worker, models)

    def finished(self, trace: Trace) -> None:
        self._counting.finished(trace)
        if self.exporting is not None:
            self.exporting.finished(trace, INCOMING.get())
        if self.log is not None and (self._every or trace.status >= 500):
            if self._blank is not None and trace.error:
                trace = redacted(trace, self._blank)
            self.log.request(trace, INCOMING.get(), self._content)

    def read(self, reading: Reading) -> None:
        """Ask `reading` too whenever the metrics are read."""
        self._readings.append(reading)

    def cut(self, why: str) -> None:
        """A connection was cut: its client is too slow."""
        self._own.number("tutelage_connections_cut", why).value += 1

    def totals(self) -> Totals:
        """This worker's, as they are now."""
        found = Totals()
        found.add(self._own)
        found.add(read_all([self._read_own, *self._readings], self.worker.name))
        return found

    def _read_own(self) -> Iterator[Measure]:
        yield "requests_under_way", {}, self.arrivals.under_way
        if self.connections is not None:
            yield "connections", {}, self.connections()
        if self.exporting is not None:
            yield "telemetry_dropped_total", {}, self.exporting.dropped

    def metrics(self) -> tuple[bytes, str]:
        """The page that Prometheus reads, of all workers, and its content type."""
        return self._page(self.totals())

    async def page(self) -> tuple[bytes, str]:
        """As `metrics`; written in a thread, as many models and keys make it long."""
        return await asyncio.to_thread(self._page, self.totals())

    def _page(self, found: Totals) -> tuple[bytes, str]:
        found.add(of_others(self.worker))
        return page(found), CONTENT_TYPE_LATEST

    async def start(self) -> None:
        if self.exporting is not None:
            self.exporting.start()
        self._ticking = asyncio.create_task(self._lag())
        if self.worker.shared is not None:
            self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """What was told is written and exported, as far as that takes no more than some seconds."""
        self._closing.set()
        if self._ticking is not None:
            self._ticking.cancel()
        if self._keeping is not None:  # not cancelled: what it is writing would come after what is written here
            await self._keeping
        keep(self.worker, self.totals())
        if self.exporting is not None:
            await asyncio.to_thread(self.exporting.close)

    async def _lag(self) -> None:
        late = self._own.histogram("tutelage_loop_lag_seconds")
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            late.observe(max(0.0, time.perf_counter() - due))

    async def _keep(self) -> None:
        while not self._closing.is_set():
            try:
                await asyncio.to_thread(keep, self.worker, self.totals())
            except OSError as error:
                LOG.warning("The other workers cannot be told what this one counts: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), EVERY)
