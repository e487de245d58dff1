"""The recorder: what was said is blanked or left out, what was spent is kept, and no trouble reaches the request."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.traced import trace

from tutelage.errors import TaskFileError, UsageError
from tutelage.gateway.settings import Traces
from tutelage.gateway.traces import Recorder, new_id, open_recorder
from tutelage.gateway.traces.ids import TraceIds, lowest_id
from tutelage.gateway.traces.redaction import chosen
from tutelage.gateway.traces.replay import BROKEN_OFF
from tutelage.gateway.traces.spool import Spool, hold
from tutelage.gateway.traces.writer import SparseLog
from tutelage.store import Step, Store, Trace, open_store
from tutelage.store.ledger import Want


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "tutelage.db")
    yield store
    store.close()


def recorded(store: Store, folder: Path, work: Callable[[Recorder], object], **settings: Any) -> Recorder:
    """What the recorder is after `work` and its end."""

    async def run() -> Recorder:
        recorder = open_recorder(store, folder, Traces(**settings), "w1")
        work(recorder)
        await recorder.close()
        return recorder

    return asyncio.run(run())


def test_ids_grow_and_say_when_they_were_made() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert sorted(set(ids)) == ids
    assert {len(id) for id in ids} == {32}
    assert {(id[12], id[16] in "89ab") for id in ids} == {("7", True)}
    assert abs(int(ids[0][:12], 16) / 1000 - time.time()) < 60


def test_ids_grow_while_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([5_000_000_000_000, 4_000_000_000_000, 4_000_000_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    make = TraceIds()
    ids = [make() for _ in range(3)]
    assert sorted(ids) == ids


def test_the_lowest_id_of_a_moment_is_below_all_that_follow() -> None:
    from_now = lowest_id(datetime.now(UTC))
    assert from_now <= new_id()


def test_what_ended_is_stored_while_the_recorder_runs(store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        recorder = open_recorder(store, tmp_path, Traces(), "w1")
        await recorder.start()
        made = [trace(accounts=("a",), nanodollars=7) for _ in range(60)]
        recorder.begin(made[0].id, ("a",), 100, {"model": "gpt"})
        open_yet = new_id()
        recorder.begin(open_yet, ("a",), 100, {"model": "gpt"})
        for one in made:
            recorder.end(one)
        assert recorder.backlog > 0
        for _ in range(100):
            await asyncio.sleep(0.05)
            if store.traces.count() == 60:
                break
        assert store.traces.count() == 60
        recorder.end(trace(open_yet, accounts=("a",), nanodollars=1))
        await recorder.close()
        assert recorder.backlog == 0
        assert recorder.lost == 0

    asyncio.run(run())
    assert store.traces.count() == 61
    assert store.ledger.usage(["a"]) == {"a": (60 * 7 + 1, 0)}
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_began_and_never_ended_counts_in_full(store: Store, tmp_path: Path) -> None:
    store.ledger.lease([Want(account="a", limit=1000, need=500, least=1)], "w1")
    ids = new_id(), new_id()

    def work(recorder: Recorder) -> None:
        recorder.begin(ids[0], ["a", "b"], 300, {"model": "gpt", "key": "k1", "created": "2026-11-21", "odd": 1})
        recorder.begin(ids[1], ["a"], 300, {})
        recorder.end(trace(ids[1], accounts=("a",), nanodollars=20))

    recorded(store, tmp_path, work)
    found = store.traces.get(ids[0])
    expected = Trace(
        id=ids[0],
        created="2026-11-21",
        model="gpt",
        key="k1",
        status=0,
        error=BROKEN_OFF,
        nanodollars=300,
        accounts=("a", "b"),
        owner="w1",
    )
    assert found == expected
    assert store.ledger.usage(["a", "b"]) == {"a": (320, 0), "b": (300, 0)}


def end_all(made: Sequence[Trace], recorder: Recorder) -> None:
    for one in made:
        recorder.end(one)


SAID: dict[str, Any] = {
    "input": [{"role": "user", "content": "I am ada@x.org, card 1234567890123456"}],
    "output": {"label": "x", "from": ["ada@x.org"]},
    "steps": (Step(name="a", answer="ada@x.org", error="no ada@x.org"),),
    "error": "to ada@x.org",
    "note": "ada@x.org",
    "source": "ada@x.org",
}


def test_matches_are_blanked_before_anything_is_written(store: Store, tmp_path: Path) -> None:
    one = trace(**SAID)

    def work(recorder: Recorder) -> None:
        recorder.end(one)
        assert (tmp_path / "spool" / "w1-00000000.jsonl").read_text().count("ada@x.org") == 1

    recorded(store, tmp_path, work, redact=[r"\b\d{16}\b", r"[\w.]+@[\w.]+"])
    found = store.traces.get(one.id)
    assert found is not None
    assert found.input == [{"role": "user", "content": "I am [redacted], card [redacted]"}]
    assert found.output == {"label": "x", "from": ["[redacted]"]}
    assert (found.steps[0].answer, found.steps[0].error) == ("[redacted]", "no [redacted]")
    assert (found.error, found.note, found.source) == ("to [redacted]", "[redacted]", "ada@x.org")
    with pytest.raises(TaskFileError, match=r"redact: '\(' is not a regular expression"):
        open_recorder(store, tmp_path, Traces(redact=["("]), "w2")


def test_of_those_not_sampled_who_and_what_it_cost_is_kept(store: Store, tmp_path: Path) -> None:
    made = [trace(**SAID, nanodollars=5, accounts=("a",)) for _ in range(400)]
    recorder = recorded(store, tmp_path, partial(end_all, made), sample=0.25)
    kept = {one.id for one in store.traces.read() if one.input is not None}
    assert kept == {one.id for one in made if chosen(one.id, 0.25)}
    assert 60 < len(kept) < 140
    assert all(one.source == "ada@x.org" for one in store.traces.read())
    assert all(
        (one.output is None) == (one.steps[0].answer is None) == (one.id not in kept) for one in store.traces.read()
    )
    assert (store.ledger.usage(["a"]), recorder.lost) == ({"a": (2000, 0)}, 0)


def test_when_too_much_waits_what_was_said_is_left_out_and_counted(store: Store, tmp_path: Path) -> None:
    made = [trace(input="x" * 100_000, nanodollars=1, accounts=("a",)) for _ in range(15)]
    recorder = recorded(store, tmp_path, partial(end_all, made), spool=1024 * 1024)
    assert sum(one.input is not None for one in store.traces.read()) == 11
    assert (recorder.lost, store.traces.count(), store.ledger.usage(["a"])) == (4, 15, {"a": (15, 0)})


def test_what_is_half_written_or_no_trace_is_kept_aside(store: Store, tmp_path: Path) -> None:
    good = trace(nanodollars=3, accounts=("a",))
    spool = Spool(tmp_path / "spool", "dead")
    spool.end("x", b'{"id": 3}\n{"status": \n[1]\n\xff\n')
    spool.end("x", json.dumps({"id": "i", "created": "c", "model": "m", "status": "teapot"}).encode() + b"\n")
    spool.end("x", json.dumps({"id": good.id, "created": "c", "model": "m", "from": "the future"}).encode() + b"\n")
    spool.end("x", b'{"id": "cut of')
    spool.close()
    recorded(store, tmp_path, lambda recorder: recorder.end(good))
    assert asyncio.run(_started(store, tmp_path)) == 0
    assert [one.id for one in store.traces.read()] == [good.id]
    rejects = (tmp_path / "spool" / "rejects.jsonl").read_bytes().splitlines()
    assert len(rejects) == 6
    assert b'{"id": "cut of' in rejects
    assert sum(b'"teapot"' in line for line in rejects) == 1


async def _started(store: Store, folder: Path) -> int:
    """Segments left when a recorder has run long enough to adopt what lies there."""
    recorder = open_recorder(store, folder, Traces(), "later")
    await recorder.start()
    for _ in range(100):
        await asyncio.sleep(0.05)
        if not list((folder / "spool").glob("dead*")):
            break
    await recorder.close()
    return len(list((folder / "spool").glob("*-*.jsonl")))


def test_a_living_owners_spool_is_left_alone(store: Store, tmp_path: Path) -> None:
    living = Spool(tmp_path / "spool", "living")
    living.end("x", b"never read")
    asyncio.run(_started(store, tmp_path))
    assert (tmp_path / "spool" / "living-00000000.jsonl").read_bytes() == b"never read"
    with pytest.raises(UsageError, match=r"The spool of 'living' in .* is in use"):
        open_recorder(store, tmp_path, Traces(), "living")
    living.close()
    held = hold(tmp_path / "spool", "living")
    assert held
    held.release(delete=False)
    with pytest.raises(UsageError, match="cannot name a spool"):
        open_recorder(store, tmp_path, Traces(), "a/b")


def test_a_full_disk_costs_no_request_and_no_trace(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = [trace(nanodollars=1, accounts=("a",)) for _ in range(9)]
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 40 and not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:20] if partly else data)

    room, partly = True, False

    async def run() -> Recorder:
        nonlocal room, partly
        recorder = open_recorder(store, tmp_path, Traces(), "w1")
        monkeypatch.setattr(os, "write", full)
        for number, one in enumerate(made):
            room, partly = not 3 <= number < 6, number == 7
            recorder.begin(one.id, ["a"], 50, {})
            recorder.end(one)
        await recorder.close()
        return recorder

    recorder = asyncio.run(run())
    assert sorted(one.id for one in store.traces.read()) == [one.id for one in made]
    assert store.ledger.usage(["a"]) == {"a": (9, 0)}
    assert recorder.lost == 4  # the beginnings that could not be noted
    assert len([line for line in caplog.messages if "No space left" in line]) <= 2


def test_the_database_locked_by_another_is_waited_for(store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        recorder = open_recorder(store, tmp_path, Traces(), "w1")
        await recorder.start()
        other = sqlite3.connect(tmp_path / "tutelage.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        slowest = 0.0
        for _ in range(40):
            start = time.perf_counter()
            recorder.end(trace(nanodollars=1, accounts=("a",)))
            slowest = max(slowest, time.perf_counter() - start)
            await asyncio.sleep(0.03)
        assert recorder.backlog > 40 * 100
        other.execute("ROLLBACK")
        other.close()
        await recorder.close()
        assert slowest < 0.5  # and not the seconds for which the database was locked

    asyncio.run(run())
    assert store.traces.count() == 40
    assert store.ledger.usage(["a"]) == {"a": (40, 0)}


def test_old_traces_are_forgotten_while_the_recorder_runs(store: Store, tmp_path: Path) -> None:
    store.traces.add([trace(created="2020-01-01"), trace()])

    async def run() -> None:
        recorder = open_recorder(store, tmp_path, Traces(keep_days=30), "w1")
        await recorder.start()
        for _ in range(100):
            await asyncio.sleep(0.05)
            if store.traces.count() == 1:
                break
        await recorder.close()

    asyncio.run(run())
    assert store.traces.count() == 1


def test_one_kind_of_trouble_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    tell = SparseLog(seconds=0.05)
    for _ in range(3):
        tell("a", "trouble")
    tell("b", "more")
    time.sleep(0.06)
    tell("a", "trouble")
    assert caplog.messages == ["trouble", "more", "trouble (and 2 times more since the last line)"]
