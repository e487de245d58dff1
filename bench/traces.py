"""What traces cost: microseconds on the request's path, traces a second into the database, and what the loop feels of it.

    OMP_NUM_THREADS=1 python -m bench.traces         # 2 minutes; appends to bench/LOG.md
    TUTELAGE_TEST_POSTGRESQL=postgresql://... python -m bench.traces

A trace is of a cascade that escalated: two messages of 400 characters, two steps, two accounts. The loop (uvloop, one core
together with the writer's thread) is given requests at even distances, each 300 microseconds of work and its trace; how long
one takes from when it was due shows how often the writer holds the interpreter when the loop wants it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import uvloop
from sqlalchemy import create_engine, text

from bench.projects import write_log
from tutelage.gateway.settings import Traces
from tutelage.gateway.traces import Recorder, new_id, open_recorder
from tutelage.gateway.traces.replay import trace_line
from tutelage.store import Step, Store, Trace, now, open_store
from tutelage.types import Usage

ACCOUNTS = ("key:k1:2026-11", "team:t1:2026-11")
WORK = 300e-6
SECONDS = 8.0


def main() -> int:
    start = time.monotonic()
    body = f"{request_path()}\n\n{inserts()}\n\n{loop()}\n\n{NOTES}\n"
    write_log("traces", f"{body}\n{time.monotonic() - start:.0f} s, {os.cpu_count()} cores of a busy machine.")
    return 0


NOTES = """- Pages of 25, 50, 100 and 200 traces take 92, 60, 51 and 38 microseconds of processor time a trace, with reading: a
  transaction has its price. 100 it is.
- Handing the interpreter over after 0.5 ms instead of 5 ms (sys.setswitchinterval) did not help: at 400 a second beside ten
  busy processes the 99th percentiles of five runs were 15 to 26 ms with it, 11 to 16 without; 8 to 11 without a writer.
- A writer in a process of its own, at a lower priority, left the loop as it is without one (9 to 13 ms) because it did not get
  to write: in eight seconds it had stored nothing. The thread had stored all but the last second's.
- At a load of 3.5 on the same two cores, an hour earlier, 28,900 traces a second went into SQLite and 5,950 into
  PostgreSQL, begin took 5.2 and end 8.2 microseconds, an id 2.2 (rows were then made of traces, not of
  their JSON, which costs a few microseconds less where no spool is read). Under a load of ten, as above, a fifth of that.
- 1,200 a second was more than the cores had left, without a writer too: these rows say nothing about it. PostgreSQL's own
  processes compete with the loop for the same two cores."""


def trace(n: int) -> Trace:
    said = f"My card was declined in a shop on Friday, though there is money. Case {n:06d}. " * 5
    price = Usage(210, 12, 0.000123, 0.8)
    return Trace(
        id=new_id(),
        created=now(),
        model="support",
        task="support",
        key="k1",
        source="teacher:gpt@1f0c22ab",
        confidence=0.61,
        threshold=0.83,
        input={"text": said},
        output={"label": "declined"},
        steps=(
            Step(name="tagger", seconds=0.004, answer="declined", confidence=0.61),
            Step(name="teacher:gpt@1f0c22ab", seconds=0.8, usage=price, answer="declined"),
        ),
        usage=price,
        seconds=0.81,
        nanodollars=123_000,
        accounts=ACCOUNTS,
        owner="bench",
    )


def request_path() -> str:
    """begin and end, each timed alone, and the id."""
    settings = {
        "as shipped": Traces(),
        "half sampled": Traces(sample=0.5),
        "two patterns blanked": Traces(redact=[r"\b\d{16}\b", r"[\w.+-]+@[\w-]+\.\w+"]),
    }
    lines = ["| microseconds | begin, median | p99 | end, median | p99 |", "|---|---|---|---|---|"]
    for name, one in settings.items():
        with tempfile.TemporaryDirectory() as folder:
            store = open_store(Path(folder) / "tutelage.db")
            recorder = open_recorder(store, Path(folder), one, "bench")
            traces = [trace(n) for n in range(20_000)]
            begins = timed(partial(_begin, recorder), traces)
            ends = timed(recorder.end, traces)
            asyncio.run(recorder.close())
            assert store.traces.count() == len(traces)
            store.close()
        lines.append(f"| {name} | {_shown(begins)} | {_shown(ends)} |")
    start = time.perf_counter()
    for _ in range(100_000):
        new_id()
    lines.append(f"\nAn id: {(time.perf_counter() - start) * 10:.1f} microseconds.")
    return "\n".join(lines)


def _begin(recorder: Recorder, one: Trace) -> None:
    recorder.begin(one.id, ACCOUNTS, 200_000, {"model": "support", "created": one.created, "key": "k1"})


def inserts() -> str:
    lines = ["| into | traces a second | bytes in the spool | bytes in the database |", "|---|---|---|---|"]
    for name, url in databases():
        store = open_store(url)
        count, page = 20_000, 200
        traces = [trace(n) for n in range(count)]
        rates = []
        for at in range(0, count, 5000):
            start = time.perf_counter()
            for first in range(at, at + 5000, page):
                assert store.traces.add(traces[first : first + page]) == page
            rates.append(5000 / (time.perf_counter() - start))
        spooled = sum(len(trace_line(one)) for one in traces[:100]) / 100
        lines.append(f"| {name} | {statistics.median(rates):,.0f} | {spooled:,.0f} | {size(store) / count:,.0f} |")
        _drop(store)
        store.close()
    return "\n".join(lines)


def loop() -> str:
    lines = [
        "| requests a second | writer | median ms | p99 ms | p99.9 ms | traces behind at the end |",
        "|---|---|---|---|---|---|",
    ]
    for rate in (400, 1200):
        for name, database, writes in (("none", 0, False), *((name, url, True) for name, url in databases())):
            with tempfile.TemporaryDirectory() as folder:
                where = database if isinstance(database, str) else Path(folder) / "tutelage.db"
                late, behind = uvloop.run(_loaded(open_store(where), Path(folder), rate, writes))
            shown = " | ".join(f"{value * 1e3:.2f}" for value in _quantiles(late, (0.5, 0.99, 0.999)))
            lines.append(f"| {rate:,} | {name} | {shown} | {behind:,} |")
    return "\n".join(lines)


async def _loaded(store: Store, folder: Path, rate: int, writes: bool) -> tuple[list[float], int]:
    recorder = open_recorder(store, folder, Traces(), f"bench-{uuid.uuid4().hex[:8]}")
    before = store.traces.count()
    if writes:
        await recorder.start()
    late, started, count = list[float](), time.perf_counter(), int(rate * SECONDS)

    async def request(n: int, due: float) -> None:
        one = trace(n)
        _begin(recorder, one)
        until = time.perf_counter() + WORK
        while time.perf_counter() < until:
            pass
        recorder.end(one)
        late.append(time.perf_counter() - due)

    under_way = []
    for n in range(count):
        due = started + n / rate
        if (left := due - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        under_way.append(asyncio.create_task(request(n, due)))
    await asyncio.gather(*under_way)
    behind = count - (store.traces.count() - before)
    await recorder.close()
    assert store.traces.count() - before == count
    _drop(store)
    store.close()
    return late, behind


def databases() -> list[tuple[str, str]]:
    folder = tempfile.mkdtemp()
    found = [("SQLite", f"sqlite:///{folder}/{uuid.uuid4().hex}.db")]
    if url := os.environ.get("TUTELAGE_TEST_POSTGRESQL"):
        schema = f"bench_{uuid.uuid4().hex[:12]}"
        with create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1)).begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        found.append(("PostgreSQL", f"{url}?options=-csearch_path%3D{schema}"))
    return found


def _drop(store: Store) -> None:
    """What a bench has made in PostgreSQL goes."""
    with store.database.write() as connection:
        if connection.dialect.name == "postgresql":
            name = connection.scalar(text("SELECT current_schema()"))
            connection.execute(text(f'DROP SCHEMA "{name}" CASCADE'))


def size(store: Store) -> int:
    with store.database.read() as connection:
        if connection.dialect.name == "sqlite":
            return int(
                connection.scalar(text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"))
            )
        return int(connection.scalar(text("SELECT pg_total_relation_size('traces')")))


def timed(call: Callable[[Trace], object], traces: Sequence[Trace]) -> list[float]:
    found = []
    for one in traces:
        start = time.perf_counter()
        call(one)
        found.append(time.perf_counter() - start)
    return found


def _quantiles(values: Sequence[float], levels: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered[min(len(ordered) - 1, int(level * len(ordered)))] for level in levels]


def _shown(values: Sequence[float]) -> str:
    return " | ".join(f"{value * 1e6:.1f}" for value in _quantiles(values, (0.5, 0.99)))


if __name__ == "__main__":
    sys.exit(main())
