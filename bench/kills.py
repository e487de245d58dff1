"""Whether anything that was answered is lost when the gateway or its database is killed under load.

    python -m bench.kills             # 2 minutes on 2 cores; needs PostgreSQL's programs (Debian: postgresql)

A PostgreSQL server of its own, a mock upstream, the gateway, and clients that ask without pause. Ten times, in turn, the
gateway and the whole database server get SIGKILL and are started again. At the end every request that a client saw
answered must have its trace, and the key's account must hold exactly what the traces say.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from bench.loads import free_port, mock_upstream
from bench.projects import write_log
from tutelage.errors import StoreError
from tutelage.store import Store, open_store
from tutelage.store.keys import Key, Limits

TOML = """tasks = []
database = "{database}"
[server]
access = "keys"
[upstreams.m]
targets = [{{model = "m", base_url = "{upstream}", price = {{input = 1.0, output = 2.0}}}}]
"""


class PostgreSQL:
    """A server of its own, as the user postgres where we are root (who may not run one)."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs, self.port = folder / "pg", programs, free_port()
        self.folder.mkdir()
        if os.getuid() == 0:
            folder.chmod(0o755)
            os.chown(self.folder, pwd.getpwnam("postgres").pw_uid, -1)
        self._run(str(programs / "initdb"), "-A", "trust", "-U", "postgres", "-D", str(self.folder))

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder}"
        command = [str(self.programs / "pg_ctl"), "-D", str(self.folder), "-w", "-o", options, "-l"]
        for _ in range(20):  # the memory of killed processes is free a little later
            try:
                return self._run(*command, str(self.folder / "log"), "start")
            except subprocess.CalledProcessError:
                time.sleep(0.5)
        raise RuntimeError((self.folder / "log").read_text()[-500:])

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its children."""
        main = int((self.folder / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for pid in (main, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def _run(self, *command: str) -> None:
        user = "postgres" if os.getuid() == 0 else None
        subprocess.run(command, user=user, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


class Serving:
    """The gateway, killed and started on one port."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tutelage", "serve", "-C", str(self._folder), "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


class Clients:
    """Ask until they are told to stop; `answered` maps the traces of answers to what they cost in nanodollars."""

    def __init__(self, port: int, secret: str) -> None:
        self.answered: dict[str, int] = {}
        self.failed = 0
        self.stopping = False
        self._url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self._secret = secret

    async def run(self, count: int) -> None:
        headers = {"Authorization": f"Bearer {self._secret}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=20)) as session:
            await asyncio.gather(*(self._ask(session) for _ in range(count)))

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        while not self.stopping:
            body = {"model": "m", "messages": [{"role": "user", "content": secrets.token_hex(8)}]}
            try:
                async with session.post(self._url, json=body) as response:
                    await response.read()
                    if response.status == 200:
                        cost = round(float(response.headers["X-Tutelage-Cost"]) * 1e9)
                        self.answered[response.headers["X-Tutelage-Trace"]] = cost
                        continue
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            self.failed += 1
            await asyncio.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--connections", type=int, default=16)
    chosen = parser.parse_args()
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None:
        print("SKIPPED: there are no programs of PostgreSQL. Install them with: apt-get install postgresql")
        return 0
    with tempfile.TemporaryDirectory() as name, mock_upstream() as upstream:
        database = PostgreSQL(Path(name), programs)
        database.start()
        folder = Path(name) / "gateway"
        folder.mkdir()
        (folder / "gateway.toml").write_text(TOML.format(database=database.url, upstream=upstream), encoding="utf-8")
        store = open_store(database.url)
        secret = store.keys.add(Key(id=secrets.token_hex(8), name="bench", limits=Limits(budget_month=10**13)))
        gateway = Serving(folder)
        gateway.start()
        clients = Clients(gateway.port, secret)
        asyncio.run(killing(clients, gateway, database, chosen))
        store.close()
        store = open_store(database.url)
        body = told(clients, drained(store, clients), chosen.kills)
        gateway.stop()
        store.close()
        database.kill()
    write_log(f"kills: {chosen.kills} times SIGKILL, {chosen.connections} connections", body)
    return 0


async def killing(clients: Clients, gateway: Serving, database: PostgreSQL, chosen: argparse.Namespace) -> None:
    asking = asyncio.create_task(clients.run(chosen.connections))
    for number in range(chosen.kills):
        before = len(clients.answered)
        while len(clients.answered) < before + 500:  # noqa: ASYNC110  it must be at work, whatever the machine
            await asyncio.sleep(0.1)
        victim: Serving | PostgreSQL = gateway if number % 2 == 0 else database
        await asyncio.to_thread(victim.kill)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(victim.start)
        print(f"killed {type(victim).__name__}; {len(clients.answered):,} answered", file=sys.stderr, flush=True)
    await asyncio.sleep(3)
    clients.stopping = True
    await asking


def drained(store: Store, clients: Clients) -> tuple[dict[str, int], dict[str, int], int]:
    """Traces and accounts once the spool is empty, or after two minutes: nanodollars by trace and by account, and how
    many traces are of requests that were broken off."""
    deadline = time.monotonic() + 120
    while True:
        try:
            traces = {trace.id: trace for trace in store.traces.read()}
            names = {name for trace in traces.values() for name in trace.accounts}
            accounts = {name: spent for name, (spent, _) in store.ledger.usage(sorted(names)).items()}
            if clients.answered.keys() <= traces.keys() or time.monotonic() > deadline:
                broken = sum(trace.status == 0 for trace in traces.values())
                return {id: trace.nanodollars or 0 for id, trace in traces.items()}, accounts, broken
        except StoreError as error:
            print(error, file=sys.stderr)
        time.sleep(1)


def told(clients: Clients, found: tuple[dict[str, int], dict[str, int], int], kills: int) -> str:
    traces, accounts, broken = found
    lost = clients.answered.keys() - traces.keys()
    other = sum(traces.get(id, cost) != cost for id, cost in clients.answered.items())
    lines = [
        f"{len(clients.answered):,} requests were answered over {kills} kills, {clients.failed:,} attempts of clients failed",
        f"answered requests without a trace: {len(lost)}; with another cost than the client was told: {other}",
        *(
            f"account {name.rpartition(':')[2]}: {spent:,} nanodollars, the traces say {sum(traces.values()):,} "
            f"({'equal' if spent == sum(traces.values()) else 'NOT EQUAL'})"
            for name, spent in accounts.items()
        ),
        f"traces of requests that were broken off by a kill, at what was reserved: {broken}",
    ]
    return "\n".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
