"""kill -9, ten times, while the database is there or away: every acknowledged trace is stored once, every dollar counted once."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.spooling import ACCOUNT, MOST
from tests.traced import trace
from tutelage.gateway.settings import Traces
from tutelage.gateway.traces import open_recorder
from tutelage.store import Store, open_store

ROOT = Path(__file__).parents[2]
KILLS = 10


class Told:
    """What workers were told is kept."""

    def __init__(self) -> None:
        self.begun: set[str] = set()
        self.ended: dict[str, int] = {}

    def read(self, lines: list[str]) -> None:
        for line in lines:
            match line.split():
                case ["begun", id]:
                    self.begun.add(id)
                case ["ended", id, cost]:
                    self.ended[id] = int(cost)


def kill_one(
    database: str, folder: Path, owner: str, seconds: float, meanwhile: Callable[[], object] | None = None
) -> list[str]:
    """The lines of a worker that is killed after so long; half way `meanwhile` is called."""
    command = [sys.executable, "-m", "tests.integration.spooling", database, str(folder), owner]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == b"ready\n"
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(worker.stdout.read().decode().splitlines()))  # type: ignore[union-attr]
        reader.start()
        time.sleep(seconds / 2)
        if meanwhile:
            meanwhile()
        time.sleep(seconds / 2)
        worker.kill()
        reader.join()
    return lines


def settle(store: Store, folder: Path) -> None:
    """A last worker, that adopts what the others left."""

    async def run() -> None:
        recorder = open_recorder(store, folder, Traces(), "last")
        await recorder.start()
        for _ in range(600):
            await asyncio.sleep(0.05)
            if not [path for path in (folder / "spool").iterdir() if not path.name.startswith("last")]:
                break
        await recorder.close()

    asyncio.run(run())


def check(store: Store, folder: Path, told: Told) -> None:
    stored = {one.id: one for one in store.traces.read()}
    assert told.ended.keys() - stored.keys() == set()
    assert told.begun - stored.keys() == set()
    assert {id: stored[id].nanodollars for id in told.ended} == told.ended
    assert all(stored[id].status == 200 for id in told.ended)
    rest = [one for id, one in stored.items() if id not in told.ended]
    broken = [one for one in rest if one.status == 0]
    assert all((one.nanodollars, one.error) == (MOST, "broken off") for one in broken)
    assert len(broken) >= 2 * KILLS  # four are always under way
    assert len(rest) - len(broken) <= KILLS  # killed between the end and telling of it
    spent = sum(one.nanodollars or 0 for one in stored.values())
    assert store.ledger.usage([ACCOUNT]) == {ACCOUNT: (spent, 0)}
    assert list((folder / "spool").iterdir()) == []


def test_ten_killed_workers_lose_nothing(database_url: str, tmp_path: Path) -> None:
    told, chance = Told(), random.Random(20261121)
    for number in range(KILLS):
        told.read(kill_one(database_url, tmp_path, f"w{number}", chance.uniform(0.1, 1.4)))
    store = open_store(database_url)
    settle(store, tmp_path)
    assert len(told.ended) > 20 * KILLS
    check(store, tmp_path, told)
    store.close()


def test_ten_workers_killed_while_sqlite_is_locked_lose_nothing(tmp_path: Path) -> None:
    told, chance, path = Told(), random.Random(1), tmp_path / "tutelage.db"
    open_store(path).close()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def lock() -> None:
        with suppress(sqlite3.OperationalError):
            other.execute("BEGIN EXCLUSIVE")

    for number in range(KILLS):
        told.read(kill_one(str(path), tmp_path, f"w{number}", chance.uniform(0.4, 1.4), lock))
        if other.in_transaction:
            other.execute("ROLLBACK")
    store = open_store(path)
    settle(store, tmp_path)
    check(store, tmp_path, told)
    store.close()


class Proxy:
    """A door to PostgreSQL that can be shut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.shut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut what is under way and let nobody in."""
        self.shut = True
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def open(self) -> None:
        self.shut = False

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self.shut:
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._open += [client, server]
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, a: socket.socket, b: socket.socket) -> None:
        with suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        for one in (a, b):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    parts = urlsplit(url)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    yield proxy, url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{proxy.port}")
    proxy.close()


def test_ten_workers_killed_while_postgresql_is_away_lose_nothing(database_url: str, tmp_path: Path) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("SQLite is locked instead, above")
    told, chance = Told(), random.Random(2)
    with proxied(database_url) as (proxy, url):
        open_store(database_url).close()
        for number in range(KILLS):
            told.read(kill_one(url, tmp_path, f"w{number}", chance.uniform(0.4, 1.4), proxy.close))
            proxy.open()
    store = open_store(database_url)
    settle(store, tmp_path)
    check(store, tmp_path, told)
    store.close()


def test_a_recorder_goes_on_when_postgresql_comes_back(database_url: str, tmp_path: Path) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("PostgreSQL alone can be away")

    async def run() -> None:
        with proxied(database_url) as (proxy, url):
            store = open_store(url)
            recorder = open_recorder(store, tmp_path, Traces(), f"w{os.getpid()}")
            await recorder.start()
            recorder.end(trace(nanodollars=1, accounts=(ACCOUNT,)))
            await until(lambda: recorder.backlog == 0)
            proxy.close()
            for _ in range(50):
                recorder.end(trace(nanodollars=1, accounts=(ACCOUNT,)))
            await asyncio.sleep(1.5)
            assert recorder.backlog > 0
            proxy.open()
            await until(lambda: recorder.backlog == 0)
            await recorder.close()
            store.close()

    asyncio.run(run())
    store = open_store(database_url)
    assert (store.traces.count(), store.ledger.usage([ACCOUNT])) == (51, {ACCOUNT: (51, 0)})
    store.close()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(400):
        if true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("It did not come true within 20 seconds.")
