"""Answers that are kept and given again, and the way to one that is not streamed."""

from __future__ import annotations

import time
from typing import Any

import orjson

from tutelage.gateway.cache import Entry
from tutelage.gateway.cache.alike import Hit
from tutelage.gateway.pipeline import Request, made, recorded
from tutelage.gateway.routes import Answer, Route, SystemRoute
from tutelage.store.traces import Trace
from tutelage.types import canonical_json


async def answer(request: Request) -> tuple[bytes, Trace]:
    """The body of the whole answer. Raises WireError; the request is then recorded with its status."""
    try:
        found = await _kept_or_made(request)
        return _bytes(found), request.finish(200)
    except BaseException as error:
        raise recorded(request, error) from None


async def _kept_or_made(request: Request) -> Answer:
    """From the exact cache, else from the semantic one, else made; of equal requests at once one is made."""
    alike, allowed = request.gateway.alike, request.caller.allowed
    question = None
    if alike is not None and request.asked.kind == "chat" and allowed.read:
        route = request.route
        question = alike.question(request.asked.body, _scope(request, route), pure=route.pure)
    key = cache_key(request)
    if alike is None or question is None:
        return await _once(request, key)
    if key is not None and request.gateway.cache and (entry := await request.gateway.cache.get(key, allowed.max_age)):
        return await kept(request, entry, "hit")
    looked = await alike.lookup(question.model, question.text, question.scope)
    if isinstance(looked, Hit):
        return await kept(request, looked.entry, "alike")
    found = await _once(request, key)
    if request.trail.cache is None and allowed.write and (value := _value(request, found)) is not None:
        await alike.learn(looked.token, entry_of(request, _bytes(found)), value)
    return found


async def _once(request: Request, key: str | None) -> Answer:
    cache = request.gateway.cache
    if cache is None or key is None:
        return await made(request)
    own: list[Answer] = []

    async def make() -> Entry:
        own.append(await made(request))
        return entry_of(request, _bytes(own[0]))

    found = await cache.once(key, make, request.caller.allowed)
    return own[0] if own else await kept(request, found.entry, found.how)


def cache_key(request: Request) -> str | None:
    """Where the cache keeps the answer; None where it does not."""
    cache = request.gateway.cache
    if cache is None or request.asked.kind == "responses":
        return None
    route = request.route
    return cache.key(request.asked.body, _scope(request, route), pure=route.pure)


def entry_of(request: Request, body: bytes) -> Entry:
    return Entry(body, request.trail.source, time.time(), request.trail.usage)


async def kept(request: Request, entry: Entry, how: str) -> Answer:
    """A kept answer, which costs a request but no tokens and no money."""
    trail, asked = request.trail, request.asked
    request.admission = await request.gateway.door.admit(request.caller.key, 0, 0)
    trail.cache, trail.source, trail.input = how, entry.source, asked.given
    route = request.route
    if isinstance(route, SystemRoute):
        trail.task = route.served.task.name
    parsed = orjson.loads(entry.body)
    trail.output = parsed.get("choices")
    return Answer(parsed, entry.body)


def _scope(request: Request, route: Route) -> str:
    """All that kept answers must not be shared over: the kind of request, the key's team, the version of what answers."""
    team = request.caller.key.team if request.caller.key else None
    return f"{request.asked.kind}|{team or ''}|{route.version}"


def _value(request: Request, found: Answer) -> str | None:
    """What answers are compared by: a task's canonical value, else the text; None where there is none."""
    route = request.route
    if isinstance(route, SystemRoute) and request.trail.output is not None and request.trail.task:
        return canonical_json(route.served.task.canonical(request.trail.output))
    choices: Any = found.parsed.get("choices") or [{}]
    text = (choices[0].get("message") or {}).get("content")
    return text if isinstance(text, str) else None


def _bytes(found: Answer) -> bytes:
    return found.raw if found.raw is not None else orjson.dumps(found.parsed)
