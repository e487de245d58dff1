"""Reading segments back: traces that ended, what was begun and never ended, and lines that are neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tutelage.store import Trace
from tutelage.store.traces import TraceRow, decoded, encoded, row_of

BROKEN_OFF = "broken off"
PAGE = 100
"""Traces a transaction: so few, that reading them does not keep the loop waiting for the interpreter (bench/traces.py)."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What was about to be done: `facts` are fields of the Trace that it would have become."""

    id: str
    created: str
    accounts: tuple[str, ...]
    nanodollars: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    """Some lines of a segment; `bad` are those that say nothing."""

    rows: list[TraceRow] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    """Those that `rows` were read from."""
    begun: list[Begun] = field(default_factory=list)
    bad: list[bytes] = field(default_factory=list)


def begun_line(begun: Begun) -> bytes:
    facts: dict[str, Any] = {
        "begun": begun.id,
        "created": begun.created,
        "accounts": begun.accounts,
        "nanodollars": begun.nanodollars,
        "facts": begun.facts,
    }
    return encoded(facts) + b"\n"


def trace_line(trace: Trace) -> bytes:
    return encoded(trace) + b"\n"


class Segment:
    """A finished segment, read a page at a time from where the last page ended."""

    def __init__(self, path: Path, owner: str) -> None:
        self.path, self.owner = path, owner
        self._offset = 0

    def page(self) -> tuple[Page, int] | None:
        """The next lines and where they end, None at the end of the file. `done` goes there. Raises OSError."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            lines = list(islice(file, PAGE))
            end = file.tell()
        return (read_page(lines, self.owner), end) if lines else None

    def done(self, end: int) -> None:
        self._offset = end


def read_page(lines: Sequence[bytes], owner: str) -> Page:
    """What the lines say; half a line, or one that is no JSON of ours, is kept aside and stops nothing."""
    page = Page()
    for line in lines:
        if not line.strip():
            continue
        try:
            facts = decoded(line)
            if "begun" in facts:
                accounts, nanodollars = tuple(map(str, facts["accounts"])), int(facts["nanodollars"])
                page.begun.append(Begun(facts["begun"], facts["created"], accounts, nanodollars, facts["facts"]))
            else:
                page.rows.append(row_of(facts, owner))
                page.lines.append(line)
        except (ValueError, TypeError, KeyError, AttributeError):
            page.bad.append(line)
    return page


def broken_off(begun: Begun, owner: str) -> bytes:
    """The line of a call whose process was killed: the reserved amount counts, it may have been billed."""
    known = {"model": "", **{name: value for name, value in begun.facts.items() if name in _FACTS}}
    own = {"id": begun.id, "created": begun.created, "accounts": begun.accounts, "nanodollars": begun.nanodollars}
    return encoded(known | own | {"status": 0, "error": BROKEN_OFF, "owner": owner}) + b"\n"


_FACTS = {"model", "endpoint", "task", "key", "source", "mode"}
