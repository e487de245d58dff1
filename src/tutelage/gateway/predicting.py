"""POST /v1/tasks/NAME/predict: a task's answers as values, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from tutelage.gateway.errors import WireError
from tutelage.gateway.pipeline import Caller, Gateway, Request, admit, begin, recorded
from tutelage.gateway.routes import SystemRoute
from tutelage.gateway.upstreams.failures import AttemptFailed
from tutelage.gateway.wire.asking import Asked, estimated, fields_of

MOST = 1_000
"""Inputs in one request."""


async def predict(gateway: Gateway, name: str, body: Mapping[str, Any], caller: Caller) -> Response:
    """`{"inputs": [...], "candidate": "tagger"}` -> `{"predictions": [...]}`, in order; an input that has no answer says why.

    Raises WireError 400, 404.
    """
    candidate = body.get("candidate")
    if candidate is not None and not isinstance(candidate, str):
        raise WireError(400, f"candidate: {candidate!r} is no name.")
    model = f"{name}/{candidate}" if candidate else name
    route = gateway.routes.named(model)
    if not isinstance(route, SystemRoute):
        raise WireError(404, f"{model!r} is an upstream, not a task. Ask it at /v1/chat/completions.")
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs or len(inputs) > MOST:
        raise WireError(400, f"inputs: send a list of 1 to {MOST:,} inputs.")
    gateway.door.allow(caller.key, model)
    given = [fields_of(one, route.served.task) for one in inputs]
    requests = []
    for fields in given:
        text = fields[route.served.task.fields[0]] if len(fields) == 1 else orjson.dumps(fields).decode()
        messages = {"messages": [{"role": "user", "content": text}]}
        asked = Asked("chat", model, messages, False, estimated("chat", messages), 0)
        requests.append(begin(gateway, asked, caller))
    rows = await asyncio.gather(*(_one(route, request, one) for request, one in zip(requests, given, strict=True)))
    return Response(orjson.dumps({"model": model, "predictions": rows}), media_type="application/json")


async def _one(route: SystemRoute, request: Request, given: Mapping[str, str]) -> dict[str, Any]:
    trail = request.trail
    error: str | None = None
    try:
        await admit(request, [route])
        await route.predicted(given, trail)
        request.finish(200)
    except (AttemptFailed, WireError) as failed:
        recorded(request, failed)
        error = str(failed)
    except BaseException as failed:
        raise recorded(request, failed) from None
    return {
        "value": trail.output,
        "confidence": trail.confidence,
        "source": trail.source,
        "error": error,
        "note": trail.note,
        "trace": trail.id,
        "dollars": None if trail.nanodollars is None else trail.nanodollars / 1e9,
    }
