"""The log: lines of JSON on stderr, which say who was answered by whom and what failed, never a secret and never a body.

What a request says of itself is in its trace, under the same id. The words of an error come along only where they are an
upstream's own, or where `[telemetry] content = true`: those of a task may repeat what was asked.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple, TextIO

import orjson

from tutelage.gateway.telemetry.arriving import Incoming
from tutelage.store.traces import Trace

WAITING = 10_000
"""Lines that may wait for stderr; those beyond are dropped and counted."""
PAUSE = 0.1
"""Seconds between two writings."""
LEAST_SECRET = 6
"""Characters of a known secret below which it is none ("none", where an endpoint wants no key)."""
SECRET = re.compile(r"(?i)\bsk-[\w-]{6,}|\b(bearer|basic) +[\w.~+/=-]{6,}")
MASK = "[secret]"


def facts_of(trace: Trace, incoming: Incoming, content: bool) -> dict[str, Any]:
    """What may be told of a request; without what it has not."""
    usage = trace.usage
    found = {
        "request": incoming.request_id or trace.id,
        "trace": trace.id,
        "model": trace.model[:200],
        "endpoint": trace.endpoint,
        "task": trace.task,
        "key": trace.key,
        "source": trace.source or None,
        "status": trace.status,
        "cache": trace.cache,
        "mode": trace.mode,
        "input_tokens": usage.input_tokens or None,
        "output_tokens": usage.output_tokens or None,
        "dollars": trace.nanodollars / 1e9 if trace.nanodollars else None,
        "first": None if trace.first is None else round(trace.first, 6),
        "seconds": round(trace.seconds, 6),
        "failed": [one.name for one in trace.steps if one.error is not None] or None,
        "error": words_of(trace, content),
    }
    return {name: value for name, value in found.items() if value is not None}


def words_of(trace: Trace, content: bool) -> str | None:
    """The error's text, where it may be told."""
    own = trace.task is None and trace.status >= 500
    return trace.error if trace.error and (content or own) else None


class Lines(logging.Formatter):
    """A line of JSON, with `secrets` and whatever looks like one masked."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        super().__init__()
        parts = [re.escape(one) for one in sorted(secrets, key=len, reverse=True) if len(one) >= LEAST_SECRET]
        self._known = re.compile("|".join(parts)) if parts else None

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {"message": record.getMessage()}
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        return self.line(record.created, record.levelname.lower(), record.name, facts)

    def line(self, created: float, level: str, name: str, facts: Mapping[str, Any]) -> str:
        """`created` in seconds since 1970."""
        when = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
        text = orjson.dumps({"time": when, "level": level, "logger": name, **facts}, default=str).decode()
        text = SECRET.sub(MASK, text)
        return self._known.sub(MASK, text) if self._known else text


class Finished(NamedTuple):
    """A request whose line is to be written."""

    created: float
    trace: Trace
    incoming: Incoming
    content: bool


class _Handler(logging.Handler):
    """Takes what loggers say. It has nothing to close: libraries that set up their own logging close all handlers there are."""

    def __init__(self, put: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        self._put(record)


class Log:
    """The log at work, until `close`: what all loggers say, and finished requests.

    Whoever logs never waits, since who reads stderr may be slow and the event loop has no time for that: a thread writes.
    """

    def __init__(self, secrets: Collection[str] = (), stream: TextIO | None = None) -> None:
        self._lines, self._stream = Lines(secrets), stream or sys.stderr
        self._waiting: deque[logging.LogRecord | Finished] = deque()
        self._dropped, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._before = logging.getLogger().handlers[:]

    def open(self) -> Log:
        """Take the place of the handlers that are there."""
        logging.getLogger().handlers[:] = [_Handler(self._put)]
        self._thread.start()
        return self

    def close(self) -> None:
        """Everything said until now is written, unless nobody has read it for some seconds."""
        if self._thread.is_alive():
            logging.getLogger().handlers[:] = self._before
            self._stop.set()
            self._thread.join(5)

    def request(self, trace: Trace, incoming: Incoming, content: bool) -> None:
        """A finished request; `content`: with the words of its error, whatever they hold."""
        self._put(Finished(time.time(), trace, incoming, content))

    def _put(self, one: logging.LogRecord | Finished) -> None:
        if len(self._waiting) >= WAITING:
            self._dropped += 1
        else:
            self._waiting.append(one)

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stop.wait(PAUSE)
            lines = [self._written(self._waiting.popleft()) for _ in range(len(self._waiting))]
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                lines.append(self._lines.line(time.time(), "warning", __name__, {"lines_dropped": dropped}))
            if lines:
                with suppress(OSError, ValueError):  # nobody reads any more
                    self._stream.write("\n".join(lines) + "\n")
                    self._stream.flush()

    def _written(self, one: logging.LogRecord | Finished) -> str:
        if isinstance(one, logging.LogRecord):
            return self._lines.format(one)
        level = "error" if one.trace.status >= 500 else "info"
        return self._lines.line(one.created, level, "tutelage.requests", facts_of(one.trace, one.incoming, one.content))
