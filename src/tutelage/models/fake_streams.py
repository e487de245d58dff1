"""What the fake server sends besides whole chat completions: streams, embeddings and responses."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tutelage.models.fake_answers import tokens
from tutelage.models.prices import estimated_tokens

WIDTH = 8
"""Dimensions of an embedding."""


class Stream(Response):
    """The chat completion `whole` as server-sent events, a piece a chunk, `gap` seconds apart.

    `fault` "cut": the connection is closed in the middle; "endless": the pieces start again for ever.
    """

    def __init__(self, whole: Mapping[str, Any], body: Mapping[str, Any], fault: str | None, gap: float) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self._whole, self._body, self._fault, self._gap = whole, body, fault, gap
        self.sent = False
        """Whether all of it was sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        events = list(chunks(self._whole, self._body))
        if self._fault == "cut":
            events = events[: len(events) // 2]
        gone = asyncio.ensure_future(_gone(receive))
        try:
            for event in itertools.cycle(events[1:-2]) if self._fault == "endless" else events:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": b"data: " + event + b"\n\n", "more_body": True})
                await asyncio.sleep(self._gap)
        finally:
            gone.cancel()
        if self._fault is None:
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})
            self.sent = True


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def chunks(whole: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[bytes]:
    """The chunks of a stream; the last one bears the usage where `body` asks for it."""
    frame = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}

    def chunk(choices: Sequence[Mapping[str, Any]], **more: Any) -> bytes:
        return json.dumps({**frame, "choices": choices, **more}).encode()

    for choice in whole["choices"]:
        at, message = choice["index"], choice["message"]
        yield chunk([{"index": at, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        calls = message.get("tool_calls") or []
        for number, call in enumerate(calls):
            head = {**call, "index": number, "function": {"name": call["function"]["name"], "arguments": ""}}
            yield chunk([{"index": at, "delta": {"tool_calls": [head]}, "finish_reason": None}])
        texts = [call["function"]["arguments"] for call in calls] or [message["content"] or ""]
        for number, text in enumerate(texts):
            for piece in tokens(text):
                written = piece.decode("utf-8", "ignore")
                delta: dict[str, Any] = {"content": written}
                if calls:
                    delta = {"tool_calls": [{"index": number, "function": {"arguments": written}}]}
                yield chunk([{"index": at, "delta": delta, "finish_reason": None}])
        yield chunk([{"index": at, "delta": {}, "finish_reason": choice["finish_reason"]}])
    if (body.get("stream_options") or {}).get("include_usage"):
        yield chunk([], usage=whole["usage"])


def embeddings(body: Mapping[str, Any]) -> Response:
    """A vector of the text's hash for each input: equal texts have equal ones."""
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = []
    for at, text in enumerate(given):
        hashed = hashlib.sha256(str(text).encode()).digest()[:WIDTH]
        data.append({"object": "embedding", "index": at, "embedding": [byte / 255 for byte in hashed]})
    read = sum(estimated_tokens(str(text)) for text in given)
    usage = {"prompt_tokens": read, "total_tokens": read}
    return JSONResponse({"object": "list", "data": data, "model": body["model"], "usage": usage})


def responded(body: Mapping[str, Any], answer: str) -> Response:
    """A response (POST /v1/responses) that says `answer`."""
    content = [{"type": "output_text", "text": answer, "annotations": []}]
    message = {"type": "message", "id": "msg_fake", "role": "assistant", "status": "completed", "content": content}
    read, written = estimated_tokens(str(body["input"])), len(tokens(answer))
    usage = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    whole = {
        "id": "resp_fake",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": body["model"],
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage | details,
    }
    return JSONResponse(whole)


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or parts of which those that are no text count for nothing."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return content or ""
