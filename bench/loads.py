"""What benchmarks of the gateway share: a mock upstream (nginx), a load (wrk), servers that are started and stopped."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COMPLETION = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":'
    '{"role":"assistant","content":"Hello there, this is the answer."},"logprobs":null,"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":20,"completion_tokens":8,"total_tokens":28}}'
)
NGINX = """worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s; client_body_temp_path {folder}/b;
proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{body}'; }} }} }}
"""
LUA = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
{headers}
local n = 0
init = function(args) math.randomseed({seed}) end
request = function()
  n = n + 1
  local text = "Say hello to the people who are reading this text, number " .. n .. " of " .. math.random(1000000000) .. "."
  return wrk.format(nil, nil, nil, '{body}' .. text .. '"}}],"temperature":0}}')
end
"""
BODY = '{"model":"MODEL","messages":[{"role":"system","content":"You are helpful."},{"role":"user","content":"'
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Load:
    """What wrk measured: requests a second, latencies in seconds, answers that were not 2xx or never came."""

    rate: float
    p50: float
    p99: float
    failed: int


def missing(*commands: str) -> str | None:
    """What to say when a command is not installed."""
    absent = [command for command in commands if shutil.which(command) is None]
    return f"SKIPPED: {', '.join(absent)} not found. Install with: apt-get install wrk nginx-light" if absent else None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def mock_upstream() -> Iterator[str]:
    """nginx that answers every request with the same chat completion (66,000 a second here); gives its base URL."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port, body=COMPLETION), encoding="utf-8")
        with started(["nginx", "-c", str(config)], port):
            yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def started(
    command: Sequence[str], port: int, *, env: Mapping[str, str] | None = None, path: str = "", seconds: float = 120.0
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, once it listens on `port` (and answers GET `path`); it is ended afterwards."""
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + seconds
        while not _answers(port, path):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {' '.join(command)}")
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _answers(port: int, path: str) -> bool:
    try:
        if path:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
                return True
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def load(url: str, model: str, headers: Mapping[str, str], *, connections: int, seconds: float, seed: int = 1) -> Load:
    """Chat completions at `url`, each with a text of its own, for `seconds`."""
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA.format(headers=lines, body=BODY.replace("MODEL", model), seed=seed))
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds:g}s",
            "--timeout",
            "20s",
            "--latency",
            "-s",
            script.name,
            url,
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return parsed(said)


def parsed(said: str) -> Load:
    """wrk's words as figures."""
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    failed = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", said))
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    failed += sum(int(n) for n in errors.groups()) if errors else 0
    return Load(float(found[1]), _quantile(said, "50%"), _quantile(said, "99%"), failed)


def _quantile(said: str, which: str) -> float:
    found = re.search(rf"{which}\s+([\d.]+)(us|ms|s|m)", said)
    assert found, said
    return float(found[1]) * _UNITS[found[2]]


def memory(pid: int) -> float:
    """Resident megabytes of a process and its children."""
    total, pids = 0.0, [pid]
    while pids:
        one = pids.pop()
        status = Path(f"/proc/{one}/status").read_text()
        total += int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024
        pids += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return total
