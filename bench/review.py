"""How fast the review page answers with many examples in the store, over HTTP, to one annotator at work.

    python -m bench.review --work FOLDER             # 100,000 examples with labels and predictions, 20,000 decided before
    python -m bench.review --work FOLDER --n 10000

FOLDER keeps the project. Every request is one a person makes: an example, a decision (answered with the address of the next
example), an undo, the table, all its rows accepted at once, progress.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from bench.projects import write_log
from tutelage.project import Project, open_project
from tutelage.store import Decision, now
from tutelage.tasks.identity import example_id
from tutelage.types import Example, Label, Prediction

LABELS = [f"intent_{at}" for at in range(77)]
SOURCE, ANNOTATORS = "teacher:model@1", ("ann", "ben", "cy")
PAGE = 5000
SECONDS = 0.050
"""What is wanted at p95."""
TASK = f'name = "intents"\noutput = "label"\nlabels = {json.dumps(LABELS)}\n[review]\ndouble = 0.1\n'
WORDS = [
    "card",
    "transfer",
    "account",
    "declined",
    "fee",
    "twice",
    "the",
    "my",
    "not",
    "yet",
    "has",
    "another",
    "was",
    "why",
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the project; used again, it goes on")
    parser.add_argument("--n", type=int, default=100_000, help="examples")
    parser.add_argument("--decided", type=int, default=20_000, help="examples decided before")
    parser.add_argument("--requests", type=int, default=1000, help="decisions to make")
    options = parser.parse_args()
    project = filled(options.work / str(options.n), options.n, options.decided)
    before = len(project.store.decisions.stand())
    start = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "tutelage",
        "review",
        "-C",
        str(project.folder),
        "--port",
        "0",
        "--no-browser",
        "--json",
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(json.loads(server.stdout.readline())["url"].rsplit(":", 1)[1].strip("/"))
        begun = time.perf_counter() - start
        used = processor(server.pid)
        taken = worked(Annotator(port, f"dan-{before}"), options.requests)
        used = (processor(server.pid) - used) / sum(map(len, taken.values()))
    finally:
        server.terminate()
        server.wait(30)
    write_log(f"review: the page with {options.n:,} examples", table(taken, before, begun, used))
    return 0


def filled(folder: Path, n: int, decided: int) -> Project:
    """A project with `n` examples, of which `decided` were decided on by three people."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(TASK, encoding="utf-8")
    project, draw = open_project(folder), random.Random(7)
    store = project.store
    if len(store.examples.ids("train")) == n:
        return project
    inputs = [{"text": f"{' '.join(draw.choices(WORDS, k=25))} {at}"} for at in range(n)]
    examples = [Example(example_id(one), one, "train") for one in inputs]
    for at in range(0, n, PAGE):
        part = examples[at : at + PAGE]
        said = [(one.id, draw.choice(LABELS), draw.random()) for one in part]
        store.examples.add(part)
        store.labels.add([Label(id, value, SOURCE) for id, value, _ in said])
        store.predictions.add("p" * 32, [(id, Prediction(value, sure, source=SOURCE)) for id, value, sure in said])
    for at, one in enumerate(examples[:decided]):
        name, value = ANNOTATORS[at % 3], LABELS[at % 77]
        facts: dict[str, Any] = {"suggestion": value, "suggested_by": SOURCE, "value": value, "created": now()}
        decision = Decision(id=f"before-{at}", example_id=one.id, annotator=name, verdict="accept", **facts)
        store.decisions.add(decision, [Label(one.id, value, f"human:{name}", decision.created)], check=False)
    return project


class Annotator:
    """Somebody at a browser that keeps its connection and its cookie; `taken` is seconds by kind of request."""

    def __init__(self, port: int, name: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._headers = {"Cookie": f"tutelage_annotator={name}", "Origin": f"http://127.0.0.1:{port}"}
        self.taken: dict[str, list[float]] = {}

    def ask(self, kind: str, path: str, fields: Sequence[tuple[str, str]] | None = None) -> tuple[str, str]:
        """The address that the answer leads to, and its body."""
        body = None if fields is None else urlencode(fields)
        start = time.perf_counter()
        self._connection.request("GET" if body is None else "POST", path, body, self._headers)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        self.taken.setdefault(kind, []).append(time.perf_counter() - start)
        if answer.status not in (200, 303):
            raise SystemExit(f"{kind}: {path} answered {answer.status}: {text[:500]}")
        return answer.headers.get("location") or path, text


def worked(one: Annotator, n: int) -> dict[str, list[float]]:
    """Make `n` decisions, with an undo, a table and progress now and then."""
    path, _ = one.ask("the first", "/review")
    one.taken.clear()
    for at in range(n):
        path, text = one.ask("an example", path)
        blind = "each alone" in text
        sent = [*hidden(text, "decision"), ("value", LABELS[at % 77] if blind or at % 7 == 0 else value(text))]
        path, _ = one.ask("a decision", path, [*sent, ("verdict", "edit" if blind or at % 7 == 0 else "accept")])
        if at % 10 == 9:
            _, text = one.ask("an example", path)
            path, _ = one.ask("an undo", "/undo", hidden(text, "undo"))
        if at % 20 == 19:
            one.ask("progress", "/progress")
            _, text = one.ask("the table, 25 rows", "/table")
            one.ask("25 rows accepted at once", "/table", [*hidden(text, "bulk"), ("accept", "shown")])
            path, _ = one.ask("the next", "/review")
    return one.taken


def hidden(text: str, form: str) -> list[tuple[str, str]]:
    """The hidden fields of a form."""
    found = re.search(rf'<form[^>]*id="{form}".*?</form>', text, re.DOTALL)
    return re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', found.group() if found else "")


def value(text: str) -> str:
    found = re.search(r'<input id="value" name="value" value="([^"]*)"', text)
    return found.group(1) if found else ""


def processor(pid: int) -> float:
    """Seconds of processor that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(taken: dict[str, list[float]], before: int, begun: float, used: float) -> str:
    lines = [
        f"- {before:,} decisions before, a tenth labelled twice and blind; the server was ready after {begun:.1f} s",
        f"- a request takes {used * 1000:.1f} ms of the server's processor; load of the machine {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores",
        "",
        "| request | n | p50 ms | p95 ms | p99 ms | most ms |",
        "|---|---|---|---|---|---|",
    ]
    for kind, seconds in taken.items():
        p50, p95, p99 = np.quantile(seconds, [0.5, 0.95, 0.99]) * 1000
        lines.append(f"| {kind} | {len(seconds)} | {p50:.1f} | {p95:.1f} | {p99:.1f} | {max(seconds) * 1000:.1f} |")
    single = [one for kind, seconds in taken.items() if "25 rows" not in kind for one in seconds]
    met = np.quantile(single, 0.95)
    lines += ["", f"All but the table: p95 {met * 1000:.1f} ms (wanted: under {SECONDS * 1000:.0f}), n {len(single)}."]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
