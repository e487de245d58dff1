"""Fixtures for all tests: no network but loopback, and the databases."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import create_engine, text

POSTGRESQL = os.environ.get("TUTELAGE_TEST_POSTGRESQL", "")
REPEATABLE = "TUTELAGE_TEST_REPEATABLE" in os.environ
"""The same generated cases at every run, as CI wants them; elsewhere new ones are tried each time."""
hypothesis.settings.register_profile(
    "any-machine", deadline=None, derandomize=REPEATABLE
)  # a busy machine is no failure
hypothesis.settings.load_profile("any-machine")
LOCAL = ("127.", "localhost", "::1")


class NetworkRefused(RuntimeError):
    """A test tried to reach another machine."""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse sockets and name look-ups other than loopback and Unix sockets."""
    lookup = socket.getaddrinfo

    def guarded(name: str) -> Any:
        method = getattr(socket.socket, name)

        def connect(self: socket.socket, *arguments: Any) -> Any:
            address = arguments[-1]
            if self.family != socket.AF_UNIX and not _is_local(address[0]):
                raise NetworkRefused(f"A test may not reach {address!r}. Use loopback or a fake.")
            return method(self, *arguments)

        return connect

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host is not None and not _is_local(host):
            raise NetworkRefused(f"A test may not look up {host!r}. Use loopback or a fake.")
        return lookup(host, *arguments, **options)

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, guarded(name))
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(not POSTGRESQL, reason="no URL"))]
)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database: SQLite, and PostgreSQL (a schema of its own) where TUTELAGE_TEST_POSTGRESQL is set."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'tutelage.db'}"
        return
    schema = f"test_{uuid.uuid4().hex[:12]}"
    engine = create_engine(POSTGRESQL.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield f"{POSTGRESQL}{'&' if '?' in POSTGRESQL else '?'}options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


def _is_local(host: Any) -> bool:
    return (host.decode() if isinstance(host, bytes) else str(host)).startswith(LOCAL)
