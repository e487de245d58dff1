"""Whether an address is on this very machine: no key is needed there, and listening there is safe."""

from __future__ import annotations

import errno
import ipaddress
import socket
from urllib.parse import urlsplit

from tutelage.errors import UsageError

HOST = "127.0.0.1"


def is_loopback(url: str) -> bool:
    """Whether `url` names this very machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def bind(port: int, host: str = HOST) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises UsageError when the port cannot be had."""
    # The protocol is named because asyncio turns Nagle's algorithm off (40 ms an answer) only on sockets that name it.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise UsageError(f"Port {port} {why}. Choose another with --port, or 0 for any free one.") from None
    return listener
