"""Several workers behind one port, as processes: they come back when killed, and end in good order."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.unit.gateway.test_gateway_telemetry import Page, of, read
from tutelage.gateway.telemetry.sharing import EVERY
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.store import open_store

PATIENCE = 90.0
ANSWER = "one two three four five six seven eight"
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


class Gateway:
    """`tutelage serve` as a process; `errors` is where its stderr goes."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.process, self.errors = process, errors
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, errors.read_text()
        self.port = urlsplit(json.loads(line)["url"]).port or 0

    def post(self, stream: bool = False) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse()

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()

    def metrics(self) -> Page:
        return read(self.get("/metrics")[1])

    def workers(self) -> set[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(one) for one in children}

    def ended(self) -> int:
        return self.process.wait(PATIENCE)


def until(true: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def alive(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextmanager
def serving(folder: Path, *arguments: str, gap: float = 0.0, drain: float = 20) -> Iterator[Gateway]:
    with FakeOpenAI(Script(answer=ANSWER, gap=gap)) as upstream:
        target = f'{{model = "fake", base_url = "{upstream.base_url}", price = {{input = 1000, output = 1000}}}}'
        text = f"tasks = []\n[server]\ndrain = {drain}\n[upstreams.m]\ntargets = [{target}]\n"
        (folder / "gateway.toml").write_text(text, encoding="utf-8")
        errors = folder / "stderr"
        command = [sys.executable, "-m", "tutelage", "serve", "--port", "0", "--json", *arguments]
        with errors.open("w") as stderr:
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True)
        try:
            yield Gateway(process, errors)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            process.wait()


def test_workers_share_the_port_come_back_when_killed_and_are_counted_together(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as gateway:
        before = gateway.workers()
        assert len(before) == 2
        assert [gateway.post().status for _ in range(30)] == [200] * 30
        until(lambda: of(gateway.metrics(), "tutelage_requests_total", status="200") == 30, "30 are counted")
        assert {dict(labels).get("worker") for name, labels in gateway.metrics() if name == "tutelage_connections"} == {
            "0",
            "1",
        }
        gateway.process.send_signal(signal.SIGHUP)  # theirs, and harmless
        time.sleep(2 * EVERY)  # until each has told the other
        assert gateway.workers() == before
        os.kill(max(before), signal.SIGKILL)
        until(lambda: len(gateway.workers() - before) == 1, "a new worker is started")
        assert [gateway.post().status for _ in range(10)] == [200] * 10  # the other one answers meanwhile
        until(lambda: of(gateway.metrics(), "tutelage_requests_total", status="200") == 40, "no count is lost")
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.ended() == 0
        assert "was killed by SIGKILL; it is started again" in gateway.errors.read_text()
    store = open_store(tmp_path / "tutelage.db")
    assert len(store.traces.find()) == 40
    store.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stream_under_way_ends_whole_after_sigterm(tmp_path: Path, workers: str) -> None:
    with serving(tmp_path, "--workers", workers, gap=0.4) as gateway:
        pids = gateway.workers() if workers == "2" else set()
        response = gateway.post(stream=True)
        start = response.read(20)
        gateway.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(ConnectionRefusedError):  # nothing more is accepted
            gateway.get("/ready")
        text = (start + response.read()).decode()
        assert text.rstrip().endswith("data: [DONE]")
        chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        written = "".join(one["choices"][0]["delta"].get("content", "") for one in chunks if one["choices"])
        assert written == ANSWER
        assert gateway.ended() == 0
        assert "Traceback" not in gateway.errors.read_text()
        assert not [pid for pid in pids if alive(pid)]
    store = open_store(tmp_path / "tutelage.db")
    (trace,) = store.traces.find()
    store.close()
    assert trace.status == 200 and trace.usage.output_tokens == 8


def test_what_is_not_done_in_time_is_cancelled_and_recorded(tmp_path: Path) -> None:
    with serving(tmp_path, gap=30, drain=1) as gateway:
        response = gateway.post(stream=True)
        response.read(20)
        gateway.process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        assert gateway.ended() == 0
        assert time.monotonic() - start < 25
    store = open_store(tmp_path / "tutelage.db")
    (trace,) = store.traces.find()
    store.close()
    assert trace.status == 499 and trace.nanodollars


def test_workers_end_when_their_parent_is_gone(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as gateway:
        workers = gateway.workers()
        gateway.process.kill()
        until(lambda: not any(alive(one) for one in workers), "the workers end")


def test_a_worker_that_cannot_start_ends_it_with_its_one_line(tmp_path: Path) -> None:
    text = 'tasks = []\n[upstreams.m]\ntargets = [{model = "x", api_key_env = "NOT_SET_ANYWHERE"}]\n'
    (tmp_path / "gateway.toml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "tutelage", "serve", "--port", "0", "--workers", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2 and done.stdout == ""
    errors = done.stderr.splitlines()
    assert "NOT_SET_ANYWHERE is not set" in errors[0] and errors[1].startswith("Error: A worker could not start")
    assert len(errors) == 2
