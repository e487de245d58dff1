"""What passing a request through the gateway costs, beside Portkey's gateway and the LiteLLM proxy.

    apt-get install wrk nginx-light
    npm install --prefix PEERS @portkey-ai/gateway
    python3 -m venv PEERS/litellm && PEERS/litellm/bin/pip install 'litellm[proxy]'
    unshare -n sh -c 'ip link set lo up && python -m bench.gateway --peers PEERS'      # 3 minutes on 2 quiet cores

(The network of its own is for Portkey, which listens on every interface.) Mock upstream, load generator and the gateway
under test share the machine. Ours runs with keys, exact cache look-ups (each request has a text of its own, so that all
are misses), metrics and traces on, one worker; the peers as they come, LiteLLM with one worker. Every system is measured
in turn, several rounds; figures are medians, and only their ratios carry over to other machines. A peer that is not
installed is skipped and said.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.loads import Load, free_port, load, memory, missing, mock_upstream, started
from bench.projects import write_log
from tutelage.store import open_store
from tutelage.store.keys import Key

TOML = """tasks = []
[server]
access = "keys"
[upstreams.m]
targets = [{{model = "m", base_url = "{upstream}", price = {{input = 0.15, output = 0.6}}}}]
[cache]
kind = "memory"
"""
YAML = """model_list:
  - model_name: m
    litellm_params: {{model: openai/m, api_base: "{upstream}", api_key: sk-upstream}}
general_settings: {{master_key: "{key}"}}
litellm_settings: {{telemetry: false}}
"""


@dataclass
class System:
    """One of those compared: where it listens, what it wants to be told, and what was measured."""

    name: str
    port: int
    headers: dict[str, str]
    pid: int
    many: list[Load] = field(default_factory=list)
    single: list[Load] = field(default_factory=list)
    megabytes: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder with node_modules and litellm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--connections", type=int, default=16)
    chosen = parser.parse_args()
    if said := missing("wrk", "nginx"):
        print(said)
        return 0
    skipped: list[str] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(mock_upstream())
        port = int(upstream.rpartition(":")[2].partition("/")[0])
        systems = [System("the upstream itself", port, {}, 0), stack.enter_context(ours(folder, upstream))]
        for peer in (portkey, litellm):
            try:
                systems.append(stack.enter_context(peer(folder, upstream, chosen.peers)))
            except (FileNotFoundError, RuntimeError) as error:
                skipped.append(f"{peer.__name__} SKIPPED: {error}")
                print(skipped[-1], file=sys.stderr)
        measure(systems, chosen)
    body = table(systems) + "".join(f"\n- {one}" for one in skipped)
    load_1, *_ = os.getloadavg()
    write_log(
        f"gateway: pass-through at {chosen.connections} connections and at one",
        f"{body}\n\n{chosen.rounds} rounds of {chosen.seconds:g} s, in turn, medians; load average at the end {load_1:.1f}.",
    )
    return 0


def measure(systems: list[System], chosen: argparse.Namespace) -> None:
    for round_ in range(chosen.rounds + 1):
        for system in systems:
            at = {"seed": round_ + 1, "seconds": chosen.seconds if round_ else 2.0}
            many = load(system.url, "m", system.headers, connections=chosen.connections, **at)
            single = load(system.url, "m", system.headers, connections=1, **at)
            if round_:  # the first warms up
                system.many.append(many)
                system.single.append(single)
                system.megabytes = max(system.megabytes, memory(system.pid) if system.pid else 0.0)
                print(round_, system.name, many, single, file=sys.stderr, flush=True)


@contextlib.contextmanager
def ours(folder: Path, upstream: str) -> Iterator[System]:
    (folder / "gateway.toml").write_text(TOML.format(upstream=upstream), encoding="utf-8")
    store = open_store(folder / "tutelage.db")
    secret = store.keys.add(Key(id=secrets.token_hex(8), name="bench"))
    store.close()
    port = free_port()
    command = [sys.executable, "-m", "tutelage", "serve", "-C", str(folder), "--port", str(port)]
    command += ["--database", str(folder / "tutelage.db")]
    with started(command, port, path="/ready") as process:
        yield System("tutelage", port, {"Authorization": f"Bearer {secret}"}, process.pid)


@contextlib.contextmanager
def portkey(_folder: Path, upstream: str, peers: Path | None) -> Iterator[System]:
    server = (peers or Path()) / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not server.is_file():
        raise FileNotFoundError(f"no {server}")
    port = free_port()
    headers = {"Authorization": "Bearer sk-x", "x-portkey-provider": "openai", "x-portkey-custom-host": upstream}
    with started(["node", str(server), f"--port={port}", "--headless"], port) as process:
        yield System("Portkey", port, headers, process.pid)


@contextlib.contextmanager
def litellm(folder: Path, upstream: str, peers: Path | None) -> Iterator[System]:
    command = (peers or Path()) / "litellm" / "bin" / "litellm"
    if not command.is_file():
        raise FileNotFoundError(f"no {command}")
    port, key = free_port(), "sk-" + secrets.token_hex(24)
    (folder / "litellm.yaml").write_text(YAML.format(upstream=upstream, key=key), encoding="utf-8")
    given = [str(command), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    env = os.environ | {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with started([*given, "--num_workers", "1"], port, env=env, path="/health/liveliness") as process:
        yield System("LiteLLM, one worker", port, {"Authorization": f"Bearer {key}"}, process.pid)


def table(systems: list[System]) -> str:
    rows = ["| | requests/s | ours / it | p50 ms | p99 ms | alone: p50 ms | added ms | MB | failed |"]
    rows.append("|---|---|---|---|---|---|---|---|---|")
    bare = statistics.median(one.p50 for one in systems[0].single)
    own = statistics.median(one.rate for one in systems[1].many)
    for system in systems:
        rate = statistics.median(one.rate for one in system.many)
        single = statistics.median(one.p50 for one in system.single)
        failed = sum(one.failed for one in (*system.many, *system.single))
        p50, p99 = (statistics.median(values) for values in zip(*((o.p50, o.p99) for o in system.many), strict=True))
        rows.append(
            f"| {system.name} | {rate:,.0f} | {own / rate:.2f} | {1e3 * p50:.2f} | {1e3 * p99:.1f} | {1e3 * single:.2f} | "
            f"{1e3 * (single - bare):.2f} | {system.megabytes:.0f} | {failed} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
