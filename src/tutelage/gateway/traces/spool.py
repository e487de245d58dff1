"""The spool: what a worker process has seen, in files beside the database until the database has it.

    spool/<owner>.lock        held with flock as long as the process lives, whatever kills it
    spool/<owner>-<n>.jsonl   segments: a line a fact, appended with one write; deleted, in order, once they are committed

A line is there for good as soon as write(2) has returned: the kernel has it, so kill -9 of the process loses nothing. It is
not forced to the disk (fsync takes milliseconds), so a power cut or a crash of the kernel can lose the last seconds.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from tutelage.errors import StoreError, UsageError

SEGMENT = re.compile(r"(?P<owner>.+)-(?P<number>\d{8})\.jsonl")
_OWNER = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_OPEN = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


class Held:
    """The flock of an owner's lock file."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def release(self, delete: bool) -> None:
        if delete:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def hold(folder: Path, owner: str) -> Held | None:
    """The lock of `owner`, None where a living process has it."""
    path = folder / f"{owner}.lock"
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        try:
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return Held(path, descriptor)
        except FileNotFoundError:
            pass
        os.close(descriptor)  # deleted between the two calls by one who had adopted it


class Spool:
    """The segments of a living process. Thread-safe; every method is short but for the kernel's part."""

    def __init__(self, folder: Path, owner: str) -> None:
        """Raises UsageError for an owner that cannot name a file or is in use, StoreError where the folder is no good."""
        if not _OWNER.fullmatch(owner):
            raise UsageError(f"{owner!r} cannot name a spool. Use 1 to 40 letters, digits, and . _ -")
        self.folder, self.owner = folder, owner
        self.opened: dict[str, bytes] = {}
        """Lines of what was begun and has not ended, by id: they are repeated in each new segment."""
        self._lock = threading.Lock()
        self._number, self._size, self._broken = 0, 0, False
        self.backlog = 0
        """Bytes that wait for the database."""
        self.ended = 0
        """Lines of `end` in the segment that is being written."""
        self._finished: list[tuple[Path, int]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            held = hold(folder, owner)
            if held is None:
                raise UsageError(
                    f"The spool of {owner!r} in {folder} is in use. Give each process an owner of its own."
                )
            self._held = held
            self._descriptor = os.open(self._path(0), _OPEN, 0o600)
        except OSError as error:
            raise StoreError(f"The spool {folder} cannot be written: {error.strerror}. Make it writable.") from None

    @property
    def waiting(self) -> int:
        """Bytes in the segment that is being written."""
        return self._size

    def begin(self, id: str, line: bytes) -> None:
        """Append a line that stays in force until `end`. Raises OSError where the disk refuses it."""
        with self._lock:
            self._write(line)
            self.opened[id] = line

    def end(self, id: str, line: bytes) -> None:
        """Append the line that settles `id`. Raises OSError where the disk refuses it."""
        with self._lock:
            self._write(line)
            self.opened.pop(id, None)
            self.ended += 1

    def forget(self, id: str) -> None:
        """`id` has ended, though no segment says so."""
        with self._lock:
            self.opened.pop(id, None)

    def rotate(self) -> None:
        """Begin a new segment; the one before is finished and can be read. Raises OSError where no new one can be had."""
        path = self._path(self._number + 1)
        descriptor = os.open(path, _OPEN, 0o600)
        with self._lock:
            still = b"".join(self.opened.values())
            try:
                _all(descriptor, still)
            except OSError:
                os.close(descriptor)
                path.unlink(missing_ok=True)
                raise
            before, self._descriptor = self._descriptor, descriptor
            self._finished.append((self._path(self._number), self._size))
            self._number, self._size, self._broken = self._number + 1, len(still), False
            self.ended, self.backlog = 0, self.backlog + len(still)
        os.close(before)

    def finished(self) -> list[Path]:
        """Finished segments, oldest first."""
        return [path for path, _ in self._finished]

    def drop(self, path: Path) -> None:
        """Delete the oldest finished segment: it is committed. Only in order, so that a beginning never outlives its end."""
        assert path == self._finished[0][0]
        path.unlink(missing_ok=True)
        with self._lock:
            _, size = self._finished.pop(0)
            self.backlog -= size

    def close(self) -> None:
        """Let go of all of it: what is left is for whoever adopts it. What is written afterwards is refused."""
        with self._lock:
            os.close(self._descriptor)
            self._descriptor = -1
        self._held.release(delete=not any(segments(self.folder, self.owner)))

    def _write(self, line: bytes) -> None:
        if self._broken:
            line = b"\n" + line
        written = os.write(self._descriptor, line)
        self._size += written
        self.backlog += written
        self._broken = written != len(line)
        if self._broken:  # the disk is full: half a line is there, the next begins on a line of its own
            raise OSError(28, f"only {written} of {len(line)} bytes were written")

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.owner}-{number:08d}.jsonl"


def segments(folder: Path, owner: str | None = None) -> Iterator[Path]:
    """The segments in `folder` (of one owner), in the order they were written."""
    for path in sorted(folder.glob("*.jsonl")):
        found = SEGMENT.fullmatch(path.name)
        if found and owner in (None, found["owner"]):
            yield path


def owners(folder: Path) -> set[str]:
    """Whose segments or locks are in `folder`."""
    found = {path.stem for path in folder.glob("*.lock")}
    return found | {match["owner"] for path in segments(folder) if (match := SEGMENT.fullmatch(path.name))}


def _all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
