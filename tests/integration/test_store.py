"""The store under several processes: opened at once, killed in the middle of writes, out of disk space."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tutelage.store import open_store

OPEN_AND_ADD = """
import sys
from tutelage.store import open_store
from tutelage.types import Example
store = open_store(sys.argv[1])
for n in range(40):
    store.examples.add([Example(f"{sys.argv[2]}-{n}", {"text": str(n)}, "train"), Example(f"both-{n}", {"text": "b"}, "dev")])
"""

WRITE_FOR_EVER = """
import itertools, sys
from tutelage.store import open_store
from tutelage.types import Example, Label
store = open_store(sys.argv[1])
for n in itertools.count(len(store.labels.labelled_by("import")) // 20):
    ids = [f"{n}-{i}" for i in range(20)]
    store.examples.add([Example(id, {"text": id * 20}, "train") for id in ids])
    store.labels.add([Label(id, "a", "import") for id in ids])
    print(n, flush=True)
"""

FULL = """
import resource, signal, sys
from tutelage.errors import TutelageError
from tutelage.store import open_store
from tutelage.types import Example
store = open_store(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    for n in range(10_000):
        store.examples.add([Example(f"{n}-{i}", {"text": "x" * 1000}, "train") for i in range(10)])
        print(n, flush=True)
except TutelageError as error:
    sys.exit(f"Error: {error}")
"""

RESERVE = """
import sys
from tutelage.errors import BudgetExceeded
from tutelage.store import open_store
store, got = open_store(sys.argv[1]), 0
try:
    while True:
        store.spend.reserve("label", 0.125, 5.0)
        got += 1
except BudgetExceeded:
    print(got)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_new_database_opened_by_several_processes_at_once(database_url: str) -> None:
    processes = [start(OPEN_AND_ADD, database_url, str(n)) for n in range(4)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    store = open_store(database_url)
    assert store.examples.counts() == {"train": 160, "dev": 40, "calibration": 0, "test": 0}
    store.close()


def test_several_processes_never_reserve_more_than_the_budget(database_url: str) -> None:
    open_store(database_url).close()
    processes = [start(RESERVE, database_url) for _ in range(3)]
    assert sum(int(process.communicate(timeout=120)[0]) for process in processes) == 40
    store = open_store(database_url)
    assert store.spend.spent("label") == pytest.approx(5.0)
    store.close()


def test_kill_9_loses_nothing_that_was_committed(database_url: str) -> None:
    reported = -1
    for seconds in (0.2, 0.35, 0.5):
        process = start(WRITE_FOR_EVER, database_url)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        reported = max(int(line) for line in [first, *process.stdout.read().splitlines()] if line.strip())
        process.wait()
        store = open_store(database_url)
        labelled = {one.example.id for one in store.labels.read("train")}
        assert {f"{n}-{i}" for n in range(reported + 1) for i in range(20)} <= labelled
        assert len(labelled) % 20 == 0
        store.close()
    assert reported > 0


def test_a_full_disk_is_one_line_and_keeps_what_was_stored(tmp_path: Path) -> None:
    process = start(FULL, str(tmp_path / "tutelage.db"))
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.startswith("Error: The database") and errors.count("\n") == 1
    assert "disk space" in errors and "finished work is kept" in errors
    store = open_store(tmp_path / "tutelage.db")
    assert store.examples.counts()["train"] == 10 * len(output.splitlines()) > 0
    store.close()
