"""What an exported student is asked over HTTP, and what it replies: OpenAI's chat completions, and typed batches."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from tutelage.answering.lines import Given, answer, read_input
from tutelage.tasks.base import Task
from tutelage.tasks.identity import canonical_input, example_id
from tutelage.types import Input, Prediction


class WireError(Exception):
    """An error with its HTTP status and OpenAI's type and code."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error", code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.code = status, kind, code

    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": None, "code": self.code}}


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body. Raises WireError 400."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError(400, f"The body is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise WireError(400, "The body must be a JSON object.")
    return found


def read_chat(asked: Mapping[str, Any], task: Task, model: str) -> Input:
    """The input of a chat completion: its last user message. Parameters that mean nothing here have no effect.

    Raises WireError 400, or 404 for another model.
    """
    if not isinstance(asked.get("model"), str):
        raise WireError(400, f"model: a text is required. This server has {model!r}.")
    if asked["model"] != model:
        raise WireError(404, f"The model {asked['model']!r} does not exist. Known: {model}.", code="model_not_found")
    if asked.get("stream"):
        raise WireError(400, "stream = true is not served. Send stream = false.", code="unsupported_parameter")
    if asked.get("n") not in (None, 1):
        raise WireError(400, f"n = {asked['n']} is not served: a student has one answer. Send n = 1.")
    messages = asked.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise WireError(400, "messages: a list of objects is required.")
    text = next((_text(one.get("content")) for one in reversed(messages) if one.get("role") == "user"), "")
    if not text.strip():
        raise WireError(400, "No user message with text. Send the input as the content of the last user message.")
    return canonical_input(_fields(text, task))


def _text(content: Any) -> str:
    """A message's text; its content may be a list of parts, all of them text."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise WireError(400, "content: only parts of type text are read.")
    return "".join(map(str, texts))


def _fields(text: str, task: Task) -> dict[str, str]:
    if len(task.fields) == 1:
        return {task.fields[0]: text}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in task.fields):
        wanted = ", ".join(f'"{name}": "..."' for name in task.fields)
        raise WireError(
            400, f"The task has {len(task.fields)} input fields: send a JSON object {{{wanted}}} as content."
        )
    return {name: found[name] for name in task.fields}


def completion(model: str, task: Task, prediction: Prediction) -> tuple[dict[str, Any], dict[str, str]]:
    """The chat completion that carries `prediction`, rendered as the task's JSON, and its headers.

    Raises WireError 502 for a failed one.
    """
    if prediction.value is None:
        raise WireError(502, prediction.error or "The student gave no answer.", "api_error", "no_answer")
    usage = prediction.usage
    message = {"role": "assistant", "content": task.render(prediction.value), "refusal": None}
    tokens = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    headers = {"X-Tutelage-Source": prediction.source.encode("ascii", "replace").decode()}
    if prediction.confidence is not None:
        headers["X-Tutelage-Confidence"] = f"{prediction.confidence:.4f}"
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {**tokens, "total_tokens": usage.input_tokens + usage.output_tokens},
    }, headers


def read_batch(asked: Mapping[str, Any], task: Task) -> list[Given]:
    """The inputs of a batch, {"inputs": [{field: text}, ...]}; one that cannot be used is None and says why."""
    inputs = asked.get("inputs")
    if not isinstance(inputs, list):
        wanted = ", ".join(f'"{name}": "..."' for name in task.fields)
        raise WireError(400, f'inputs: a list is required: {{"inputs": [{{{wanted}}}, ...]}}')
    return [read_input(json.dumps(one), task.fields, number) for number, one in enumerate(inputs, 1)]


def batch_answers(given: list[Given], predictions: list[Prediction], source: str) -> dict[str, Any]:
    """The reply to a batch: one line of `predict` for each input, in order."""
    found, lines = iter(predictions), []
    for one, problem in given:
        if one is None:
            lines.append(answer(None, Prediction(None, source=source, error=problem.replace("line", "input", 1))))
        else:
            lines.append(answer(example_id(one), next(found)))
    return {"predictions": lines}
