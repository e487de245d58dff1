"""Running the application on loopback."""

from __future__ import annotations

import errno
import socket

import uvicorn
from starlette.applications import Starlette

from tutelage.errors import UsageError

HOST = "127.0.0.1"


def bind(port: int) -> socket.socket:
    """A listening socket on loopback; port 0 takes a free one. Raises UsageError when the port cannot be had."""
    # The protocol is named because asyncio turns Nagle's algorithm off (40 ms an answer) only on sockets that name it.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise UsageError(f"Port {port} {why}. Choose another with --port, or 0 for any free one.") from None
    return listener


def serve(app: Starlette, listener: socket.socket) -> None:
    """Answer on `listener` until SIGINT or SIGTERM, then finish the requests under way."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
    uvicorn.Server(config).run(sockets=[listener])
