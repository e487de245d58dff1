"""A worker that can be killed: it begins and ends requests as fast as it can and says on stdout what it was told is kept.

    python -m tests.integration.spooling DATABASE FOLDER OWNER

Lines: `begun ID` and `ended ID NANODOLLARS`, each written after the recorder has returned.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.traced import trace
from tutelage.gateway.settings import Traces
from tutelage.gateway.traces import new_id, open_recorder
from tutelage.store import open_store
from tutelage.store.ledger import Want

ACCOUNT, MOST = "key:k1:2026-11", 1000


async def main(database: str, folder: str, owner: str) -> None:
    store = open_store(database)
    store.ledger.lease([Want(account=ACCOUNT, limit=10**12, need=10**6, least=1)], owner)
    recorder = open_recorder(store, Path(folder), Traces(), owner)
    await recorder.start()
    os.write(1, b"ready\n")
    under_way: list[str] = []
    for number in range(10**9):
        id = new_id()
        recorder.begin(id, (ACCOUNT,), MOST, {"model": "gpt"})
        os.write(1, f"begun {id}\n".encode())
        under_way.append(id)
        if len(under_way) > 4:
            id, cost = under_way.pop(number % 4), number % 700
            recorder.end(trace(id, accounts=(ACCOUNT,), nanodollars=cost, input={"text": "ü" * (number % 500)}))
            os.write(1, f"ended {id} {cost}\n".encode())
        await asyncio.sleep(0.0005)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
