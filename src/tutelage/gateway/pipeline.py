"""A request from its body to its trace: key, limits and budget, cache, who answers, what it cost.

Whatever happens, what was reserved is settled, and a trace of it is durable before the last byte is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tutelage.gateway.cache import Cache, Entry
from tutelage.gateway.cache.alike import Hit, Miss, Question, Token
from tutelage.gateway.cache.rule import ANYTHING
from tutelage.gateway.cache.rule import Asked as Allowed
from tutelage.gateway.errors import WireError
from tutelage.gateway.keys import Admission, Door
from tutelage.gateway.keys.budgets import budgets
from tutelage.gateway.routes import Answer, Route, Routes, Trail
from tutelage.gateway.settings import GatewaySettings
from tutelage.gateway.traces import Recorder
from tutelage.gateway.traces.ids import new_id
from tutelage.gateway.upstreams.failures import AttemptFailed
from tutelage.gateway.upstreams.target import Streamed
from tutelage.gateway.wire.asking import Asked
from tutelage.store import now
from tutelage.store.keys import Key
from tutelage.store.traces import Trace

T = TypeVar("T")

GONE = 499
"""The client went away before its answer (as nginx calls it)."""


class Watching(Protocol):
    """Who is told of every request when it is over."""

    def finished(self, trace: Trace) -> None: ...


class Alike(Protocol):
    """A cache of answers to questions that mean the same (`cache.semantic`)."""

    def question(self, body: Mapping[str, Any], scope: str, *, pure: bool = False) -> Question | None: ...

    async def lookup(self, model: str, text: str, scope: str = "") -> Hit | Miss: ...

    async def learn(self, token: Token, entry: Entry, value: str) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Gateway:
    """Everything that a request needs."""

    settings: GatewaySettings
    owner: str
    routes: Routes
    door: Door
    recorder: Recorder
    cache: Cache | None
    telemetry: Watching
    alike: Alike | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the key (None: none was sent, and none is needed), and what is allowed of kept answers."""

    key: Key | None
    allowed: Allowed = ANYTHING


@dataclass(slots=True)
class Request:
    """A request under way."""

    gateway: Gateway
    asked: Asked
    caller: Caller
    trail: Trail
    created: str
    start: float
    admission: Admission | None = None
    streamed: Streamed | None = None
    """The upstream's stream that is being passed on."""
    done: bool = False

    @property
    def route(self) -> Route:
        """Who is asked first. Raises WireError 404."""
        return self.gateway.routes.named(self.asked.model)

    def finish(self, status: int, error: str | None = None) -> Trace:
        """Settle and record, once. Called before the last byte is sent."""
        trail, asked, gateway = self.trail, self.asked, self.gateway
        admission = self.admission
        spent = trail.nanodollars
        if admission is not None:
            gateway.door.settle(admission, trail.usage.input_tokens + trail.usage.output_tokens, spent)
        trace = Trace(
            id=trail.id,
            created=self.created,
            model=asked.model,
            endpoint=asked.kind,
            task=trail.task,
            key=self.caller.key.id if self.caller.key else None,
            source=trail.source,
            status=status,
            cache=trail.cache,
            confidence=trail.confidence,
            threshold=trail.threshold,
            escalated=trail.escalated,
            mode=trail.mode,
            input=trail.input,
            output=trail.output,
            steps=tuple(trail.steps),
            usage=trail.usage,
            first=trail.first,
            seconds=time.perf_counter() - self.start,
            error=error,
            note=trail.note,
            nanodollars=spent,
            accounts=admission.accounts if admission else (),
            owner=gateway.owner,
        )
        self.done = True
        gateway.recorder.end(trace)
        gateway.telemetry.finished(trace)
        return trace


def begin(gateway: Gateway, asked: Asked, caller: Caller) -> Request:
    return Request(gateway, asked, caller, Trail(new_id()), now(), time.perf_counter())


def recorded(request: Request, error: BaseException) -> BaseException:
    """What to raise for `error`, after it was recorded."""
    if isinstance(error, AttemptFailed):
        error = error.wire()
    if not request.done:
        status = GONE if isinstance(error, asyncio.CancelledError) else getattr(error, "status", 500)
        request.finish(status, str(error) or type(error).__name__)
    if isinstance(error, WireError):
        error.headers.setdefault("X-Tutelage-Trace", request.trail.id)
    return error


async def made(request: Request) -> Answer:
    """The answer of the first route of the chain that has one. Raises AttemptFailed (the first one's)."""

    async def call(route: Route) -> Answer:
        return await route.answer(request.asked, request.trail)

    return await first_of(request, call)


async def first_of(request: Request, call: Callable[[Route], Awaitable[T]]) -> T:
    chain = request.gateway.routes.chain(request.asked.model)
    await admit(request, chain)
    first: AttemptFailed | None = None
    for route in chain:
        try:
            return await call(route)
        except AttemptFailed as error:
            first = first or error
            if error.status < 429 and not error.elsewhere:  # the request is at fault, wherever it is sent
                break
        except WireError:  # a fallback that cannot read this request changes nothing
            if first is None:
                raise
    assert first is not None
    raise first


async def admit(request: Request, chain: list[Route]) -> None:
    """Reserve what the dearest of the chain may cost. Raises WireError 403, 429, 503."""
    asked, caller = request.asked, request.caller
    costs = [_most(route, asked) for route in chain]
    unknown = next((route.name for route, cost in zip(chain, costs, strict=True) if cost is None), None)
    if unknown is not None and caller.key is not None and limited(caller.key):
        raise WireError(
            403,
            f"What {unknown!r} costs is not known, so that the budget of the key {caller.key.name!r} cannot be kept. "
            "Set price of its targets in gateway.toml.",
            code="price_unknown",
        )
    most = max(cost or 0 for cost in costs)
    request.admission = await request.gateway.door.admit(caller.key, asked.tokens + asked.most, most)
    if most:
        facts = {"model": asked.model, "key": caller.key.id if caller.key else None}
        request.gateway.recorder.begin(request.trail.id, request.admission.accounts, most, facts)


def limited(key: Key) -> bool:
    """Whether what the key spends has a bound, its own or its team's."""
    return any(one.limit is not None for one in budgets(key, 0))


def _most(route: Route, asked: Asked) -> int | None:
    try:
        return route.most(asked)
    except WireError:
        if route.name == asked.model:
            raise
        return 0
