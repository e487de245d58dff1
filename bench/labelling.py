"""How close labelling comes to the rate that the endpoint allows, and what kill -9 costs.

    python -m bench.labelling            # about a minute; appends its table to bench/LOG.md

A fake endpoint in its own process answers each call after 200 ms; `teach`, in another process, asks 32 at a time, so the
ideal rate is 160 answers a second. Then the same is killed three times at random moments and resumed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tutelage.labels.teach import TeachReport, teach
from tutelage.project import Project, open_project
from tutelage.prompting import PromptedSettings, build_prompted
from tutelage.types import Example, digest

LOG = Path(__file__).with_name("LOG.md")
DELAY, CONCURRENCY = 0.2, 32
IDEAL = CONCURRENCY / DELAY
RATE_EXAMPLES, KILL_EXAMPLES, KILLS = 3200, 1600, 3
SEED = 7
TASK = """
name = "tone"
output = "label"
labels = ["happy", "sad"]
instructions = "Is the text happy or sad?"

[prices.fake]
input = 0.15
output = 0.6
"""


@dataclass(frozen=True)
class Killed:
    """One kill: seconds after the start, answers in the store then, later requests about examples that had an answer."""

    after: float
    stored: int
    asked_again: int


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        share, process = rate(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        kills, calls, doubles = killed(Path(folder))
    text = table(share, process, kills, calls, doubles)
    print(text)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(text)


def rate(folder: Path) -> tuple[float, float]:
    """Share of the ideal rate while `teach` runs, and over the whole life of its process, start included."""
    make_project(folder, RATE_EXAMPLES)
    with endpoint(folder / "asked.jsonl") as url:
        start = time.perf_counter()
        done = subprocess.run(child(folder, url), check=True, capture_output=True, text=True)
        wall = time.perf_counter() - start
    report = json.loads(done.stdout)
    assert report["answered"] == RATE_EXAMPLES, report
    return report["answered"] / report["seconds"] / IDEAL, report["answered"] / wall / IDEAL


def killed(folder: Path) -> tuple[list[Killed], int, int]:
    """The kills, the calls in all, and the examples whose stored answers are not exactly one."""
    make_project(folder, KILL_EXAMPLES)
    draw, log = random.Random(SEED), folder / "asked.jsonl"
    moments: list[tuple[float, float, set[str]]] = []
    with endpoint(log) as url:
        for _ in range(KILLS):
            after = draw.uniform(2.5, 4.5)
            process = subprocess.Popen(child(folder, url), stdout=subprocess.DEVNULL)
            time.sleep(after)
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append((after, time.time(), stored(folder)))
        subprocess.run(child(folder, url), check=True, stdout=subprocess.DEVNULL)
    asked = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    keys = {example.id: digest(example.input["text"]) for example in make_examples(KILL_EXAMPLES)}
    kills = []
    for after, moment, ids in moments:
        done = {keys[id] for id in ids}
        # A request in flight at the kill is logged up to one delay later: it was asked before.
        again = sum(entry["message"] in done and entry["time"] - DELAY > moment for entry in asked)
        kills.append(Killed(after, len(ids), again))
    with sqlite3.connect(folder / "tutelage.db") as database:
        counts = Counter(dict(database.execute("SELECT example_id, count(*) FROM labels GROUP BY example_id")))
    return kills, len(asked), sum(counts[id] != 1 for id in keys)


def stored(folder: Path) -> set[str]:
    project = open_project(folder)
    ids = {id for source, _, _ in project.store.labels.counts() for id in project.store.labels.labelled_by(source)}
    project.store.close()
    return ids


def table(share: float, process: float, kills: list[Killed], calls: int, doubles: int) -> str:
    lines = [
        f"\n## {datetime.now(UTC):%Y-%m-%d} labelling: rate and kill -9 (`python -m bench.labelling`)\n",
        f"Fake endpoint, {DELAY * 1000:.0f} ms an answer, concurrency {CONCURRENCY}; ideal {IDEAL:.0f} answers/s. "
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} (others included) over the last minute, "
        f"scheduling policy {'real-time' if os.sched_getscheduler(0) == os.SCHED_FIFO else 'normal'}.\n",
        "| measured | figure |",
        "|---|---|",
        f"| share of the ideal rate, {RATE_EXAMPLES} examples | {share:.3f} |",
        f"| the same over the whole process, imports included | {process:.3f} |",
    ]
    for number, kill in enumerate(kills, 1):
        lines.append(
            f"| kill {number} after {kill.after:.1f} s: answers stored / of them asked again later "
            f"| {kill.stored} / {kill.asked_again} |"
        )
    lines += [
        f"| calls in all for {KILL_EXAMPLES} examples (in flight at a kill: asked again) | {calls} |",
        f"| examples whose stored answers are not exactly one | {doubles} |",
    ]
    return "\n".join(lines) + "\n"


def make_examples(count: int) -> list[Example]:
    inputs = [{"text": f"Story {number}: the sun came out and everybody sang."} for number in range(count)]
    return [Example(digest(input), input, "train") for input in inputs]


def make_project(folder: Path, count: int) -> None:
    (folder / "task.toml").write_text(TASK, encoding="utf-8")
    project = open_project(folder)
    project.store.examples.add(make_examples(count))
    project.store.close()


@contextmanager
def endpoint(log: Path) -> Iterator[str]:
    """The address of the fake endpoint while it runs."""
    command = [sys.executable, "-m", "tutelage.models.fake", "--delay", str(DELAY), "--log", str(log)]
    process = subprocess.Popen([*command, "--answer", '{"label": "happy"}'], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.terminate()
        process.wait()


def child(folder: Path, url: str) -> list[str]:
    return [sys.executable, "-m", "bench.labelling", str(folder), url]


def label(folder: Path, url: str) -> None:
    """What the child process does."""
    project = open_project(folder)
    report = asyncio.run(_label(project, url))
    print(json.dumps({"answered": report.answered, "seconds": report.seconds}))


async def _label(project: Project, url: str) -> TeachReport:
    settings = PromptedSettings("fake", base_url=url, concurrency=CONCURRENCY)
    teacher = build_prompted("fake", settings, project)
    try:
        return await teach(project, teacher, project.store.examples.read("train"), fingerprint=digest("bench"))
    finally:
        await teacher.close()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        label(Path(sys.argv[1]), sys.argv[2])
    else:
        main()
