"""Streams of chat completions on their way through: their text is gathered for the trace, their usage for the bill."""

from __future__ import annotations

from typing import Any

import orjson

from tutelage.gateway.upstreams.failures import AttemptFailed


class Gathered:
    """What the chunks of a stream add up to: a chat completion, as far as it has come.

    `asked_usage`: whether the client asked for the usage; where it did not, the chunk that the gateway asked for is kept back.
    """

    def __init__(self, asked_usage: bool) -> None:
        self._asked_usage = asked_usage
        self._frame: dict[str, Any] = {}
        self._again: str | None = None
        self._choices: dict[int, dict[str, Any]] = {}
        self.usage: dict[str, Any] | None = None
        self.events: list[dict[str, Any]] = []
        """Events that are no chunks: those of a response."""

    def add(self, data: bytes) -> bytes | None:
        """Takes one event's `data:` in, and returns what the client gets of it; None: nothing."""
        try:
            chunk = orjson.loads(data)
        except ValueError:
            return data
        if not isinstance(chunk, dict):
            return data
        if usage := _usage(chunk):
            self.usage = usage
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            if chunk.get("type") == "response.completed":
                self.events.append(chunk)
            return data
        self._frame = self._frame or {key: chunk.get(key) for key in ("id", "created", "model")}
        if self._again is not None:
            return self._continued(chunk, choices)
        for choice in choices:
            self._gather(choice)
        if choices or self._asked_usage or not chunk.get("usage"):
            return data
        return None

    @property
    def text(self) -> str:
        """The first choice's, as far as it has come."""
        return "".join(self._choices[0]["text"]) if 0 in self._choices else ""

    @property
    def text_only(self) -> bool:
        """Whether nothing has come but one choice's text."""
        return set(self._choices) <= {0} and not any(one["tools"] or one["finish"] for one in self._choices.values())

    def begin_again(self) -> None:
        """The next chunks are another stream's, of which as much is left out as there is text already."""
        self._again, self.usage = self.text, None

    def _continued(self, chunk: dict[str, Any], choices: list[Any]) -> bytes | None:
        """Of a stream that was begun again, what is new. Raises AttemptFailed where its text is another."""
        chunk |= self._frame
        for choice in choices:
            delta = choice.get("delta") or {}
            if (text := delta.get("content")) and self._again:
                left = self._again
                if not (left.startswith(text) or text.startswith(left)):
                    raise AttemptFailed("The stream broke, and asked again it said something else.", again=False)
                self._again, delta["content"] = left[len(text) :], text[len(left) :]
            self._gather(choice)
        new = [c for c in choices if (c.get("delta") or {}).get("content") or c.get("finish_reason")]
        if new or (self._asked_usage and chunk.get("usage")):
            return orjson.dumps(chunk)
        return None

    def _gather(self, choice: Any) -> None:
        if not isinstance(choice, dict):
            return
        kept = self._choices.setdefault(choice.get("index", 0), {"text": [], "tools": {}, "finish": None})
        delta = choice.get("delta") or {}
        if isinstance(text := delta.get("content"), str):
            kept["text"].append(text)
        for call in delta.get("tool_calls") or []:
            tool = kept["tools"].setdefault(call.get("index", 0), {"name": "", "arguments": [], "id": None})
            function = call.get("function") or {}
            tool["id"] = call.get("id") or tool["id"]
            tool["name"] += function.get("name") or ""
            tool["arguments"].append(function.get("arguments") or "")
        kept["finish"] = choice.get("finish_reason") or kept["finish"]

    @property
    def finished(self) -> bool:
        """Whether every choice came to its end."""
        return bool(self._choices) and all(one["finish"] for one in self._choices.values())

    def whole(self) -> dict[str, Any]:
        """The chat completion (or the response) that the stream was."""
        if self.events:
            found: dict[str, Any] = self.events[-1]["response"]
            return found
        choices = [
            {"index": at, "message": _message(one), "logprobs": None, "finish_reason": one["finish"]}
            for at, one in sorted(self._choices.items())
        ]
        return {**self._frame, "object": "chat.completion", "choices": choices, "usage": self.usage}


def _message(kept: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(kept["text"]) or None, "refusal": None}
    if kept["tools"]:
        message["tool_calls"] = [
            {
                "id": one["id"],
                "type": "function",
                "function": {"name": one["name"], "arguments": "".join(one["arguments"])},
            }
            for _, one in sorted(kept["tools"].items())
        ]
    return message


def _usage(chunk: dict[str, Any]) -> dict[str, Any] | None:
    inner = chunk.get("response")
    found = chunk.get("usage") or (inner.get("usage") if isinstance(inner, dict) else None)
    return found if isinstance(found, dict) else None
