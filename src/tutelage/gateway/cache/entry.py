"""An answer as it is kept: bytes in, the same bytes out; never pickled."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from tutelage.errors import StoreError
from tutelage.types import Usage


@dataclass(frozen=True, slots=True)
class Entry:
    """`body` is the whole answer (JSON, not streamed), `source` who gave it, `created` when, in seconds since 1970.

    `usage` is what the answer cost then: what a hit saves.
    """

    body: bytes
    source: str
    created: float
    usage: Usage = field(default_factory=Usage)


class Backend(Protocol):
    """Where entries are kept. Methods raise StoreError, in one line, when the place cannot be reached."""

    async def get(self, key: str) -> Entry | None: ...

    async def put(self, key: str, entry: Entry) -> None: ...

    async def close(self) -> None: ...


def pack(entry: Entry) -> bytes:
    """A line of JSON with the facts, then the body."""
    facts = {"source": entry.source, "created": entry.created, "usage": dataclasses.asdict(entry.usage)}
    return orjson.dumps(facts) + b"\n" + entry.body


def unpack(packed: bytes) -> Entry:
    """The entry in `packed`. Raises StoreError for bytes that are no entry."""
    head, _, body = packed.partition(b"\n")
    try:
        facts = orjson.loads(head)
        return Entry(body, facts["source"], facts["created"], Usage(**facts["usage"]))
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise StoreError(f"A cached answer cannot be read: {error}. It will be asked for again.") from None
