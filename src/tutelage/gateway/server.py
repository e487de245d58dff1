"""Running the application: a listening socket, connections that are not kept waiting by slow clients, an end in good order."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tutelage.gateway.opening import Opened
from tutelage.gateway.settings import Server as Settings

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept after an answer."""
BACKLOG = 4096
"""Connections that may wait to be accepted; the kernel's net.core.somaxconn bounds it too."""
MOST_FILES = 1_048_576
UNREAD = 5.0
"""Seconds more than `body_timeout` until a connection is cut whose body nobody has read."""
CANCELLED = 2.0
"""Seconds for requests that are cancelled at the end of the drain to be written down."""


class Connection(HttpToolsProtocol):
    """A connection that knows since when it waits: for the rest of the headers, or of the body, or for its client to take
    the answer."""

    reading: float | None = None
    body: float | None = None
    writing: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.reading = time.monotonic()
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        self.reading = self.reading or time.monotonic()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.reading, self.body = None, time.monotonic()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.body = None
        super().on_message_complete()

    def pause_writing(self) -> None:
        self.writing = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.writing = None
        super().resume_writing()

    def too_slow(self, now: float, settings: Settings) -> str | None:
        """ "headers", "body" or "answer", for which it has waited too long."""
        if self.reading is not None and now - self.reading > settings.header_timeout:
            return "headers"
        # Whoever reads the body answers 408 first; this is for bodies that nobody reads, of requests that were refused.
        if self.body is not None and now - self.body > settings.body_timeout + UNREAD:
            return "body"
        if self.writing is not None and now - self.writing > settings.write_timeout:
            return "answer"
        return None


class Server(uvicorn.Server):
    """uvicorn's, which besides cuts slow clients off, and ends with what was begun: then `run` returns, whatever signal came."""

    def __init__(self, config: uvicorn.Config, opened: Opened) -> None:
        super().__init__(config)
        self.opened = opened
        self.ready: Callable[[], None] | None = None
        """Called once connections are accepted."""
        opened.telemetry.connections = lambda: len(self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.ready is not None and self.started:
            self.ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self._cut()
        return await super().on_tick(counter)

    def _cut(self) -> None:
        now = time.monotonic()
        for one in list(self.server_state.connections):
            assert isinstance(one, Connection)
            why = one.too_slow(now, self.opened.gateway.settings.server)
            if why is not None:
                one.transport.abort()
                self.opened.telemetry.cut(why)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.opened.stopping = True
        cutting = asyncio.create_task(self._cut_on())
        drained = self.lifespan.shutdown

        async def after_the_last() -> None:
            if self.server_state.tasks:  # cancelled just now: they still say so in their traces
                await asyncio.wait(list(self.server_state.tasks), timeout=CANCELLED)
            cutting.cancel()
            await drained()

        self.lifespan.shutdown = after_the_last
        await super().shutdown(sockets)

    async def _cut_on(self) -> None:
        """The clock of the main loop has stopped, and slow clients would use up the time that is left to the others."""
        while True:
            await asyncio.sleep(1)
            self._cut()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Without raising them again afterwards, as uvicorn does: to end when asked to is no failure."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """No more is accepted from now on; a second SIGINT does not wait for anything."""
        self.opened.stopping = True
        super().handle_exit(sig, frame)


def server(app: Starlette, drain: float = 10.0) -> Server:
    """The server of `app`, which `make_app` made: on SIGINT or SIGTERM it takes no more requests, and `drain` seconds are left
    to those under way.

    Chosen by measurement: requests a second through a pass-through without any of the gateway's work were 5,600 with
    uvicorn (uvloop, httptools), 4,300 with granian, and 5,800 with aiohttp's server, which speaks no ASGI.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http=Connection,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(drain)),
        timeout_keep_alive=KEEP_ALIVE,
        backlog=BACKLOG,
    )
    return Server(config, app.state.opened)


def serve(
    app: Starlette, listener: socket.socket, drain: float = 10.0, ready: Callable[[], None] | None = None
) -> None:
    """Answer on `listener` until SIGINT or SIGTERM, then finish the requests under way; `ready` is called when it answers."""
    made = server(app, drain)
    made.ready = ready
    made.run(sockets=[listener])


def allow_many_files() -> int:
    """Raise the bound of open files, of which each connection is one, as far as the system allows; returns the bound."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard, MOST_FILES) if hard != resource.RLIM_INFINITY else MOST_FILES
    if soft == resource.RLIM_INFINITY or soft >= most:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
