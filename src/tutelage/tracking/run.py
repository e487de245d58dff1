"""A run as it goes: its curves are kept in the store, and told to the trackers that task.toml names."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

from tutelage.errors import UnknownName
from tutelage.store import Point, Store
from tutelage.tasks.file import Tracking
from tutelage.tracking import TRACKERS
from tutelage.tracking.base import Aside, Begun, Ended

Progress: TypeAlias = Callable[[float, Mapping[str, object]], None]
KEPT = 500
"""Steps that are all kept; from then on every second one of as many, then every fourth, and so on."""
EVERY = 2.0
"""Seconds after which points are written to the store."""


class Tracked:
    """One run. `progress` stands between a training and who shows it. Raises UnknownName for a tracker that is none."""

    def __init__(self, store: Store, settings: Tracking | None, folder: Path, run: Begun) -> None:
        self._store, self._id = store, run.id
        self._step, self._stride, self._kept = 0, 1, 0
        self._points: list[Point] = []
        self._last: dict[str, float] = {}
        self._written = time.monotonic()
        self._trackers: list[Aside] = []
        if settings is not None:
            if settings.to not in TRACKERS.rows():
                raise UnknownName("tracker", settings.to, TRACKERS.rows())
            self._trackers.append(Aside(settings.to, lambda: TRACKERS.load(settings.to)(settings, folder)))
        for tracker in self._trackers:
            tracker.begin(run)

    def progress(self, show: Progress) -> Progress:
        """`show`, with every figure it is shown kept."""

        def told(share: float, shown: Mapping[str, object]) -> None:
            show(share, shown)
            self._keep({"share": share, **shown})

        return told

    def end(self, status: str, facts: Mapping[str, Any], artefact: Path | None) -> None:
        """Call once, however it ended. Raises StoreError when the last points cannot be written."""
        if self._last:
            self._points += [Point(self._step, name, value) for name, value in self._last.items()]
        figures = flat_numbers(facts)
        for tracker in self._trackers:
            tracker.end(Ended(status, figures, artefact))
        self._write()

    def _keep(self, shown: Mapping[str, object]) -> None:
        self._step += 1
        numbers = {name[:100]: float(value) for name, value in shown.items() if is_number(value)}
        if self._step % self._stride:
            self._last = numbers
            return
        self._last = {}
        self._kept += 1
        if self._kept % KEPT == 0:
            self._stride *= 2
        self._points += [Point(self._step, name, value) for name, value in numbers.items()]
        for tracker in self._trackers:
            tracker.log(self._step, numbers)
        if time.monotonic() - self._written > EVERY:
            self._write()

    def _write(self) -> None:
        points, self._points = self._points, []
        self._store.curves.add(self._id, points)
        self._written = time.monotonic()


def flat(facts: Mapping[str, Any], above: str = "") -> dict[str, object]:
    """Nested facts by dotted names; lists as they are."""
    found: dict[str, object] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{name}.")
        else:
            found[above + name] = value
    return found


def flat_numbers(facts: Mapping[str, Any]) -> dict[str, float]:
    """The figures among nested facts by dotted names."""
    return {name: float(value) for name, value in flat(facts).items() if is_number(value)}


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
