"""The fixture that keeps tests off the network."""

from __future__ import annotations

import socket
import threading

import pytest


def test_other_machines_are_refused() -> None:
    with socket.socket() as one, pytest.raises(RuntimeError, match="may not reach"):
        one.connect(("192.0.2.1", 80))
    with socket.socket(type=socket.SOCK_DGRAM) as one, pytest.raises(RuntimeError, match="may not reach"):
        one.sendto(b"x", ("192.0.2.1", 53))
    with pytest.raises(RuntimeError, match="may not look up"):
        socket.create_connection(("example.com", 80))


def test_loopback_and_unix_sockets_are_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        socket.create_connection(("localhost", server.getsockname()[1])).close()
        thread.join()
    left, right = socket.socketpair()
    left.close()
    right.close()
