"""What is read when Prometheus asks: the process, the spool, the circuits, the queues, the caches.

A reading gives measures: a metric's name without "tutelage_", its labels without the worker, and the value now.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from tutelage.gateway.cache.alike import SemanticStats
from tutelage.gateway.cache.exact import Stats
from tutelage.gateway.telemetry.metrics import METRICS, Totals
from tutelage.gateway.traces import Recorder
from tutelage.gateway.upstreams.alias import Alias

Measure: TypeAlias = tuple[str, Mapping[str, str], float]
Reading: TypeAlias = Callable[[], Iterable[Measure]]

CIRCUITS = {"closed": 0, "half-open": 1, "open": 2}
OPEN_FILES = Path("/proc/self/fd")
MEMORY = Path("/proc/self/statm")


def read_all(readings: Iterable[Reading], worker: str) -> Totals:
    """What all readings say now. Measures that no metric is named after are passed over; equal ones add up."""
    found = Totals()
    for reading in readings:
        for name, labels, value in reading():
            metric = METRICS.get(f"tutelage_{name.removesuffix('_total')}")
            if metric is not None:
                given = {"worker": worker, **labels}
                found.number(metric.name, *(given[label] for label in metric.labels)).value += value
    return found


def read_process() -> Iterator[Measure]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield "cpu_seconds_total", {}, usage.ru_utime + usage.ru_stime
    yield "resident_bytes", {}, _resident(usage.ru_maxrss)
    if OPEN_FILES.is_dir():
        yield "open_files", {}, len(os.listdir(OPEN_FILES))


def _resident(most: int) -> int:
    """Bytes of memory now; where the system does not say, the most there has been."""
    if MEMORY.exists():
        return int(MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return most if sys.platform == "darwin" else most * 1024


def of_recorder(recorder: Recorder) -> Reading:
    def read() -> Iterator[Measure]:
        yield "spool_bytes", {}, recorder.backlog
        yield "traces_lost_total", {}, recorder.lost

    return read


def of_aliases(aliases: Iterable[Alias]) -> Reading:
    aliases = list(aliases)

    def read() -> Iterator[Measure]:
        for alias in aliases:
            yield "hedges_total", {"model": alias.name}, alias.hedged
            for one in alias.endpoints:
                target = {"target": one.name}
                yield "upstream_circuit", target, CIRCUITS[one.circuit.state]
                yield "upstream_under_way", target, one.under_way
                yield "upstream_attempts_total", target, one.attempts
                for reason, count in one.failed.items():
                    yield "upstream_failures_total", {**target, "reason": reason}, count

    return read


def of_cache(stats: Stats) -> Reading:
    def read() -> Iterator[Measure]:
        for result in ("hits", "misses", "shared", "kept", "refused", "errors"):
            yield "cache_lookups_total", {"result": result}, getattr(stats, result)

    return read


def of_semantic(now: Callable[[], SemanticStats]) -> Reading:
    """The share of wrong hits is estimated, with Clopper and Pearson's interval, from the hits that were asked again."""

    def read() -> Iterator[Measure]:
        stats = now()
        for result in ("hits", "equal", "new", "explored"):
            yield "semantic_lookups_total", {"result": result}, getattr(stats, result)
        yield "semantic_lookups_total", {"result": "refused"}, sum(stats.refused.values())
        for bound, share in zip(("estimate", "low", "high"), stats.wrong_share(), strict=True):
            yield "semantic_wrong_hits", {"bound": bound}, share

    return read
