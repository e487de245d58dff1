"""One place where an alias is answered: an OpenAI-compatible endpoint, asked through aiohttp.

The client was chosen by measurement: behind the same server at 16 connections, requests a second were 5,600 with aiohttp and
370 with httpx, which the official client is built on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import orjson

from tutelage.gateway.settings import Target, Upstream
from tutelage.gateway.upstreams.circuit import Circuit
from tutelage.gateway.upstreams.failures import AttemptFailed, refused
from tutelage.models.build import DEFAULT_ENDPOINTS
from tutelage.models.prices import listed_price, nanodollars
from tutelage.tasks.file import Price
from tutelage.types import Usage

MOST_BYTES = 64 * 1024 * 1024
"""Of an answer; a longer one is cut off and counts as failed."""
LEAST_SECRET = 8
"""Bytes of a key below which it is none."""
SMOOTHING = 0.1
"""Weight of the newest latency in the moving mean."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A complete answer: the bytes as they came, parsed, and what they cost. `seconds` from sending to the last byte."""

    body: bytes
    parsed: dict[str, Any]
    usage: Usage
    target: Endpoint
    seconds: float


class Streamed:
    """An answer whose first event has come: iterate over the `data:` texts of its events ("[DONE]" is left out), then close.

    `first` is seconds to the first event.
    """

    def __init__(self, target: Endpoint, first_event: bytes, events: AsyncGenerator[bytes], first: float) -> None:
        self.target, self.first = target, first
        self._first_event, self._events = first_event, events
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises AttemptFailed when the stream breaks, or is silent for longer than an attempt may take."""
        yield self._first_event
        timeout = self.target.timeout
        try:
            while True:
                async with asyncio.timeout(timeout):
                    event = await anext(self._events, None)
                if event is None:
                    return
                yield event
        except TimeoutError:
            self.target.circuit.failed()
            self.target.failed["timeout"] += 1
            raise AttemptFailed(f"{self.target.name} was silent for {timeout:g} s in its stream.", 504) from None
        except AttemptFailed as error:
            self.target.circuit.failed()
            self.target.failed[error.reason] += 1
            raise

    async def close(self) -> None:
        """Ends the call, whole or not."""
        if not self._closed:
            self._closed = True
            self.target.under_way -= 1
            await self._events.aclose()


class Wire(Protocol):
    """How a target is spoken to."""

    async def whole(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The body of the answer to a request that does not stream. Raises AttemptFailed."""

    def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[bytes]:
        """The `data:` texts of the answer's server-sent events. Raises AttemptFailed before or between them."""

    async def close(self) -> None: ...


class Endpoint:
    """A target at work: its circuit, the requests under way, its mean latency in seconds (None: never asked)."""

    def __init__(self, target: Target, upstream: Upstream, wire: Wire, name: str) -> None:
        self.target, self.wire, self.name = target, wire, name
        self.timeout = upstream.attempt_timeout
        self.circuit = Circuit(upstream.open_after, upstream.open_seconds)
        self.price: Price | None = target.price or listed_price(target.provider, target.base_url, target.model)
        self.under_way = 0
        self.latency: float | None = None
        self.attempts, self.failed = 0, Counter[str]()
        """Attempts, and those that failed by reason, streams that broke off among them."""

    @property
    def available(self) -> bool:
        most = self.target.concurrency
        return self.circuit.lets_through() and (most is None or self.under_way < most)

    async def ask(self, path: str, body: Mapping[str, Any]) -> Whole:
        """The answer to a request that does not stream. Raises AttemptFailed."""
        start = self._begin()
        try:
            async with asyncio.timeout(self.timeout):
                raw = await self.wire.whole(path, self._sent(body))
            seconds = time.perf_counter() - start
            parsed = self._parsed(raw, path)
        except BaseException as error:
            raise self._failed(error) from None
        finally:
            self.under_way -= 1
        self._succeeded(seconds)
        return Whole(raw, parsed, usage_of(parsed.get("usage"), self.price, seconds), self, seconds)

    async def stream(self, path: str, body: Mapping[str, Any]) -> Streamed:
        """The answer as it is written; returns when its first event is there. Raises AttemptFailed."""
        start = self._begin()
        events = self.wire.events(path, self._sent(body))
        try:
            async with asyncio.timeout(self.timeout):
                first = await anext(events)
        except BaseException as error:
            self.under_way -= 1
            if isinstance(error, StopAsyncIteration):
                error = AttemptFailed(f"{self.name} ended its stream before it began.")
            raise self._failed(error) from None
        seconds = time.perf_counter() - start
        self._succeeded(seconds)
        return Streamed(self, first, events, seconds)

    def _sent(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request as this target gets it."""
        sent = {**body, "model": self.target.model}
        if self.target.prompt_cache and "prompt_cache_key" not in body:
            messages = body.get("messages") or [body.get("instructions")]
            sent["prompt_cache_key"] = hashlib.sha256(orjson.dumps(messages[0])).hexdigest()[:32]
        return sent

    def _begin(self) -> float:
        self.circuit.begin()
        self.under_way += 1
        self.attempts += 1
        return time.perf_counter()

    def _succeeded(self, seconds: float) -> None:
        self.circuit.succeeded()
        old = self.latency
        self.latency = seconds if old is None else old + SMOOTHING * (seconds - old)

    def _failed(self, error: BaseException) -> BaseException:
        """What to raise for `error`, after it has counted against the target where it should."""
        if isinstance(error, TimeoutError):
            error = AttemptFailed(f"{self.name} did not answer within {self.timeout:g} s.", 504)
            error.reason = "timeout"
        if isinstance(error, AttemptFailed):
            self.failed[error.reason] += 1
            if error.faulty:
                self.circuit.failed()
            else:
                self.circuit.abandoned()
        else:
            self.circuit.abandoned()
        return error

    def _parsed(self, raw: bytes, path: str) -> dict[str, Any]:
        wanted = EXPECTED.get(path, "choices")
        try:
            parsed = orjson.loads(raw)
        except ValueError:
            parsed, what = None, "what is no JSON"
        else:
            what = f"what has no {wanted!r}"
        if isinstance(parsed, dict) and isinstance(parsed.get(wanted), list):
            return parsed
        failure = AttemptFailed(f"{self.name} sent {what} ({len(raw):,} bytes).")
        failure.reason = "malformed"
        raise failure


EXPECTED = {"/chat/completions": "choices", "/embeddings": "data", "/responses": "output"}


class HTTPWire:
    """An OpenAI-compatible endpoint. `session` gives the client of the running loop. `key` is its API key; it goes
    nowhere but into the header."""

    def __init__(self, session: Callable[[], aiohttp.ClientSession], target: Target, key: str) -> None:
        self._session = session
        self._base = (target.base_url or DEFAULT_ENDPOINTS["openai"]).rstrip("/")
        self._name, self._key = f"{target.model} at {self._base}", key.encode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    async def whole(self, path: str, body: Mapping[str, Any]) -> bytes:
        try:
            async with self._session().post(
                self._base + path, data=orjson.dumps(body), headers=self._headers
            ) as response:
                raw = await self._read(response)
                if response.status != 200:
                    raise self._refused(response, raw)
                return raw
        except (aiohttp.ClientError, OSError) as error:
            raise AttemptFailed(f"{self._name} broke off ({type(error).__name__}).") from None

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[bytes]:
        try:
            async with self._session().post(
                self._base + path, data=orjson.dumps(body), headers=self._headers
            ) as response:
                if response.status != 200:
                    raise self._refused(response, await self._read(response))
                done = False
                async for line in response.content:
                    line = line.strip()
                    if not line.startswith(b"data:"):
                        continue
                    data = line[5:].strip()
                    if data == b"[DONE]":
                        done = True
                        break
                    yield data
                if not done:
                    raise AttemptFailed(f"{self._name} cut its stream.")
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a line beyond aiohttp's bound
            raise AttemptFailed(f"{self._name} broke off ({type(error).__name__}).") from None

    async def close(self) -> None:
        """The session is shared: who made it closes it."""

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        if (response.content_length or 0) <= MOST_BYTES and response.content_length is not None:
            return await response.read()
        found = bytearray()
        async for chunk in response.content.iter_any():
            found += chunk
            if len(found) > MOST_BYTES:
                raise AttemptFailed(f"{self._name} sent more than {MOST_BYTES:,} bytes.", again=False)
        return bytes(found)

    def _refused(self, response: aiohttp.ClientResponse, raw: bytes) -> AttemptFailed:
        said = ""
        body: bytes | None = None
        if len(self._key) >= LEAST_SECRET:  # an endpoint that repeats what it was sent must not tell our key to clients
            raw = raw.replace(self._key, b"[secret]")
        try:
            error = orjson.loads(raw).get("error")
            said, body = str(error.get("message", ""))[:300], raw
        except (ValueError, AttributeError):
            pass
        failure = refused(self._name, response.status, said, response.headers.get("retry-after"), body)
        failure.reason = str(response.status)
        return failure


def usage_of(given: Any, price: Price | None, seconds: float) -> Usage:
    """OpenAI's `usage` object (chat, embeddings or responses) as ours; dollars None where no price is known."""
    given = given if isinstance(given, dict) else {}
    read = _count(given, "prompt_tokens", "input_tokens")
    written = _count(given, "completion_tokens", "output_tokens")
    details = given.get("prompt_tokens_details") or given.get("input_tokens_details")
    cached = _count(details if isinstance(details, dict) else {}, "cached_tokens")
    nano = nanodollars(price, read, written, cached)
    return Usage(read, written, None if nano is None else nano / 1e9, seconds, cached)


def _count(given: Mapping[str, Any], *names: str) -> int:
    found = next((given[name] for name in names if isinstance(given.get(name), int)), 0)
    return max(0, int(found))
