"""Every HTTP request as it arrives: what its client calls it, how many are under way, with which status it was answered."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tutelage.gateway.telemetry.counting import OTHER
from tutelage.gateway.telemetry.metrics import Cell, Totals

LONGEST_ID = 128
"""Characters of an incoming x-request-id; a longer one is not repeated."""
PATHS = frozenset(
    {"/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/models", "/v1/feedback"}
    | {"/health", "/ready", "/metrics", "/openapi.json"}
)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a request brought along: its client's name for it (`x-request-id`), and the span it is part of (`traceparent`)."""

    request_id: str | None = None
    traceparent: str | None = None


NOTHING = Incoming()
INCOMING: ContextVar[Incoming] = ContextVar("incoming", default=NOTHING)
"""That of the present request."""


class Arrivals:
    """Counts of what arrived; `under_way` is answered just now."""

    def __init__(self, totals: Totals) -> None:
        self.under_way = 0
        self._totals = totals
        self._cells: dict[tuple[str, int], Cell] = {}

    def answered(self, path: str, status: int) -> None:
        place = (shown_path(path), status)
        cell = self._cells.get(place)
        if cell is None:
            cell = self._cells[place] = self._totals.number("tutelage_responses", place[0], str(status))
        cell.value += 1


class Arriving:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, arrivals: Arrivals) -> None:
        self._app, self._arrivals = app, arrivals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrivals, incoming = self._arrivals, incoming_of(scope["headers"])
        INCOMING.set(incoming)
        answered = False

        async def sending(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                arrivals.answered(scope["path"], message["status"])
                if incoming.request_id is not None:
                    message["headers"] = [*message["headers"], (b"x-request-id", incoming.request_id.encode())]
            await send(message)

        arrivals.under_way += 1
        try:
            await self._app(scope, receive, sending)
        except Exception:
            if not answered:
                arrivals.answered(scope["path"], 500)
            raise
        finally:
            arrivals.under_way -= 1


def shown_path(path: str) -> str:
    """The path without what clients choose in it."""
    if path in PATHS:
        return path
    if path.startswith("/v1/models/"):
        return "/v1/models/{name}"
    if path.startswith("/v1/tasks/"):
        return "/v1/tasks/{name}/predict"
    return OTHER


def incoming_of(headers: list[tuple[bytes, bytes]]) -> Incoming:
    """What the headers say; an id that is not short plain text is passed over."""
    request_id = traceparent = None
    for name, value in headers:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if 0 < len(text) <= LONGEST_ID and text.isascii() and text.isprintable():
                request_id = text
        elif name == b"traceparent":
            traceparent = value.decode("latin-1")
    return Incoming(request_id, traceparent) if request_id or traceparent else NOTHING
