"""Whether the gateway's memory and connections stay what they are: half of its top load for half an hour.

    apt-get install wrk nginx-light
    python -m bench.soak               # 31 minutes on 2 cores; --minutes 3 for a first look

The top load is measured first, for ten seconds at 16 connections; then each connection pauses so that half of it comes.
Keys, cache, metrics and traces are on. Memory is read every ten seconds; it is flat when the mean of the last quarter is
within 5 % of that of the second (the first fills caches). At the end no connection may be left, and every trace is there.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.gateway import ours
from bench.loads import BODY, LUA, load, memory, missing, mock_upstream, parsed
from bench.projects import write_log
from tutelage.store import open_store

PAUSE = """
delay = function() return {milliseconds} end
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--connections", type=int, default=16)
    chosen = parser.parse_args()
    if said := missing("wrk", "nginx"):
        print(said)
        return 0
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(mock_upstream())
        gateway = stack.enter_context(ours(folder, upstream))
        top = load(gateway.url, "m", gateway.headers, connections=chosen.connections, seconds=10)
        pause = max(1.0, 1000 * (2 * chosen.connections / top.rate - top.p50))
        found: list[str] = []
        seconds = 60 * chosen.minutes
        asking = threading.Thread(
            target=lambda: found.append(paced(gateway.url, gateway.headers, chosen.connections, seconds, pause))
        )
        asking.start()
        megabytes: list[float] = []
        while asking.is_alive():
            megabytes.append(memory(gateway.pid))
            asking.join(10)
        half = parsed(found[0])
        time.sleep(8)
        left = connections(gateway.pid, gateway.port)
        store = open_store(folder / "tutelage.db")
        traces, rows = store.traces.count(), round(half.rate * seconds)
        store.close()
    quarter = max(1, len(megabytes) // 4)
    second, last = statistics.mean(megabytes[quarter : 2 * quarter]), statistics.mean(megabytes[-quarter:])
    lines = [
        f"top {top.rate:,.0f} requests/s; then {half.rate:,.0f} ({half.rate / top.rate:.0%}) for {chosen.minutes:g} minutes, "
        f"p50 {1e3 * half.p50:.2f} ms, p99 {1e3 * half.p99:.1f} ms, {half.failed} failed",
        f"memory: {second:.1f} MB in the second quarter, {last:.1f} in the last ({last / second - 1:+.1%}; wanted: within "
        f"5 %), at most {max(megabytes):.1f}",
        f"connections left: {left} from clients",
        f"traces kept: {traces:,}, of about {rows + round(10 * top.rate):,} requests",
    ]
    write_log("soak: half of the top load", "\n".join(f"- {line}" for line in lines))
    return 0


def paced(url: str, headers: dict[str, str], connections: int, seconds: float, milliseconds: float) -> str:
    """What wrk says of requests with a pause between them."""
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        body = LUA.format(headers=lines, body=BODY.replace("MODEL", "m"), seed=7)
        script.write(body + PAUSE.format(milliseconds=round(milliseconds)))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "20s", "--latency"]
        return subprocess.run([*command, "-s", script.name, url], capture_output=True, text=True, check=True).stdout


def connections(pid: int, port: int) -> int:
    """Established connections to the gateway's port."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
