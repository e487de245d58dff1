"""Traces for tests."""

from __future__ import annotations

from typing import Any

from tutelage.gateway.traces import new_id
from tutelage.store import Trace, now


def trace(id: str | None = None, **facts: Any) -> Trace:
    """A trace of now with a new id, unless `facts` say otherwise."""
    return Trace(**{"id": id or new_id(), "created": now(), "model": "gpt", **facts})
