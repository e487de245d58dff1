"""What is asked: chat completions, responses and embeddings as OpenAI's clients send them.

Only what the gateway itself needs is looked at; every other parameter goes to an upstream as it came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

from tutelage.gateway.errors import WireError
from tutelage.models.prices import BYTES_PER_TOKEN, MESSAGE_TOKENS
from tutelage.tasks import Task
from tutelage.types import Input

Kind: TypeAlias = Literal["chat", "responses", "embeddings"]
PATHS: Mapping[Kind, str] = {"chat": "/chat/completions", "responses": "/responses", "embeddings": "/embeddings"}

IMAGE_TOKENS = 1_500
"""What a part that is no text is taken to cost before the call; its bytes say nothing of it."""
UNBOUNDED = 4_096
"""Tokens that an answer without `max_tokens` is taken to have at most, before the call."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its body whole, and what decides where it goes. `tokens` estimates the prompt's, rather too high; `most` is
    how many the answer may have in all."""

    kind: Kind
    model: str
    body: dict[str, Any]
    stream: bool
    tokens: int
    most: int

    @property
    def given(self) -> Any:
        """What was said or asked: the messages, or the input."""
        return self.body.get("messages") or self.body.get("input")


def read_asked(kind: Kind, body: dict[str, Any]) -> Asked:
    """The request in `body`. Raises WireError 400 naming the first thing that is wrong."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise WireError(400, "model: a name is missing. Send one of those that GET /v1/models lists.")
    stream = body.get("stream", False)
    if stream is not None and not isinstance(stream, bool):
        raise WireError(400, f"stream: {stream!r} is neither true nor false.")
    if kind == "chat":
        _check_messages(body.get("messages"))
    elif "input" not in body:
        raise WireError(400, "input: it is missing.")
    return Asked(kind, model, body, bool(stream), estimated(kind, body), _most(body))


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise WireError(400, "messages: a list of at least one message is missing.")
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise WireError(
                400, f"messages.{at}: a message is an object with a role, e.g. {{role: user, content: ...}}."
            )
        content = message.get("content")
        if not (content is None or isinstance(content, str | list)):
            raise WireError(
                400, f"messages.{at}.content: {type(content).__name__} is neither a string nor a list of parts."
            )


def estimated(kind: Kind, body: Mapping[str, Any]) -> int:
    """About the tokens that the prompt is billed as: bytes / 3 and the messages' frames."""
    if kind != "chat":
        given = body.get("input")
        return _length(given) // BYTES_PER_TOKEN + MESSAGE_TOKENS
    total = 0
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, str):
            total += len(content) if content.isascii() else len(content.encode("utf-8", "replace"))
        elif content:
            total += sum(_part(one) for one in content)
        if len(message) > 2:  # tool calls and names
            total += _length({key: value for key, value in message.items() if key not in ("role", "content")})
    if "tools" in body:
        total += _length(body["tools"])
    return -(-total // BYTES_PER_TOKEN) + MESSAGE_TOKENS * len(body["messages"])


def _part(part: Any) -> int:
    text = part.get("text") if isinstance(part, dict) else None
    return len(text.encode("utf-8", "replace")) if isinstance(text, str) else IMAGE_TOKENS * BYTES_PER_TOKEN


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(orjson.dumps(value))


def _most(body: Mapping[str, Any]) -> int:
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        given = body.get(name)
        if given is None:
            continue
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise WireError(400, f"{name}: {given!r} is no count of tokens. Send a whole number of at least 1.")
        return given * _answers(body)
    return UNBOUNDED * _answers(body)


def _answers(body: Mapping[str, Any]) -> int:
    n = body.get("n")
    if n is None:
        return 1
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 128:
        raise WireError(400, f"n: {n!r} is no count of answers. Send a whole number from 1 to 128.")
    return n


def task_input(asked: Asked, task: Task) -> Input:
    """The task's input in the request: the text of the last user message, or for several fields a JSON object of them.

    Raises WireError 400.
    """
    if asked.kind == "embeddings":
        raise WireError(400, f"{asked.model!r} answers a task and has no embeddings. Send POST /v1/chat/completions.")
    if asked.body.get("n") not in (None, 1):
        raise WireError(400, f"n = {asked.body['n']} is not served: a candidate has one answer. Send n = 1.")
    text = _last_text(asked)
    if not text.strip():
        raise WireError(400, "No user message with text. Send the input as the content of the last user message.")
    if len(task.fields) == 1:
        return {task.fields[0]: text}
    try:
        fields = orjson.loads(text)
    except ValueError:
        fields = None
    return fields_of(fields, task)


def fields_of(given: Any, task: Task) -> Input:
    """`given` as the task's input fields; a bare string where it has one. Raises WireError 400."""
    if isinstance(given, str) and len(task.fields) == 1:
        given = {task.fields[0]: given}
    if not isinstance(given, dict) or not all(isinstance(given.get(name), str) for name in task.fields):
        wanted = ", ".join(f'"{name}": "..."' for name in task.fields)
        count = f"{len(task.fields)} input field{'s'[: len(task.fields) != 1]}"
        raise WireError(400, f"The task has {count}: send a JSON object {{{wanted}}} as content.")
    return {name: given[name] for name in task.fields}


def _last_text(asked: Asked) -> str:
    given = asked.body["messages"] if asked.kind == "chat" else asked.body["input"]
    if isinstance(given, str):
        return given
    messages: Sequence[Any] = given if isinstance(given, list) else []
    last = next((one for one in reversed(messages) if isinstance(one, dict) and one.get("role") == "user"), {})
    content = last.get("content")
    if not isinstance(content, list):
        return content or ""
    texts = []
    for at, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise WireError(400, f"messages: part {at} of the content is no text, and the task reads text alone.")
        texts.append(part["text"])
    return "".join(texts)
