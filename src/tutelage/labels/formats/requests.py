"""Logs of requests to language models: a JSON line a call, as OpenAI's API has requests and responses, or as LiteLLM logs them.

Written is a line a label with `request`, `response` (a chat completion) and `metadata`, where what a log has no place for is
kept. Read are:

- `request` and `response`, each a body of chat completions or of the Responses API, or an object with such a `body`;
- LiteLLM's StandardLoggingPayload, and its table of spend logs: `messages`, `response`, `model`, `startTime`;
- a line of chat completions with `messages` beside `choices`.

Answers become labels of the teacher `teacher:MODEL`. A call that failed is an example without a label; an answer that is none of
the task is a bad row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.labels.formats.base import KEY, Entry, Format, Found, Given, Unfit
from tutelage.labels.formats.files import opened, read_lines
from tutelage.labels.formats.kept import example_facts, keep, moment, restore, seconds, source_of
from tutelage.labels.formats.prompts import Prompt, last_asked, said
from tutelage.labels.readers import BadRow
from tutelage.project import Project
from tutelage.types import Label


def write(path: Path, entries: Iterator[Entry], project: Project) -> None:
    prompt = Prompt(project)
    with opened(path) as file:
        for entry in entries:
            for line in _lines(prompt, entry):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read(path: Path, project: Project, wanted: Sequence[str]) -> Iterator[Found | BadRow]:
    prompt = Prompt(project)
    return read_lines(path, lambda row: _found(prompt, row.line, row.fields))


def _lines(prompt: Prompt, entry: Entry) -> Iterator[dict[str, Any]]:
    """A call for each label; one without a response for an example that has none."""
    kept = keep(entry, [at for at, one in enumerate(entry.labels) if one.status == "given"]).get("labels", [])
    facts = example_facts(entry.example, input=True)
    messages = prompt.messages(entry.example.input)
    for at, label in enumerate(entry.labels):
        model = label.source.removeprefix("teacher:")
        yield {
            "id": f"{entry.example.id}-{at}",
            "request": {"model": model, "messages": messages},
            "response": _completion(label, model, prompt.answer(label.value)) if label.status == "given" else None,
            "metadata": {KEY: facts | {"labels": [kept[at]]}},
        }
    if not entry.labels:
        yield {"id": entry.example.id, "request": {"messages": messages}, "response": None, "metadata": {KEY: facts}}


def _completion(label: Label, model: str, answer: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    made = seconds(label)
    created = {} if made is None else {"created": int(made)}
    return {"object": "chat.completion", **created, "model": model, "choices": [choice]}


def _found(prompt: Prompt, line: int, row: Mapping[str, Any]) -> Found:
    request, response = _body(row.get("request", row)), _response(row.get("response", row))
    messages = _messages(request) if isinstance(request, dict) else None
    metadata = _json(row.get("metadata"))
    kept = metadata.get(KEY) if isinstance(metadata, dict) else None
    kept = kept if isinstance(kept, dict) else {}
    input = kept.get("input")
    if not isinstance(input, dict):
        if not messages or not isinstance(messages, (str, list)):
            raise Unfit("it has no messages of a request")
        input = prompt.input_of(messages if isinstance(messages, str) else last_asked(messages))
    shown = _given(prompt, row, request if isinstance(request, dict) else {}, response)
    labels = restore(prompt.task, [] if shown is None else [shown], kept.get("labels"))
    return Found(line, dict(row), input, labels, kept.get("split"), kept.get("group"), kept.get("synthetic"))


def _given(prompt: Prompt, row: Mapping[str, Any], request: Mapping[str, Any], response: Any) -> Given | None:
    """The answer as the teacher's label; None where the call brought none."""
    if str(row.get("status", "success")) in ("failure", "failed", "error") or row.get("error"):
        return None
    text = _answer(response)
    if text is None:
        return None
    body = response if isinstance(response, dict) else {}
    model = str(row.get("model") or body.get("model") or request.get("model") or "log")
    when = row.get("startTime") or row.get("created_at") or body.get("created") or body.get("created_at") or ""
    told = {"request": row.get("id") or row.get("request_id"), "trace": row.get("trace_id")}
    spent = row.get("response_cost", row.get("spend"))
    notes = [f"{name} {value}" for name, value in told.items() if value]
    notes += [f"${spent:g}"] if isinstance(spent, (int, float)) and spent else []
    return Given(
        prompt.value_of(text), source_of(model, "teacher"), created=moment(when), note=", ".join(notes) or None
    )


def _answer(response: Any) -> str | None:
    """The text of a response: a chat completion's first choice, a response's output, or the text itself."""
    if isinstance(response, str):
        return response or None
    if not isinstance(response, dict):
        return None
    if isinstance(choices := response.get("choices"), list):
        message = choices[0].get("message") if choices and isinstance(choices[0], dict) else None
        if isinstance(message, dict) and message.get("content") is None and message.get("tool_calls"):
            raise Unfit("its answer calls a tool and has no text")
        return said(message) if message else None
    if isinstance(output := response.get("output"), list):
        parts = [one for one in output if isinstance(one, dict) and one.get("type") == "message"]
        return said(parts[-1]) if parts else None
    return said(response) if response.get("role") == "assistant" else None


def _messages(request: Mapping[str, Any]) -> Any:
    given = request.get("messages", request.get("input"))
    found = _json(given)
    return found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else given


def _response(given: Any) -> Any:
    """A response's body; an answer may itself be JSON, which is no body."""
    found = _body(_json(given))
    is_body = isinstance(found, dict) and {"choices", "output", "role"} & set(found)
    return found if is_body or not isinstance(given, str) else given


def _body(given: Any) -> Any:
    """What a batch's file or a proxy's log wraps in `body`."""
    return _json(given["body"]) if isinstance(given, dict) and isinstance(given.get("body"), (dict, str)) else given


def _json(given: Any) -> Any:
    """What a database's log has as text is JSON."""
    if isinstance(given, str) and given.lstrip().startswith(("{", "[")):
        try:
            return json.loads(given)
        except (ValueError, RecursionError):
            return given
    return given


FORMAT = Format(write=write, read=read)
