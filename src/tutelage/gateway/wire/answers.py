"""What is answered for a task: chat completions, their chunks and responses, as OpenAI writes them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from tutelage.types import Usage


def completion(id: str, model: str, text: str, usage: Usage) -> dict[str, Any]:
    """The chat completion that says `text`."""
    return {
        "id": f"chatcmpl-{id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
    }


def response(id: str, model: str, text: str, usage: Usage) -> dict[str, Any]:
    """The response (POST /v1/responses) that says `text`."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": f"msg_{id}", "role": "assistant", "status": "completed", "content": content}
    return {
        "id": f"resp_{id}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "model": model,
        "output": [message],
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": None,
        "top_p": None,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_input_tokens},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def chunks(whole: Mapping[str, Any], *, with_usage: bool) -> Iterator[bytes]:
    """A complete chat completion as the `data:` texts of a stream."""
    frame = {"id": whole.get("id"), "object": "chat.completion.chunk", "created": whole.get("created")}
    frame |= {"model": whole.get("model")} | ({"usage": None} if with_usage else {})
    for choice in whole["choices"]:
        message = choice.get("message") or {}
        delta = {key: value for key, value in message.items() if value is not None}
        if "tool_calls" in delta:
            delta["tool_calls"] = [{"index": at, **one} for at, one in enumerate(delta["tool_calls"])]
        at = choice.get("index", 0)
        yield orjson.dumps({**frame, "choices": [{"index": at, "delta": delta, "finish_reason": None}]})
        yield orjson.dumps(
            {**frame, "choices": [{"index": at, "delta": {}, "finish_reason": choice.get("finish_reason")}]}
        )
    if with_usage:
        yield orjson.dumps({**frame, "choices": [], "usage": whole.get("usage")})


def response_events(whole: Mapping[str, Any]) -> Iterator[bytes]:
    """A complete response as the `data:` texts of a stream."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    message = whole["output"][0]
    part = message["content"][0]
    place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": part["text"], "logprobs": []},
        {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": whole},
    ]
    for number, event in enumerate(events):
        yield orjson.dumps({**event, "sequence_number": number})
