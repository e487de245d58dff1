"""What keys, rates and budgets cost a request, and how long a lease takes.

    OMP_NUM_THREADS=1 python -m bench.keys          # half a minute; appends to bench/LOG.md

With TUTELAGE_TEST_POSTGRESQL and TUTELAGE_TEST_REDIS set, with those too.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.projects import write_log
from tutelage.gateway.keys import Door, open_door
from tutelage.gateway.settings import GatewaySettings, Server
from tutelage.settings import variable
from tutelage.store import Key, Limits, Store, open_store
from tutelage.store.ledger import Want

REQUESTS = 20_000
DEAR = 10**15

LIMITS = {
    "no limits": Limits(),
    "2 rates": Limits(requests_per_minute=10**8, tokens_per_minute=10**10),
    "2 budgets": Limits(budget_day=DEAR, budget_month=DEAR),
    "2 rates, 2 budgets": Limits(
        requests_per_minute=10**8, tokens_per_minute=10**10, budget_day=DEAR, budget_month=DEAR
    ),
}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "keys.db")
        body = asyncio.run(requests(store, None)) + "\n"
        if redis := variable("TUTELAGE_TEST_REDIS"):
            body += "With Redis:\n\n" + asyncio.run(requests(store, redis)) + "\n"
        body += leases("SQLite", store)
        if url := variable("TUTELAGE_TEST_POSTGRESQL"):
            body += leases("PostgreSQL", open_store(url))
    body += NOTES
    write_log("keys, rates and budgets, a request", body)
    return 0


NOTES = """
Microseconds of processor time, in brackets of the clock of a busy machine; the best of five runs.

- In memory the synchronous counters of `limits` are used. Its asynchronous ones look through all counters after every hit:
  16 microseconds with one key, 120 with a thousand.
- Through Redis two rates cost nearly as much as all else that the gateway does for a request: a command of redis-py is 100 to
  150 microseconds. Both hits at once (gather), and a correction sent after each request, were dearer still: 480. A connection
  for each request that waits, as the library's own pool opens them, ran into time-outs at 80 requests at once."""


async def requests(store: Store, redis: str | None) -> str:
    """Microseconds of processor time (and of the clock) of the parts of a request."""
    lines = ["| key with | header to key | model allowed | admitted and settled |", "|---|---|---|---|"]
    for name, limits in LIMITS.items():
        secret = store.keys.add(Key(id="", name=f"{name} {redis}", scopes=("characters/*", "gpt"), limits=limits))
        door = open_door(store, GatewaySettings(server=Server(access="keys"), redis=redis), "bench")
        await door.start()
        key = door.key_of(f"Bearer {secret}")
        assert key is not None
        found = await parts(door, secret, key, REQUESTS // 20 if redis else REQUESTS)
        await door.close()
        lines.append(f"| {name} | {' | '.join(found)} |")
    return "\n".join(lines) + "\n"


async def parts(door: Door, secret: str, key: Key, many: int) -> list[str]:
    async def named() -> None:
        door.key_of(f"Bearer {secret}")

    async def allowed() -> None:
        door.allow(key, "gpt")

    async def admitted() -> None:
        door.settle(await door.admit(key, 500, 100_000), 400, 80_000)

    return [await timed(work, many) for work in (named, allowed, admitted)]


async def timed(work: Callable[[], Awaitable[None]], many: int) -> str:
    """The best of five."""
    best = (float("inf"), float("inf"))
    for _ in range(5):
        clock, processor = time.perf_counter(), time.process_time()
        for _ in range(many // 5):
            await work()
        spent = (time.process_time() - processor, time.perf_counter() - clock)
        best = min(best, spent)
    return f"{best[0] / (many // 5) * 1e6:.1f} ({best[1] / (many // 5) * 1e6:.1f})"


def leases(name: str, store: Store) -> str:
    """Milliseconds of the transaction that takes two leases."""
    took = []
    for n in range(200):
        began = time.perf_counter()
        wants = [Want(account=f"bench:{one}", limit=DEAR, need=n, least=n) for one in "ab"]
        store.ledger.lease(wants, "bench")
        took.append((time.perf_counter() - began) * 1000)
    store.ledger.release("bench")
    p99 = statistics.quantiles(took, n=100)[98]
    return f"- {name}: a lease of two accounts takes {statistics.median(took):.1f} ms (99 %: {p99:.1f} ms).\n"


if __name__ == "__main__":
    sys.exit(main())
