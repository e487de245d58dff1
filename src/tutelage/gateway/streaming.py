"""Answers as they are written: passed on from an upstream, or a whole one cut into chunks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from tutelage.gateway.keeping import cache_key, entry_of, kept
from tutelage.gateway.pipeline import GONE, Request, first_of, recorded
from tutelage.gateway.routes import Answer, Route, charged
from tutelage.gateway.upstreams.failures import AttemptFailed
from tutelage.gateway.upstreams.target import Streamed, usage_of
from tutelage.gateway.wire.answers import chunks, response_events
from tutelage.gateway.wire.asking import Asked
from tutelage.gateway.wire.streams import Gathered
from tutelage.models.prices import BYTES_PER_TOKEN
from tutelage.store.traces import Step

RESUMED = 5
"""How often a stream that broke is taken up again at most."""


async def stream(request: Request) -> AsyncIterator[bytes]:
    """The events of a streamed answer, ready to be sent; the first is there when this returns. Raises WireError before it."""
    gateway, asked, trail = request.gateway, request.asked, request.trail
    try:
        key, allowed = cache_key(request) if asked.kind == "chat" else None, request.caller.allowed
        entry = await gateway.cache.get(key, allowed.max_age) if gateway.cache and key and allowed.read else None
        found = await kept(request, entry, "hit") if entry is not None else await _begun(request)
    except BaseException as error:
        raise recorded(request, error) from None
    trail.first = time.perf_counter() - request.start
    if isinstance(found, Streamed):
        request.streamed = found
        return _passed_on(request, key)
    return _written(request, found)


async def _begun(request: Request) -> Streamed | Answer:
    async def call(route: Route) -> Streamed | Answer:
        return await route.stream(request.asked, request.trail)

    return await first_of(request, call)


async def abandon(request: Request) -> None:
    """Let go of what a stream holds that nobody reads to its end."""
    if request.streamed is not None:
        await request.streamed.close()
    if not request.done:
        request.finish(GONE, "The client went away.")


async def _written(request: Request, found: Answer) -> AsyncIterator[bytes]:
    """A whole answer as a stream."""
    if request.asked.kind == "responses":
        events = [(orjson.loads(data)["type"], data) for data in response_events(found.parsed)]
        request.finish(200)
        for name, data in events:
            yield b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
        return
    written = list(chunks(found.parsed, with_usage=_asked_usage(request.asked)))
    request.finish(200)
    for data in written:
        yield b"data: " + data + b"\n\n"
    yield b"data: [DONE]\n\n"


async def _passed_on(request: Request, key: str | None) -> AsyncIterator[bytes]:
    """A stream as it comes. Where it breaks it is taken up again if it can be, else the client gets an error event and no
    "[DONE]"."""
    asked, cache = request.asked, request.gateway.cache
    gathered = Gathered(_asked_usage(asked))
    deadline, resumed = request.start + _total(request), 0
    try:
        while True:
            found = request.streamed
            assert found is not None
            try:
                async for data in found:
                    if (passed := gathered.add(data)) is not None:
                        yield _event(asked, passed)
                    if time.perf_counter() > deadline:
                        raise AttemptFailed(f"{found.target.name} was still writing after {_total(request):g} s.", 504)
                break
            except AttemptFailed as error:
                resumed += 1
                late = resumed > RESUMED or time.perf_counter() > deadline
                if late or not error.again or not _resumable(asked, gathered):
                    raise
                await _take_up(request, gathered, error)
        whole = gathered.whole()
        _counted(request, gathered, whole)
        if cache and key and gathered.finished and request.caller.allowed.write:
            await cache.put(key, entry_of(request, orjson.dumps(whole)))
        request.finish(200)
        if asked.kind == "chat":
            yield b"data: [DONE]\n\n"
    except AttemptFailed as error:
        _counted(request, gathered, gathered.whole())
        request.finish(error.status, str(error))
        yield b"data: " + orjson.dumps(error.wire().body()) + b"\n\n"
    except BaseException as error:
        _counted(request, gathered, gathered.whole())
        raise recorded(request, error) from None
    finally:
        if request.streamed is not None:
            await request.streamed.close()


def _resumable(asked: Asked, gathered: Gathered) -> bool:
    """Whether a second stream can be expected to begin as the broken one did: one answer, without sampling, text alone."""
    body = asked.body
    return asked.kind == "chat" and body.get("temperature") == 0 and body.get("n") in (None, 1) and gathered.text_only


async def _take_up(request: Request, gathered: Gathered, error: AttemptFailed) -> None:
    """Ask again, and pass on what follows what the client has: a text that begins otherwise is not put behind it."""
    broken = request.streamed
    assert broken is not None
    await broken.close()
    trail = request.trail
    found = await request.route.stream(request.asked, trail)
    if isinstance(found, Answer):
        raise error
    spent = usage_of(_estimated(request, gathered), broken.target.price, time.perf_counter() - request.start)
    trail.usage += spent  # it may be billed although it broke
    trail.steps.insert(-1, Step(name=broken.target.name, usage=spent, error=str(error)))
    request.streamed = found
    gathered.begin_again()


def _counted(request: Request, gathered: Gathered, whole: Mapping[str, Any]) -> None:
    """What a stream cost: as it says itself, else (it broke off) estimated from what came."""
    trail, found = request.trail, request.streamed
    assert found is not None
    trail.output = whole.get("choices") or whole.get("output")
    given: dict[str, Any] | None = gathered.usage
    if given is None:
        given = _estimated(request, gathered)
        trail.note = "the stream told no usage: tokens are estimated"
    charged(trail, usage_of(given, found.target.price, time.perf_counter() - request.start))


def _estimated(request: Request, gathered: Gathered) -> dict[str, Any]:
    """The usage of a stream that told none."""
    return {"prompt_tokens": request.asked.tokens, "completion_tokens": len(gathered.text) // BYTES_PER_TOKEN}


def _total(request: Request) -> float:
    upstream = request.gateway.settings.upstreams.get(request.asked.model)
    return upstream.total_timeout if upstream else 600.0


def _event(asked: Asked, data: bytes) -> bytes:
    if asked.kind == "responses":
        try:
            kind = str(orjson.loads(data).get("type", ""))
        except (ValueError, AttributeError):
            kind = ""
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n" if kind else b"data: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"


def _asked_usage(asked: Asked) -> bool:
    options = asked.body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))
