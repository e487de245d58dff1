"""Several workers, one page: each keeps its totals in a file of a shared folder, and whoever is asked adds up all files.

A worker that takes a dead one's place counts on from its file, so that counters never fall. What a worker counted in its
last second before it was killed is missing: traces and spend, which are durable, are not counted from here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from tutelage.gateway.telemetry.metrics import METRICS, Totals, read_totals

EVERY = 1.0
"""Seconds between two writings."""


@dataclass(frozen=True)
class Worker:
    """One of several processes that serve together; alone: without a shared folder."""

    index: int = 0
    shared: Path | None = None

    @property
    def name(self) -> str:
        return str(self.index)

    @property
    def file(self) -> Path | None:
        return self.shared / f"worker-{self.index}.json" if self.shared else None


ALONE = Worker()


def left_by(worker: Worker) -> Totals:
    """What a predecessor in the worker's place has counted; what it measured of itself is gone with it."""
    found = _read(worker.file) if worker.file else Totals()
    for name in list(found.numbers):
        if METRICS[name].kind == "gauge":
            del found.numbers[name]
    return found


def keep(worker: Worker, totals: Totals) -> None:
    """Write the totals for the others."""
    if worker.file is None:
        return
    fresh = worker.file.with_suffix(".new")
    fresh.write_bytes(orjson.dumps(totals.json()))
    os.replace(fresh, worker.file)


def of_others(worker: Worker) -> Totals:
    """What the other workers have counted, as of a second ago."""
    found = Totals()
    for file in worker.shared.glob("worker-*.json") if worker.shared else ():
        if file != worker.file:
            found.add(_read(file))
    return found


def _read(file: Path) -> Totals:
    try:
        return read_totals(orjson.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):  # not there yet
        return Totals()
