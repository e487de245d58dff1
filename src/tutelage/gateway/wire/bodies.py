"""Bodies of requests: bounded in size, time and depth, and JSON objects."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import Request

from tutelage.gateway.errors import WireError

DISCARDED = 256 * 1024 * 1024
"""Bytes of a body that is too large which are read and thrown away, so that its client gets to hear why."""
CLOSE = {"Connection": "close"}
DEEPEST = 200
"""Levels of nesting; what is deeper can be read but not written again (orjson writes 254)."""


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """The body. Raises WireError 413 when it is longer than `most` bytes, 408 when it takes longer than `seconds`."""
    chunks, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= most:
                    chunks.append(chunk)
                elif size > most + DISCARDED:
                    break
                else:  # most clients read the answer only after they have sent everything
                    chunks.clear()
    except TimeoutError:
        raise WireError(408, f"The body did not arrive within {seconds:g} s. Send it faster.", headers=CLOSE) from None
    if size > most:
        raise WireError(413, f"The body is larger than {most:,} bytes. Send a shorter input.", headers=CLOSE)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises WireError 400 in one line."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise WireError(400, f"The body is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise WireError(400, f"The body is a JSON {type(found).__name__}, not an object.")
    if body.count(b"[") + body.count(b"{") > DEEPEST and _depth(found) > DEEPEST:
        raise WireError(400, f"The body is nested deeper than {DEEPEST} levels.")
    return found


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion."""
    deepest, open_ = 0, [(value, 1)]
    while open_:
        one, level = open_.pop()
        if isinstance(one, dict | list):
            deepest = max(deepest, level)
            open_ += [(inner, level + 1) for inner in (one.values() if isinstance(one, dict) else one)]
    return deepest
