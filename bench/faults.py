"""Whether the gateway answers rightly while what is behind it fails: 10,000 requests, half of them streams.

    python -m bench.faults            # 2 minutes on 2 cores; --n 2000 for a first look

Three targets: two fake upstreams, whose requests meet a fault in one of five cases (429, 500, no answer, a cut body or
stream), and one that is dead. The right answer to a request is made of its own text, so that an answer of another request,
or a part that comes twice, counts as wrong. Afterwards the key's account in the database must hold exactly what the traces
say, and these what the upstreams said that their whole answers cost; what was billed for answers that broke is said apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import secrets
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
from scipy.stats import binomtest

from bench.loads import free_port, started
from bench.projects import write_log
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.store import Store, open_store
from tutelage.store.keys import Key, Limits

PRICE = {"input": 1.0, "output": 2.0}
RATES: dict[Any, float] = {"429": 0.06, "500": 0.06, "timeout": 0.02, "cut": 0.06}
TOML = """tasks = []
[server]
access = "keys"
[upstreams.m]
balance = "least-busy"
retries = 6
attempt_timeout = 1.0
total_timeout = 30.0
open_seconds = 2.0
targets = [{targets}]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=32)
    chosen = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    fakes = []
    for seed in (1, 2):
        mine, theirs = context.Pipe()
        process = context.Process(target=fake, args=(seed, theirs))
        process.start()
        fakes.append((process, mine, mine.recv()))
    urls = [url for _, _, url in fakes] + [f"http://127.0.0.1:{free_port()}/v1"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "gateway.toml").write_text(TOML.format(targets=", ".join(map(target, urls))), encoding="utf-8")
        store = open_store(folder / "tutelage.db")
        secret = store.keys.add(Key(id=secrets.token_hex(8), name="bench", limits=Limits(budget_month=10**12)))
        port = free_port()
        command = [sys.executable, "-m", "tutelage", "serve", "-C", str(folder), "--port", str(port)]
        with started([*command, "--database", str(folder / "tutelage.db")], port, path="/ready"):
            start = time.perf_counter()
            found = asyncio.run(ask_all(f"http://127.0.0.1:{port}/v1/chat/completions", secret, chosen))
            seconds = time.perf_counter() - start
        body = told(found, seconds, store)
        store.close()
    for process, pipe, _ in fakes:
        pipe.send("stop")
        faults = pipe.recv()
        process.join()
        met = ", ".join(f"{fault or 'no fault'} {n:,}" for fault, n in sorted(faults.items()))
        body += f"\n- a target met: {met}"
    write_log(f"faults: {chosen.n:,} requests at {chosen.connections} connections", body)
    return 0


def fake(seed: int, pipe: Connection) -> None:
    """A fake upstream in a process of its own, until it is told to stop."""
    script = Script(answer=answer_to, rates=RATES, seed=seed, retry_after=0.1, batches=None)
    with FakeOpenAI(script) as server:
        pipe.send(server.base_url)
        pipe.recv()
        pipe.send(dict(Counter(str(one.fault or "") for one in server.asked)))


def answer_to(text: str) -> str:
    return " ".join(reversed(text.split())).upper()


def target(url: str) -> str:
    return f'{{model = "fake", base_url = "{url}", price = {{input = {PRICE["input"]}, output = {PRICE["output"]}}}}}'


async def ask_all(url: str, secret: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    waiting = iter(range(chosen.n))
    found: list[dict[str, Any]] = []

    async def one_after_another(session: aiohttp.ClientSession) -> None:
        for number in waiting:
            text = f"request number {number} says {secrets.token_hex(6)} and {number * 7}"
            found.append(await ask(session, url, text, stream=number % 2 == 1))

    headers = {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as session:
        await asyncio.gather(*(one_after_another(session) for _ in range(chosen.connections)))
    return found


async def ask(session: aiohttp.ClientSession, url: str, text: str, *, stream: bool) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 0, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    try:
        async with session.post(url, json=body) as response:
            raw = await response.text()
            if response.status != 200:
                return {"right": False, "why": f"status {response.status}", "stream": stream}
            said, usage = streamed(raw) if stream else whole(raw)
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        return {"right": False, "why": type(error).__name__, "stream": stream}
    right = said == answer_to(text)
    return {"right": right, "why": "" if right else "another text", "stream": stream, "usage": usage}


def whole(raw: str) -> tuple[str, dict[str, int]]:
    found = json.loads(raw)
    return found["choices"][0]["message"]["content"], found["usage"]


def streamed(raw: str) -> tuple[str, dict[str, int]]:
    text, usage, done = "", {}, False
    for line in raw.splitlines():
        if not line.startswith("data: "):
            continue
        if line == "data: [DONE]":
            done = True
            continue
        chunk = json.loads(line[6:])
        if "error" in chunk:
            raise ValueError(chunk["error"]["message"])
        text += "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
        usage = chunk.get("usage") or usage
    if not done:
        raise ValueError("no [DONE]")
    return text, usage


def told(found: list[dict[str, Any]], seconds: float, store: Store) -> str:
    right = sum(one["right"] for one in found)
    low, high = binomtest(right, len(found)).proportion_ci(method="wilson")
    wrong = Counter(f"{'stream' if one['stream'] else 'whole'}: {one['why']}" for one in found if not one["right"])
    traces = list(store.traces.read())
    charged = sum(trace.nanodollars or 0 for trace in traces)
    names = {name for trace in traces for name in trace.accounts}
    account = sum(spent for spent, _ in store.ledger.usage(sorted(names)).values())
    said = sum(cost(one["usage"]) for one in found if one.get("usage"))
    broken = sum(round((step.usage.dollars or 0) * 1e9) for trace in traces for step in trace.steps if step.error)
    attempts = sum(len(trace.steps) for trace in traces) / len(traces)
    lines = [
        f"{right:,} of {len(found):,} answered rightly: {right / len(found):.4%} (95 %: {low:.4%} to {high:.4%}; wanted: "
        f"99.9 %), in {seconds:.0f} s; attempts for a request: {attempts:.2f}",
        f"traces: {len(traces):,} ({'as many as requests' if len(traces) == len(found) else 'NOT as many as requests'})",
        f"the account holds {account / 1e9:.9f} dollars, the traces say {charged / 1e9:.9f} "
        f"({'equal' if account == charged else 'NOT EQUAL'}); the answers' own usage {said / 1e9:.9f}, and "
        f"{broken / 1e9:.9f} estimated for streams that broke "
        f"({'equal' if said + broken == charged else f'they differ by {(charged - said - broken) / 1e9:.9f}'})",
        *(f"wrong: {why}: {n}" for why, n in wrong.items()),
    ]
    return "\n".join(f"- {line}" for line in lines)


def cost(usage: dict[str, int]) -> int:
    return round(1000 * (usage["prompt_tokens"] * PRICE["input"] + usage["completion_tokens"] * PRICE["output"]))


if __name__ == "__main__":
    sys.exit(main())
