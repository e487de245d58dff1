"""The recorder: what a request did and cost, durable before it is answered, at the price of two writes.

recorder = open_recorder(store, folder, settings.traces, owner="worker-1")
await recorder.start()
recorder.begin(id, ("key:k1:2026-11",), 50_000, {"model": "gpt"})     # before a call that costs money
recorder.end(Trace(id=id, ...))                                       # before the answer is sent
await recorder.close()
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.gateway.settings import Traces
from tutelage.gateway.traces.redaction import chosen, make_blank, redacted, slim
from tutelage.gateway.traces.replay import Begun, begun_line, trace_line
from tutelage.gateway.traces.spool import Spool
from tutelage.gateway.traces.writer import Writer
from tutelage.store import Store, Trace, now

FOLDER = "spool"
PATIENCE = 15.0
"""Seconds that `close` waits for the database: a little more than SQLite waits for a lock."""


def open_recorder(store: Store, folder: Path, settings: Traces, owner: str) -> Recorder:
    """A recorder that spools to `folder`/spool; `owner` names this process and no other that lives or has lived.

    Raises StoreError where the folder cannot be written, UsageError for an owner in use, TaskFileError for a bad pattern.
    """
    return Recorder(store, Spool(folder / FOLDER, owner), settings)


class Recorder:
    """Thread-safe. `begin` and `end` never raise because of the disk or the database: what could not be kept is counted."""

    def __init__(self, store: Store, spool: Spool, settings: Traces) -> None:
        self._spool, self._settings = spool, settings
        self._blank = make_blank(settings.redact)
        self._writer = Writer(store, spool, settings.keep_days)
        self._thread: threading.Thread | None = None
        self._lost = 0

    def begin(self, id: str, accounts: Sequence[str], nanodollars: int, facts: Mapping[str, Any]) -> None:
        """Note that a call is about to be made that may cost so much. Should the process be killed before `end`, the
        amount counts as spent and a trace says so, with what `facts` says of model, endpoint, task, key, source, mode, created.
        """
        created = facts.get("created") or now()
        line = begun_line(Begun(id, created, tuple(accounts), nanodollars, facts))
        try:
            self._spool.begin(id, line)
        except OSError as error:
            self._lost += 1
            self._writer.tell("begin", f"The spool {self._spool.folder} cannot be written: {error}.")

    def end(self, trace: Trace) -> None:
        """Keep the trace. When this returns it survives the end of this process, however that comes; a power cut may lose
        the last seconds, as nothing is forced to the disk."""
        if not chosen(trace.id, self._settings.sample):
            trace = slim(trace)
        elif self._spool.backlog > self._settings.spool:
            trace = slim(trace)
            self._lost += 1
            self._writer.tell(
                "bound", f"{self._spool.backlog:,} bytes wait in the spool: inputs and outputs are left out."
            )
        if self._blank:
            trace = redacted(trace, self._blank)
        line = trace_line(trace)
        try:
            self._spool.end(trace.id, line)
        except OSError as error:
            self._spool.forget(trace.id)
            self._lost += not self._writer.refused.add(line)
            self._writer.tell("end", f"The spool {self._spool.folder} cannot be written: {error}.")

    async def start(self) -> None:
        """Begin to write to the database, in a thread."""
        self._thread = threading.Thread(target=self._writer.run, name="traces", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Write what is left; what the database does not take within 15 seconds stays in the spool for the next start.

        Call it when no request is under way: what was begun and has not ended becomes broken off.
        """
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.stop()
        if self._thread:
            self._thread.join(PATIENCE)  # a server that does not answer may be waited for by the thread for minutes
        else:
            self._writer.run()

    @property
    def backlog(self) -> int:
        """Bytes that wait for the database, in the spool and in memory."""
        return self._spool.backlog + self._writer.refused.size

    @property
    def lost(self) -> int:
        """Traces whose input and output were left out because too much waited, and calls and traces that could not be kept."""
        return self._lost + self._writer.lost
