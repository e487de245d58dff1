"""From the spool into the database: in the background, again and again until it is there.

A segment is deleted once all its traces are committed, and traces are added once each by id, so a writer that is killed
between the two adds nothing twice. What a killed process left is adopted by whoever finds its lock free.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tutelage.errors import StoreError
from tutelage.gateway.traces.replay import Begun, Page, Segment, broken_off, read_page
from tutelage.gateway.traces.spool import Spool, hold, owners, segments
from tutelage.store import Store

LOG = logging.getLogger("tutelage.gateway.traces")
EVERY, ADOPT_EVERY, FORGET_EVERY = 0.5, 10.0, 3600.0
"""Seconds between two looks at the spool, for spools without a living owner, and for traces that are too old."""
BETWEEN = 0.002
"""Seconds between two pages, in which the loop has the interpreter to itself."""
SLOWEST = 30.0
"""Seconds between two attempts while the database is away, at most."""
SEGMENT_BYTES = 8 * 1024 * 1024
"""While the database is away segments grow to this size."""
REJECTS = "rejects.jsonl"


class SparseLog:
    """Logs each kind of trouble at most once a minute, with how often it came since."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._seen: dict[str, tuple[float, int]] = {}

    def __call__(self, kind: str, message: str) -> None:
        last, count = self._seen.get(kind, (float("-inf"), 0))
        if time.monotonic() - last < self._seconds:
            self._seen[kind] = last, count + 1
            return
        self._seen[kind] = time.monotonic(), 0
        LOG.warning("%s%s", message, f" (and {count} times more since the last line)" if count else "")


@dataclass
class Refused:
    """Lines that the disk did not take: they wait in memory, `most` bytes of them, for the database."""

    most: int = 8 * 1024 * 1024
    size: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[bytes] = []

    def add(self, line: bytes) -> bool:
        """Whether there was room."""
        with self._lock:
            if self.size + len(line) > self.most:
                return False
            self._lines.append(line)
            self.size += len(line)
        return True

    def lines(self) -> list[bytes]:
        with self._lock:
            return list(self._lines)

    def drop(self, lines: Sequence[bytes]) -> None:
        """Forget the first of them."""
        with self._lock:
            del self._lines[: len(lines)]
            self.size -= sum(map(len, lines))


class Writer:
    """Empties `spool` into `store`, by `run` in a thread of its own. `keep_days` None: traces are kept for ever."""

    def __init__(self, store: Store, spool: Spool, keep_days: float | None = None) -> None:
        self._store, self._spool, self._keep_days = store, spool, keep_days
        self.refused, self.tell = Refused(), SparseLog()
        self.lost = 0
        """Traces that neither the database nor a reject file could be given."""
        self._stopping = threading.Event()
        self._segment: Segment | None = None
        self._due = {"adopt": 0.0, "forget": 0.0}

    def run(self) -> None:
        """Until `stop`, and then `finish`; never raises."""
        pause = EVERY
        while not self._stopping.wait(pause * random.uniform(0.8, 1.2) if pause > EVERY else pause):
            try:
                self.flush()
                self._on_time("adopt", ADOPT_EVERY, self.adopt)
                self._on_time("forget", FORGET_EVERY, self.forget)
                pause = EVERY
            except (StoreError, OSError) as error:
                pause = min(2 * pause, SLOWEST)
                self.tell("flush", f"Traces wait in the spool ({self._spool.backlog:,} bytes): {error}")
            except Exception:  # a fault of ours: were the thread to end, traces would wait for ever, and nobody be told
                pause = SLOWEST
                LOG.exception("Traces wait in the spool (%d bytes).", self._spool.backlog)
        try:
            self.finish()
        except (StoreError, OSError) as error:
            self.tell("finish", f"Traces wait in the spool {self._spool.folder} for the next start: {error}")

    def stop(self) -> None:
        self._stopping.set()

    def flush(self) -> None:
        """All that has ended so far into the database. Raises StoreError or OSError; what is not committed stays."""
        self._flush_refused()
        spool = self._spool
        if spool.ended and (not spool.finished() or spool.waiting > SEGMENT_BYTES):
            spool.rotate()
        for path in spool.finished():
            if self._segment is None or self._segment.path != path:
                self._segment = Segment(path, spool.owner)
            try:
                self._replay(self._segment)
            except FileNotFoundError:
                self.tell("gone", f"{path} was deleted by somebody else; what was in it is lost.")
            spool.drop(path)

    def finish(self) -> None:
        """As `flush`, of the segment that is being written too; then what is begun and has not ended is broken off."""
        try:
            self._flush_refused()
        finally:
            self._spool.close()
        self._adopt(self._spool.owner)
        self._spool.backlog = 0

    def adopt(self) -> None:
        """Take over the spools in the folder whose owners are dead. Raises StoreError or OSError."""
        for owner in sorted(owners(self._spool.folder) - {self._spool.owner}):
            self._adopt(owner)

    def forget(self) -> None:
        """Delete traces that are older than is kept, in small batches. Raises StoreError."""
        if self._keep_days is not None:
            before = (datetime.now(UTC) - timedelta(days=self._keep_days)).isoformat()
            while self._store.traces.forget(before) and not self._stopping.wait(0.05):
                pass

    def _adopt(self, owner: str) -> None:
        held = hold(self._spool.folder, owner)
        if held is None:
            return
        done = False
        try:
            paths, begun = list(segments(self._spool.folder, owner)), dict[str, Begun]()
            for path in paths:
                begun = self._replay(Segment(path, owner), begun)
            self._add(read_page([broken_off(one, owner) for one in begun.values()], owner))
            for path in paths:
                path.unlink()
            self._store.ledger.release(owner)
            done = True
        finally:
            held.release(delete=done)
        if begun:
            LOG.warning(
                "%d requests of %s were broken off; what was set aside for them counts as spent.", len(begun), owner
            )

    def _replay(self, segment: Segment, begun: dict[str, Begun] | None = None) -> dict[str, Begun]:
        """All of the segment into the database. Returns `begun` with what it began and without what it ended."""
        begun = dict(begun or {})
        while found := segment.page():
            page, end = found
            self._add(page)
            segment.done(end)
            begun |= {one.id: one for one in page.begun}
            for row in page.rows:
                begun.pop(row.id, None)
            self._stopping.wait(BETWEEN)
        return begun

    def _flush_refused(self) -> None:
        if lines := self.refused.lines():
            self._add(read_page(lines, self._spool.owner))
            self.refused.drop(lines)

    def _add(self, page: Page) -> None:
        """Raises StoreError where the database is not to be had; traces that it refuses are kept aside."""
        try:
            self._store.traces.add_rows(page.rows)
        except ValueError:
            for row, line in zip(page.rows, page.lines, strict=True):
                try:
                    self._store.traces.add_rows([row])
                except ValueError:
                    page.bad.append(line)
        if page.bad:
            self._reject(page.bad)

    def _reject(self, lines: Sequence[bytes]) -> None:
        path: Path = self._spool.folder / REJECTS
        try:
            with path.open("ab") as file:
                file.writelines(line.rstrip(b"\n") + b"\n" for line in lines)
            self.tell("reject", f"{len(lines)} lines of the spool are no traces; they are kept in {path}.")
        except OSError as error:
            self.lost += len(lines)
            self.tell(
                "reject", f"{len(lines)} lines of the spool are no traces, and {path} cannot be written: {error}."
            )

    def _on_time(self, name: str, every: float, work: Callable[[], None]) -> None:
        if time.monotonic() >= self._due[name]:
            self._due[name] = time.monotonic() + every
            work()
