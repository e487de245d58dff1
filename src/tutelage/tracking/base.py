"""What a tracker is told of a run, and the thread that tells it, so that no training waits for it or fails by it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from tutelage.errors import TutelageError
from tutelage.tasks.file import Tracking

PATIENCE = 120.0
"""Seconds that a finished run waits for a tracker to take what is left."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Begun:
    """A run that begins: its id, its name for people, what decides it (flat, for a table), and tags."""

    id: str
    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How it ended: done, failed or killed; the figures of its card, and its artefact's folder (None: there is none)."""

    status: str
    figures: Mapping[str, float] = field(default_factory=dict)
    artefact: Path | None = None


class Tracker(Protocol):
    """A service that keeps runs. Each method may raise anything: the run goes on, and one line says so."""

    def begin(self, run: Begun) -> None: ...

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def end(self, run: Ended) -> None: ...


OpenTracker: TypeAlias = Callable[[Tracking, Path], Tracker]
"""What a row of TRACKERS points to: (task.toml's [tracking], the project's folder) -> Tracker. It connects to nothing yet."""


class Aside:
    """A tracker told of a run by a thread of its own, in order."""

    def __init__(self, name: str, open_tracker: Callable[[], Tracker], patience: float = PATIENCE) -> None:
        self.name, self.patience = name, patience
        self._told: queue.SimpleQueue[Begun | tuple[int, Mapping[str, float]] | Ended] = queue.SimpleQueue()
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(open_tracker,), daemon=True, name=f"tracker {name}")
        self._thread.start()

    def begin(self, run: Begun) -> None:
        self._told.put(run)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if not self._gone.is_set():
            self._told.put((step, metrics))

    def end(self, run: Ended) -> None:
        """Returns when the tracker has everything, or its time is up."""
        self._told.put(run)
        self._thread.join(self.patience)
        if self._thread.is_alive() and not self._gone.is_set():
            self._gone.set()
            _LOG.warning(
                "The tracker %r is slow: it was not told all of the run within %g s.", self.name, self.patience
            )

    def _work(self, open_tracker: Callable[[], Tracker]) -> None:
        try:
            tracker = open_tracker()
            while True:
                told = self._told.get()
                if isinstance(told, Begun):
                    tracker.begin(told)
                elif isinstance(told, Ended):
                    tracker.end(told)
                    return
                else:
                    tracker.log(*told)
        except (
            Exception,
            SystemExit,
        ) as error:  # whatever a tracker's library raises: the run is worth more than its log
            if not self._gone.is_set():
                self._gone.set()
                said = str(error) if isinstance(error, TutelageError) else f"{type(error).__name__}: {error}"
                line = " ".join(said.split())[:300]
                _LOG.warning("The tracker %r does not answer, the run goes on without it: %s", self.name, line)
