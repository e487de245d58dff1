"""The OpenAI wire: requests as they come in, replies and errors as clients expect them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.responses import JSONResponse

from tutelage.tasks import Task
from tutelage.types import Input, Prediction


class Part(BaseModel):
    """One part of a message; parts of other types than text are refused."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="ignore")
    role: str
    content: str | list[Part] | None = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class ChatRequest(BaseModel):
    """The part of a chat completion request that a candidate uses; other parameters are accepted and have no effect."""

    model_config = ConfigDict(extra="ignore")
    model: str
    messages: list[ChatMessage]
    stream: bool = False
    n: int = 1


class WireError(Exception):
    """An error with its HTTP status and OpenAI's type and code."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error", code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.code = status, kind, code

    def response(self) -> JSONResponse:
        body = {"message": str(self), "type": self.kind, "param": None, "code": self.code}
        return JSONResponse({"error": body}, self.status)


def read_request(body: bytes) -> ChatRequest:
    """The request in `body`. Raises WireError 400 naming the first thing that is wrong."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise WireError(400, f"{place}: {first['msg']}") from None
    if request.stream:
        raise WireError(400, "stream = true is not served yet. Send stream = false.", code="unsupported_parameter")
    if request.n != 1:
        raise WireError(400, f"n = {request.n} is not served: a candidate has one answer. Send n = 1.")
    return request


def read_input(messages: Sequence[ChatMessage], task: Task) -> Input:
    """The task's input in the last user message: its text, or for several fields a JSON object of them.

    Raises WireError 400.
    """
    text = next((message.text() for message in reversed(messages) if message.role == "user"), "")
    if not text.strip():
        raise WireError(400, "No user message with text. Send the input as the content of the last user message.")
    if len(task.fields) == 1:
        return {task.fields[0]: text}
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not all(isinstance(fields.get(name), str) for name in task.fields):
        wanted = ", ".join(f'"{name}": "..."' for name in task.fields)
        raise WireError(
            400, f"The task has {len(task.fields)} input fields: send a JSON object {{{wanted}}} as content."
        )
    return {name: fields[name] for name in task.fields}


def completion(model: str, task: Task, prediction: Prediction) -> JSONResponse:
    """The chat completion that carries `prediction`, rendered as the task's JSON. Raises WireError 502 for a failed one."""
    if prediction.value is None:
        raise WireError(502, prediction.error or "The candidate gave no answer.", "api_error", "no_answer")
    usage = prediction.usage
    body: Mapping[str, Any] = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": task.render(prediction.value), "refusal": None},
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
    headers = {"X-Tutelage-Source": prediction.source.encode("ascii", "replace").decode()}
    if prediction.confidence is not None:
        headers["X-Tutelage-Confidence"] = f"{prediction.confidence:.4f}"
    if prediction.note:
        headers["X-Tutelage-Note"] = " ".join(prediction.note.split()).encode("ascii", "replace").decode()
    return JSONResponse(body, headers=headers)
