"""A fake OpenAI server on loopback: scripted answers, injected faults, and a log of what was asked and answered.

In a test: `with FakeOpenAI(Script(answer='{"label": "a"}', faults=["429", None, "cut"])) as server: ... server.base_url`.
As a process: `python -m tutelage.models.fake --port 9000 --delay 0.2 --fault 429=0.1 --fault cut=0.05 --log asked.jsonl`.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import click
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tutelage.errors import UsageError
from tutelage.models.fake_answers import completion, error_body, filtered, reasoned, refusal
from tutelage.models.fake_batches import BatchScript, FakeBatches
from tutelage.models.fake_streams import Stream, embeddings, responded, text_of
from tutelage.types import digest

Fault: TypeAlias = Literal[
    "429", "500", "timeout", "cut", "malformed", "slow", "html", "refusal", "filtered", "reasoned", "endless"
]
"""429 with `Retry-After`, 500, no answer at all, a body cut in the middle, a body that is no JSON, an answer that comes
`slow` seconds late (it does come), a page of HTML with status 200; the model declines, a content filter stops it, it
comes to `max_tokens` before its answer begins; a stream that never ends (without a stream it is as "timeout")."""

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Script:
    """How the server behaves. `answer` is a text or a function of the last user message; times are in seconds: `delay`
    before an answer, `gap` between the chunks of a stream.

    The n-th request gets the n-th of `faults` (None: no fault); after them, each request gets fault f with probability
    `rates[f]`, decided by `seed`, the message and how often it was asked, so not by the order of arrival. `models` are
    the names that exist (empty: all), `key` the only key that is let in, `refuses` the parameters answered with 400,
    `ignores` those that do nothing. Of each prompt `cached_tokens` are said to have been cached. `batches` None: there is no
    batch API.
    """

    answer: str | Callable[[str], str] = "ok"
    delay: float = 0.0
    gap: float = 0.0
    faults: Sequence[Fault | None] = ()
    rates: Mapping[Fault, float] = field(default_factory=dict)
    seed: int = 0
    retry_after: float = 1.0
    slow: float = 2.0
    models: Sequence[str] = ()
    key: str | None = None
    refuses: Sequence[str] = ()
    ignores: Sequence[str] = ()
    cached_tokens: int = 0
    batches: BatchScript | None = field(default_factory=BatchScript)
    log: Path | None = None


@dataclass(frozen=True)
class Asked:
    """One request: the digest of its last user message, the fault it met, whether a whole answer was sent, when (Unix)."""

    message: str
    fault: str | None
    answered: bool
    time: float


class FakeOpenAI:
    """The server as a context manager: it runs in a thread from `with` on and stops at the end."""

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        self.script = script or Script()
        self.asked: list[Asked] = []
        self.bodies: list[dict[str, Any]] = []
        """The JSON bodies of all requests, in order."""
        self._port = port
        self._seen: Counter[str] = Counter()
        self.batches = FakeBatches(self.script.batches, self._batched, self._refused_key)
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/embeddings", self._embeddings, methods=["POST"]),
            Route("/v1/responses", self._responses, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
            *self.batches.routes,
        ]
        self.app = Starlette(routes=routes)

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self._port}/v1"

    def answered(self) -> Counter[str]:
        """How often each last user message was answered in full, by digest."""
        return Counter(asked.message for asked in self.asked if asked.answered)

    def __enter__(self) -> FakeOpenAI:
        listener = self.bind()
        self._server = uvicorn.Server(self._config())
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def bind(self) -> socket.socket:
        """A listening socket on the port, a free one for 0. Raises UsageError when the port is taken."""
        # The protocol is named because asyncio sets TCP_NODELAY only then; without it every answer waits for 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, self._port))
            listener.listen(1024)  # from here on clients that come early wait instead of being refused
        except OSError as error:
            listener.close()
            raise UsageError(f"Port {self._port} cannot be used: {error.strerror}. Choose another --port.") from None
        self._port = listener.getsockname()[1]
        return listener

    def serve(self, listener: socket.socket) -> None:
        """Serve until interrupted."""
        uvicorn.Server(self._config()).run([listener])

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(self.app, log_level=60, access_log=False, lifespan="off", timeout_graceful_shutdown=1)

    async def _models(self, _request: Request) -> Response:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "fake"} for name in self.script.models]
        return JSONResponse({"object": "list", "data": models})

    async def _chat(self, request: Request) -> Response:
        body = await self._read(request)
        if refused := self._refused_key(request) or self._refused(body):
            return refused
        text = _last_text(body)
        key = digest(text)
        fault = self._fault(key)
        response = await self._response(request, body, text, fault)
        if isinstance(response, Stream):
            stream = response
            return _Told(stream, lambda: self._tell(Asked(key, fault, stream.sent, time.time())))
        answered = fault in (None, "slow") and not await request.is_disconnected()
        return _Told(response, lambda: self._tell(Asked(key, fault, answered, time.time())))

    async def _embeddings(self, request: Request) -> Response:
        body = await self._read(request)
        return self._refused_key(request) or self._refused(body) or embeddings(body)

    async def _responses(self, request: Request) -> Response:
        body = await self._read(request)
        answer = self.script.answer
        said = answer if isinstance(answer, str) else answer(str(body["input"]))
        return self._refused_key(request) or self._refused(body) or responded(body, said)

    async def _read(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.bodies.append(body)
        return body

    def _refused_key(self, request: Request) -> Response | None:
        key = self.script.key
        if key and request.headers.get("authorization") != f"Bearer {key}":
            return error_body(401, "Incorrect API key provided.", code="invalid_api_key")
        return None

    def _refused(self, body: Mapping[str, Any]) -> Response | None:
        if self.script.models and body["model"] not in self.script.models:
            return error_body(404, f"The model `{body['model']}` does not exist.", code="model_not_found")
        for name in self.script.refuses:
            if name in body:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                return error_body(400, message, code="unsupported_parameter", param=name)
        return None

    def _batched(self, body: Mapping[str, Any]) -> Response:
        """The answer to a request in a batch, which meets no faults but those of batches."""
        text = _last_text(body)
        return self._refused(body) or JSONResponse(self._completion(body, text, None))

    def _fault(self, key: str) -> Fault | None:
        self._seen[key] += 1
        number = self._seen.total()
        if number <= len(self.script.faults):
            return self.script.faults[number - 1]
        drawn = random.Random(f"{self.script.seed} {key} {self._seen[key]}").random()
        for fault, rate in self.script.rates.items():
            drawn -= rate
            if drawn < 0:
                return fault
        return None

    async def _response(self, request: Request, body: Mapping[str, Any], text: str, fault: Fault | None) -> Response:
        script = self.script
        match fault:
            case "429":
                headers = {"retry-after": f"{script.retry_after:g}"}
                return error_body(429, "Rate limit reached.", code="rate_limit_exceeded", headers=headers)
            case "500":
                return error_body(500, "The server had an error.", code="server_error")
            case "timeout" | "endless" if fault == "timeout" or not body.get("stream"):
                while (await request.receive())["type"] != "http.disconnect":
                    pass
                return PlainTextResponse("")
            case "html":
                return HTMLResponse("<html><body>Bad gateway</body></html>")
            case "slow":
                await asyncio.sleep(script.slow)
        await asyncio.sleep(script.delay)
        if body.get("stream"):
            return Stream(self._completion(body, text, fault), body, fault if fault != "slow" else None, script.gap)
        whole = JSONResponse(self._completion(body, text, fault))
        if fault == "malformed":
            return Response(bytes(whole.body)[:-20], media_type="application/json")
        return _Cut(whole) if fault == "cut" else whole

    def _completion(self, asked: Mapping[str, Any], text: str, fault: Fault | None) -> dict[str, Any]:
        script = self.script
        body = {name: value for name, value in asked.items() if name not in script.ignores}
        match fault:
            case "refusal":
                return refusal(body, "I cannot help with that.")
            case "filtered":
                return filtered(body)
            case "reasoned":
                return reasoned(body)
        answer = script.answer if isinstance(script.answer, str) else script.answer(text)
        found = completion(body, answer)
        if script.cached_tokens:
            usage = found["usage"]
            usage["prompt_tokens_details"]["cached_tokens"] = min(script.cached_tokens, usage["prompt_tokens"])
        return found

    def _tell(self, asked: Asked) -> None:
        self.asked.append(asked)
        if self.script.log:
            with self.script.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(asked)) + "\n")


def _last_text(body: Mapping[str, Any]) -> str:
    return next(text_of(message["content"]) for message in reversed(body["messages"]) if message["role"] == "user")


class _Told(Response):
    """Sends another response and then tells that it was sent."""

    def __init__(self, inner: Response, tell: Callable[[], None]) -> None:
        super().__init__()
        self._inner, self._told = inner, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._inner(scope, receive, send)
        self._told()


class _Cut(Response):
    """Announces a whole body and sends half of it; the server then closes the connection."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        half = bytes(self._whole.body)[: len(self._whole.body) // 2]
        await send({"type": "http.response.start", "status": 200, "headers": self._whole.raw_headers})
        await send({"type": "http.response.body", "body": half, "more_body": True})


@click.command()
@click.option("--port", default=0, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--delay", default=0.0, help="Seconds before each answer.")
@click.option("--gap", default=0.0, help="Seconds between the chunks of a stream.")
@click.option("--answer", default="ok", help="The text of every answer.")
@click.option("--fault", "faults", multiple=True, metavar="KIND=RATE", help=f"Kinds: {', '.join(get_args(Fault))}.")
@click.option("--seed", default=0, help="Decides which requests meet a fault.")
@click.option("--log", type=click.Path(path_type=Path), help="JSON lines: what was asked and answered.")
def main(
    port: int, delay: float, gap: float, answer: str, faults: tuple[str, ...], seed: int, log: Path | None
) -> None:
    """Serve scripted answers at http://127.0.0.1:PORT/v1 until interrupted; the first line printed is the address."""
    rates: dict[Fault, float] = {}
    for fault in faults:
        kind, _, rate = fault.partition("=")
        known: dict[str, Fault] = {name: name for name in get_args(Fault)}
        if kind not in known:
            raise click.BadParameter(f"{kind!r} is not a fault. Known: {', '.join(known)}.")
        rates[known[kind]] = float(rate or 1)
    server = FakeOpenAI(Script(answer=answer, delay=delay, gap=gap, rates=rates, seed=seed, log=log), port)
    try:
        listener = server.bind()
    except UsageError as error:
        raise click.ClickException(str(error)) from None
    click.echo(server.base_url)
    with suppress(KeyboardInterrupt):
        server.serve(listener)


if __name__ == "__main__":
    main()
