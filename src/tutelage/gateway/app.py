"""The HTTP application: every path, and how what happens becomes a status and a body."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as Path
from starlette.types import Receive, Scope, Send

from tutelage.errors import TutelageError
from tutelage.gateway.cache import asked as allowed
from tutelage.gateway.errors import WireError
from tutelage.gateway.keeping import answer
from tutelage.gateway.opening import Opened
from tutelage.gateway.pipeline import GONE, Caller, Gateway, Request, begin
from tutelage.gateway.predicting import predict
from tutelage.gateway.streaming import abandon, stream
from tutelage.gateway.telemetry.arriving import Arriving
from tutelage.gateway.traces.feedback import record_feedback
from tutelage.gateway.wire.asking import Kind, read_asked
from tutelage.gateway.wire.bodies import read_body, read_object
from tutelage.gateway.wire.openapi import document
from tutelage.store.traces import Trace

LOG = logging.getLogger("tutelage.gateway")
JSON = "application/json"
T = TypeVar("T")


def make_app(opened: Opened) -> Starlette:
    """The application of an opened gateway, which it starts and closes."""
    gateway = opened.gateway

    async def models(request: HTTPRequest) -> Response:
        await caller(gateway, request)
        return _json({"object": "list", "data": [_model(name) for name in gateway.routes.by_name]})

    async def model(request: HTTPRequest) -> Response:
        await caller(gateway, request)
        name = request.path_params["name"]
        gateway.routes.named(name)
        return _json(_model(name))

    async def predictions(request: HTTPRequest) -> Response:
        who = await caller(gateway, request)
        body = read_object(await _body(gateway, request))
        return await _until_gone(request, predict(gateway, request.path_params["name"], body, who))

    async def feedback(request: HTTPRequest) -> Response:
        who = await caller(gateway, request)
        body = await _body(gateway, request)
        name = who.key.name if who.key else "client"
        return _json(await asyncio.to_thread(record_feedback, opened.store, body, name, opened.tasks))

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await opened.start()
        yield
        await opened.close()

    paths = [
        Path("/v1/chat/completions", _asking(gateway, "chat"), methods=["POST"]),
        Path("/v1/responses", _asking(gateway, "responses"), methods=["POST"]),
        Path("/v1/embeddings", _asking(gateway, "embeddings"), methods=["POST"]),
        Path("/v1/models", models, methods=["GET"]),
        Path("/v1/models/{name:path}", model, methods=["GET"]),
        Path("/v1/tasks/{name:path}/predict", predictions, methods=["POST"]),
        Path("/v1/feedback", feedback, methods=["POST"]),
        *_of_itself(opened),
    ]
    counted = Middleware(Arriving, arrivals=opened.telemetry.arrivals)
    app = Starlette(routes=paths, exception_handlers=_handlers(), lifespan=lifespan, middleware=[counted])
    app.state.opened = opened
    return app


def _of_itself(opened: Opened) -> list[Path]:
    """What the gateway says of itself."""
    gateway = opened.gateway

    async def health(_request: HTTPRequest) -> Response:
        return _json({"status": "ok"})

    async def ready(_request: HTTPRequest) -> Response:
        problems = opened.problems()
        said = {"status": "not ready" if problems else "ready", "problems": [*problems, *opened.notes()]}
        return _json(said, 503 if problems else 200)

    async def openapi(_request: HTTPRequest) -> Response:
        return _json(document(gateway.routes, gateway.settings.server.access == "keys"))

    async def metrics(request: HTTPRequest) -> Response:
        await caller(gateway, request)
        content, kind = await opened.telemetry.page()
        return Response(content, media_type=kind)

    paths = [
        Path("/health", health, methods=["GET"]),
        Path("/ready", ready, methods=["GET"]),
        Path("/openapi.json", openapi, methods=["GET"]),
    ]
    if gateway.settings.telemetry.metrics:
        paths.append(Path("/metrics", metrics, methods=["GET"]))
    return paths


def _handlers() -> dict[Any, Callable[[HTTPRequest, Exception], Awaitable[Response]]]:
    return {
        WireError: _wire_error,
        TutelageError: _our_error,
        HTTPException: _http_error,
        ClientDisconnect: _gone,
        Exception: _bug,
    }


def _asking(gateway: Gateway, kind: Kind) -> Callable[[HTTPRequest], Awaitable[Response]]:
    async def asking(request: HTTPRequest) -> Response:
        who = await caller(gateway, request)
        asked = read_asked(kind, read_object(await _body(gateway, request)))
        gateway.door.allow(who.key, asked.model)
        begun = begin(gateway, asked, who)
        if asked.stream and kind != "embeddings":
            events = await _until_gone(request, stream(begun))
            return _Events(begun, events)
        return await _until_gone(request, _whole(begun))

    return asking


class _Events(StreamingResponse):
    """A streamed answer, which is let go of however the sending ends."""

    def __init__(self, begun: Request, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, headers=headers(begun, None), media_type="text/event-stream")
        self._begun = begun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await abandon(self._begun)


async def _whole(begun: Request) -> Response:
    body, trace = await answer(begun)
    return Response(body, headers=headers(begun, trace), media_type=JSON)


async def _until_gone(request: HTTPRequest, making: Awaitable[T]) -> T:
    """What `making` gives, which is cancelled when the client goes away first."""
    work = asyncio.ensure_future(making)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise ClientDisconnect
    finally:
        gone.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait((work,))


async def _disconnected(request: HTTPRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def caller(gateway: Gateway, request: HTTPRequest) -> Caller:
    """Who asks. Raises WireError 401."""
    found = request.headers
    return Caller(await gateway.door.find(found.get("authorization")), allowed(found.get("cache-control")))


def headers(begun: Request, trace: Trace | None) -> Mapping[str, str]:
    """Who answered, how sure, under which certificate, at what cost; of a stream what is known when it begins."""
    trail = begun.trail
    found = {"X-Tutelage-Trace": trail.id, "X-Tutelage-Source": _plain(trail.source)}
    if begun.admission:
        found |= begun.admission.headers
    if trail.confidence is not None:
        found["X-Tutelage-Confidence"] = f"{trail.confidence:.4f}"
    if trail.threshold is not None:
        found["X-Tutelage-Threshold"] = f"{trail.threshold:.4f}"
    if trail.certificate is not None:
        found["X-Tutelage-Certificate"] = _plain(trail.certificate)
    if trail.escalated is not None:
        found["X-Tutelage-Escalated"] = "true" if trail.escalated else "false"
    if trail.cache is not None:
        found["X-Tutelage-Cache"] = trail.cache
    if trail.mode is not None:
        found["X-Tutelage-Mode"] = trail.mode
    if trail.note:
        found["X-Tutelage-Note"] = _plain(trail.note)
    if trace is not None and trace.nanodollars is not None:
        found["X-Tutelage-Cost"] = f"{trace.nanodollars / 1e9:.9f}"
    return found


def _plain(text: str) -> str:
    return " ".join(text.split()).encode("ascii", "replace").decode()


async def _body(gateway: Gateway, request: HTTPRequest) -> bytes:
    server = gateway.settings.server
    return await read_body(request, server.max_body, server.body_timeout)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tutelage"}


def _json(content: Any, status: int = 200, more: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, more, JSON)


async def _wire_error(_request: HTTPRequest, error: Exception) -> Response:
    assert isinstance(error, WireError)
    if error.raw is not None:
        return Response(error.raw, error.status, error.headers, JSON)
    return _json(error.body(), error.status, error.headers)


async def _our_error(_request: HTTPRequest, error: Exception) -> Response:
    return _json(WireError(502, str(error), "api_error").body(), 502)


async def _http_error(_request: HTTPRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json(WireError(error.status_code, f"{error.detail}.").body(), error.status_code, error.headers)


async def _gone(_request: HTTPRequest, _error: Exception) -> Response:
    return Response(status_code=GONE)


async def _bug(_request: HTTPRequest, error: Exception) -> Response:
    LOG.error("a request failed", exc_info=error)
    return _json(WireError(500, "The server failed on this request; its log says why.", "api_error").body(), 500)
