"""Identifiers of traces: UUIDs of version 7 (RFC 9562) without dashes, so that they sort by time."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime


class TraceIds:
    """Makes them, each greater than the one before; between processes they differ by 62 random bits.

    48 bits of milliseconds and 12 bits of a millisecond's parts (method 3 of section 6.2), then the random ones.
    """

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> str:
        nanoseconds = time.time_ns()
        milliseconds, rest = divmod(nanoseconds, 1_000_000)
        # A clock that stands still or goes back does not matter: the last one plus one part is taken.
        self._last = moment = max(milliseconds << 12 | rest * 4096 // 1_000_000, self._last + 1)
        high = moment >> 12 << 16 | 0x7000 | moment & 0xFFF
        low = int.from_bytes(os.urandom(8)) & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
        return f"{high:016x}{low:016x}"


new_id = TraceIds()
"""The one of this process."""


def lowest_id(moment: datetime) -> str:
    """No id made at `moment` or later sorts before it."""
    return f"{int(moment.astimezone(UTC).timestamp() * 1000) << 16:016x}{0:016x}"
