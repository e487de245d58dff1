"""The key of a request: equal for requests that must get equal answers, different for all others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

IRRELEVANT = frozenset(
    {
        "stream",
        "stream_options",
        "user",
        "metadata",
        "store",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    }
)
"""Fields of a request that do not change what is answered, only how it is sent, billed or filed."""


def request_key(body: Mapping[str, Any], scope: str) -> str | None:
    """SHA-256 (64 hexadecimal digits) of `scope` and the relevant fields of `body`, whatever the order of their keys.

    A field that is null counts as absent, and 0.0 as 0; within messages and tools everything counts as it is.
    None for a body that is not JSON (a lone surrogate, a number beyond 64 bits).
    """
    relevant = {
        name: int(value) if type(value) is float and value.is_integer() else value
        for name, value in body.items()
        if value is not None and name not in IRRELEVANT
    }
    try:
        # A list keeps the scope apart from the body, whatever is in it.
        canonical = orjson.dumps([scope, relevant], option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None
    return hashlib.sha256(canonical, usedforsecurity=False).hexdigest()
