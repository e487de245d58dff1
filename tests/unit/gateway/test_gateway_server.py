"""Clients that are slow, idle or many do not keep the others waiting."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.gateways import Capitals, Running, a_project, running
from tests.unit.gateway.test_gateway_telemetry import of, read

from tutelage.gateway import server
from tutelage.gateway.routes import Served
from tutelage.types import Input, Prediction

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
WHOLE = json.dumps({"model": "capitals", "messages": [{"role": "user", "content": "Ann"}]}).encode()
SLOW = {"header_timeout": 0.5, "body_timeout": 0.5, "write_timeout": 0.5}


class Long(Capitals):
    """Answers with 20 million characters."""

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [Prediction(["A" * 20_000_000], 0.5, source="long") for _ in inputs]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    project = a_project(tmp_path / "task")
    served = {"capitals": Served("capitals", project, Capitals()), "long": Served("long", project, Long())}
    with running(tmp_path, served, server=SLOW, traces={"sample": 0.0}) as found:
        yield found


def connected(gateway: Running, *sent: bytes) -> socket.socket:
    found = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    for one in sent:
        found.sendall(one)
    return found


def is_cut(connection: socket.socket) -> bool:
    """Whether the server ends the connection without a word."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def cut(gateway: Running, why: str) -> float:
    return of(read(gateway.get("/metrics")[1]), "tutelage_connections_cut_total", why=why)


@pytest.mark.parametrize(
    "begin", [b"", b"P", HEAD, HEAD + b"X-Slow: "], ids=["nothing", "a letter", "a line", "a half"]
)
def test_headers_that_do_not_come_are_not_waited_for(gateway: Running, begin: bytes) -> None:
    with connected(gateway, begin) as connection:
        start = time.monotonic()
        assert gateway.ask("capitals", "Ann").choices  # the others are answered
        assert is_cut(connection) and time.monotonic() - start < 15
    assert cut(gateway, "headers") == 1


def test_headers_that_come_letter_by_letter_are_cut_too(gateway: Running) -> None:
    with connected(gateway, HEAD) as connection:
        stop = time.monotonic() + 15
        with pytest.raises(OSError):
            while time.monotonic() < stop:
                connection.sendall(b"a")
                time.sleep(0.1)
        assert time.monotonic() < stop


def test_the_second_request_of_a_connection_is_bounded_as_the_first(gateway: Running) -> None:
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(WHOLE) + WHOLE
    with connected(gateway, whole) as connection:
        answer = b""
        while b'"finish_reason":"stop"' not in answer:
            answer += connection.recv(65536)
        time.sleep(2.5)  # idle between two requests is no fault
        connection.sendall(whole + HEAD)
        answer = b""
        while b'"finish_reason":"stop"' not in answer:
            answer += connection.recv(65536)
        while connection.recv(65536):
            pass
    assert cut(gateway, "headers") == 1


def test_a_body_that_does_not_come_is_answered_408(gateway: Running) -> None:
    with connected(gateway, HEAD + b"Content-Length: 100\r\n\r\n{") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")


def test_a_body_that_nobody_reads_is_cut(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "UNREAD", 0.5)
    head = HEAD.replace(b"/v1/chat/completions", b"/made/up")
    with connected(gateway, head + b"Content-Length: 100\r\n\r\n{") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
        while connection.recv(65536):
            pass
    assert cut(gateway, "body") == 1


def test_a_client_that_does_not_read_its_answer_is_cut(gateway: Running) -> None:
    body = WHOLE.replace(b"capitals", b"long")
    with connected(gateway) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        deadline = time.monotonic() + 20
        while cut(gateway, "answer") == 0:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_others_are_answered_beside_a_body_of_100_megabytes(tmp_path: Path) -> None:
    served = {"capitals": Served("capitals", a_project(tmp_path / "task"), Capitals())}
    most = {"max_body": 200 * 1024 * 1024}
    with running(tmp_path, served, server=most) as gateway:
        huge = json.dumps({"model": "nobody", "messages": [{"role": "user", "content": "x" * 100 * 1024 * 1024}]})
        found: list[int] = []
        sending = threading.Thread(target=lambda: found.append(gateway.post(huge.encode())[0]))
        sending.start()
        longest = 0.0
        while sending.is_alive():
            longest = max(longest, seconds(lambda: gateway.get("/health")))
        sending.join()
        assert found == [404] and longest < 10
    with running(tmp_path / "again", served) as gateway:
        status, body, _ = gateway.post(huge.encode())
        assert status == 413 and "16,777,216 bytes" in body["error"]["message"]


def seconds(call: Callable[[], object]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def test_two_thousand_idle_connections_keep_nobody_waiting(tmp_path: Path) -> None:
    served = {"capitals": Served("capitals", a_project(tmp_path / "task"), Capitals())}
    bound = server.allow_many_files()
    if bound < 6000:
        pytest.skip(f"only {bound} files may be open here")
    with running(tmp_path, served, server={"header_timeout": 600.0}) as gateway:
        idle = [connected(gateway) for _ in range(2000)]
        assert gateway.ask("capitals", "Ann").choices
        assert of(read(gateway.get("/metrics")[1]), "tutelage_connections") >= 2000
        for one in idle:
            one.close()


def test_the_bound_of_open_files_is_raised_as_far_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        assert server.allow_many_files() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(hard, 1024)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ready_says_no_from_the_signal_on(gateway: Running) -> None:
    assert gateway.get("/ready")[0] == 200
    gateway.opened.stopping = True
    status, body = gateway.get("/ready")
    assert status == 503 and json.loads(body)["problems"] == ["it is stopping"]
