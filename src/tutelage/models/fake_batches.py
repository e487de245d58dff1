"""The files and batches of the fake server: uploaded, validated, answered after so many polls, and how they go wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tutelage.models.fake_answers import error_body

End: TypeAlias = Literal["completed", "expired", "cancelled", "failed"]

Answer: TypeAlias = Callable[[Mapping[str, Any]], Response]
"""The response to the body of one request."""


@dataclass(frozen=True)
class BatchScript:
    """How batches go. One is polled `polls` times before it ends, with `ends`; of one that does not complete only the requests
    that `answers` are answered, of every one those that `fails` are not (both are told the last user message).

    A batch that `invalid` (a message) fails its validation. `create_delay` and `content_delay` are seconds between doing what is
    asked and saying so; `refused` is an HTTP status for whoever creates one, which is then made all the same (500) or not.
    """

    polls: int = 1
    ends: End = "completed"
    fails: Callable[[str], bool] = lambda text: False
    answers: Callable[[str], bool] = lambda text: True
    invalid: str | None = None
    create_delay: float = 0.0
    content_delay: float = 0.0
    refused: int | None = None


@dataclass
class _Held:
    """A batch: what was asked in it, and what came of it."""

    id: str
    lines: list[dict[str, Any]]
    created: dict[str, Any]
    polls: int = 0
    status: str = "validating"
    answered: int = 0
    failed: int = 0
    files: dict[str, str] = field(default_factory=dict)


class FakeBatches:
    """Holds files and batches; `answer` answers one request as a live call. `downloads` counts files of answers sent."""

    def __init__(
        self, script: BatchScript | None, answer: Answer, allowed: Callable[[Request], Response | None]
    ) -> None:
        self.script, self._answer, self._allowed = script, answer, allowed
        self.files: dict[str, bytes] = {}
        self.held: dict[str, _Held] = {}
        self.bodies: list[dict[str, Any]] = []
        """The JSON bodies of all requests that were answered in batches, in order."""
        self.downloads = 0
        self._numbers = itertools.count(1)

    @property
    def routes(self) -> list[Route]:
        if self.script is None:
            return []
        return [
            Route("/v1/files", self._let_in(self._upload), methods=["POST"]),
            Route("/v1/files/{id}/content", self._let_in(self._content), methods=["GET"]),
            Route("/v1/batches", self._let_in(self._create), methods=["POST"]),
            Route("/v1/batches", self._let_in(self._list), methods=["GET"]),
            Route("/v1/batches/{id}", self._let_in(self._read), methods=["GET"]),
            Route("/v1/batches/{id}/cancel", self._let_in(self._cancel), methods=["POST"]),
        ]

    @property
    def _told(self) -> BatchScript:
        return self.script or BatchScript()

    def _let_in(self, endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            return self._allowed(request) or await endpoint(request)

        return checked

    async def _upload(self, request: Request) -> Response:
        parts = _parts(await request.body(), request.headers["content-type"])
        if parts.get("purpose") != b"batch":
            return error_body(400, "purpose must be 'batch'.", code="invalid_value")
        id = f"file-{next(self._numbers)}"
        self.files[id] = parts["file"]
        told = {"id": id, "object": "file", "bytes": len(parts["file"]), "created_at": int(time.time())}
        return JSONResponse(told | {"filename": "batch.jsonl", "purpose": "batch", "status": "processed"})

    async def _content(self, request: Request) -> Response:
        content = self.files.get(request.path_params["id"])
        if content is None:
            return error_body(404, "No such File object.", code="not_found")
        self.downloads += 1
        await asyncio.sleep(self._told.content_delay)
        return Response(content, media_type="application/octet-stream")

    async def _create(self, request: Request) -> Response:
        asked, script = await request.json(), self._told
        if script.refused and script.refused < 500:
            return error_body(script.refused, "No more batches today.", code="batch_limit_exceeded")
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        held = _Held(f"batch_{next(self._numbers)}", lines, asked | {"created_at": int(time.time())})
        self.held[held.id] = held
        await asyncio.sleep(script.create_delay)
        if script.refused:
            return error_body(script.refused, "The server had an error.", code="server_error")
        return self._shown(held)

    async def _list(self, request: Request) -> Response:
        newest = list(reversed(self.held.values()))
        after, limit = request.query_params.get("after"), int(request.query_params.get("limit", 20))
        start = next((at + 1 for at, held in enumerate(newest) if held.id == after), 0)
        shown = [self._object(held) for held in newest[start : start + limit]]
        return JSONResponse({"object": "list", "data": shown, "has_more": start + limit < len(newest)})

    async def _read(self, request: Request) -> Response:
        held = self.held.get(request.path_params["id"])
        if held is None:
            return error_body(404, "No batch found with that id.", code="not_found")
        held.polls += 1
        if held.status in ("validating", "in_progress"):
            held.status = "in_progress"
            if held.polls >= self._told.polls:
                self._end(held)
        return self._shown(held)

    async def _cancel(self, request: Request) -> Response:
        held = self.held[request.path_params["id"]]
        held.status = "cancelled"
        return self._shown(held)

    def _end(self, held: _Held) -> None:
        script = self._told
        held.status = "failed" if script.invalid else script.ends
        if script.invalid:
            return
        came: dict[str, list[dict[str, Any]]] = {"output": [], "error": []}
        for line in held.lines:
            row = self._row(line)
            kind = "output" if row["response"] and row["response"]["status_code"] == 200 else "error"
            came[kind].append(row)
        held.answered, held.failed = len(came["output"]), len(came["error"])
        for kind, rows in came.items():
            if rows:
                held.files[kind] = f"file-{next(self._numbers)}"
                # In another order than asked, as real ones come.
                self.files[held.files[kind]] = "".join(json.dumps(row) + "\n" for row in reversed(rows)).encode()

    def _row(self, line: Mapping[str, Any]) -> dict[str, Any]:
        script, body = self._told, line["body"]
        text = next(message["content"] for message in reversed(body["messages"]) if message["role"] == "user")
        row = {
            "id": f"batch_req_{next(self._numbers)}",
            "custom_id": line["custom_id"],
            "response": None,
            "error": None,
        }
        if script.ends != "completed" and not script.answers(text):
            why = {"code": f"batch_{script.ends}", "message": "This request could not be executed in time."}
            return row | {"error": why}
        if script.fails(text):
            response = error_body(500, "The server had an error.", code="server_error")
        else:
            response = self._answer(body)
            self.bodies += [dict(body)] if response.status_code == 200 else []
        told = {"status_code": response.status_code, "request_id": "req_fake", "body": json.loads(bytes(response.body))}
        return row | {"response": told}

    def _shown(self, held: _Held) -> Response:
        return JSONResponse(self._object(held))

    def _object(self, held: _Held) -> dict[str, Any]:
        invalid = [{"code": "invalid_json_line", "line": 1, "message": self._told.invalid, "param": None}]
        return {
            "id": held.id,
            "object": "batch",
            **{name: held.created[name] for name in ("endpoint", "input_file_id", "completion_window", "created_at")},
            "metadata": held.created.get("metadata"),
            "status": held.status,
            "output_file_id": held.files.get("output"),
            "error_file_id": held.files.get("error"),
            "errors": {"object": "list", "data": invalid} if held.status == "failed" else None,
            "request_counts": {"total": len(held.lines), "completed": held.answered, "failed": held.failed},
        }


def _parts(body: bytes, content_type: str) -> dict[str, bytes]:
    """The parts of a form by name, as clients upload files."""
    boundary = b"--" + content_type.partition("boundary=")[2].strip('"').encode()
    found = {}
    for part in body.split(boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        found[name] = content.removesuffix(b"\r\n")
    return found
