"""Running the pages: on loopback alone, until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
import webbrowser
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from tutelage.models.loopback import HOST, bind

DRAIN = 5
"""Seconds that requests under way are given at the end."""


class Server(uvicorn.Server):
    """uvicorn's, which says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def serve_pages(app: Starlette, port: int, told: Callable[[str], None], browser: bool = False) -> None:
    """Answer on `port` (0: a free one) until Ctrl-C; `told` is called with the address once it answers.

    With `browser` it is opened in one. Raises UsageError when the port cannot be had.
    """
    with bind(port) as listener:
        address = f"http://{HOST}:{listener.getsockname()[1]}/"

        def ready() -> None:
            told(address)
            if browser:
                webbrowser.open(address)

        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off",
            timeout_graceful_shutdown=DRAIN,
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            Server(config, ready).run(sockets=[listener])
