"""What a call costs beside the bare runtime: our own code, generation by a local file, and what a shared prefix saves.

    python -m bench.calls [--model PATH.gguf] [--threads N]     # 2 minutes on 2 quiet cores; appends its table to bench/LOG.md

- Overhead: a fake endpoint in its own process; `Prompted.predict_one` and the bare AsyncOpenAI client send the same body in
  turn, the client as its documentation has it (parameters by name, which it walks through one by one) and at its fastest
  (`extra_body`). The figure is the difference of the medians to the fastest.
- Generation: a GGUF file through `GgufChat`, and the same file under a bare xllamacpp.Server with the same settings in
  another process, asked by the bare client, in turn; tokens a second over the whole call, prompt included. Bound to a
  schema as well: the bare server by its own response_format.
- Prefix: prompts that share their first 600 tokens, through `GgufChat`, and the same with `cache_prompt` off, in turn.
Figures are medians, shares and gains medians over the rounds of the ratio of two neighbouring calls, so that what else runs
weighs on both; only they carry over to other machines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import openai

from tutelage import settings
from tutelage.embeddings.runtime import cores
from tutelage.llamacpp import Server
from tutelage.models import Message, ModelSettings, Params
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.models.gguf import GgufChat
from tutelage.models.openai import OpenAIChat
from tutelage.prompting import Prompted
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Input

LOG = Path(__file__).with_name("LOG.md")
MODEL = settings.weights_folder() / "smollm2-135m" / "smollm2-135m-instruct.q4_1.gguf"
CALLS, WARM, ROUNDS, PREFIX_ROUNDS = 400, 20, 15, 5
CONTEXT, GENERATED, PREFIX = 1024, 48, 600
WANTED_MS, WANTED_SHARE = 2.0, 0.9
SENTENCE = "The old fox of the northern wood met {name} at the market and asked for the price of a lantern. "
NAMES = ("Ann", "Bo", "Cy", "Di", "Ed", "Flo", "Gus", "Hal", "Ina", "Jo")
LABELS = tuple(f"intent number {number}" for number in range(77))
ASKED: Mapping[str, tuple[Task, Input, str]] = {
    "a label of 77, 20 words": (
        LabelTask("intent", ("text",), "What does the customer want?", labels=LABELS),
        {"text": SENTENCE.format(name="Ann")},
        json.dumps({"label": LABELS[3]}),
    ),
    "names in 2,000 words": (
        StringsTask("names", ("text",), "Who is named in the text?"),
        {"text": "".join(SENTENCE.format(name=NAMES[n % 10]) for n in range(100))},
        json.dumps({"names": list(NAMES)}),
    ),
}
LIST = {
    "type": "object",
    "properties": {
        "words": {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 12, "maxItems": 12}
    },
    "required": ["words"],
    "additionalProperties": False,
}
BARE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames, params.port = ["127.0.0.1"], 0
params.n_ctx, params.n_parallel = int(sys.argv[2]), 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[3])
params.verbosity, params.ui = -1, False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""

Call: TypeAlias = Callable[[int], Awaitable[float]]
"""The n-th call; returns what is measured of it."""

Written: TypeAlias = tuple[list[int], list[int]]
"""Tokens that the bare server and ours wrote, answer by answer."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(MODEL), help="a GGUF file")
    parser.add_argument("--threads", type=int, default=cores(), help="of both servers")
    given = parser.parse_args()
    model = Path(given.model).expanduser().resolve()
    lines = [
        f"\n## calls, {datetime.now(UTC):%Y-%m-%d}: {cores()} cores, load average {os.getloadavg()[0]:.1f} (others included)"
    ]
    lines += [
        "",
        "| a call, p50 | bare ms, by name | bare ms, extra_body | ours ms | more ms |",
        "|---|---|---|---|---|",
    ]
    worst = 0.0
    for name in ASKED:
        named, fast, ours = (1000 * seconds for seconds in asyncio.run(overhead(*ASKED[name])))
        worst = max(worst, ours - fast)
        lines.append(f"| {name} | {named:.2f} | {fast:.2f} | {ours:.2f} | {ours - fast:.2f} |")
    lines += ["", f"- wanted: less than {WANTED_MS:g} ms more: {met(worst < WANTED_MS)}."]
    if model.is_file():
        lines += asyncio.run(local(model, given.threads))
    else:
        print(
            f"SKIPPED: there is no {model}. Fetch it with: python scripts/weights.py smollm2-135m, or give --model PATH."
        )
    text = "\n".join([*lines, ""])
    print(text)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(text)
    return 0


async def overhead(task: Task, given: Input, answer: str) -> list[float]:
    """Seconds of a call by the bare client (by name, by extra_body) and through Prompted, medians of calls in turn."""
    with FakeOpenAI(Script(answer=answer)) as recorder:
        await asked(recorder.base_url, task, given)
        body = recorder.bodies[0]
    with process([sys.executable, "-m", "tutelage.models.fake", "--answer", answer]) as url:
        predictor = Prompted(OpenAIChat(ModelSettings(model="m", base_url=url)), task)
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:

            async def named(_: int) -> float:
                start = time.perf_counter()
                await client.chat.completions.create(**body)
                return time.perf_counter() - start

            async def fast(_: int) -> float:
                start = time.perf_counter()
                await client.chat.completions.create(model="m", messages=[], extra_body=body)
                return time.perf_counter() - start

            async def ours(_: int) -> float:
                start = time.perf_counter()
                prediction = await predictor.predict_one(given)
                seconds = time.perf_counter() - start
                assert prediction.error is None and prediction.confidence, prediction
                return seconds

            found = await in_turn([named, fast, ours], CALLS, WARM)
        await predictor.close()
    return [statistics.median(one) for one in found]


async def asked(url: str, task: Task, given: Input) -> None:
    predictor = Prompted(OpenAIChat(ModelSettings(model="m", base_url=url)), task)
    await predictor.predict_one(given)
    await predictor.close()


async def local(path: Path, threads: int) -> list[str]:
    chat = GgufChat(ModelSettings(model=str(path), context=CONTEXT, threads=threads))
    command = [sys.executable, "-c", BARE, str(path), str(CONTEXT), str(threads)]
    server = await asyncio.to_thread(Server.join, path, CONTEXT, threads)
    try:
        with process(command, OMP_WAIT_POLICY="PASSIVE") as address:
            async with client_of(address) as bare, client_of(server.address) as same:
                return [*await generation(chat, bare, f"{path.stem}, {threads} threads"), *await prefix(chat, same)]
    finally:
        await chat.close()
        await asyncio.to_thread(server.leave)


async def generation(chat: GgufChat, client: openai.AsyncOpenAI, name: str) -> list[str]:
    kinds: dict[str, tuple[Params, dict[str, Any]]] = {
        "free text": (Params(max_tokens=GENERATED, structured="none"), {}),
        "free text, log probabilities": (
            Params(max_tokens=GENERATED, structured="none", logprobs=True),
            {"logprobs": True},
        ),
        "12 words by a schema": (
            Params(max_tokens=512, schema=LIST),
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": LIST, "strict": True}}},
        ),
    }
    content = [f"Tell a long story about {one} and a fox." for one in NAMES]
    lines = [
        "",
        f"| {name} | bare tokens/s | ours | share | bare tokens an answer | ours |",
        "|---|---|---|---|---|---|",
    ]
    least = 9.9
    for kind, (params, more) in kinds.items():
        written: Written = [], []

        async def bare(
            n: int, more: dict[str, Any] = more, params: Params = params, written: Written = written
        ) -> float:
            start = time.perf_counter()
            messages: Any = [{"role": "user", "content": content[n % 10]}]
            answer: Any = await client.chat.completions.create(
                model="m", messages=messages, max_tokens=params.max_tokens, temperature=0.0, **more
            )
            written[0].append(answer.usage.completion_tokens)
            return written[0][-1] / (time.perf_counter() - start)

        async def ours(n: int, params: Params = params, written: Written = written) -> float:
            start = time.perf_counter()
            reply = await chat.complete([Message("user", content[n % 10])], params)
            written[1].append(reply.usage.output_tokens)
            return written[1][-1] / (time.perf_counter() - start)

        rates = await in_turn([bare, ours], ROUNDS, 1)
        share = ratio(rates[1], rates[0])
        least = min(least, share)
        middle = " | ".join(f"{statistics.median(one):.1f}" for one in rates)
        lengths = " | ".join(f"{statistics.median(one):.0f}" for one in written)
        lines.append(f"| {kind} | {middle} | {share:.2f} | {lengths} |")
    return [*lines, "", f"- wanted: at least {WANTED_SHARE} of bare llama.cpp: {met(least >= WANTED_SHARE)}."]


async def prefix(chat: GgufChat, client: openai.AsyncOpenAI) -> list[str]:
    shared = ""
    while await chat.count_tokens([Message("user", shared)]) < PREFIX:
        shared += SENTENCE.format(name=NAMES[len(shared) % 10])
    cached: list[int] = []

    async def off(n: int) -> float:
        start = time.perf_counter()
        await client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": f"{shared} What about {NAMES[n % 10]}?"}],
            max_tokens=16,
            temperature=0.0,
            extra_body={"cache_prompt": False},
        )
        return time.perf_counter() - start

    async def on(n: int) -> float:
        start = time.perf_counter()
        messages = [Message("user", f"{shared} What about {NAMES[(n + 5) % 10]}?")]
        reply = await chat.complete(messages, Params(max_tokens=16, structured="none"))
        cached.append(reply.usage.cached_input_tokens)
        return time.perf_counter() - start

    without, with_it = await in_turn([off, on], PREFIX_ROUNDS, 1)
    return [
        "",
        f"| prompts that share {PREFIX} tokens, 16 generated | s a call |",
        "|---|---|",
        f"| prefix read each time | {statistics.median(without):.2f} |",
        f"| prefix kept ({statistics.median(cached):.0f} tokens from the cache) | {statistics.median(with_it):.2f} |",
        "",
        f"- A shared prefix makes a call {ratio(without, with_it):.1f} times as fast.",
    ]


async def in_turn(calls: Sequence[Call], rounds: int, warm: int) -> list[list[float]]:
    """What is measured of each, round by round, the first `warm` left out; the order is turned round each time."""
    found: list[list[float]] = [[] for _ in calls]
    for number in range(warm + rounds):
        for at in sorted(range(len(calls)), reverse=bool(number % 2)):
            measured = await calls[at](number)
            if number >= warm:
                found[at].append(measured)
    return found


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def client_of(address: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", timeout=600, max_retries=0)


@contextmanager
def process(command: Sequence[str], **variables: str) -> Iterator[str]:
    """A server as a child; the first line that it prints is its address."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=settings.child(**variables),
    ) as child:  # fmt: skip
        assert child.stdout is not None and child.stdin is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


def met(reached: bool) -> str:
    return "reached" if reached else "**NOT reached**"


if __name__ == "__main__":
    sys.exit(main())
