"""What the fake server sends: chat completions with tokens, tool calls and refusals, and errors, as OpenAI writes them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse, Response

from tutelage.models.prices import estimated_tokens

LOGPROB = -0.1
"""Of every token."""

_PIECES = re.compile(r"\s?\w{1,6}|\s?[^\w\s]|\s")


def completion(body: Mapping[str, Any], answer: str) -> dict[str, Any]:
    """The chat completion that answers `answer` to the request `body`: `n` times, as a tool's arguments where the tool is
    forced, cut at `max_tokens`, with log probabilities token by token where they are asked for."""
    pieces = tokens(answer)
    most = body.get("max_tokens") or body.get("max_completion_tokens") or len(pieces)
    written = pieces[:most]
    count = body.get("n") or 1
    choices = [{"index": at, **choice(body, written, cut=len(pieces) > most)} for at in range(count)]
    return completed(body, choices, len(written) * count)


def choice(body: Mapping[str, Any], pieces: Sequence[bytes], *, cut: bool = False) -> dict[str, Any]:
    """One choice of an answer that consists of `pieces`; whole but for characters that the cut splits."""
    text = b"".join(pieces).decode("utf-8", "ignore")
    message: dict[str, Any] = {"role": "assistant", "content": text}
    finish = "length" if cut else "stop"
    if body.get("tools") and body.get("tool_choice") not in (None, "none", "auto"):
        function = {"name": body["tools"][0]["function"]["name"], "arguments": text}
        calls = [{"id": "call_fake", "type": "function", "function": function}]
        return {"message": message | {"content": None, "tool_calls": calls}, "finish_reason": finish}
    found: dict[str, Any] = {"message": message, "finish_reason": finish}
    if body.get("logprobs"):
        listed = [
            {"token": one.decode("utf-8", "replace"), "logprob": LOGPROB, "bytes": list(one), "top_logprobs": []}
            for one in pieces
        ]
        found["logprobs"] = {"content": listed, "refusal": None}
    return found


def refusal(body: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A completion in which the model declines to answer."""
    message = {"role": "assistant", "content": None, "refusal": text}
    return completed(body, [{"index": 0, "message": message, "finish_reason": "stop"}], estimated_tokens(text))


def filtered(body: Mapping[str, Any]) -> dict[str, Any]:
    """A completion that a content filter stopped."""
    message = {"role": "assistant", "content": ""}
    return completed(body, [{"index": 0, "message": message, "finish_reason": "content_filter"}], 1)


def reasoned(body: Mapping[str, Any]) -> dict[str, Any]:
    """A completion whose tokens all went into reasoning that is not shown."""
    message = {"role": "assistant", "content": ""}
    most = body.get("max_tokens") or body.get("max_completion_tokens") or 512
    return completed(body, [{"index": 0, "message": message, "finish_reason": "length"}], most)


def completed(body: Mapping[str, Any], choices: Sequence[Mapping[str, Any]], written: int) -> dict[str, Any]:
    read = sum(estimated_tokens(str(message.get("content") or "")) for message in body["messages"])
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": list(choices),
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def tokens(text: str) -> list[bytes]:
    """`text` in pieces of a word or less; characters of four bytes are split over two, as real tokenizers do."""
    found: list[bytes] = []
    for piece in _PIECES.findall(text):
        whole = piece.encode("utf-8", "replace")
        found += [whole[:-2], whole[-2:]] if len(piece.strip()) == 1 and len(whole) >= 4 else [whole]
    return found


def error_body(
    status: int, message: str, *, code: str, param: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """An error as OpenAI writes it."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return JSONResponse({"error": error}, status, headers)
