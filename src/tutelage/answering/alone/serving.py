"""The HTTP server of an exported student: http.server, a thread a connection.

POST /v1/chat/completions       OpenAI's: the last user message is the input, the reply's content the answer as JSON
GET  /v1/models, /v1/models/ID
POST /v1/tasks/NAME/predict     {"inputs": [{field: text}, ...]} -> {"predictions": [...]}, each as `predict` writes it
GET  /health
"""

from __future__ import annotations

import errno
import json
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from tutelage.answering.alone.student import Alone
from tutelage.answering.alone.wire import WireError, batch_answers, completion, read_batch, read_chat, read_object
from tutelage.errors import TutelageError, UsageError

MAX_BODY = 16 * 1024 * 1024
MAX_INPUTS = 1024


class StudentServer(ThreadingHTTPServer):
    """Answers for one student."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], student: Alone) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, Handler)
        self.student = student

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of the machine's name, which takes seconds where there is no name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: StudentServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    timeout = 60

    def do_GET(self) -> None:
        model = self.server.student.source
        entry = {"id": model, "object": "model", "created": 0, "owned_by": "tutelage"}
        pages: dict[str, dict[str, Any]] = {
            "/health": {"status": "ok"},
            "/v1/models": {"object": "list", "data": [entry]},
            f"/v1/models/{model}": entry,
        }
        self._answer(lambda _body: (_found(pages, self.path), {}))

    def do_POST(self) -> None:
        task = self.server.student.task
        pages = {"/v1/chat/completions": self._chat, f"/v1/tasks/{task.name}/predict": self._batch}
        self._answer(lambda body: _found(pages, self.path)(body))

    def _chat(self, body: bytes) -> tuple[dict[str, Any], dict[str, str]]:
        student = self.server.student
        (prediction,) = student.predict([read_chat(read_object(body), student.task, student.source)])
        return completion(student.source, student.task, prediction)

    def _batch(self, body: bytes) -> tuple[dict[str, Any], dict[str, str]]:
        student = self.server.student
        given = read_batch(read_object(body), student.task)
        if len(given) > MAX_INPUTS:
            raise WireError(413, f"{len(given)} inputs are more than {MAX_INPUTS}. Send them in several requests.")
        predictions = student.predict([one for one, _ in given if one is not None])
        return batch_answers(given, predictions, student.source), {}

    def _answer(self, make: Callable[[bytes], tuple[dict[str, Any], Mapping[str, str]]]) -> None:
        status, headers = 200, {"Content-Type": "application/json"}
        try:
            found, more = make(self._body())
            headers |= more
        except WireError as error:
            status, found = error.status, error.body()
        except TutelageError as error:
            status, found = 502, WireError(502, str(error), "api_error").body()
        except Exception as error:  # whatever a runtime raises: the client gets an answer, the log the reason
            self.log_error("%s", repr(error))
            status, found = (
                500,
                WireError(500, "The server failed on this request; its log says why.", "api_error").body(),
            )
        content = json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        """The body, read whole so that the connection can be used again. Raises WireError."""
        length = self.headers.get("Content-Length") or "0"
        if "Transfer-Encoding" in self.headers or not length.isdigit():
            self.close_connection = True
            raise WireError(411, "Send the body with a Content-Length.")
        if int(length) > MAX_BODY:
            self.close_connection = True
            raise WireError(413, f"The body is larger than {MAX_BODY:,} bytes. Send a shorter input.")
        return self.rfile.read(int(length))

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Requests are not logged: inputs are nobody else's business."""


def _found(pages: Mapping[str, Any], path: str) -> Any:
    path = path.partition("?")[0].rstrip("/")
    if path not in pages:
        raise WireError(404, f"There is no {path or '/'}. Known: {', '.join(pages)}.")
    return pages[path]


def make_server(student: Alone, host: str, port: int) -> StudentServer:
    """A server that listens; port 0 takes a free one. Raises UsageError when the address cannot be had."""
    try:
        return StudentServer((host, port), student)
    except (OSError, OverflowError) as error:
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is in use" if in_use else f"cannot be used on {host} ({error})"
        raise UsageError(f"Port {port} {why}. Choose another with --port, or 0 for any free one.") from None


def serve_until_stopped(server: StudentServer) -> None:
    """Answer until SIGINT or SIGTERM."""

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()  # waits for serve_forever, which runs below this handler

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with server:
        server.serve_forever(poll_interval=0.1)
