"""The HTTP application: candidates behind `POST /v1/chat/completions` and `GET /v1/models`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tutelage.errors import TutelageError
from tutelage.evaluation.candidates import close
from tutelage.gateway.wire import WireError, completion, read_input, read_request
from tutelage.tasks import Task
from tutelage.types import Predictor

MAX_BODY = 16 * 1024 * 1024


def make_app(task: Task, predictors: Mapping[str, Predictor]) -> Starlette:
    """The application that answers for `predictors`, by name; `model` in a request names one of them."""

    async def models(_request: Request) -> Response:
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": "tutelage"} for name in predictors]
        return JSONResponse({"object": "list", "data": entries})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        _predictor(predictors, name)
        return JSONResponse({"id": name, "object": "model", "created": 0, "owned_by": "tutelage"})

    async def chat(request: Request) -> Response:
        asked = read_request(await _body(request))
        predictor = _predictor(predictors, asked.model)
        (prediction,) = await predictor.predict([read_input(asked.messages, task)])
        return completion(asked.model, task, prediction)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        for predictor in predictors.values():
            await close(predictor)

    routes = [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{name:path}", model, methods=["GET"]),
    ]
    handlers = {WireError: _wire_error, TutelageError: _our_error, HTTPException: _http_error, Exception: _bug}
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)


def _predictor(predictors: Mapping[str, Predictor], name: str) -> Predictor:
    if name not in predictors:
        known = ", ".join(predictors)
        raise WireError(404, f"The model {name!r} does not exist. Known: {known}.", code="model_not_found")
    return predictors[name]


async def _body(request: Request) -> bytes:
    """The body, refused as soon as it is longer than MAX_BODY."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise WireError(413, f"The body is larger than {MAX_BODY:,} bytes. Send a shorter input.")
    return bytes(body)


async def _wire_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, WireError)
    return error.response()


async def _our_error(_request: Request, error: Exception) -> Response:
    return WireError(502, str(error), "api_error").response()


async def _http_error(_request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    assert isinstance(error, HTTPException)
    return WireError(error.status_code, f"{error.detail}.").response()


async def _bug(_request: Request, _error: Exception) -> Response:
    return WireError(500, "The server failed on this request; its log says why.", "api_error").response()
