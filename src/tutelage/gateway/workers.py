"""Several processes that serve one port: a parent that only watches, and workers that inherit its listening socket.

The parent starts the same command again for each worker, with a pair of sockets between them: the worker tells on it what it
serves once it is ready, and reads the end of file there when the parent is gone, whatever took it. A worker that dies is
started anew; one that cannot even start ends all of it, as nobody would notice otherwise.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tutelage.errors import TutelageError
from tutelage.gateway.telemetry import Worker

LOG = logging.getLogger("tutelage.gateway.workers")
LOOK = 0.1
"""Seconds between two looks at the workers."""
STARTED_WITHIN = 600.0
"""Seconds that a worker may take to load its students."""
SHORT_LIFE, LONGEST_PAUSE = 10.0, 30.0
"""A worker that lived for less seconds is started again after a pause, which doubles each time."""
AFTER_DRAIN = 20.0
"""Seconds that a worker has after the drain to write down what is left, before it is killed."""


class WorkerFailed(TutelageError):
    """A worker did not come to serve; it has said itself why."""

    def __init__(self, code: int) -> None:
        super().__init__("A worker could not start; the line above says why.")
        self.exit_code = code if code > 0 else 1


@dataclass(frozen=True)
class Post:
    """A worker's place, as its command line says it: file descriptors of the listener and of the line to the parent."""

    index: int
    listener: int
    line: int
    shared: str

    def text(self) -> str:
        return json.dumps([self.index, self.listener, self.line, self.shared])


def read_post(text: str) -> Post:
    return Post(*json.loads(text))


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    line: socket.socket
    began: float = field(default_factory=time.monotonic)
    said: bytes = b""

    def ready(self) -> list[str] | None:
        """The models that the worker said it serves when it was ready, None until then."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self.said += self.line.recv(65536)
        return list(json.loads(self.said)) if self.said.endswith(b"\n") else None


class Workers:
    """`count` workers on `listener`, each started by `command` with --worker POST; `drain` in seconds."""

    def __init__(self, command: Sequence[str], count: int, listener: socket.socket, drain: float) -> None:
        self._command, self._count, self._listener, self._drain = list(command), count, listener, drain
        self._workers: dict[int, _Running] = {}
        self._failures = dict.fromkeys(range(count), 0)
        self._due: dict[int, float] = {}
        self._stopping = False

    def run(self, ready: Callable[[Sequence[str]], None]) -> None:
        """Start the workers, call `ready` with what they serve, and watch them until SIGINT or SIGTERM. Raises WorkerFailed.

        The first one starts alone: it brings the database up to date, which the others then need not do at the same time.
        """
        with tempfile.TemporaryDirectory(prefix="tutelage-") as shared, self._signals():
            try:
                self._start(0, shared)
                models = self._wait(0)
                for index in range(1, self._count):
                    self._start(index, shared)
                for index in range(1, self._count):
                    self._wait(index)
                if not self._stopping:
                    ready(models)
                while not self._stopping:
                    time.sleep(LOOK)
                    self._look(shared)
            finally:
                self._end()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the workers in good order, a second SIGINT at once; SIGHUP is theirs."""

        def heard(number: int, _frame: object) -> None:
            if number == signal.SIGHUP or (self._stopping and number == signal.SIGINT):
                for one in self._workers.values():
                    if one.ready() is not None:  # one that still starts would die of it, and reads what is new anyway
                        one.process.send_signal(number)
            else:
                self._stopping = True

        before = {one: signal.signal(one, heard) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _start(self, index: int, shared: str) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        post = Post(index, self._listener.fileno(), theirs.fileno(), shared)
        process = subprocess.Popen(
            [*self._command, "--worker", post.text()],
            pass_fds=(post.listener, post.line),
            process_group=0,  # Ctrl-C reaches the parent alone, which then ends the workers
        )
        theirs.close()
        self._workers[index] = _Running(process, ours)

    def _wait(self, index: int) -> Sequence[str]:
        """Until the worker is ready, or all are to stop. Raises WorkerFailed."""
        one = self._workers[index]
        while (said := one.ready()) is None:
            code = one.process.poll()
            if self._stopping:
                return []
            time.sleep(LOOK / 5)
            if code is not None or time.monotonic() - one.began > STARTED_WITHIN:
                raise WorkerFailed(code or 1)
        return said

    def _look(self, shared: str) -> None:
        now = time.monotonic()
        for index, one in list(self._workers.items()):
            code = one.process.poll()
            if code is not None:
                del self._workers[index]
                one.line.close()
                short = now - one.began < SHORT_LIFE
                self._failures[index] = self._failures[index] + 1 if short else 0
                pause = min(LONGEST_PAUSE, 2.0 ** self._failures[index] / 2) if short else 0.0
                self._due[index] = now + pause
                LOG.error("worker %d (process %d) %s; it is started again", index, one.process.pid, _ended(code))
        for index, due in list(self._due.items()):
            if now >= due:
                del self._due[index]
                self._start(index, shared)

    def _end(self) -> None:
        self._listener.close()  # else the kernel would go on accepting what nobody answers
        for one in self._workers.values():
            one.process.terminate()
        deadline = time.monotonic() + self._drain + AFTER_DRAIN
        for index, one in self._workers.items():
            try:
                one.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                LOG.error("worker %d (process %d) does not end; it is killed", index, one.process.pid)
                one.process.kill()
                one.process.wait()
            one.line.close()


def _ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def this_command() -> list[str]:
    """The command line of this process, to be run again."""
    return [sys.executable, "-m", "tutelage", *sys.argv[1:]]


class AtPost:
    """In a worker: its place."""

    def __init__(self, post: Post) -> None:
        self.worker = Worker(post.index, Path(post.shared))
        self.listener = socket.socket(fileno=post.listener)
        self._line = socket.socket(fileno=post.line)

    def ready(self, models: Sequence[str]) -> None:
        """Tell the parent that `models` are served; when it is gone, this process ends too."""
        self._line.setblocking(True)
        self._line.sendall(json.dumps(list(models)).encode() + b"\n")
        threading.Thread(target=self._watch, name="parent", daemon=True).start()

    def _watch(self) -> None:
        with contextlib.suppress(OSError):
            while self._line.recv(1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
